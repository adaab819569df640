package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/follow"
)

var _ follow.Follower = (*Store)(nil)

// Tip is the present snapshot.
func (s *Store) Tip(ctx context.Context) (follow.Place, error) {
	ctx, l, err := s.openUnlimited(ctx)
	if err != nil {
		return "", err
	}
	now, err := presentIn(ctx, s.pool, l)
	if err != nil {
		return "", wrap("follow executions", err)
	}
	return follow.Place(place{origin: now.origin, seen: now.snapshot}.String()), nil
}

// Follow returns what became visible after the place.
func (s *Store) Follow(ctx context.Context, after follow.Place, limit int) ([]follow.Followed, error) {
	ctx, l, err := s.openUnlimited(ctx)
	if err != nil {
		return nil, err
	}
	p, err := parsePlace(after)
	if err != nil {
		return nil, err
	}
	for {
		found, last, err := s.followFrom(ctx, l, p, limit)
		if isNoKey(err) {
			err = errBadPlace
		}
		if err != nil {
			return nil, wrap("follow executions", err)
		}
		if len(found) > 0 || p.next == "" && last.next == "" {
			return found, nil
		}
		p = last // all of that stretch was met before or has been deleted since
	}
}

// followFrom returns the executions behind a place and the place behind them. It
// asks in one transaction: the next one may meet another server.
func (s *Store) followFrom(ctx context.Context, l *layout, p place, limit int) ([]follow.Followed, place, error) {
	var entries []entry
	var records map[sandtrail.ID]sandtrail.Execution
	err := s.pool.inTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
		if p, err = aim(ctx, tx, l, p); err != nil {
			return err
		}
		if entries, err = entriesBehind(ctx, tx, l, p, limit); err != nil {
			return err
		}
		records, err = recordsOf(ctx, tx, l, entries)
		return err
	})
	if err == nil && len(records) < len(entries) {
		records, err = s.settled(ctx, l, entries, records)
	}
	if err != nil {
		return nil, p, err
	}
	end := place{origin: p.origin, seen: p.next}
	if len(entries) == limit {
		end = p.at(entries[limit-1])
	}
	var found []follow.Followed
	for _, e := range entries {
		if record, ok := records[e.ID]; ok {
			found = append(found, follow.Followed{Execution: record, Place: follow.Place(p.at(e).String())})
		}
	}
	if len(found) > 0 {
		found[len(found)-1].Place = follow.Place(end.String())
	}
	return found, end, nil
}

// aim gives a place of this database that has none the present snapshot to go to.
func aim(ctx context.Context, tx pgx.Tx, l *layout, p place) (place, error) {
	now, err := presentIn(ctx, tx, l)
	if err != nil {
		return p, err
	}
	if err := p.check(ctx, tx, now); err != nil || p.next != "" {
		return p, err
	}
	p.origin, p.next, p.xid = now.origin, now.snapshot, "0"
	return p, nil
}

// entry is a row of the ids.
type entry struct {
	ID        sandtrail.ID
	CreatedAt time.Time
	XID       string
}

// entriesBehind reads the ids that next sees and seen does not. Those written by
// transactions that were running when seen was taken are few and found one by
// one; the others lie behind its end.
func entriesBehind(ctx context.Context, tx pgx.Tx, l *layout, p place, limit int) ([]entry, error) {
	part := `(SELECT id, created_at, xid FROM {schema}.ids
		WHERE %s AND xid >= $3::text::xid8 AND (xid, id) > ($3::text::xid8, $4)
			AND pg_visible_in_snapshot(xid, $2::text::pg_snapshot)
		ORDER BY xid, id LIMIT $5)`
	return scanAll(ctx, tx, func(row pgx.CollectableRow) (e entry, err error) {
		err = row.Scan((*[16]byte)(&e.ID), &e.CreatedAt, &e.XID)
		return e, err
	}, l.sql(`SELECT id, created_at, xid::text FROM (`+
		fmt.Sprintf(part, "xid >= pg_snapshot_xmax($1::text::pg_snapshot)")+` UNION ALL `+
		fmt.Sprintf(part, "xid = ANY (ARRAY(SELECT pg_snapshot_xip($1::text::pg_snapshot)))")+
		`) AS fresh ORDER BY fresh.xid, id LIMIT $5`), p.seen, p.next, p.xid, [16]byte(p.id), limit)
}

// settled reads the executions again when all that is on its way has come.
func (s *Store) settled(ctx context.Context, l *layout, entries []entry, records map[sandtrail.ID]sandtrail.Execution) (map[sandtrail.ID]sandtrail.Execution, error) {
	waited, err := s.transactor(l).settle(ctx)
	if err != nil || !waited {
		return records, err
	}
	return recordsOf(ctx, s.pool, l, entries)
}

// recordsOf reads the executions of the entries that still exist.
func recordsOf(ctx context.Context, q querier, l *layout, entries []entry) (map[sandtrail.ID]sandtrail.Execution, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	ids := make([][16]byte, len(entries))
	oldest, newest := entries[0].CreatedAt, entries[0].CreatedAt
	for i, e := range entries {
		ids[i] = e.ID
		if e.CreatedAt.Before(oldest) {
			oldest = e.CreatedAt
		}
		if e.CreatedAt.After(newest) {
			newest = e.CreatedAt
		}
	}
	list, err := scanAll(ctx, q, scanOwned, l.owned("SELECT * FROM {logs} WHERE created_at BETWEEN $1 AND $2 AND id = ANY ($3)"), oldest, newest, ids)
	records := make(map[sandtrail.ID]sandtrail.Execution, len(list))
	for _, e := range list {
		records[e.ID] = e
	}
	return records, err
}
