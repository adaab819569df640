package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// Maintain makes the partitions of the coming four weeks, moves rows out of the
// default partition, applies the changes to the roll-ups and the ledger, and
// finishes what a cleanup has left. Of several at once each does what the
// others do not. A standby, or a session that may only read, does nothing of it
// and says so.
func (s *Store) Maintain(ctx context.Context, now time.Time) error {
	ctx = database.WithOwnLimits(ctx)
	var readOnly, standby bool
	err := s.pool.QueryRow(ctx, "SELECT current_setting('transaction_read_only')::boolean, pg_is_in_recovery()").Scan(&readOnly, &standby)
	switch {
	case err != nil:
		return wrap("upkeep", err)
	case standby:
		return errNoUpkeep
	case readOnly:
		return met(readOnlyDefault, "on", nil)
	}
	return database.MaintainAll(ctx, s, now)
}

// errNoUpkeep is the answer of a standby.
var errNoUpkeep = sandtrail.Errorf(sandtrail.CodeUnavailable, "no upkeep is done where the database may only be read, as on a standby: give the URL of the primary")

// Upkeep lists the steps of Maintain.
func (s *Store) Upkeep() []database.UpkeepStep {
	texts := s.step("texts", s.keepTextIndexes)
	texts.Slow = true
	return []database.UpkeepStep{
		s.step("partitions", s.lookAhead),
		s.step("strays", s.moveStrays),
		s.step("reconcile", func(ctx context.Context, l *layout, _ time.Time) error { return s.transactor(l).reconcile(ctx) }),
		s.step("fold", s.fold),
		s.step("forget", s.forgetSometimes),
		s.step("sweep", func(ctx context.Context, l *layout, _ time.Time) error { return s.transactor(l).sweep(ctx) }),
		s.step("seal", s.seal),
		s.step("restored", s.forgetForeign),
		texts,
	}
}

// step makes a step that says what keeps it from its work, and keeps that for
// doctor.
func (s *Store) step(name string, f func(context.Context, *layout, time.Time) error) database.UpkeepStep {
	return database.UpkeepStep{Name: name, RunOnce: func(ctx context.Context, now time.Time) error {
		ctx, l, err := s.openUnlimited(ctx)
		if err != nil {
			return err
		}
		err = wrapf(s.sayWhoLocks(ctx, l, f(ctx, l, now)), "upkeep: %s", name)
		if ctx.Err() != nil {
			return err
		}
		return cmp.Or(err, s.noteOutcome(ctx, l, name, err))
	}}
}

// sayWhoLocks adds to an error about a lock the session that has had one of
// the table of executions for longest.
func (s *Store) sayWhoLocks(ctx context.Context, l *layout, err error) error {
	if !isLocked(err) {
		return err
	}
	var pid int
	var user, application, does string
	var since *time.Time
	asking := s.pool.QueryRow(ctx, `
		SELECT a.pid, coalesce(a.usename, ''), coalesce(a.application_name, ''), coalesce(a.state, 'doing what only its own user may see'), a.xact_start
		FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE l.granted AND l.pid <> pg_backend_pid() AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
			AND (l.relation = to_regclass($1) OR l.relation IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass($1)))
		ORDER BY a.xact_start NULLS LAST LIMIT 1`, l.sql("{logs}")).Scan(&pid, &user, &application, &does, &since)
	if asking != nil || since == nil { // it is gone meanwhile
		return &sandtrail.Error{Code: sandtrail.CodeUnavailable, Message: "others held a lock on " + l.sql("{logs}") + "; it is tried again", Err: err}
	}
	return &sandtrail.Error{Code: sandtrail.CodeUnavailable, Err: err, Message: fmt.Sprintf(
		"session %d of user %s (%q), %s, has held a lock on %s since %s; if nobody needs it, end it with SELECT pg_terminate_backend(%[1]d)",
		pid, user, application, does, l.sql("{logs}"), since.UTC().Format(time.RFC3339))}
}

// noteOutcome keeps that a step failed, and forgets that it did.
func (s *Store) noteOutcome(ctx context.Context, l *layout, step string, outcome error) (err error) {
	if outcome == nil {
		_, err = s.pool.Exec(ctx, l.sql("DELETE FROM {schema}.upkeep WHERE step = $1"), step)
	} else {
		_, err = s.pool.Exec(ctx, l.sql(`INSERT INTO {schema}.upkeep (step, since, at, error) VALUES ($1, now(), now(), $2)
			ON CONFLICT (step) DO UPDATE SET at = excluded.at, error = excluded.error`), step, outcome.Error())
	}
	return wrap("keep how upkeep went", err)
}

// checkUpkeep tells of the steps that failed lately: those that fail are tried
// once a minute at least.
func (s *Store) checkUpkeep(ctx context.Context, l *layout) ([]database.Check, error) {
	failed, err := scanAll(ctx, s.pool, func(row pgx.CollectableRow) (c database.Check, err error) {
		var since time.Time
		err = row.Scan(&c.Name, &since, &c.Detail)
		c.Name, c.Detail = "upkeep: "+c.Name, "not done since "+since.UTC().Format(time.RFC3339)+": "+c.Detail
		c.Fix = "take away what stands in the way; sandtrail serve, or sandtrail migrate, tries it again"
		return c, err
	}, l.sql("SELECT step, since, error FROM {schema}.upkeep WHERE at > now() - interval '10 minutes' ORDER BY step"))
	if len(failed) == 0 {
		failed = []database.Check{{Name: "upkeep", OK: true, Detail: "no step of it failed lately"}}
	}
	return failed, err
}

// moveStrays makes the partitions that rows of the default partition wait for,
// the newest first.
func (s *Store) moveStrays(ctx context.Context, l *layout, now time.Time) error {
	strays, err := strayWeeks(ctx, s.pool, l, now)
	if err != nil || len(strays) == 0 {
		return err
	}
	if err := s.refreshPartitions(ctx, l); err != nil {
		return err
	}
	var failed []error
	for _, w := range slices.Backward(s.partitions.gaps(strays)) {
		err := s.addPartition(ctx, l, w.since, byWeek, upkeepTries, spans.hasRoom)
		if failed = append(failed, err); isLocked(err) || ctx.Err() != nil {
			break // so are the others
		}
	}
	return errors.Join(append(failed, s.refreshPartitions(ctx, l))...)
}

// lookAhead makes the partitions of the present and of the time ahead.
func (s *Store) lookAhead(ctx context.Context, l *layout, now time.Time) error {
	present, err := partitionsIn(ctx, s.pool, l)
	if err != nil {
		return err
	}
	var size partitionSize
	var failed []error
	for t := midnight(now); !t.After(now.Add(ahead)); {
		w, lacking := present.gap(t, size)
		if lacking && size == "" { // it is not known yet
			if size, err = s.partitionSize(ctx, l, now); err != nil {
				return err
			}
			continue
		}
		if lacking {
			err := s.addPartition(ctx, l, t, size, upkeepTries, always)
			if failed = append(failed, err); isLocked(err) || ctx.Err() != nil {
				break // so are the others
			}
		}
		t = w.until
	}
	return errors.Join(append(failed, s.refreshPartitions(ctx, l))...)
}

// strayWeeks lists the weeks of which the default partition holds rows, but not
// those far ahead: whoever wrote them, their time has not come.
func strayWeeks(ctx context.Context, q querier, l *layout, now time.Time) ([]time.Time, error) {
	weeks, err := scanAll(ctx, q, pgx.RowTo[time.Time], l.sql(
		"SELECT DISTINCT date_trunc('week', created_at AT TIME ZONE 'UTC') FROM {schema}.logs_default WHERE created_at < $1 ORDER BY 1"), now.Add(farAhead))
	return weeks, wrap("look for strays", err)
}
