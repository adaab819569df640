package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
)

var _ sandtrail.Follower = (*Store)(nil)

// place is a point in the order in which executions became visible. Commits
// do not come in any order of numbers, so it is a snapshot: everything that
// it sees lies before the place. Between two snapshots, seen and next, those
// that only next sees are ordered by (transaction, id), and the place is
// behind such a pair.
type place struct {
	seen string // pg_snapshot
	next string // "": the place is seen itself
	xid  string
	id   sandtrail.ID
}

func parsePlace(p sandtrail.Place) (place, error) {
	parts := strings.Split(string(p), "/")
	if len(parts) == 1 {
		return place{seen: parts[0]}, nil
	}
	if len(parts) != 4 {
		return place{}, errBadPlace
	}
	id, err := sandtrail.ReadID(parts[3])
	if err != nil {
		return place{}, errBadPlace
	}
	return place{seen: parts[0], next: parts[1], xid: parts[2], id: id}, nil
}

func (p place) String() string {
	if p.next == "" {
		return p.seen
	}
	return p.seen + "/" + p.next + "/" + p.xid + "/" + p.id.String()
}

var errBadPlace = sandtrail.Errorf(sandtrail.CodeInvalid, "the place is not one of this database; begin anew without one")

// Tip is the present snapshot.
func (s *Store) Tip(ctx context.Context) (sandtrail.Place, error) {
	ctx = sandtrail.WithOwnLimits(ctx)
	var now string
	var standby bool
	err := s.pool.QueryRow(ctx, "SELECT pg_current_snapshot()::text, pg_is_in_recovery()").Scan(&now, &standby)
	if err == nil && standby {
		err = errStandby
	}
	return sandtrail.Place(now), wrap("follow executions", err)
}

// errStandby is what followers of a standby get: its snapshots do not name the
// transactions that are under way, whose executions they would miss.
var errStandby = sandtrail.Errorf(sandtrail.CodeUnavailable, "a standby server cannot be followed: give the URL of the primary")

// Follow returns what became visible after the place.
func (s *Store) Follow(ctx context.Context, after sandtrail.Place, limit int) ([]sandtrail.Followed, error) {
	ctx = sandtrail.WithOwnLimits(ctx)
	l, err := s.open(ctx)
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

// followFrom returns the executions behind a place and the place behind them.
func (s *Store) followFrom(ctx context.Context, l *layout, p place, limit int) ([]sandtrail.Followed, place, error) {
	p, err := s.aim(ctx, p)
	if err != nil {
		return nil, p, err
	}
	entries, err := s.entries(ctx, l, p, limit)
	if err != nil {
		return nil, p, err
	}
	records, err := s.settled(ctx, l, entries)
	if err != nil {
		return nil, p, err
	}
	end := place{seen: p.next}
	if len(entries) == limit {
		end = place{seen: p.seen, next: p.next, xid: entries[limit-1].XID, id: entries[limit-1].ID}
	}
	var found []sandtrail.Followed
	for _, e := range entries {
		if record, ok := records[e.ID]; ok {
			at := place{seen: p.seen, next: p.next, xid: e.XID, id: e.ID}
			found = append(found, sandtrail.Followed{Execution: record, Place: sandtrail.Place(at.String())})
		}
	}
	if len(found) > 0 {
		found[len(found)-1].Place = sandtrail.Place(end.String())
	}
	return found, end, nil
}

// aim gives a place that has none the present snapshot to go to.
func (s *Store) aim(ctx context.Context, p place) (place, error) {
	if p.next != "" {
		return p, nil
	}
	p.xid = "0"
	var isOurs, standby bool
	err := s.pool.QueryRow(ctx, `SELECT pg_current_snapshot()::text, pg_is_in_recovery(),
		pg_snapshot_xmax($1::text::pg_snapshot) <= pg_snapshot_xmax(pg_current_snapshot())`, p.seen).Scan(&p.next, &standby, &isOurs)
	switch {
	case err != nil:
		return p, err
	case standby:
		return p, errStandby
	case !isOurs:
		return p, errBadPlace
	}
	return p, nil
}

// entry is a row of the ids.
type entry struct {
	ID        sandtrail.ID
	CreatedAt time.Time
	XID       string
}

// entries reads the ids that next sees and seen does not. Those written by
// transactions that were running when seen was taken are few and found one by
// one; the others lie behind its end.
func (s *Store) entries(ctx context.Context, l *layout, p place, limit int) ([]entry, error) {
	part := `(SELECT id, created_at, xid FROM {schema}.ids
		WHERE %s AND xid >= $3::text::xid8 AND (xid, id) > ($3::text::xid8, $4)
			AND pg_visible_in_snapshot(xid, $2::text::pg_snapshot)
		ORDER BY xid, id LIMIT $5)`
	rows, err := s.pool.Query(ctx, l.sql(`SELECT id, created_at, xid::text FROM (`+
		fmt.Sprintf(part, "xid >= pg_snapshot_xmax($1::text::pg_snapshot)")+` UNION ALL `+
		fmt.Sprintf(part, "xid = ANY (ARRAY(SELECT pg_snapshot_xip($1::text::pg_snapshot)))")+
		`) AS fresh ORDER BY fresh.xid, id LIMIT $5`),
		p.seen, p.next, p.xid, [16]byte(p.id), limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (e entry, err error) {
		err = row.Scan((*[16]byte)(&e.ID), &e.CreatedAt, &e.XID)
		return e, err
	})
}

// settled is recordsOf when all that is on its way has come.
func (s *Store) settled(ctx context.Context, l *layout, entries []entry) (map[sandtrail.ID]sandtrail.Execution, error) {
	records, err := s.recordsOf(ctx, l, entries)
	if err != nil || len(records) == len(entries) {
		return records, err
	}
	waited, err := s.transactor(l).settle(ctx)
	if err != nil || !waited {
		return records, err
	}
	return s.recordsOf(ctx, l, entries)
}

// recordsOf reads the executions of the entries that still exist.
func (s *Store) recordsOf(ctx context.Context, l *layout, entries []entry) (map[sandtrail.ID]sandtrail.Execution, error) {
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
	rows, err := s.pool.Query(ctx, l.owned("SELECT * FROM {logs} WHERE created_at BETWEEN $1 AND $2 AND id = ANY ($3)"), oldest, newest, ids)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, scanOwned)
	records := make(map[sandtrail.ID]sandtrail.Execution, len(list))
	for _, e := range list {
		records[e.ID] = e
	}
	return records, err
}
