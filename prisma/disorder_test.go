//go:build linux

package prisma_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/postgres"
)

// Owners of whom nothing may get lost: of one a hold keeps everything, of the
// other all is in a partition that is detached by hand, and attached again.
const (
	heldOwner  = "held"
	apartOwner = "apart"
)

// disorder is what clients do that nobody plans for.
type disorder struct {
	c     *campaign
	pool  *pgxpool.Pool
	store *postgres.Store
	apart time.Time // in the week whose partition is detached

	mu   sync.Mutex
	rows map[string]kept // by id
}

func newDisorder(t *testing.T, c *campaign) *disorder {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), c.url)
	check(t, err)
	t.Cleanup(pool.Close)
	for _, id := range []string{heldOwner, apartOwner} {
		check(t, c.store.PutUser(t.Context(), sandtrail.User{ID: id, Email: id + "@example.com"}))
		check(t, c.store.PutStrategy(t.Context(), sandtrail.Strategy{ID: id, Name: id}))
	}
	check(t, c.store.PutHold(t.Context(), sandtrail.Hold{
		Subject: sandtrail.Users, SubjectID: heldOwner, Reason: "a case", CreatedBy: "counsel", CreatedAt: c.now,
	}))
	return &disorder{c: c, pool: pool, store: open(t, c.url), apart: c.now.AddDate(0, 0, 14), rows: map[string]kept{}}
}

// clients are what each does in a round.
func (o *disorder) clients() []func(draw) error {
	acts := []func(draw) error{o.rename, o.serializable, o.idle, o.stepped, o.held}
	if !pgtest.OnCitus() {
		acts = append(acts, o.detach)
	}
	return acts
}

// rename calls a user or a strategy otherwise, or as before.
func (o *disorder) rename(d draw) error {
	update, column, from := "UPDATE users SET id = $2, email = $2 || '@example.com' WHERE id = $1", "user_id", d.user()
	if d.IntN(2) == 0 {
		update, column, from = "UPDATE strategies SET id = $2 WHERE id = $1", "strategy_id", d.strategy()
	}
	to := "renamed " + from
	if d.IntN(2) == 0 {
		from, to = to, from
	}
	err := pgx.BeginFunc(d.Context(), o.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(d.Context(), update, from, to); err != nil {
			return err
		}
		if !pgtest.OnCitus() { // a rename is an entry of the ledger
			return nil
		}
		return o.c.changed(d.Context(), tx, "SELECT id::text FROM sandbox_execution_logs WHERE "+column+" = $1", to)
	})
	if has(err, "23505") { // it was made again meanwhile
		return nil
	}
	return err
}

// serializable reads and writes in a transaction that others must not disturb.
func (o *disorder) serializable(d draw) error {
	return pgx.BeginTxFunc(d.Context(), o.pool, pgx.TxOptions{IsoLevel: pgx.Serializable}, func(tx pgx.Tx) error {
		user := d.user()
		var n int
		if err := tx.QueryRow(d.Context(), "SELECT count(*) FROM sandbox_execution_logs WHERE user_id = $1", user).Scan(&n); err != nil {
			return err
		}
		if n > 50 {
			_, err := tx.Exec(d.Context(), "DELETE FROM sandbox_execution_logs WHERE user_id = $1 AND created_at < $2", user, d.time(90*day))
			return err
		}
		return o.insert(d, tx, user, d.strategy(), d.time(90*day), 5)
	})
}

// insert stores rows and returns their ids.
func (o *disorder) insert(d draw, tx pgx.Tx, user, strategy string, at time.Time, n int) error {
	_, err := o.insertIDs(d, tx, user, strategy, at, n)
	return err
}

func (o *disorder) insertIDs(d draw, tx pgx.Tx, user, strategy string, at time.Time, n int) ([]string, error) {
	rows, err := tx.Query(d.Context(), `INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time, created_at)
		SELECT $1, $2, 'VALIDATION', n % 3 > 0, n, $3::timestamptz + n * interval '1 minute' FROM generate_series(1, $4::integer) n
		RETURNING id::text`, user, strategy, at, n)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// idle writes, or reads, and thinks before it commits.
func (o *disorder) idle(d draw) error {
	return pgx.BeginFunc(d.Context(), o.pool, func(tx pgx.Tx) error {
		err := o.insert(d, tx, d.user(), d.strategy(), d.time(100*day), 3)
		if err == nil && d.IntN(2) == 0 {
			_, err = tx.Exec(d.Context(), "SELECT count(*) FROM sandbox_execution_logs")
		}
		if err == nil {
			think(d.Context(), time.Duration(d.IntN(1500))*time.Millisecond)
		}
		return err
	})
}

// think lets some time pass, as people do.
func think(ctx context.Context, long time.Duration) {
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// stepped does upkeep by a clock that is off by up to a year.
func (o *disorder) stepped(d draw) error {
	now := o.c.now
	if d.IntN(3) == 0 {
		now = now.AddDate(0, 0, d.IntN(730)-365)
	}
	mine, err := o.store.Claim(d.Context(), "campaign", now, time.Minute, time.Hour)
	if err != nil {
		return err
	}
	if mine {
		err = o.store.Reschedule(d.Context(), "campaign", now.Add(time.Hour))
	}
	for _, step := range o.store.Upkeep() {
		err = errors.Join(err, unlessApart(step.RunOnce(d.Context(), now)))
	}
	return err
}

// unlessApart is an error, unless it is what is said of a partition that is
// detached.
func unlessApart(err error) error {
	if err != nil && strings.Contains(err.Error(), "is no partition any more") {
		return nil
	}
	return err
}

// held adds to what a hold keeps, and tries to delete it.
func (o *disorder) held(d draw) error {
	err := o.add(d, heldOwner, d.time(100*day))
	if err != nil {
		return err
	}
	statement := "DELETE FROM users WHERE id = $1"
	if d.IntN(2) == 0 {
		statement = "DELETE FROM sandbox_execution_logs WHERE user_id = $1"
	}
	_, err = o.pool.Exec(d.Context(), statement, heldOwner)
	if err == nil {
		return errors.New("a hold was passed: " + statement)
	}
	if has(err, "SHELD") {
		return nil
	}
	return err
}

// add stores rows of an owner of whom nothing may get lost.
func (o *disorder) add(d draw, owner string, at time.Time) error {
	var ids []string
	err := pgx.BeginFunc(d.Context(), o.pool, func(tx pgx.Tx) (err error) {
		ids, err = o.insertIDs(d, tx, owner, owner, at, 4)
		return err
	})
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range ids {
		o.rows[id] = kept{owner, err == nil}
	}
	return err
}

// kept is a record of an owner of whom nothing may get lost.
type kept struct {
	owner  string
	stored bool // or perhaps: the session ended at the commit
}

// detach takes a partition out of the table by hand, and attaches it again as
// doctor says. Rows of its time come meanwhile.
func (o *disorder) detach(d draw) error {
	if err := o.add(d, apartOwner, o.apart); err != nil {
		return err
	}
	var name string
	err := o.pool.QueryRow(d.Context(), `SELECT c.oid::regclass::text FROM sandbox_execution_logs e JOIN pg_class c ON c.oid = e.tableoid
		WHERE user_id = $1 ORDER BY c.relname DESC LIMIT 1`, apartOwner).Scan(&name)
	if err != nil || strings.HasSuffix(name, "logs_default") {
		return err
	}
	if err := o.alter(d, "ALTER TABLE sandbox_execution_logs DETACH PARTITION "+name); err != nil {
		return err
	}
	if err := o.add(d, apartOwner, o.apart); err != nil && !expected(err) {
		return err
	}
	think(d.Context(), time.Duration(d.IntN(1000))*time.Millisecond)
	for {
		fix, err := o.reattachment(d)
		if err == nil && fix != "" {
			err = o.alter(d, fix)
		}
		if err == nil || !expected(err) && !has(err, "55P03") {
			return err
		}
	}
}

// alter changes the table unless others hold it for long.
func (o *disorder) alter(d draw, statements string) error {
	conn, err := o.pool.Acquire(d.Context())
	if err != nil {
		return err
	}
	defer conn.Release()
	_, err = conn.Exec(d.Context(), "SET lock_timeout = '2s'; "+statements)
	if err != nil {
		_, _ = conn.Exec(d.Context(), "ROLLBACK")
	}
	_, _ = conn.Exec(d.Context(), "RESET lock_timeout")
	if has(err, "55P03") && strings.Contains(statements, "DETACH") {
		return nil // another time
	}
	return err
}

// reattachment is what doctor says, "" when nothing is detached.
func (o *disorder) reattachment(d draw) (string, error) {
	checks, err := o.store.Doctor(d.Context(), database.Shallow, o.c.now)
	for _, c := range checks {
		if c.Name == "partitions detached" && !c.OK {
			return c.Fix, err
		}
	}
	return "", err
}

// check finds all of those of whom nothing may get lost.
func (o *disorder) check(t *testing.T) {
	t.Helper()
	stored := map[string]bool{}
	for _, owner := range []string{heldOwner, apartOwner} {
		for _, r := range o.c.rows(t, sandtrail.Filter{UserID: owner}) {
			stored[r.ID] = true
			if o.rows[r.ID].owner != owner {
				t.Errorf("%s of %s was stored by nobody", r.ID, owner)
			}
		}
	}
	for id, row := range o.rows {
		if row.stored && !stored[id] {
			t.Errorf("%s of %s is lost", id, row.owner)
		}
	}
	t.Logf("%d records are held, or were in a partition that was detached", len(stored))
}

func has(err error, code string) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == code
}

// changed remembers the records that a query finds: of those the ledger may say
// that they were changed.
func (c *campaign) changed(ctx context.Context, tx pgx.Tx, query string, args ...any) error {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		c.updated[id] = true
	}
	return err
}
