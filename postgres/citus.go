package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/ledger"
)

// distributed is the keeper of a database whose executions Citus distributes;
// see docs/decisions/citus.md.
//
// Commits reach the coordinator, where the ids are, before they reach the
// workers, where the executions are. Every transaction of the store that
// writes executions holds the writers lock, shared, until it is visible on
// all of them; who has to see one state takes it for an instant.
type distributed struct{ l *layout }

// onCitus is its transactor.
type onCitus struct {
	*Store
	distributed
}

// bet is not taken: what is derived is to be written too.
func (onCitus) bet(context.Context, []sandtrail.Admitted) ([]sandtrail.Execution, error) {
	return nil, errLostBet
}

func (d distributed) enter(ctx context.Context, tx pgx.Tx, alone bool, ids [][16]byte) error {
	if !alone {
		_, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock_shared("+lockKey+")", lockName(d.l.Schema, writers))
		return wrap("wait for the writers lock", err)
	}
	// Citus demands it of who changes users or strategies, or partitions,
	// beside executions.
	if _, err := tx.Exec(ctx, "SET LOCAL citus.multi_shard_modify_mode TO 'sequential'"); err != nil {
		return err
	}
	if err := lock(ctx, tx, d.l.Schema, writers); err != nil || len(ids) == 0 {
		return err
	}
	var c conditions
	c.add("id = ANY ($::uuid[])", ids)
	return d.repair(ctx, tx, c)
}

const writers = "writers"

// errInFlight is what an append gets that meets an id whose execution it does
// not find: it can be on its way, or gone by somebody else's hand.
var errInFlight = errors.New("an id is stored whose execution is not visible")

// isRace recognises, beside ids that somebody else has stored or is about to,
// an error without a code, which may stand for any broken constraint: an
// execution of somebody else's, not reconciled yet, has the same key.
func (distributed) isRace(err error, tries int) bool {
	return state(err) == uniqueViolation || errors.Is(err, errInFlight) || state(err) == internalError && tries == 1
}

func (d distributed) insert(ctx context.Context, tx pgx.Tx, fresh []sandtrail.Execution) error {
	entries := make([]entered, len(fresh))
	for i, e := range fresh {
		entries[i] = enteredOf(e)
	}
	if err := d.came(ctx, tx, entries, nil); err != nil {
		return err
	}
	return insert(ctx, tx, d.l, fresh)
}

func (d distributed) remove(ctx context.Context, tx pgx.Tx, reason, statement string, args ...any) (n int64, last *time.Time, err error) {
	if err := holdStill(ctx, tx, d.l); err != nil {
		return 0, nil, err
	}
	gone, err := scanAll(ctx, tx, scanRemoved, d.l.sql(statement+" RETURNING e.id, e.user_id::text, e.strategy_id::text, e.created_at"), args...)
	if err != nil || len(gone) == 0 {
		return 0, nil, err
	}
	for i := range gone {
		if last == nil || gone[i].CreatedAt.After(*last) {
			last = &gone[i].CreatedAt
		}
	}
	if err := d.obeyHolds(ctx, tx, gone); err != nil {
		return 0, nil, err
	}
	return int64(len(gone)), last, d.went(ctx, tx, gone, slices.Repeat([]string{reason}, len(gone)))
}

func scanRemoved(row pgx.CollectableRow) (e entered, err error) {
	err = row.Scan((*[16]byte)(&e.id), &e.UserID, &e.StrategyID, &e.CreatedAt)
	return e, err
}

// obeyHolds refuses the removal of executions that are held, as a trigger does
// elsewhere.
func (d distributed) obeyHolds(ctx context.Context, tx pgx.Tx, gone []entered) error {
	users, strategies := ownersOf(gone)
	var held bool
	err := tx.QueryRow(ctx, d.l.sql(`SELECT EXISTS (SELECT FROM {schema}.holds
			WHERE user_id::text = ANY ($1) OR strategy_id::text = ANY ($2))`),
		slices.Collect(maps.Keys(users)), slices.Collect(maps.Keys(strategies))).Scan(&held)
	if err == nil && held {
		err = database.Held(nil)
	}
	return err
}

// free removes the entries of dropped partitions. Others need a closer look.
func (d distributed) free(ctx context.Context, tx pgx.Tx, ids [][16]byte, _ []time.Time) error {
	n, err := d.freeUnswept(ctx, tx, "i.id = ANY ($1)", ids)
	if err == nil && n < int64(len(ids)) {
		err = errInFlight
	}
	return err
}

// timeOf asks the executions for what is not entered yet.
func (d distributed) timeOf(ctx context.Context, ask asker, id sandtrail.ID) (time.Time, error) {
	at, err := triggered(d).timeOf(ctx, ask, id)
	if errors.Is(err, pgx.ErrNoRows) {
		at, err = askOne[time.Time](ctx, ask, d.l.sql("SELECT created_at FROM {logs} WHERE id = $1 LIMIT 1"), [16]byte(id))
	}
	return at, err
}

func (d distributed) createPartition(ctx context.Context, tx pgx.Tx, w span) error {
	if err := d.enter(ctx, tx, true, nil); err != nil {
		return err
	}
	from, to := w.bounds()
	name := quote(d.l.Schema) + "." + partitionName(w.since)
	within := " WHERE created_at >= '" + from + "' AND created_at < '" + to + "'"
	err := execEach(ctx, tx,
		d.l.sql("LOCK TABLE ONLY {logs} IN SHARE ROW EXCLUSIVE MODE"),
		d.l.sql("LOCK TABLE {schema}.logs_default IN ACCESS EXCLUSIVE MODE"),
		d.l.sql("CREATE TEMP TABLE strays ON COMMIT DROP AS SELECT * FROM {schema}.logs_default"+within),
		d.l.sql("DELETE FROM {schema}.logs_default"+within),
		d.l.sql("CREATE TABLE "+name+" PARTITION OF {logs} FOR VALUES FROM ('"+from+"') TO ('"+to+"')"),
		"INSERT INTO "+name+" SELECT * FROM pg_temp.strays")
	return wrapf(err, "create partition %s", name)
}

// takeOut drops the partition at once: the entries hold all that is needed of
// its executions. Those of transactions that begin to write later are of
// executions that come after it.
func (d distributed) takeOut(ctx context.Context, tx pgx.Tx, w span) error {
	if _, err := tx.Exec(ctx, d.l.sql("INSERT INTO {schema}.dropped (since, until) VALUES ($1, $2)"), w.since, w.until); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "DROP TABLE "+quote(d.l.Schema)+"."+partitionName(w.since))
	return err
}

func (d onCitus) sweep(ctx context.Context) error {
	k := d.distributed
	dropped, err := scanAll(ctx, d.pool, pgx.RowTo[string], d.l.sql("SELECT xid::text FROM {schema}.dropped"))
	if err != nil {
		return err
	}
	for _, xid := range dropped {
		for n := int64(1); n > 0; {
			err := d.inTx(ctx, func(tx pgx.Tx) (err error) {
				n, err = k.freeUnswept(ctx, tx, fmt.Sprintf(`i.id = ANY (ARRAY (SELECT i.id FROM {schema}.ids i JOIN {schema}.dropped d
					ON `+isUnswept+` WHERE d.xid = $1::text::xid8 LIMIT %d))`, purgeBatch), xid)
				if err == nil && n == 0 {
					_, err = tx.Exec(ctx, k.l.sql("DELETE FROM {schema}.dropped WHERE xid = $1::text::xid8"), xid)
				}
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// isUnswept says that an entry i belongs to a dropped partition d.
const isUnswept = "i.created_at >= d.since AND i.created_at < d.until AND i.xid < d.xid"

// freeUnswept removes the entries i of dropped partitions that fulfil a
// condition, as retention, and returns how many there were.
func (d distributed) freeUnswept(ctx context.Context, tx pgx.Tx, condition string, args ...any) (int64, error) {
	tag, err := tx.Exec(ctx, d.l.sql(`WITH gone AS (DELETE FROM {schema}.ids i USING {schema}.dropped d
		WHERE `+isUnswept+" AND "+condition+" RETURNING i.id, i.created_at)"+retired), args...)
	return tag.RowsAffected(), err
}

// unswept lists, beside the entries of dropped partitions, what reconciling
// will find: whoever looks before it must not take that for tampering.
func (d distributed) unswept(ctx context.Context, tx pgx.Tx) ([]ledger.Change, error) {
	changes, err := scanAll(ctx, tx, scanUnsealed,
		d.l.sql("SELECT true, i.id, i.created_at, 'retention' FROM {schema}.ids i JOIN {schema}.dropped d ON "+isUnswept))
	if err != nil {
		return nil, err
	}
	_, err = d.walk(ctx, tx, span{}, -1, func(w span) error {
		found, err := d.differences(ctx, tx, within(w))
		changed := found.changed()
		for _, e := range found.went {
			if !changed[e.id] {
				changes = append(changes, ledger.Change{Removed: true, ID: e.id, CreatedAt: e.CreatedAt, Reason: "delete"})
			}
		}
		for _, e := range found.came {
			if !changed[e.id] {
				changes = append(changes, ledger.Change{ID: e.id, CreatedAt: e.CreatedAt})
			}
		}
		return err
	})
	return changes, err
}

// snapshot takes the writers lock while the coordinator and every worker take
// their snapshots: nothing of the store's is on its way between them then.
func (d distributed) snapshot(ctx context.Context, conn *pgx.Conn, mode pgx.TxAccessMode, f func(pgx.Tx) error) error {
	name := lockName(d.l.Schema, writers)
	if err := begin(ctx, conn, pgx.TxOptions{}, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "SELECT pg_advisory_lock("+lockKey+")", name)
		return err
	}); err != nil {
		return err
	}
	held := true
	unlock := func(q querier) error {
		if !held {
			return nil
		}
		held = false
		_, err := q.Exec(ctx, "SELECT pg_advisory_unlock("+lockKey+")", name)
		return err
	}
	err := begin(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: mode}, func(tx pgx.Tx) error {
		// Of several connections to a worker each would have a snapshot of its
		// own. The question, which matches nothing, makes every worker take one.
		if err := execEach(ctx, tx,
			"SET LOCAL citus.max_adaptive_executor_pool_size TO 1",
			d.l.sql("LOCK TABLE ONLY {logs} IN ACCESS SHARE MODE"),
			d.l.sql("SELECT count(*) FROM {logs} WHERE created_at = '-infinity'")); err != nil {
			return err
		}
		if err := unlock(tx); err != nil {
			return err
		}
		return f(tx)
	})
	return errors.Join(err, unlock(conn))
}

// settle waits for those who hold the writers lock.
func (d onCitus) settle(ctx context.Context) (bool, error) {
	_, err := d.pool.Exec(ctx, "SELECT pg_advisory_xact_lock("+lockKey+")", lockName(d.l.Schema, writers))
	return true, err
}
