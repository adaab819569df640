package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
)

var (
	_ alert.Log      = (*Store)(nil)
	_ alert.Silences = (*Store)(nil)
)

// collect reads every row of a query.
func collect[T any](ctx context.Context, s *Store, what, statement string, args []any, read pgx.RowToFunc[T]) ([]T, error) {
	l, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, l.sql(statement), args...)
	if err != nil {
		return nil, wrap(what, err)
	}
	found, err := pgx.CollectRows(rows, read)
	return found, wrap(what, err)
}

// AlertStates returns what is remembered about every rule.
func (s *Store) AlertStates(ctx context.Context) ([]alert.State, error) {
	const text = `SELECT rule, firing, since, holds_since, event_id, notified_at FROM {schema}.alert_states ORDER BY rule COLLATE "C"`
	return collect(ctx, s, "read alert states", text, nil, func(row pgx.CollectableRow) (a alert.State, err error) {
		var event *[16]byte
		err = row.Scan(&a.Rule, &a.Firing, &a.Since, &a.HoldsSince, &event, &a.NotifiedAt)
		a.Since, a.HoldsSince, a.NotifiedAt, a.Event = a.Since.UTC(), utc(a.HoldsSince), utc(a.NotifiedAt), (*sandtrail.ID)(event)
		return a, err
	})
}

// PutAlertState remembers the state of a rule and the event that it came by.
func (s *Store) PutAlertState(ctx context.Context, a alert.State, e *alert.Event) error {
	l, err := s.open(ctx)
	if err != nil {
		return err
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, l.sql(`INSERT INTO {schema}.alert_states (rule, firing, since, holds_since, event_id, notified_at)
			VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (rule) DO UPDATE SET firing = $2, since = $3, holds_since = $4, event_id = $5, notified_at = $6`),
			a.Rule, a.Firing, a.Since, a.HoldsSince, (*[16]byte)(a.Event), a.NotifiedAt)
		if err != nil || e == nil {
			return err
		}
		_, err = tx.Exec(ctx, l.sql(`INSERT INTO {schema}.alert_events (id, at, rule, firing, value, message, silenced)
			VALUES ($1, $2, $3, $4, $5, $6, $7)`), [16]byte(e.ID), e.At, e.Rule, e.Firing, e.Value, e.Message, e.Silenced)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, l.sql("DELETE FROM {schema}.alert_events WHERE at < $1"), e.At.Add(-alert.History))
		return err
	})
	return wrap("put alert state", err)
}

// PutAlertDelivery remembers what became of telling a channel.
func (s *Store) PutAlertDelivery(ctx context.Context, event sandtrail.ID, d alert.Delivery) error {
	_, err := s.execute(ctx, `INSERT INTO {schema}.alert_deliveries (event_id, channel, delivered, attempts, at, error)
		VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (event_id, channel) DO UPDATE SET delivered = $3, attempts = $4, at = $5, error = $6`,
		[16]byte(event), d.Channel, d.Delivered, d.Attempts, d.At, d.Error)
	if state(err) == foreignKeyViolation {
		err = noEvent(event)
	}
	return wrap("put alert delivery", err)
}

func noEvent(id sandtrail.ID) error {
	return sandtrail.Errorf(sandtrail.CodeNotFound, "there is no alert event %s", id)
}

// AlertEvent returns one event.
func (s *Store) AlertEvent(ctx context.Context, id sandtrail.ID) (alert.Event, error) {
	found, err := s.alertEvents(ctx, "WHERE id = $1", [16]byte(id))
	if err == nil && len(found) == 0 {
		err = noEvent(id)
	}
	if err != nil {
		return alert.Event{}, err
	}
	return found[0], nil
}

// AlertEvents returns events, newest first.
func (s *Store) AlertEvents(ctx context.Context, before sandtrail.ID, limit int) ([]alert.Event, error) {
	if before.IsZero() {
		return s.alertEvents(ctx, "ORDER BY id DESC LIMIT $1", limit)
	}
	return s.alertEvents(ctx, "WHERE id < $1 ORDER BY id DESC LIMIT $2", [16]byte(before), limit)
}

// alertEvents reads the events that the rest of a query selects, and their
// deliveries. What a delivery becomes between the two reads does no harm.
func (s *Store) alertEvents(ctx context.Context, rest string, args ...any) ([]alert.Event, error) {
	const text = "SELECT id, at, rule, firing, value, message, silenced FROM {schema}.alert_events "
	events, err := collect(ctx, s, "read alert events", text+rest, args, func(row pgx.CollectableRow) (e alert.Event, err error) {
		err = row.Scan((*[16]byte)(&e.ID), &e.At, &e.Rule, &e.Firing, &e.Value, &e.Message, &e.Silenced)
		e.At, e.Deliveries = e.At.UTC(), []alert.Delivery{}
		return e, err
	})
	if err != nil || len(events) == 0 {
		return events, err
	}
	place := map[sandtrail.ID]*alert.Event{}
	ids := make([][16]byte, len(events))
	for i := range events {
		ids[i], place[events[i].ID] = events[i].ID, &events[i]
	}
	const deliveries = `SELECT event_id, channel, delivered, attempts, at, error FROM {schema}.alert_deliveries
		WHERE event_id = ANY ($1) ORDER BY event_id, channel`
	_, err = collect(ctx, s, "read alert deliveries", deliveries, []any{ids}, func(row pgx.CollectableRow) (d alert.Delivery, err error) {
		var event sandtrail.ID
		if err := row.Scan((*[16]byte)(&event), &d.Channel, &d.Delivered, &d.Attempts, &d.At, &d.Error); err != nil {
			return d, err
		}
		d.At = d.At.UTC()
		place[event].Deliveries = append(place[event].Deliveries, d)
		return d, nil
	})
	return events, err
}

// CreateSilence adds a silence.
func (s *Store) CreateSilence(ctx context.Context, silence alert.Silence) error {
	if err := silence.Validate(); err != nil {
		return err
	}
	_, err := s.execute(ctx, `INSERT INTO {schema}.silences (id, rule, reason, created_by, created_at, until, ended_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`, [16]byte(silence.ID), silence.Rule, silence.Reason, silence.CreatedBy,
		silence.CreatedAt, silence.Until, silence.EndedAt)
	return wrap("create silence", err)
}

// Silences returns the silences whose time is after since.
func (s *Store) Silences(ctx context.Context, since time.Time) ([]alert.Silence, error) {
	const text = `SELECT id, rule, reason, created_by, created_at, until, ended_at FROM {schema}.silences
		WHERE until > $1 AND (ended_at IS NULL OR ended_at > $1) ORDER BY id`
	return collect(ctx, s, "read silences", text, []any{since}, func(row pgx.CollectableRow) (silence alert.Silence, err error) {
		err = row.Scan((*[16]byte)(&silence.ID), &silence.Rule, &silence.Reason, &silence.CreatedBy,
			&silence.CreatedAt, &silence.Until, &silence.EndedAt)
		silence.CreatedAt, silence.Until, silence.EndedAt = silence.CreatedAt.UTC(), silence.Until.UTC(), utc(silence.EndedAt)
		return silence, err
	})
}

// EndSilence ends a silence before its time.
func (s *Store) EndSilence(ctx context.Context, id sandtrail.ID, now time.Time) error {
	n, err := s.execute(ctx, "UPDATE {schema}.silences SET ended_at = coalesce(ended_at, $2) WHERE id = $1", [16]byte(id), now)
	if err == nil && n == 0 {
		err = sandtrail.Errorf(sandtrail.CodeNotFound, "there is no silence %s", id)
	}
	return wrap("end silence", err)
}
