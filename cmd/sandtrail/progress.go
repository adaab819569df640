package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/human"
)

// progress is a bar on a terminal; nil draws nothing.
type progress struct {
	w     io.Writer
	now   func() time.Time
	title string
	total int64 // 0: not known
	begun time.Time

	mu       sync.Mutex
	done     int64
	drawn    time.Time
	finished bool
}

// redraw is how often the bar moves.
const redraw = 100 * time.Millisecond

// newProgress begins a bar on standard error, if that is a terminal.
func (d *deps) newProgress(title string, total int64) *progress {
	if !d.errTTY {
		return nil
	}
	now := d.now()
	return &progress{w: d.err, now: d.now, title: title, total: total, begun: now, drawn: now}
}

func (p *progress) add(n int64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	if now := p.now(); !p.finished && now.Sub(p.drawn) >= redraw {
		p.drawn = now
		fmt.Fprintf(p.w, "\r\x1b[K%s", p.line(now))
	}
}

// line is the bar as it stands.
func (p *progress) line(now time.Time) string {
	const width = 30
	if p.total == 0 {
		return fmt.Sprintf("%s %s", p.title, human.Bytes(p.done))
	}
	share := min(1, float64(p.done)/float64(p.total))
	full := int(share * width)
	left := ""
	if passed := now.Sub(p.begun); share > 0.02 {
		rest := time.Duration(float64(passed) * (1 - share) / share)
		left = ", " + human.Millis(float64(rest.Round(time.Second).Milliseconds())) + " left"
	}
	return fmt.Sprintf("%s %s%s %3.0f %%%s", p.title,
		strings.Repeat("█", full), strings.Repeat("░", width-full), share*100, left)
}

// finish takes the bar away.
func (p *progress) finish() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finished = true
	if p.drawn != p.begun {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// deletion deletes executions under a bar. How many there are is counted only
// for the bar.
func (d *deps) deletion(ctx context.Context, title string, count, remove func(context.Context) (int64, error)) (int64, error) {
	if d.errTTY {
		total, err := count(ctx)
		if err != nil {
			return 0, err
		}
		bar := d.newProgress(title, total)
		defer bar.finish()
		ctx = database.OnDeleted(ctx, bar.add)
	}
	return remove(ctx)
}
