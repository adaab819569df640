package server

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/sandtrail/sandtrail"
)

const (
	// groupRecords is how many records share one transaction at most.
	groupRecords = 1000
	// aloneFrom is the size from which a batch is worth its own transaction.
	aloneFrom = 250
	// commitTime bounds a transaction that no single caller may cancel.
	commitTime = 30 * time.Second
)

// committer makes small appends that arrive together share one transaction:
// while as many commit as there are writers, the next group gathers. The
// answers follow the commit, and a refused batch does not fail the others.
type committer struct {
	store     sandtrail.Appender
	writers   int
	queue     chan *write
	stopped   chan struct{}
	metrics   *metrics
	tracer    trace.Tracer // of the spans of writes; nil where there are none
	committed *broadcast
}

type write struct {
	ctx   context.Context
	batch []sandtrail.Admitted
	done  chan written // buffered: the answer of a caller that left is dropped
}

type written struct {
	appended sandtrail.Appended
	err      error
}

func newCommitter(cfg Config, m *metrics, committed *broadcast) *committer {
	return &committer{
		store: cfg.Store, writers: cfg.Writers, queue: make(chan *write, groupRecords), stopped: make(chan struct{}),
		metrics: m, tracer: cfg.Tracer, committed: committed,
	}
}

// Append is Appender.Append, save that a cancelled call may still be stored,
// as when the answer to a request is lost: its retry is a duplicate.
func (c *committer) Append(ctx context.Context, batch []sandtrail.Admitted) (sandtrail.Appended, error) {
	if len(batch) >= aloneFrom || len(batch) == 0 {
		appended, err := c.append(ctx, []*write{{ctx: ctx}}, batch)
		c.finished(appended, err)
		return appended, err
	}
	w := &write{ctx: ctx, batch: batch, done: make(chan written, 1)}
	select {
	case c.queue <- w:
	case <-ctx.Done():
		return sandtrail.Appended{}, ctx.Err()
	case <-c.stopped:
		return sandtrail.Appended{}, errStopping
	}
	select {
	case result := <-w.done:
		return result.appended, result.err
	case <-ctx.Done():
		return sandtrail.Appended{}, ctx.Err()
	case <-c.stopped:
		return sandtrail.Appended{}, errStopping
	}
}

var errStopping = &sandtrail.Error{Code: sandtrail.CodeUnavailable, Message: "the server is stopping; send the request again"}

// waiting is how many appends wait for the next transaction.
func (c *committer) waiting() float64 { return float64(len(c.queue)) }

func (c *committer) run(ctx context.Context) {
	defer close(c.stopped)
	var writers sync.WaitGroup
	for range c.writers {
		writers.Go(func() { c.write(ctx) })
	}
	writers.Wait()
}

// write stores one group after the other.
func (c *committer) write(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-c.queue:
			c.commit(c.gather(first))
		}
	}
}

// gather takes what is queued and still waited for, up to a full group.
func (c *committer) gather(first *write) []*write {
	var group []*write
	for w, records := first, 0; ; {
		if w.ctx.Err() == nil {
			group = append(group, w)
			records += len(w.batch)
		}
		if records >= groupRecords {
			return group
		}
		select {
		case w = <-c.queue:
		default:
			return group
		}
	}
}

func (c *committer) commit(group []*write) {
	if len(group) == 0 {
		return
	}
	batches := make([][]sandtrail.Admitted, len(group))
	for i, w := range group {
		batches[i] = w.batch
	}
	all := slices.Concat(batches...)
	ctx, cancel := context.WithTimeout(context.Background(), commitTime)
	defer cancel()
	appended, err := c.append(ctx, group, all)
	c.metrics.groupSize.Observe(float64(len(all)))
	if err != nil && len(group) > 1 && !transient(err) {
		// One record is at fault: halve until it is alone.
		c.commit(group[:len(group)/2])
		c.commit(group[len(group)/2:])
		return
	}
	c.finished(appended, err)
	if err != nil {
		for _, w := range group {
			w.done <- written{err: err}
		}
		return
	}
	from := 0
	for _, w := range group {
		to := from + len(w.batch)
		w.done <- written{appended: share(appended, from, to)}
		from = to
	}
}

// append stores what a group of writes brings.
func (c *committer) append(ctx context.Context, group []*write, batch []sandtrail.Admitted) (sandtrail.Appended, error) {
	ctx, end := c.span(ctx, group, len(batch))
	appended, err := c.store.Append(ctx, batch)
	end(err)
	return appended, err
}

// share is what an append says about its records from..to-1.
func share(a sandtrail.Appended, from, to int) sandtrail.Appended {
	mine := sandtrail.Appended{IDs: a.IDs[from:to], Stored: a.Stored[from:to]}
	for _, stored := range mine.Stored {
		if stored {
			mine.Accepted++
		} else {
			mine.Duplicates++
		}
	}
	return mine
}

func (c *committer) finished(appended sandtrail.Appended, err error) {
	if err != nil {
		c.metrics.appendErrors.WithLabelValues(string(sandtrail.CodeOf(err))).Inc()
		return
	}
	c.metrics.accepted.Add(float64(appended.Accepted))
	c.metrics.duplicates.Add(float64(appended.Duplicates))
	if appended.Accepted > 0 {
		c.committed.send()
	}
}

// transient reports whether the same batch may succeed later.
func transient(err error) bool {
	return errors.Is(err, sandtrail.CodeUnavailable) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}
