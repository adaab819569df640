package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/remedy"
)

// keeper keeps what is derived from the executions in step with them. On one
// server triggers do, whoever writes. Where the executions are distributed the
// store does it in its own transactions, and reconciles with what others wrote.
//
// A keeper works in the transaction that it is given: it knows no pool, so that
// it cannot wait for a connection while its caller holds one.
type keeper interface {
	// enter begins a transaction that writes executions. One that is alone
	// waits for those under way, keeps others out, and finds what is derived
	// from the executions with the given ids in step.
	enter(ctx context.Context, tx pgx.Tx, alone bool, ids [][16]byte) error
	// isRace reports whether an append that failed is to be tried again.
	isRace(err error, tries int) bool
	// insert writes new executions.
	insert(ctx context.Context, tx pgx.Tx, fresh []sandtrail.Execution) error
	// remove runs a statement that deletes executions e, for a reason, and
	// returns their number and the time of the newest. Holds are obeyed.
	remove(ctx context.Context, tx pgx.Tx, reason, statement string, args ...any) (n int64, last *time.Time, err error)
	// free removes entries of ids whose executions are not found.
	free(ctx context.Context, tx pgx.Tx, ids [][16]byte, times []time.Time) error
	// timeOf is when the execution with an id was created, or pgx.ErrNoRows.
	timeOf(ctx context.Context, ask asker, id sandtrail.ID) (time.Time, error)

	// createPartition makes a partition and moves into it what the default
	// partition holds of its time.
	createPartition(ctx context.Context, tx pgx.Tx, w span) error
	// takeOut takes a partition out of the table. Its ids are removed later:
	// sweep does it, unswept lists those that are left.
	takeOut(ctx context.Context, tx pgx.Tx, w span) error
	unswept(ctx context.Context, tx pgx.Tx) ([]ledger.Change, error)

	// snapshot runs f in a transaction that sees one state of everything.
	snapshot(ctx context.Context, conn *pgx.Conn, mode pgx.TxAccessMode, f func(pgx.Tx) error) error
}

func (l *layout) keeper() keeper {
	if l.Distributed != nil {
		return distributed{l}
	}
	return triggered{l}
}

// transactor does the part of a keeper's work that takes transactions of its
// own. It is not called in one.
type transactor interface {
	// bet stores a batch if nothing of it is stored, else errLostBet.
	bet(ctx context.Context, batch []sandtrail.Admitted) ([]sandtrail.Execution, error)
	// sweep removes the ids of partitions that were taken out.
	sweep(ctx context.Context) error
	// settle waits until the executions of all ids seen so far can be seen; it
	// reports whether there was something to wait for.
	settle(ctx context.Context) (bool, error)
	// reconcile goes a step further in finding what others wrote; catchUp finds
	// all of a span.
	reconcile(ctx context.Context) error
	catchUp(ctx context.Context, w span) error
	// checkIDs compares the table of ids with the executions.
	checkIDs(ctx context.Context) (database.Check, error)
}

func (s *Store) transactor(l *layout) transactor {
	if l.Distributed != nil {
		return onCitus{s, distributed{l}}
	}
	return onTriggers{s, triggered{l}}
}

// triggered is the keeper of a database whose triggers do the work.
type triggered struct{ l *layout }

// onTriggers is its transactor.
type onTriggers struct {
	*Store
	triggered
}

func (triggered) enter(context.Context, pgx.Tx, bool, [][16]byte) error { return nil }

// isRace recognises that somebody else has stored one of the ids since we
// looked.
func (triggered) isRace(err error, _ int) bool { return state(err) == uniqueViolation }

func (t triggered) insert(ctx context.Context, tx pgx.Tx, fresh []sandtrail.Execution) error {
	return insert(ctx, tx, t.l, fresh)
}

func (t triggered) remove(ctx context.Context, tx pgx.Tx, reason, statement string, args ...any) (n int64, last *time.Time, err error) {
	if err := because(ctx, tx, reason); err != nil {
		return 0, nil, err
	}
	err = tx.QueryRow(ctx, t.l.sql("WITH gone AS ("+statement+" RETURNING e.created_at) SELECT count(*), max(created_at) FROM gone"), args...).Scan(&n, &last)
	return n, last, err
}

// free removes the entries of executions that lie in partitions taken out. One
// that is nowhere was removed past the triggers: under its id nothing else is
// stored, which verify would take for it.
func (t triggered) free(ctx context.Context, tx pgx.Tx, ids [][16]byte, times []time.Time) error {
	dropped, err := droppedIn(ctx, tx, t.l)
	if err != nil {
		return err
	}
	for name := range dropped {
		left, err := isLeft(name)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, t.l.sql("WITH gone AS (DELETE FROM {schema}.ids i USING {schema}."+quote(name)+
			" d WHERE d.id = ANY ($1) AND "+left+" RETURNING i.id, i.created_at)"+retired), ids); err != nil {
			return err
		}
	}
	lost, err := scanAll(ctx, tx, pgx.RowTo[[16]byte], t.l.sql(`SELECT i.id FROM {schema}.ids i
		JOIN unnest($1::uuid[], $2::timestamptz[]) f (id, created_at) ON i.id = f.id AND i.created_at = f.created_at
		WHERE NOT EXISTS (SELECT FROM {logs} e WHERE e.id = f.id AND e.created_at = f.created_at)`), ids, times)
	if err == nil && len(lost) > 0 {
		err = sandtrail.Errorf(sandtrail.CodeConflict,
			"execution %s was stored before and is gone without having been removed, so that nothing is stored under its id; verify the ledger", sandtrail.ID(lost[0])).
			With(sandtrail.Remedy{Act: remedy.Verify})
	}
	return err
}

func (t triggered) timeOf(ctx context.Context, ask asker, id sandtrail.ID) (time.Time, error) {
	return askOne[time.Time](ctx, ask, t.l.sql("SELECT created_at FROM {schema}.ids WHERE id = $1"), [16]byte(id))
}

func (t triggered) createPartition(ctx context.Context, tx pgx.Tx, w span) error {
	return createPartition(ctx, tx, t.l, w)
}

func (t triggered) takeOut(ctx context.Context, tx pgx.Tx, w span) error {
	return detach(ctx, tx, t.l, partitionName(w.since))
}

func (t onTriggers) sweep(ctx context.Context) error { return t.sweepDropped(ctx, t.l) }

func (t triggered) unswept(ctx context.Context, tx pgx.Tx) ([]ledger.Change, error) {
	dropped, err := droppedIn(ctx, tx, t.l)
	if err != nil {
		return nil, err
	}
	var changes []ledger.Change
	for name := range dropped {
		left, err := isLeft(name)
		if err != nil {
			return nil, err
		}
		more, err := scanAll(ctx, tx, scanUnsealed, t.l.sql("SELECT true, i.id, i.created_at, 'retention' FROM {schema}."+quote(name)+
			" d JOIN {schema}.ids i ON "+left))
		if err != nil {
			return nil, err
		}
		changes = append(changes, more...)
	}
	return changes, nil
}

func (t triggered) snapshot(ctx context.Context, conn *pgx.Conn, mode pgx.TxAccessMode, f func(pgx.Tx) error) error {
	return begin(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: mode}, func(tx pgx.Tx) error {
		// A partition that is taken out vanishes from older snapshots too: it
		// has to wait.
		if _, err := tx.Exec(ctx, t.l.sql("LOCK TABLE ONLY {logs} IN ACCESS SHARE MODE")); err != nil {
			return err
		}
		return f(tx)
	})
}

func (onTriggers) settle(context.Context) (bool, error) { return false, nil }

func (onTriggers) reconcile(context.Context) error { return nil }

func (onTriggers) catchUp(context.Context, span) error { return nil }

func (t onTriggers) checkIDs(ctx context.Context) (database.Check, error) {
	return t.Store.checkIDs(ctx, t.l)
}

// asker is ask, of a store.
type asker func(ctx context.Context, query string, args ...any) (pgx.Rows, error)

// askOne asks for a single value, pgx.ErrNoRows when there is none.
func askOne[T any](ctx context.Context, ask asker, query string, args ...any) (value T, err error) {
	rows, err := ask(ctx, query, args...)
	if err != nil {
		return value, err
	}
	return pgx.CollectOneRow(rows, pgx.RowTo[T])
}

// scanAll reads all rows of a query.
func scanAll[T any](ctx context.Context, q querier, scan pgx.RowToFunc[T], query string, args ...any) ([]T, error) {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scan)
}
