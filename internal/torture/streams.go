//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/client"
	"github.com/sandtrail/sandtrail/follow"
)

// reader follows the records live, and goes on behind the last that it was told
// whenever its connection breaks.
type reader struct {
	*campaign
	client  *client.Client
	mu      sync.Mutex
	place   follow.Place
	seen    map[string]int
	early   map[string]bool // records that it need not have been told
	doubled []string        // the first of those that were told again, and where
}

func (r *reader) follow(ctx context.Context) {
	for ctx.Err() == nil {
		err := r.client.Stream(ctx, sandtrail.Filter{}, r.last(), r.take)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, sandtrail.CodeInvalid) {
			r.found("a stream's reader cannot go on behind the last record it was told: %v", err)
		}
		r.told("stream", err)
		pause(ctx, 200*time.Millisecond)
	}
}

func (r *reader) last() follow.Place {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.place
}

func (r *reader) take(f follow.Followed) error {
	key := f.ID.String()
	if token, ok := tokenOf(string(f.Metadata)); ok {
		key = token
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen[key]++
	if n := r.seen[key]; n > 1 && len(r.doubled) < 5 {
		r.doubled = append(r.doubled, fmt.Sprintf("%s at %s after %s", key, f.Place, r.place))
	}
	r.place = f.Place
	return nil
}

// missing are the records of the store that the reader was not told, and twice
// those that it was told more than once.
func (r *reader) missing(rows []row) (missing, twice []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, row := range rows {
		switch n := r.seen[row.key]; {
		case n == 0 && !r.early[row.key]:
			missing = append(missing, row.key)
		case n > 1:
			twice = append(twice, row.key)
		}
	}
	return missing, twice
}

// begin notes which records the reader need not have been told: those that were
// sent before it had a place.
func (r *reader) begin(o *oracle) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	r.early = map[string]bool{}
	for key := range o.all {
		r.early[key] = true
	}
}
