package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/rollup"
)

// entered is what the table of ids of a distributed database holds of an
// execution: all of it that is counted.
type entered struct {
	id sandtrail.ID
	rollup.Change
}

// enteredColumns are the columns of entered, of entries and executions alike.
const enteredColumns = `id, user_id::text COLLATE "C", strategy_id::text COLLATE "C", created_at, success, timed_out,
	execution_time, memory_used, cpu_usage, error_count, warning_count`

var entryNames = []string{
	"id", "user_id", "strategy_id", "created_at", "success", "timed_out", "execution_time", "memory_used", "cpu_usage",
	"error_count", "warning_count",
}

func enteredOf(e sandtrail.Execution) entered {
	return entered{e.ID, rollup.Change{
		UserID: e.UserID, StrategyID: e.StrategyID, CreatedAt: e.CreatedAt, Success: e.Success, TimedOut: e.TimedOut,
		ExecutionTime: e.ExecutionTime, MemoryUsed: e.MemoryUsed, CPUUsage: e.CPUUsage, ErrorCount: e.ErrorCount, WarningCount: e.WarningCount,
	}}
}

func scanEntered(row pgx.CollectableRow) (e entered, err error) {
	err = row.Scan((*[16]byte)(&e.id), &e.UserID, &e.StrategyID, &e.CreatedAt, &e.Success, &e.TimedOut, &e.ExecutionTime,
		&e.MemoryUsed, &e.CPUUsage, &e.ErrorCount, &e.WarningCount)
	e.CreatedAt = e.CreatedAt.UTC()
	return e, err
}

func (e entered) values() []any {
	return []any{
		[16]byte(e.id), e.UserID, e.StrategyID, e.CreatedAt, e.Success, e.TimedOut, int32(e.ExecutionTime),
		int32Ptr(e.MemoryUsed), e.CPUUsage, int32(e.ErrorCount), int32(e.WarningCount),
	}
}

// came enters executions into the ids and the changes; those of the ids in
// updated are there in another form already.
func (d distributed) came(ctx context.Context, tx pgx.Tx, list []entered, updated [][16]byte) error {
	if len(list) == 0 {
		return nil
	}
	slices.SortFunc(list, func(a, b entered) int { return bytes.Compare(a.id[:], b.id[:]) }) // see insert
	if err := copyInto(ctx, tx, pgx.Identifier{d.l.Schema, "ids"}, entryNames, len(list),
		func(i int) []any { return list[i].values() }); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, d.l.sql(`INSERT INTO `+pendingChanges+`
		SELECT 1, CASE WHEN id = ANY ($2) THEN 'update' END, `+enteredColumns+` FROM {schema}.ids WHERE id = ANY ($1)`), enteredIDs(list), updated)
	return err
}

// went removes the entries of executions that are gone, each for its reason.
// Of an execution that another one has the id of there is none.
func (d distributed) went(ctx context.Context, tx pgx.Tx, gone []entered, reasons []string) error {
	if len(gone) == 0 {
		return nil
	}
	times := make([]time.Time, len(gone))
	for i, e := range gone {
		times[i] = e.CreatedAt
	}
	_, err := tx.Exec(ctx, d.l.sql(`WITH gone AS (
			DELETE FROM {schema}.ids i USING unnest($1::uuid[], $2::timestamptz[], $3::text[]) AS g (id, created_at, reason)
			WHERE i.id = g.id AND i.created_at = g.created_at RETURNING g.reason, i.*)
		INSERT INTO `+pendingChanges+` SELECT -1, reason, `+enteredColumns+` FROM gone`), enteredIDs(gone), times, reasons)
	return err
}

func enteredIDs(list []entered) [][16]byte {
	ids := make([][16]byte, len(list))
	for i, e := range list {
		ids[i] = e.id
	}
	return ids
}

func ownersOf(list []entered) (users, strategies map[string]bool) {
	users, strategies = map[string]bool{}, map[string]bool{}
	for _, e := range list {
		users[e.UserID], strategies[e.StrategyID] = true, true
	}
	return users, strategies
}

// within selects a span.
func within(w span) (c conditions) {
	c.span(w)
	return c
}

// differences are what executions that fulfil a condition and their entries
// have not in common. What was changed is in both.
type differences struct{ came, went []entered }

func (f differences) changed() map[sandtrail.ID]bool {
	came, both := map[sandtrail.ID]bool{}, map[sandtrail.ID]bool{}
	for _, e := range f.came {
		came[e.id] = true
	}
	for _, e := range f.went {
		if came[e.id] {
			both[e.id] = true
		}
	}
	return both
}

// isKept leaves out the entries i of dropped partitions.
const isKept = "NOT EXISTS (SELECT FROM {schema}.dropped d WHERE " + isUnswept + ")"

func (d distributed) differences(ctx context.Context, tx pgx.Tx, c conditions) (found differences, err error) {
	executions := "SELECT " + enteredColumns + " FROM {logs} e " + c.where()
	c.add(isKept)
	entries := "SELECT " + enteredColumns + " FROM {schema}.ids i " + c.where()
	if found.came, err = scanAll(ctx, tx, scanEntered, d.l.sql(executions+" EXCEPT "+entries), c.args...); err != nil {
		return found, err
	}
	found.went, err = scanAll(ctx, tx, scanEntered, d.l.sql(entries+" EXCEPT "+executions), c.args...)
	return found, err
}

// repair brings entries, changes and executions that fulfil a condition in
// step. An execution whose id another one has is left out.
func (d distributed) repair(ctx context.Context, tx pgx.Tx, c conditions) error {
	found, err := d.differences(ctx, tx, c)
	if err != nil || len(found.came)+len(found.went) == 0 {
		return err
	}
	reasons, err := d.reasons(ctx, tx, found)
	if err != nil {
		return err
	}
	keep, err := d.keepPlaces(ctx, tx, found)
	if err != nil {
		return err
	}
	if err := d.went(ctx, tx, found.went, reasons); err != nil {
		return err
	}
	fresh, err := d.fresh(ctx, tx, found.came)
	if err != nil {
		return err
	}
	if err := d.came(ctx, tx, fresh, enteredIDs(found.went)); err != nil {
		return err
	}
	return keep()
}

// keepPlaces returns what gives changed executions, once they are entered anew,
// the transaction that wrote them first: followers have met them.
func (d distributed) keepPlaces(ctx context.Context, tx pgx.Tx, found differences) (keep func() error, err error) {
	var ids [][16]byte
	for id := range found.changed() {
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return func() error { return nil }, nil
	}
	var xids []string
	err = tx.QueryRow(ctx, d.l.sql("SELECT array_agg(id), array_agg(xid::text) FROM {schema}.ids WHERE id = ANY ($1)"), ids).Scan(&ids, &xids)
	return func() error {
		_, err := tx.Exec(ctx, d.l.sql(`UPDATE {schema}.ids i SET xid = k.xid::xid8 FROM unnest($1::uuid[], $2::text[]) AS k (id, xid) WHERE i.id = k.id`), ids, xids)
		return err
	}, err
}

// reasons are why executions went, as far as can be told afterwards.
func (d distributed) reasons(ctx context.Context, tx pgx.Tx, found differences) ([]string, error) {
	changed := found.changed()
	users, strategies := ownersOf(found.went)
	if err := absent(ctx, tx, users, d.l.sql("SELECT {users.id}::text FROM {users} WHERE {users.id}::text = ANY ($1)")); err != nil {
		return nil, err
	}
	if err := absent(ctx, tx, strategies, d.l.sql("SELECT {strategies.id}::text FROM {strategies} WHERE {strategies.id}::text = ANY ($1)")); err != nil {
		return nil, err
	}
	reasons := make([]string, len(found.went))
	for i, e := range found.went {
		switch {
		case changed[e.id]:
			reasons[i] = "update"
		case users[e.UserID]:
			reasons[i] = "user"
		case strategies[e.StrategyID]:
			reasons[i] = "strategy"
		default:
			reasons[i] = "delete"
		}
	}
	return reasons, nil
}

// fresh are those of the executions whose ids no entry has.
func (d distributed) fresh(ctx context.Context, tx pgx.Tx, list []entered) ([]entered, error) {
	ids := enteredIDs(list)
	if _, err := d.freeUnswept(ctx, tx, "i.id = ANY ($1)", ids); err != nil {
		return nil, err
	}
	taken, err := scanAll(ctx, tx, pgx.RowTo[[16]byte], d.l.sql("SELECT id FROM {schema}.ids WHERE id = ANY ($1)"), ids)
	if err != nil {
		return nil, err
	}
	seen := map[sandtrail.ID]bool{}
	for _, id := range taken {
		seen[id] = true
	}
	return slices.DeleteFunc(list, func(e entered) bool {
		again := seen[e.id]
		seen[e.id] = true
		return again
	}), nil
}

// stretch is about how many entries are compared at once, and repaired in one
// transaction.
const stretch = 20000

// walk goes through a span in stretches, up to a number of them, all if it is
// negative, and calls f for each in which executions and entries differ. It
// returns where to go on, a zero time at the end.
func (d distributed) walk(ctx context.Context, tx pgx.Tx, all span, stretches int, f func(span) error) (time.Time, error) {
	for w := all; ; w.since = w.until {
		if stretches == 0 {
			return w.since, nil
		}
		stretches--
		w.until = all.until
		if err := d.shorten(ctx, tx, &w, "{schema}.ids i WHERE "+isKept); err != nil {
			return w.since, err
		}
		entries, err := d.digest(ctx, tx, "{schema}.ids i", within(w), isKept)
		if err != nil {
			return w.since, err
		}
		executions, err := d.digest(ctx, tx, "{logs} e", within(w), "true")
		if err != nil {
			return w.since, err
		}
		if entries != executions {
			if executions.count > 2*stretch { // somebody else has loaded many
				if err := d.shorten(ctx, tx, &w, "{logs} e WHERE true"); err != nil {
					return w.since, err
				}
			}
			if err := f(w); err != nil {
				return w.since, err
			}
		}
		if w.until.Equal(all.until) {
			return time.Time{}, nil
		}
	}
}

// shorten ends a span at the row that is a stretch behind its beginning, where
// a table has that many.
func (d distributed) shorten(ctx context.Context, tx pgx.Tx, w *span, table string) error {
	var c conditions
	if !w.since.IsZero() {
		c.add("created_at > $", w.since)
	}
	if !w.until.IsZero() {
		c.add("created_at < $", w.until)
	}
	var at time.Time
	err := tx.QueryRow(ctx, d.l.sql(fmt.Sprintf("SELECT created_at FROM %s ORDER BY created_at OFFSET %d LIMIT 1",
		strings.Join(append([]string{table}, c.parts...), " AND "), stretch)), c.args...).Scan(&at)
	if err == nil {
		w.until = at.UTC()
	}
	return noRows(err)
}

// digest is the same for the same set of entries or executions.
type digest struct {
	count int64
	sum   string
}

func (d distributed) digest(ctx context.Context, tx pgx.Tx, table string, c conditions, condition string) (found digest, err error) {
	c.add(condition)
	// Times as numbers: the workers' sessions may be in another zone.
	err = tx.QueryRow(ctx, d.l.sql(`SELECT count(*), coalesce(sum(hashtextextended(ROW (id, user_id::text, strategy_id::text,
			extract(epoch FROM created_at), success, timed_out, execution_time, memory_used, cpu_usage, error_count, warning_count)::text, 0)), 0)::text
		FROM `+table+" "+c.where()), c.args...).Scan(&found.count, &found.sum)
	return found, err
}

// reconcile compares one stretch more and repairs it. Where it is is kept, so
// that it comes through all of history however often servers restart. The fold
// lock keeps out who drops a partition: he counts what it holds under it.
func (d onCitus) reconcile(ctx context.Context) error {
	k := d.distributed
	return d.repairing(ctx, func(tx pgx.Tx) error {
		ok, err := tryLock(ctx, tx, k.l.Schema, "fold")
		if err != nil || !ok {
			return err
		}
		return k.reconcileIn(ctx, tx)
	})
}

func (d onCitus) catchUp(ctx context.Context, w span) error {
	k := d.distributed
	return d.repairing(ctx, func(tx pgx.Tx) error {
		if err := lock(ctx, tx, k.l.Schema, "fold"); err != nil {
			return err
		}
		_, err := k.walk(ctx, tx, w, -1, func(w span) error { return k.repair(ctx, tx, within(w)) })
		return err
	})
}

// repairing runs f on a snapshot, and again when somebody has changed since
// what f changes, or entered what f enters.
func (d onCitus) repairing(ctx context.Context, f func(pgx.Tx) error) error {
	var err error
	for range 10 {
		if err = d.inSnapshot(ctx, d.l, asSession, f); !isTransient(err) && state(err) != uniqueViolation {
			break
		}
	}
	return wrap("reconcile", err)
}

func (d distributed) reconcileIn(ctx context.Context, tx pgx.Tx) error {
	var from time.Time
	err := tx.QueryRow(ctx, d.l.sql("SELECT value FROM {schema}.settings WHERE name = 'reconciled'")).Scan(&from)
	if noRows(err) != nil {
		return err
	}
	next, err := d.walk(ctx, tx, span{since: from}, 1, func(w span) error { return d.repair(ctx, tx, within(w)) })
	if err != nil || next.Equal(from) {
		return err
	}
	value, err := json.Marshal(next)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, d.l.sql(`INSERT INTO {schema}.settings (name, value) VALUES ('reconciled', $1)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value`), value)
	return err
}

// checkIDs compares all entries with the executions.
func (d onCitus) checkIDs(ctx context.Context) (database.Check, error) {
	k := d.distributed
	var came, went int
	err := d.inSnapshot(ctx, d.l, pgx.ReadOnly, func(tx pgx.Tx) error {
		_, err := k.walk(ctx, tx, span{}, -1, func(w span) error {
			found, err := k.differences(ctx, tx, within(w))
			came, went = came+len(found.came), went+len(found.went)
			return err
		})
		return err
	})
	check := database.Check{
		Name: "ids", OK: came+went == 0,
		Detail: fmt.Sprintf("%d executions without their entry, %d entries without their execution", came, went),
	}
	if !check.OK {
		check.Fix = "keep sandtrail serve running: it reconciles what others wrote; give an execution that still has no entry then another id"
	}
	return check, err
}
