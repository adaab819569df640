package postgres

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/ledger"
)

// sealBatch is of how many executions one transaction seals the changes.
const sealBatch = 4096

// seal takes what the fold has queued into the ledger, in transactions of
// sealBatch executions. It returns at once when somebody else is at it.
func (s *Store) seal(ctx context.Context, l *layout, now time.Time) error {
	sealed := 0
	for {
		n, err := s.sealOnce(ctx, l, now)
		if err != nil {
			return wrap("seal", err)
		}
		if n == 0 {
			break
		}
		sealed += n
	}
	if sealed < vacuumAfter {
		return nil
	}
	_, err := s.pool.Exec(ctx, l.sql("VACUUM {schema}.ledger_queue"))
	return wrap("vacuum the ledger's queue", err)
}

func (s *Store) sealOnce(ctx context.Context, l *layout, now time.Time) (n int, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		n = 0
		ok, err := tryLock(ctx, tx, l.Schema, "seal")
		if err != nil || !ok {
			return err
		}
		// All changes of an execution together: which of its leaves one is
		// about depends on the others.
		rows, err := tx.Query(ctx, l.sql(fmt.Sprintf(`DELETE FROM {schema}.ledger_queue WHERE id = ANY (ARRAY (
			SELECT id FROM {schema}.ledger_queue ORDER BY seq LIMIT %d)) RETURNING `+queueColumns, sealBatch)))
		if err != nil {
			return err
		}
		changes, err := pgx.CollectRows(rows, scanQueued)
		if err != nil || len(changes) == 0 {
			return err
		}
		n = len(changes)
		_, err = ledger.SealChanges(ctx, &book{tx, l, s.keeper(l)}, changes, now, rand.Reader)
		return err
	})
	return n, err
}

const queueColumns = "removed, id, created_at, reason"

// queued turns journal entries of a table into what the ledger's queue takes.
// An update is no business of the ledger's.
const queued = `SELECT sign < 0, id, created_at, CASE WHEN sign < 0 THEN coalesce(reason, 'delete') ELSE '' END
	FROM %s WHERE reason IS DISTINCT FROM 'update'`

func scanQueued(row pgx.CollectableRow) (c ledger.Change, err error) {
	err = row.Scan(&c.Removed, (*[16]byte)(&c.ID), &c.CreatedAt, &c.Reason)
	c.CreatedAt = c.CreatedAt.UTC()
	return c, err
}

// retired completes a statement that removes ids, called gone, whose
// executions went with their partition.
const retired = ` INSERT INTO {schema}.ledger_queue (` + queueColumns + `) SELECT true, id, created_at, 'retention' FROM gone`

// because says why the executions go that the transaction deletes.
func because(ctx context.Context, tx pgx.Tx, reason string) error {
	_, err := tx.Exec(ctx, "SELECT set_config('sandtrail.reason', $1, true)", reason)
	return err
}

// Pending is part of ledger.Source.
func (b *book) Pending(ctx context.Context) (map[sandtrail.ID]ledger.Pending, error) {
	query := b.l.sql("SELECT " + queueColumns + " FROM {schema}.ledger_queue UNION ALL " + fmt.Sprintf(queued, "{schema}.journal"))
	changes, err := scanAll(ctx, b.tx, scanQueued, query)
	if err != nil {
		return nil, err
	}
	unswept, err := b.k.unswept(ctx, b.tx)
	changes = append(changes, unswept...)
	return ledger.PendingOf(changes), err
}
