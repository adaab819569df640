package postgres

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
)

// partitionSize is how long the partitions made ahead are. Those that exist
// keep theirs.
type partitionSize string

const (
	byDay   partitionSize = "day"
	byWeek  partitionSize = "week"
	byMonth partitionSize = "month"
	// byRate leaves the choice to how many executions come.
	byRate partitionSize = "auto"
)

// Executions a day from which on partitions are a day long, and below which
// they are a month long: one then holds up to some millions. Fewer make
// indexes that do not fit into memory, more make plans that are long to think
// about.
const (
	manyADay = 1_000_000
	fewADay  = 10_000
)

// rateDays are looked at to choose.
const rateDays = 7

// sizeFor chooses by the executions of a day; none tell nothing.
func sizeFor(aDay int64) partitionSize {
	switch {
	case aDay >= manyADay:
		return byDay
	case aDay > 0 && aDay < fewADay:
		return byMonth
	}
	return byWeek
}

// check refuses what is no size; "" says nothing.
func (z partitionSize) check() error {
	if z != "" && !slices.Contains([]partitionSize{byDay, byWeek, byMonth, byRate}, z) {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "partitions: must be day, week, month or auto, got %q", z)
	}
	return nil
}

// around is the day, week or month of a time, in UTC.
func (z partitionSize) around(t time.Time) span {
	switch day := midnight(t); z {
	case byDay:
		return span{day, day.AddDate(0, 0, 1)}
	case byMonth:
		first := day.AddDate(0, 0, 1-day.Day())
		return span{first, first.AddDate(0, 1, 0)}
	}
	return span{weekOf(t), weekOf(t).Add(week)}
}

// partitionSize is the size that was set, or what suits the last days.
func (s *Store) partitionSize(ctx context.Context, l *layout, now time.Time) (size partitionSize, err error) {
	err = s.pool.QueryRow(ctx, l.sql("SELECT value #>> '{}' FROM {schema}.settings WHERE name = 'partitions'")).Scan(&size)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", wrap("read settings", err)
	}
	if size != "" && size != byRate {
		return size, nil
	}
	today := midnight(now)
	recent, err := s.WindowStats(ctx, sandtrail.Window{Since: today.AddDate(0, 0, -rateDays), Until: today})
	return sizeFor(int64(recent.Total) / rateDays), err
}

// setPartitionSize remembers the size for all who make partitions.
func (s *Store) setPartitionSize(ctx context.Context, l *layout, size partitionSize) error {
	_, err := s.pool.Exec(ctx, l.sql(`INSERT INTO {schema}.settings (name, value) VALUES ('partitions', to_jsonb($1::text))
		ON CONFLICT (name) DO UPDATE SET value = excluded.value`), string(size))
	return wrap("set the size of partitions", err)
}
