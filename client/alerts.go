package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
	"github.com/sandtrail/sandtrail/api"
)

// Alerts evaluates the server's rules now.
func (c *Client) Alerts(ctx context.Context) (api.Alerts, error) {
	return get[api.Alerts](ctx, c, nil, "v1", "alerts")
}

// AlertEvents returns when rules began to fire and ended, newest first, those
// before an event (the zero id: all).
func (c *Client) AlertEvents(ctx context.Context, before sandtrail.ID, limit int) ([]alert.Event, error) {
	values := api.Values{}
	values.Limit(limit)
	if !before.IsZero() {
		values.Text("cursor", before.String())
	}
	page, err := get[api.Page[alert.Event]](ctx, c, url.Values(values), "v1", "alerts", "history")
	return page.Items, err
}

// CreateSilence silences a rule, or all of them. It is not repeated when the
// answer is lost.
func (c *Client) CreateSilence(ctx context.Context, s api.NewSilence) (alert.Silence, error) {
	return do[alert.Silence](ctx, c, call{method: http.MethodPost, path: []string{"v1", "alerts", "silences"}, body: s, once: true})
}

// Silences returns the silences that last by the server's clock.
func (c *Client) Silences(ctx context.Context, _ time.Time) ([]alert.Silence, error) {
	page, err := get[api.Page[alert.Silence]](ctx, c, nil, "v1", "alerts", "silences")
	return page.Items, err
}

// EndSilence ends a silence now, by the server's clock.
func (c *Client) EndSilence(ctx context.Context, id sandtrail.ID, _ time.Time) error {
	_, err := do[struct{}](ctx, c, call{method: http.MethodDelete, path: []string{"v1", "alerts", "silences", id.String()}})
	return err
}
