package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/backoff"
)

// Policy decides what a Recorder does while the server is out of reach.
type Policy string

// The policies.
const (
	// Strict refuses the caller: an execution is on the server when Record returns.
	Strict Policy = "strict"
	// Spool keeps executions on disk and delivers them in the background: an
	// execution is durable, here or on the server, when Record returns.
	Spool Policy = "spool"
)

// RecorderOptions describe a Recorder. The policy strict ignores every other field.
type RecorderOptions struct {
	Policy Policy // required
	// Dir is the folder of the outbox, required. Any number of processes may share
	// it, if all of them record on the same server.
	Dir string
	// MaxBytes bounds the executions on disk, in bytes; 0: DefaultMaxBytes. The
	// recorder drops executions beyond it, and Record returns ErrTooLarge.
	MaxBytes int64
	// MaxAge is how long an execution may wait; 0: 7 days. The recorder drops older ones.
	MaxAge time.Duration
	// Log takes what the recorder drops or cannot deliver; nil: slog.Default().
	Log *slog.Logger
}

const (
	defaultMaxAge  = 7 * 24 * time.Hour
	longestRecheck = time.Minute // while the server is away
)

// Server takes executions over the network: a client.Client.
type Server interface {
	sandtrail.Appender
	// Record stores executions by the server's own rules, all or nothing. They are
	// durable when it returns without error.
	Record(ctx context.Context, drafts ...sandtrail.Draft) (sandtrail.Appended, error)
}

// Recorder records executions on a server. Many goroutines may use it at once.
//
// It counts on disk the executions that it drops. Each user and strategy that lost
// some gets a failed execution, which says how many, when and why.
type Recorder struct {
	server  Server
	options RecorderOptions
	box     *Outbox       // nil: Strict
	wake    chan struct{} // there is something to deliver
	stop    context.CancelFunc
	stopped sync.WaitGroup
}

// NewRecorder makes a recorder, and the outbox's folder for the policy spool. Close
// delivers pending executions. Bad options are CodeInvalid.
func NewRecorder(to Server, o RecorderOptions) (*Recorder, error) {
	r := &Recorder{server: to, options: o, wake: make(chan struct{}, 1), stop: func() {}}
	switch {
	case o.Policy == Strict:
		return r, nil
	case o.Policy != Spool:
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "recorder: the policy must be strict or spool, got %q", o.Policy)
	case o.Dir == "":
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "recorder: the policy spool needs a directory: set Dir")
	}
	if o.MaxAge == 0 {
		r.options.MaxAge = defaultMaxAge
	}
	if o.Log == nil {
		r.options.Log = slog.Default()
	}
	var err error
	if r.box, err = Open(o.Dir, Options{MaxBytes: o.MaxBytes}); err != nil {
		return nil, err
	}
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	r.stopped.Go(func() { r.deliver(ctx) })
	r.wake <- struct{}{} // for executions of an earlier process
	return r, nil
}

// Record records executions, all or nothing. They are durable when it returns without
// error: on the server (strict), or on disk (spool). Either policy refuses executions
// that break a rule. The server alone judges times: the recorder sets aside executions
// that it refuses, and State counts them. A full outbox drops new executions and counts
// them: the error is ErrTooLarge.
func (r *Recorder) Record(ctx context.Context, drafts ...sandtrail.Draft) error {
	if r.box == nil {
		_, err := r.server.Record(ctx, drafts...)
		return err
	}
	if err := (sandtrail.Admission{}).Check(drafts...); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	_, err := r.box.Put(drafts...)
	if errors.Is(err, sandtrail.CodeTooLarge) {
		err = errors.Join(err, r.box.Drop(Full, drafts...))
	}
	r.poke()
	return err
}

// poke lets the background deliver at once.
func (r *Recorder) poke() {
	select {
	case r.wake <- struct{}{}:
	default: // it will
	}
}

// State counts the executions that are pending, and those that the server refused.
func (r *Recorder) State() (State, error) {
	if r.box == nil {
		return State{}, nil
	}
	return r.box.State()
}

// Close delivers pending executions until the context ends, and stops. The rest stays
// on disk for the next recorder of the folder, and the error says why.
func (r *Recorder) Close(ctx context.Context) error {
	r.stop()
	r.stopped.Wait()
	if r.box == nil {
		return nil
	}
	for attempt := 1; ; attempt++ {
		err := r.flush(ctx)
		if err == nil || !retryable(err) || !backoff.Wait(ctx, attempt, err) {
			return err
		}
	}
}

// deliver delivers when it is woken, and again after a pause that grows while the
// server is away. After another error it waits for the next record.
func (r *Recorder) deliver(ctx context.Context) {
	again := time.NewTimer(0)
	defer again.Stop()
	for failures := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
			if failures > 0 {
				continue // the pause goes on
			}
		case <-again.C:
		}
		err := r.flush(ctx)
		switch {
		case err == nil:
			failures = 0
		case ctx.Err() != nil:
			return
		case retryable(err):
			failures++
			again.Reset(backoff.Pause(failures+1, longestRecheck))
		default:
			failures = 0
		}
		if err != nil {
			r.options.Log.Warn("executions wait for the server", "dir", r.box.Dir(), "error", err)
		}
	}
}

func retryable(err error) bool {
	return errors.Is(err, sandtrail.CodeUnavailable) || errors.Is(err, sandtrail.CodeRateLimited)
}

// flush drops executions that are too old, delivers the others, and records how many
// were dropped.
func (r *Recorder) flush(ctx context.Context) error {
	now := time.Now()
	if _, err := r.box.Expire(now.Add(-r.options.MaxAge)); err != nil {
		return err
	}
	admission := sandtrail.Admission{Now: now, Retention: -1} // the server's rules decide
	done, err := r.box.Flush(ctx, r.server, admission)
	if done.Refused+done.Damaged > 0 {
		r.options.Log.Error("executions were set aside", "dir", r.box.Dir(), "refused", done.Refused, "damaged", done.Damaged)
	}
	if done.Stayed > 0 {
		r.options.Log.Warn("executions wait until the server takes them", "dir", r.box.Dir(), "records", done.Stayed, "error", done.Why)
	}
	if err != nil {
		return err
	}
	dropped, err := r.box.AccountForDrops()
	if err != nil || dropped == 0 {
		return err
	}
	r.options.Log.Error("executions were dropped", "dir", r.box.Dir(), "records", dropped)
	_, err = r.box.Flush(ctx, r.server, admission)
	return err
}
