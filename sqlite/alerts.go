package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
)

var (
	_ alert.Log      = (*Store)(nil)
	_ alert.Silences = (*Store)(nil)
)

// AlertStates returns what is remembered about every rule.
func (s *Store) AlertStates(ctx context.Context) ([]alert.State, error) {
	text := `SELECT rule, firing, since, holds_since, event_id, notified_at FROM sandtrail_alert_states ORDER BY rule`
	return selectAll(ctx, s, "read alert states", text, nil, func(scan func(...any) error) (a alert.State, err error) {
		var since timestamp
		err = scan(&a.Rule, &a.Firing, &since, optionalTime{&a.HoldsSince}, optionalID{&a.Event}, optionalTime{&a.NotifiedAt})
		a.Since = since.Time
		return a, err
	})
}

// PutAlertState remembers the state of a rule and the event that it came by.
func (s *Store) PutAlertState(ctx context.Context, a alert.State, e *alert.Event) error {
	return s.write(ctx, "put alert state", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO sandtrail_alert_states (rule, firing, since, holds_since, event_id, notified_at)
			VALUES (?1, ?2, ?3, ?4, ?5, ?6)
			ON CONFLICT (rule) DO UPDATE SET firing = ?2, since = ?3, holds_since = ?4, event_id = ?5, notified_at = ?6`,
			a.Rule, a.Firing, formatTime(a.Since), timeOrNull(a.HoldsSince), idOrNull(a.Event), timeOrNull(a.NotifiedAt))
		if err != nil || e == nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO sandtrail_alert_events (id, at, rule, firing, value, message, silenced)
			VALUES (?, ?, ?, ?, ?, ?, ?)`, e.ID.String(), formatTime(e.At), e.Rule, e.Firing, value(e.Value), e.Message, e.Silenced)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM sandtrail_alert_events WHERE at < ?", formatTime(e.At.Add(-alert.History)))
		return err
	})
}

// PutAlertDelivery remembers what became of telling a channel.
func (s *Store) PutAlertDelivery(ctx context.Context, event sandtrail.ID, d alert.Delivery) error {
	return s.write(ctx, "put alert delivery", func(tx *sql.Tx) error {
		n, err := execCount(ctx, tx, `INSERT INTO sandtrail_alert_deliveries (event_id, channel, delivered, attempts, at, error)
			SELECT ?1, ?2, ?3, ?4, ?5, ?6 FROM sandtrail_alert_events WHERE id = ?1
			ON CONFLICT (event_id, channel) DO UPDATE SET delivered = ?3, attempts = ?4, at = ?5, error = ?6`,
			event.String(), d.Channel, d.Delivered, d.Attempts, formatTime(d.At), d.Error)
		if err == nil && n == 0 {
			err = noEvent(event)
		}
		return err
	})
}

func noEvent(id sandtrail.ID) error {
	return sandtrail.Errorf(sandtrail.CodeNotFound, "there is no alert event %s", id)
}

// AlertEvent returns one event.
func (s *Store) AlertEvent(ctx context.Context, id sandtrail.ID) (alert.Event, error) {
	found, err := s.alertEvents(ctx, "WHERE id = ?", id.String())
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
		return s.alertEvents(ctx, "ORDER BY id DESC LIMIT ?", limit)
	}
	return s.alertEvents(ctx, "WHERE id < ? ORDER BY id DESC LIMIT ?", before.String(), limit)
}

// alertEvents reads the events that the rest of a query selects, and their
// deliveries. What a delivery becomes between the two reads does no harm.
func (s *Store) alertEvents(ctx context.Context, rest string, args ...any) ([]alert.Event, error) {
	text := "SELECT id, at, rule, firing, value, message, silenced FROM sandtrail_alert_events " + rest
	events, err := selectAll(ctx, s, "read alert events", text, args, func(scan func(...any) error) (e alert.Event, err error) {
		var id executionID
		var at timestamp
		err = scan(&id, &at, &e.Rule, &e.Firing, &e.Value, &e.Message, &e.Silenced)
		e.ID, e.At, e.Deliveries = id.ID, at.Time, []alert.Delivery{}
		return e, err
	})
	if err != nil || len(events) == 0 {
		return events, err
	}
	place := map[sandtrail.ID]*alert.Event{}
	ids := make([]sandtrail.ID, len(events))
	for i := range events {
		ids[i], place[events[i].ID] = events[i].ID, &events[i]
	}
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, err
	}
	text = `SELECT event_id, channel, delivered, attempts, at, error FROM sandtrail_alert_deliveries
		WHERE event_id IN (SELECT value FROM json_each(?)) ORDER BY event_id, channel`
	type delivered struct {
		event sandtrail.ID
		alert.Delivery
	}
	deliveries, err := selectAll(ctx, s, "read alert deliveries", text, []any{string(list)}, func(scan func(...any) error) (d delivered, err error) {
		var event executionID
		var at timestamp
		err = scan(&event, &d.Channel, &d.Delivered, &d.Attempts, &at, &d.Error)
		d.event, d.At = event.ID, at.Time
		return d, err
	})
	for _, d := range deliveries {
		place[d.event].Deliveries = append(place[d.event].Deliveries, d.Delivery)
	}
	return events, err
}

// CreateSilence adds a silence.
func (s *Store) CreateSilence(ctx context.Context, silence alert.Silence) error {
	if err := silence.Validate(); err != nil {
		return err
	}
	return s.write(ctx, "create silence", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO sandtrail_silences (id, rule, reason, created_by, created_at, until, ended_at)
			VALUES (?, ?, ?, ?, ?, ?, ?)`, silence.ID.String(), silence.Rule, silence.Reason, silence.CreatedBy,
			formatTime(silence.CreatedAt), formatTime(silence.Until), timeOrNull(silence.EndedAt))
		return err
	})
}

// Silences returns the silences whose time is after since.
func (s *Store) Silences(ctx context.Context, since time.Time) ([]alert.Silence, error) {
	text := `SELECT id, rule, reason, created_by, created_at, until, ended_at FROM sandtrail_silences
		WHERE until > ?1 AND (ended_at IS NULL OR ended_at > ?1) ORDER BY id`
	return selectAll(ctx, s, "read silences", text, []any{formatTime(since)}, func(scan func(...any) error) (silence alert.Silence, err error) {
		var id executionID
		var created, until timestamp
		err = scan(&id, &silence.Rule, &silence.Reason, &silence.CreatedBy, &created, &until, optionalTime{&silence.EndedAt})
		silence.ID, silence.CreatedAt, silence.Until = id.ID, created.Time, until.Time
		return silence, err
	})
}

// EndSilence ends a silence before its time.
func (s *Store) EndSilence(ctx context.Context, id sandtrail.ID, now time.Time) error {
	return s.write(ctx, "end silence", func(tx *sql.Tx) error {
		n, err := execCount(ctx, tx, "UPDATE sandtrail_silences SET ended_at = COALESCE(ended_at, ?) WHERE id = ?", formatTime(now), id.String())
		if err == nil && n == 0 {
			err = sandtrail.Errorf(sandtrail.CodeNotFound, "there is no silence %s", id)
		}
		return err
	})
}
