package client

import (
	"context"
	"net/url"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
)

// Doctor has the server examine its database, by the server's clock.
func (c *Client) Doctor(ctx context.Context, depth sandtrail.Depth, _ time.Time) ([]sandtrail.Check, error) {
	values := url.Values{}
	if depth == sandtrail.Deep {
		values.Set("deep", "true")
	}
	page, err := get[api.Page[sandtrail.Check]](ctx, c, values, "v1", "examination")
	return page.Items, err
}
