package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail/database"
)

var _ database.Surveyor = (*Store)(nil)

// Space adds up the tables of our schema, which the partitions are in.
func (s *Store) Space(ctx context.Context) (space database.Space, err error) {
	ctx, l, err := s.openUnlimited(ctx)
	if err != nil {
		return space, err
	}
	err = s.pool.QueryRow(ctx, `
		SELECT coalesce(sum(`+l.sizeOf("c.oid")+`), 0)::bigint FROM pg_class c
		WHERE c.relnamespace = to_regnamespace($1) AND c.relkind = 'r'`, quote(l.Schema)).Scan(&space.Total)
	if err != nil {
		return space, wrap("survey the space", err)
	}
	rows, err := s.pool.Query(ctx, `
		SELECT c.relname, CASE WHEN c.reltuples < 0 THEN NULL ELSE c.reltuples::bigint END, `+l.sizeOf("c.oid")+`,
			m[1]::timestamptz AS since, m[2]::timestamptz
		FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid LEFT JOIN `+partitionBounds+` ON true
		WHERE i.inhparent = to_regclass($1) ORDER BY since DESC NULLS LAST, c.relname`, l.sql("{logs}"))
	if err != nil {
		return space, wrap("survey the partitions", err)
	}
	space.Parts, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (p database.Part, err error) {
		var since, until *time.Time
		err = row.Scan(&p.Name, &p.Records, &p.Bytes, &since, &until)
		if since != nil {
			p.Since, p.Until = since.UTC(), until.UTC()
		}
		return p, err
	})
	return space, wrap("survey the partitions", err)
}
