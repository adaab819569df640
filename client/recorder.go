package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/outbox"
)

// Policy says what a Recorder does while the server cannot take records.
type Policy string

// The policies.
const (
	// Strict refuses the caller: an execution is on the server when Record returns.
	Strict Policy = "strict"
	// Spool keeps executions on disk and delivers them in the background: an
	// execution is durable, here or on the server, when Record returns.
	Spool Policy = "spool"
)

// RecorderOptions describe a Recorder. Zero fields take the value named beside
// them; those below Policy are for Spool.
type RecorderOptions struct {
	Policy   Policy        // required
	Dir      string        // required; of this server alone, for any number of processes
	MaxBytes int64         // of what waits, beyond them new executions are dropped; outbox.DefaultMaxBytes
	MaxAge   time.Duration // of what waits, older executions are dropped; 7 days
	Log      *slog.Logger  // slog.Default(); told of what cannot be delivered
}

// defaultMaxAge is what MaxAge is if nobody says.
const defaultMaxAge = 7 * 24 * time.Hour

// Recorder records executions on a server. It may be used by many goroutines.
//
// Executions that a spool has to drop are counted on disk, and each user and
// strategy that lost some gets a failed execution which says how many, when
// and why.
type Recorder struct {
	client  *Client
	options RecorderOptions
	box     *outbox.Outbox // nil: Strict
	wake    chan struct{}  // there is something to deliver
	stop    context.CancelFunc
	stopped sync.WaitGroup
}

// Recorder makes a recorder. Close it, so that what waits is delivered.
func (c *Client) Recorder(o RecorderOptions) (*Recorder, error) {
	r := &Recorder{client: c, options: o, wake: make(chan struct{}, 1), stop: func() {}}
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
	if r.box, err = outbox.Open(o.Dir, outbox.Options{MaxBytes: o.MaxBytes}); err != nil {
		return nil, err
	}
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	r.stopped.Go(func() { r.deliver(ctx) })
	r.wake <- struct{}{} // what an earlier process left
	return r, nil
}

// Record records executions, all or nothing. What breaks a rule is refused by
// either policy. Whether a time is too old or too far ahead the server decides: a
// spool then sets the execution aside, and State counts it. A spool that is full drops them: they are counted, and the
// error is ErrTooLarge.
func (r *Recorder) Record(ctx context.Context, drafts ...sandtrail.Draft) error {
	if r.box == nil {
		_, err := r.client.Record(ctx, drafts...)
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
		err = errors.Join(err, r.box.Drop(outbox.Full, drafts...))
	}
	r.poke()
	return err
}

// poke makes the background look at once.
func (r *Recorder) poke() {
	select {
	case r.wake <- struct{}{}:
	default: // it will
	}
}

// State says how many executions wait, and how many were refused for good.
func (r *Recorder) State() (outbox.State, error) {
	if r.box == nil {
		return outbox.State{}, nil
	}
	return r.box.State()
}

// Close delivers what waits until the context ends, and stops. What is left
// stays on disk for the next recorder of the directory; the error says why.
func (r *Recorder) Close(ctx context.Context) error {
	r.stop()
	r.stopped.Wait()
	if r.box == nil {
		return nil
	}
	for attempt := 1; ; attempt++ {
		err := r.flush(ctx)
		if err == nil || !retryable(err) || !pause(ctx, attempt, err) {
			return err
		}
	}
}

// deliver delivers whenever there is something, and again after a pause that
// grows while the server is away. An error that no repetition mends waits for
// the next record.
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
			again.Reset(backOff(failures))
		default:
			failures = 0
		}
		if err != nil {
			r.options.Log.Warn("executions wait for the server", "dir", r.box.Dir(), "error", err)
		}
	}
}

// backOff is how long the background waits after so many failures.
func backOff(failures int) time.Duration {
	wait := firstPause << min(failures, 9)
	return wait/2 + rand.N(wait)
}

func retryable(err error) bool {
	return errors.Is(err, sandtrail.CodeUnavailable) || errors.Is(err, sandtrail.CodeRateLimited)
}

// flush delivers what waits, drops what has waited too long and accounts for
// what was dropped.
func (r *Recorder) flush(ctx context.Context) error {
	now := time.Now()
	if _, err := r.box.Expire(now.Add(-r.options.MaxAge)); err != nil {
		return err
	}
	admission := sandtrail.Admission{Now: now, Retention: -1} // the server's rules decide
	done, err := r.box.Flush(ctx, r.client, admission)
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
	_, err = r.box.Flush(ctx, r.client, admission)
	return err
}
