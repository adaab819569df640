package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
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

// maxFile bounds a checkpoint or a receipt.
const maxFile = 16 << 20

// file reads an answer as it is.
func (c *Client) file(ctx context.Context, path ...string) ([]byte, error) {
	request := call{method: http.MethodGet, path: path}
	response, err := c.send(ctx, request)
	if err != nil {
		return nil, err
	}
	defer drain(response.Body)
	content, err := io.ReadAll(io.LimitReader(response.Body, maxFile))
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

// Removals lists the removals in the log.
func (c *Client) Removals(ctx context.Context) ([]ledger.StoredRemoval, error) {
	page, err := get[api.Page[ledger.StoredRemoval]](ctx, c, nil, "v1", "ledger", "removals")
	return page.Items, err
}

// Renames lists the renames in the log.
func (c *Client) Renames(ctx context.Context) ([]ledger.StoredRename, error) {
	page, err := get[api.Page[ledger.StoredRename]](ctx, c, nil, "v1", "ledger", "renames")
	return page.Items, err
}

// ExportSealed uses a line of NDJSON for every execution that a filter selects, newest
// first, which says where it is in the ledger, and returns the signed manifest of
// all lines. As Export it is in the access log and is not repeated.
func (c *Client) ExportSealed(ctx context.Context, f sandtrail.Filter, use func(line []byte) error) (manifest []byte, err error) {
	query := filterValues(f)
	query.text("manifest", "true")
	request := call{method: http.MethodGet, path: []string{"v1", "export"}, query: url.Values(query)}
	response, err := c.send(ctx, request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	for in := bufio.NewReader(response.Body); ; {
		line, err := in.ReadBytes('\n')
		if err != nil { // also io.EOF: the manifest comes last
			return nil, cutShort(ctx, request, err)
		}
		if bytes.HasPrefix(line, []byte(`{"manifest":`)) {
			var end api.ExportEnd
			err := json.Unmarshal(line, &end)
			return []byte(end.Manifest), err
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
func (c *Client) Stream(ctx context.Context, f sandtrail.Filter, after sandtrail.Place, use func(sandtrail.Followed) error) error {
	request := call{
		method: http.MethodGet, path: []string{"v1", "executions", "stream"},
		query: url.Values(filterValues(f)), after: string(after), once: true,
	}
	response, err := c.send(ctx, request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines, place := bufio.NewReader(response.Body), after
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return cutShort(ctx, request, err)
		}
		if id, ok := strings.CutPrefix(line, "id: "); ok {
			place = sandtrail.Place(strings.TrimSpace(id))
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		next := sandtrail.Followed{Place: place}
		if err := json.Unmarshal([]byte(data), &next.Execution); err != nil {
			return fmt.Errorf("%s: %w", request, err)
		}
		if err := use(next); err != nil {
			return err
		}
	}
}
