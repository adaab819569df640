package sqlstore

import (
	"context"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
)

var (
	_ alert.Log      = Tables{}
	_ alert.Silences = Tables{}
)

// AlertStates returns what is remembered about every rule.
func (t Tables) AlertStates(ctx context.Context) (states []alert.State, err error) {
	const query = `SELECT rule, firing, since, holds_since, event_id, notified_at FROM {schema}.alert_states ORDER BY rule COLLATE "C"`
	err = t.engine.Query(ctx, "read alert states", query, nil, each(&states, func(scan func(...any) error, a *alert.State) error {
		return scan(&a.Rule, &a.Firing, &a.Since, &a.HoldsSince, &a.Event, &a.NotifiedAt)
	}))
	return states, err
}

// PutAlertState remembers the state of a rule and the event that it came by.
func (t Tables) PutAlertState(ctx context.Context, a alert.State, e *alert.Event) error {
	return t.engine.InTx(ctx, "put alert state", func(tx Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO {schema}.alert_states (rule, firing, since, holds_since, event_id, notified_at)
			VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (rule) DO UPDATE SET firing = $2, since = $3, holds_since = $4, event_id = $5, notified_at = $6`,
			a.Rule, a.Firing, a.Since, a.HoldsSince, a.Event, a.NotifiedAt)
		if err != nil || e == nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO {schema}.alert_events (id, at, rule, firing, value, message, silenced)
			VALUES ($1, $2, $3, $4, $5, $6, $7)`, e.ID, e.At, e.Rule, e.Firing, e.Value, e.Message, e.Silenced); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "DELETE FROM {schema}.alert_events WHERE at < $1", e.At.Add(-alert.History))
		return err
	})
}

// PutAlertDelivery remembers what became of telling a channel.
func (t Tables) PutAlertDelivery(ctx context.Context, event sandtrail.ID, d alert.Delivery) error {
	_, err := t.engine.Exec(ctx, "put alert delivery", `INSERT INTO {schema}.alert_deliveries (event_id, channel, delivered, attempts, at, error)
		VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (event_id, channel) DO UPDATE SET delivered = $3, attempts = $4, at = $5, error = $6`,
		event, d.Channel, d.Delivered, d.Attempts, d.At, d.Error)
	if t.engine.Dialect().IsOrphan(err) {
		err = noEvent(event)
	}
	return err
}

func noEvent(id sandtrail.ID) error {
	return sandtrail.Errorf(sandtrail.CodeNotFound, "there is no alert event %s", id)
}

// AlertEvent returns one event.
func (t Tables) AlertEvent(ctx context.Context, id sandtrail.ID) (alert.Event, error) {
	found, err := t.alertEvents(ctx, "WHERE id = $1", id)
	if err == nil && len(found) == 0 {
		err = noEvent(id)
	}
	if err != nil {
		return alert.Event{}, err
	}
	return found[0], nil
}

// AlertEvents returns events, newest first.
func (t Tables) AlertEvents(ctx context.Context, before sandtrail.ID, limit int) ([]alert.Event, error) {
	if before.IsZero() {
		return t.alertEvents(ctx, "ORDER BY id DESC LIMIT $1", limit)
	}
	return t.alertEvents(ctx, "WHERE id < $1 ORDER BY id DESC LIMIT $2", before, limit)
}

// alertEvents reads the events that the rest of a query selects, and their deliveries,
// newest first.
func (t Tables) alertEvents(ctx context.Context, rest string, args ...any) (events []alert.Event, err error) {
	query := `SELECT e.id, e.at, e.rule, e.firing, e.value, e.message, e.silenced, d.event_id,
			coalesce(d.channel, ''), coalesce(d.delivered, false), coalesce(d.attempts, 0), coalesce(d.at, e.at), coalesce(d.error, '')
		FROM (SELECT * FROM {schema}.alert_events ` + rest + `) e LEFT JOIN {schema}.alert_deliveries d ON d.event_id = e.id
		ORDER BY e.id DESC, d.channel`
	err = t.engine.Query(ctx, "read alert events", query, args, func(rows Rows) error {
		events = []alert.Event{}
		for rows.Next() {
			if err := scanEvent(rows, &events); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	return events, err
}

// scanEvent reads an event with one of its deliveries: the last one anew, or another.
func scanEvent(rows Rows, events *[]alert.Event) error {
	e, delivered, d := alert.Event{Deliveries: []alert.Delivery{}}, (*sandtrail.ID)(nil), alert.Delivery{}
	if err := rows.Scan(&e.ID, &e.At, &e.Rule, &e.Firing, &e.Value, &e.Message, &e.Silenced, &delivered,
		&d.Channel, &d.Delivered, &d.Attempts, &d.At, &d.Error); err != nil {
		return err
	}
	if last := len(*events) - 1; last < 0 || (*events)[last].ID != e.ID {
		*events = append(*events, e)
	}
	if delivered != nil {
		last := &(*events)[len(*events)-1]
		last.Deliveries = append(last.Deliveries, d)
	}
	return nil
}

// CreateSilence adds a silence.
func (t Tables) CreateSilence(ctx context.Context, s alert.Silence) error {
	if err := s.Validate(); err != nil {
		return err
	}
	_, err := t.engine.Exec(ctx, "create silence", `INSERT INTO {schema}.silences (id, rule, reason, created_by, created_at, until, ended_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`, s.ID, s.Rule, s.Reason, s.CreatedBy, s.CreatedAt, s.Until, s.EndedAt)
	return err
}

// Silences returns the silences whose time is after since.
func (t Tables) Silences(ctx context.Context, since time.Time) (silences []alert.Silence, err error) {
	const query = `SELECT id, rule, reason, created_by, created_at, until, ended_at FROM {schema}.silences
		WHERE until > $1 AND (ended_at IS NULL OR ended_at > $1) ORDER BY id`
	err = t.engine.Query(ctx, "read silences", query, []any{since}, each(&silences, func(scan func(...any) error, s *alert.Silence) error {
		return scan(&s.ID, &s.Rule, &s.Reason, &s.CreatedBy, &s.CreatedAt, &s.Until, &s.EndedAt)
	}))
	return silences, err
}

// EndSilence ends a silence before its time.
func (t Tables) EndSilence(ctx context.Context, id sandtrail.ID, now time.Time) error {
	n, err := t.engine.Exec(ctx, "end silence", "UPDATE {schema}.silences SET ended_at = coalesce(ended_at, $2) WHERE id = $1", id, now)
	if err == nil && n == 0 {
		err = sandtrail.Errorf(sandtrail.CodeNotFound, "there is no silence %s", id)
	}
	return err
}
