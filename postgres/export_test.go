package postgres

import (
	"context"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sandtrail/sandtrail/database"
)

// OpenTraced is Open for tests that look at the statements.
func OpenTraced(ctx context.Context, url string, tracer pgx.QueryTracer) (*Store, error) {
	config, err := poolConfig(url)
	if err != nil {
		return nil, err
	}
	config.ConnConfig.Tracer = tracer
	return openWith(ctx, config, Options{})
}

// OpenDialed is Open for tests that stand between the store and the server.
func OpenDialed(ctx context.Context, url string, dial func(ctx context.Context, network, address string) (net.Conn, error)) (*Store, error) {
	config, err := poolConfig(url)
	if err != nil {
		return nil, err
	}
	config.ConnConfig.DialFunc = dial
	return openWith(ctx, config, Options{})
}

// EndAtFirst has each transaction of the store end at first as one that
// PostgreSQL could not serialize.
func (s *Store) EndAtFirst() { s.ends = &pgconn.PgError{Code: serializationFailure} }

// DropWeek takes the partition of a week out of the table, as a cleanup that
// is killed before it sweeps.
func (s *Store) DropWeek(ctx context.Context, at time.Time) (int64, error) {
	l, err := s.open(ctx)
	if err != nil {
		return 0, err
	}
	return s.dropPartition(ctx, l, byWeek.around(at), nil, nil)
}

// MakePartition makes the partition of a week as an append does, but waits for
// locks as long as others hold them.
func (s *Store) MakePartition(ctx context.Context, at time.Time) error {
	l, err := s.open(ctx)
	if err != nil {
		return err
	}
	return s.inTx(ctx, func(tx pgx.Tx) error { return makePartition(ctx, tx, l, at, byWeek, spans.hasRoom) })
}

// SizeFor is the size of partitions for so many executions a day.
func SizeFor(aDay int64) string { return string(sizeFor(aDay)) }

// CountPartitions is how many partitions a transaction sees.
func (s *Store) CountPartitions(ctx context.Context, tx pgx.Tx) (int, error) {
	l, err := s.open(ctx)
	if err != nil {
		return 0, err
	}
	found, err := partitionsIn(ctx, tx, l)
	return len(found), err
}

// HasRoom reports whether a partition would be made for a time beside some.
func HasRoom(weeks []time.Time, t time.Time) bool {
	var known spans
	for _, w := range weeks {
		known = known.with(byWeek.around(w))
	}
	return known.hasRoom(t)
}

// MigrateTo applies the migrations up to one, as the version of Sandtrail did
// whose last it was.
func MigrateTo(ctx context.Context, s *Store, now time.Time, version int) error {
	o := s.options
	for range version {
		if err := s.inTx(ctx, func(tx pgx.Tx) error {
			_, err := o.migrateStep(ctx, tx, now)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// SnapshotsOlder is the examination of sessions that keep old snapshots.
func (s *Store) SnapshotsOlder(ctx context.Context, age time.Duration) (database.Check, error) {
	return s.snapshotsOlder(ctx, age)
}

// OpenSearching is Open for tests of searches with little of everything:
// partitions of so few texts have an index, and a search has a small budget and
// reads few executions at once.
func OpenSearching(ctx context.Context, url string, fewTexts, budget int, tracer pgx.QueryTracer) (*Store, error) {
	config, err := poolConfig(url)
	if err != nil {
		return nil, err
	}
	config.ConnConfig.Tracer = tracer
	return openWith(ctx, config, Options{fewTexts: fewTexts, searchBudget: budget, readAtOnce: 20})
}

// AsCoordinator gives a database the tables that the coordinator of a Citus
// cluster has beside the executions, which stay where they are.
func (s *Store) AsCoordinator(ctx context.Context) error {
	l, err := s.open(ctx)
	if err != nil {
		return err
	}
	tables, _, _ := strings.Cut(distribution, "-- Foreign keys are put on")
	return s.inTx(ctx, func(tx pgx.Tx) error { return execEach(ctx, tx, strings.SplitAfter(l.sql(tables), ";\n")...) })
}

// ReconcileAll brings entries and executions in step, as on a coordinator.
func (s *Store) ReconcileAll(ctx context.Context) error {
	l, err := s.open(ctx)
	if err != nil {
		return err
	}
	return s.inTx(ctx, func(tx pgx.Tx) error { return distributed{l}.repair(ctx, tx, conditions{}) })
}
