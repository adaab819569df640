package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/follow"
	"github.com/sandtrail/sandtrail/internal/bounded"
	"github.com/sandtrail/sandtrail/ledger"
)

// Checkpoint returns a signed checkpoint of all that is sealed. Keep it where the
// operator of the database cannot reach.
func (c *Client) Checkpoint(ctx context.Context) ([]byte, error) {
	return c.file(ctx, "v1", "ledger", "checkpoint")
}

// Receipt returns a file with an execution, its proof and a checkpoint, which
// ledger.VerifyReceipt checks without any server. An execution is sealed seconds
// after its commit; until then it is ErrNotFound.
func (c *Client) Receipt(ctx context.Context, id sandtrail.ID) ([]byte, error) {
	return c.file(ctx, "v1", "ledger", "receipt", id.String())
}

// file reads an answer as it is.
func (c *Client) file(ctx context.Context, path ...string) ([]byte, error) {
	request := call{method: http.MethodGet, path: path}
	response, err := c.send(ctx, request)
	if err != nil {
		return nil, err
	}
	defer drain(response.Body)
	content, err := bounded.ReadAll(response.Body, request.answer(), maxFile)
	if err != nil {
		return nil, cutShort(ctx, request, err)
	}
	return content, nil
}

// Proof returns the path from an execution's ledger entry to a checkpoint, or
// ErrNotFound as Receipt does.
func (c *Client) Proof(ctx context.Context, id sandtrail.ID) (ledger.Proof, error) {
	return get[ledger.Proof](ctx, c, nil, "v1", "ledger", "proof", id.String())
}

// Tile returns hashes of the log's tree, 32 bytes each: as many of a tile's as
// width says, or ErrNotFound.
func (c *Client) Tile(ctx context.Context, id ledger.TileID, width int) ([]byte, error) {
	return c.file(ctx, append([]string{"v1", "ledger"}, strings.Split(id.Path(width), "/")...)...)
}

// Removals yields the removals in the log, in the order of their ledger entries.
func (c *Client) Removals(ctx context.Context) iter.Seq2[ledger.StoredRemoval, error] {
	return entries(ctx, c, "removals", func(r ledger.StoredRemoval) int64 { return r.Leaf })
}

// Renames yields the renames in the log, in the order of their ledger entries.
func (c *Client) Renames(ctx context.Context) iter.Seq2[ledger.StoredRename, error] {
	return entries(ctx, c, "renames", func(r ledger.StoredRename) int64 { return r.Leaf })
}

// entries reads all pages of a list. A server whose pages do not go on from each
// other would be read for ever.
func entries[T any](ctx context.Context, c *Client, kind string, index func(T) int64) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		query, last := api.Values{}, int64(-1)
		for query.Limit(sandtrail.MaxLimit); ; {
			page, err := get[api.Page[T]](ctx, c, url.Values(query), "v1", "ledger", kind)
			if err == nil && page.Next() != "" && (len(page.Items) == 0 || index(page.Items[len(page.Items)-1]) <= last) {
				err = fmt.Errorf("GET /v1/ledger/%s: the pages do not go on after entry %d: a fault of the server", kind, last)
			}
			if err != nil {
				yield(none, err)
				return
			}
			for _, item := range page.Items {
				if last = index(item); !yield(item, nil) {
					return
				}
			}
			if page.Next() == "" {
				return
			}
			url.Values(query).Set("cursor", page.Next())
		}
	}
}

// Closed lists the logs that were there before this one, the last first, with
// their tiles as far as the server keeps them. The tiles are read while ctx lasts.
func (c *Client) Closed(ctx context.Context) ([]ledger.ClosedLog, error) {
	page, err := get[api.Page[ledger.ClosedLog]](ctx, c, nil, "v1", "ledger", "closed")
	for i, closed := range page.Items {
		at := closed.At.Format(time.RFC3339)
		page.Items[i].Tiles = func(id ledger.TileID) ([]byte, error) {
			return c.file(ctx, append([]string{"v1", "ledger", "closed", at}, strings.Split(id.Path(closed.Width(id)), "/")...)...)
		}
	}
	return page.Items, err
}

// ExportSealed uses a line of NDJSON for every execution that a filter selects, newest
// first, which says where it is in the ledger, and returns the signed manifest of
// all lines. As Export it is in the access log and is not repeated.
func (c *Client) ExportSealed(ctx context.Context, f sandtrail.Filter, use func(line []byte) error) (manifest []byte, err error) {
	query := api.FilterValues(f)
	query.Text("manifest", "true")
	request := call{method: http.MethodGet, path: []string{"v1", "export"}, query: url.Values(query)}
	response, err := c.send(ctx, request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	for in := bounded.NewLines(response.Body, request.answer(), maxLine); ; {
		line, err := in.Next()
		if err != nil { // also io.EOF: the manifest comes last
			return nil, cutShort(ctx, request, err)
		}
		if bytes.HasPrefix(line, []byte(`{"manifest":`)) {
			var end api.ExportEnd
			if err := json.Unmarshal(line, &end); err != nil {
				return nil, cutShort(ctx, request, err)
			}
			return []byte(end.Manifest), nil
		}
		if err := use(line); err != nil {
			return nil, err
		}
	}
}

// Stream uses each execution that the filter selects once it is committed, in the
// order of the commits, until use or the connection fails or the context ends. It
// begins behind a place, or with "" now. A stream that broke off with
// ErrUnavailable goes on behind the last place that use was given. Of the filter
// the bounds in time are not used.
func (c *Client) Stream(ctx context.Context, f sandtrail.Filter, after follow.Place, use func(follow.Followed) error) error {
	request := call{
		method: http.MethodGet, path: []string{"v1", "executions", "stream"},
		query: url.Values(api.FilterValues(f)), after: string(after), once: true,
	}
	response, err := c.send(ctx, request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines, place := bounded.NewLines(response.Body, request.answer(), maxLine), after
	for {
		line, err := lines.Next()
		if err != nil {
			return cutShort(ctx, request, err)
		}
		if id, ok := bytes.CutPrefix(line, []byte("id: ")); ok {
			place = follow.Place(bytes.TrimSpace(id))
		}
		data, ok := bytes.CutPrefix(line, []byte("data: "))
		if !ok {
			continue
		}
		next := follow.Followed{Place: place}
		if err := json.Unmarshal(data, &next.Execution); err != nil {
			return fmt.Errorf("%s: %w", request, err)
		}
		if err := use(next); err != nil {
			return err
		}
	}
}
