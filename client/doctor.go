package client

import (
	"context"
	"net/url"
	"time"

	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/database"
)

// Doctor has the server examine its database, by the server's clock.
func (c *Client) Doctor(ctx context.Context, depth database.Depth, _ time.Time) ([]database.Check, error) {
	values := url.Values{}
	if depth == database.Deep {
		values.Set("deep", "true")
	}
	page, err := get[api.Page[database.Check]](ctx, c, values, "v1", "examination")
	return page.Items, err
}
