// Package worker runs what a server does in the background: upkeep of the
// store, retention, alerts. Each job does one round when asked; the loop that
// asks is shared.
package worker

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// Job is work that is done again and again.
type Job struct {
	Name  string
	Every time.Duration // from the end of one round to the begin of the next
	// RunOnce does one round, at the time that the loop says. An error is logged and the job goes on, after
	// longer and longer pauses while errors last.
	RunOnce func(ctx context.Context, now time.Time) error
}

// Loop runs jobs until its context ends.
type Loop struct {
	Jobs []Job
	// Now is the time: by the clock that all servers of a database share, so that
	// none keeps the work of others from being done, or does it too early.
	Now func(context.Context) (time.Time, error)
	Log *slog.Logger
	// Done is called after each round; nil: no call.
	Done func(job string, took time.Duration, err error)
}

// Run blocks until the context ends and every round has returned.
func (l Loop) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, job := range l.Jobs {
		running.Go(func() { l.repeat(ctx, job) })
	}
	running.Wait()
}

// maxPause is how long a job that keeps failing waits at most, unless its
// own interval is longer.
const maxPause = time.Minute

func (l Loop) repeat(ctx context.Context, job Job) {
	pause := job.Every
	for ctx.Err() == nil {
		switch err := l.round(ctx, job); {
		case err == nil:
			pause = job.Every
		case ctx.Err() != nil:
			return
		default:
			pause = max(job.Every, min(2*pause, maxPause))
			l.Log.Error("background job", "job", job.Name, "error", err, "again in", pause)
		}
		// Servers that started together do not stay in step.
		timer := time.NewTimer(pause - pause/10 + rand.N(pause/5+1))
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// round does one round; a panic in it is an error of this round alone.
func (l Loop) round(ctx context.Context, job Job) (err error) {
	start := time.Now()
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("panic: %v", fault)
		}
		if l.Done != nil {
			l.Done(job.Name, time.Since(start), err)
		}
	}()
	now, err := l.Now(ctx)
	if err != nil {
		return err
	}
	return job.RunOnce(ctx, now)
}
