package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/outbox"
	"github.com/sandtrail/sandtrail/recorder"
)

// keep sees to it that the record cannot be lost while it is delivered.
func (r *run) keep(ctx context.Context, draft sandtrail.Draft) error {
	if r.trace == nil {
		r.settle(ctx, draft)
		return nil
	}
	err := r.box.Finish(r.trace, draft)
	if r.settle(ctx, draft) {
		return errors.Join(err, r.endTrace())
	}
	if err != nil { // the disk is full, for instance
		r.Warn("the execution's trace alone stays in %s: the next call records it as lost", r.box.Dir())
		return err
	}
	r.Warn("it stays in %s, beside the execution's trace: the next call tries again", r.box.Dir())
	return nil
}

// settle brings the record to the store, or, when that is not to be done now,
// into the outbox. Nothing of it changes the exit status. It reports whether
// there is no more to be done, be it that a full outbox has refused the record.
func (r *run) settle(ctx context.Context, draft sandtrail.Draft) bool {
	if r.Program.Open == nil {
		return r.put(draft, nil)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(r.DeliverWait))
	defer cancel()
	admission := r.Admission(r.Now())
	store, err := r.deliver(ctx, draft, admission)
	if err != nil {
		return r.put(draft, r.late(ctx, err))
	}
	if r.box == nil {
		return true
	}
	r.box.Taken(draft)
	sessions, _ := r.SessionsFlag.Dir(r.Program) // without a home there are none
	done, err := DeliverWaiting(ctx, r.box, sessions, store, admission)
	if err == nil {
		err = done.Why
	}
	if err = r.late(ctx, err); err != nil {
		r.Warn("earlier executions still wait in %s: %v", r.box.Dir(), err)
	}
	return true
}

// late says in whose time a delivery that took too long has not ended.
func (r *run) late(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the store has not taken it within %s (--deliver-wait)", sandtrail.FormatDuration(time.Duration(r.DeliverWait)))
	}
	return err
}

// deliver brings the record to the store and returns the store.
func (r *run) deliver(ctx context.Context, draft sandtrail.Draft, admission sandtrail.Admission) (sandtrail.Appender, error) {
	admitted, err := admission.Admit(draft)
	if err != nil {
		return nil, err
	}
	store, err := r.Program.Open(ctx)
	if err != nil {
		return nil, err
	}
	_, err = store.Append(ctx, admitted)
	return store, err
}

// put leaves the record in the outbox: because of why, or, when that is nil,
// because it belongs there. It reports whether there is no more to be done.
func (r *run) put(draft sandtrail.Draft, why error) (settled bool) {
	if r.box == nil {
		r.Warn("the execution is lost: %v", why)
		return true
	}
	_, err := r.box.Put(draft)
	switch {
	case sandtrail.CodeOf(err) == sandtrail.CodeTooLarge:
		r.warnOf("the execution is lost: ", why, err)
		return true
	case err != nil:
		r.warnOf("the execution could not be delivered, nor put into the outbox: ", why, err)
		return false
	case why != nil:
		r.Warn("the execution waits in %s: %v", r.box.Dir(), why)
	}
	return true
}

// warnOf gives two reasons; the first may be none.
func (r *run) warnOf(what string, why, err error) {
	if why == nil {
		r.Warn(what+"%v", err)
		return
	}
	r.Warn(what+"%v; %v", why, err)
}

// DeliverWaiting turns the traces of lost runs into records and brings to the
// store what the outbox holds, as far as the context allows.
func DeliverWaiting(ctx context.Context, box *outbox.Outbox, sessions string, store sandtrail.Appender, admission sandtrail.Admission) (outbox.Delivery, error) {
	_, sweepErr := box.Sweep(recorder.LostRun(sessions))
	done, err := box.Flush(ctx, store, admission)
	return done, errors.Join(sweepErr, err)
}
