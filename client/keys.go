package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/auth"
)

// CreateKey makes a key on the server. The answer holds its secret, which the
// server does not keep. The call is not repeated when the answer is lost.
func (c *Client) CreateKey(ctx context.Context, k api.NewKey) (api.CreatedKey, error) {
	return do[api.CreatedKey](ctx, c, call{method: http.MethodPost, path: []string{"v1", "keys"}, body: k, once: true})
}

// Keys lists all keys without their secrets.
func (c *Client) Keys(ctx context.Context) ([]auth.Key, error) {
	page, err := get[api.Page[auth.Key]](ctx, c, nil, "v1", "keys")
	return page.Items, err
}

// RevokeKey makes a key invalid.
func (c *Client) RevokeKey(ctx context.Context, id sandtrail.ID) error {
	_, err := do[struct{}](ctx, c, call{method: http.MethodDelete, path: []string{"v1", "keys", id.String()}})
	return err
}

// Accesses returns the lines of the access log that the query selects, newest
// first. A limit of 0 takes the server's default.
func (c *Client) Accesses(ctx context.Context, q auth.AccessQuery) (api.Page[auth.Access], error) {
	values := api.Values{}
	values.Limit(q.Limit)
	values.Text("actor", q.Actor)
	values.Text("action", q.Action)
	values.Text("outcome", string(q.Outcome))
	if !q.Before.IsZero() {
		values.Text("cursor", q.Before.String())
	}
	return get[api.Page[auth.Access]](ctx, c, url.Values(values), "v1", "access-log")
}
