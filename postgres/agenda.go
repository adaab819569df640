package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
)

var (
	_ sandtrail.Agenda      = (*Store)(nil)
	_ sandtrail.AlertStates = (*Store)(nil)
)

// Claim claims work that is due.
func (s *Store) Claim(ctx context.Context, work string, now, until time.Time) (bool, error) {
	claimed, err := s.execute(ctx, `INSERT INTO {schema}.agenda AS a (work, due_at) VALUES ($1, $3)
		ON CONFLICT (work) DO UPDATE SET due_at = $3 WHERE a.due_at <= $2`, work, now, until)
	return claimed > 0, wrapf(err, "claim %s", work)
}

// Reschedule sets when work is due next.
func (s *Store) Reschedule(ctx context.Context, work string, due time.Time) error {
	_, err := s.execute(ctx, `INSERT INTO {schema}.agenda (work, due_at) VALUES ($1, $2)
		ON CONFLICT (work) DO UPDATE SET due_at = $2`, work, due)
	return wrapf(err, "reschedule %s", work)
}

// Due returns when work is due next.
func (s *Store) Due(ctx context.Context, work string) (time.Time, error) {
	l, err := s.open(ctx)
	if err != nil {
		return time.Time{}, err
	}
	var due *time.Time
	err = s.pool.QueryRow(ctx, l.sql(`SELECT max(due_at) FROM {schema}.agenda WHERE work = $1`), work).Scan(&due)
	if err != nil || due == nil {
		return time.Time{}, wrap("read the agenda", err)
	}
	return due.UTC(), nil
}

// AlertStates returns what is remembered about every rule.
func (s *Store) AlertStates(ctx context.Context) ([]sandtrail.AlertState, error) {
	l, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, l.sql(`SELECT rule, firing, since, notified_at FROM {schema}.alert_states ORDER BY rule`))
	if err != nil {
		return nil, wrap("read alert states", err)
	}
	states, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (a sandtrail.AlertState, err error) {
		err = row.Scan(&a.Rule, &a.Firing, &a.Since, &a.NotifiedAt)
		a.Since, a.NotifiedAt = a.Since.UTC(), utc(a.NotifiedAt)
		return a, err
	})
	return states, wrap("read alert states", err)
}

// PutAlertState remembers the state of a rule.
func (s *Store) PutAlertState(ctx context.Context, a sandtrail.AlertState) error {
	_, err := s.execute(ctx, `INSERT INTO {schema}.alert_states (rule, firing, since, notified_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (rule) DO UPDATE SET firing = $2, since = $3, notified_at = $4`, a.Rule, a.Firing, a.Since, a.NotifiedAt)
	return wrap("put alert state", err)
}
