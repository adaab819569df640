package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/human"
	"github.com/sandtrail/sandtrail/outbox"
	"github.com/sandtrail/sandtrail/runner"
	"github.com/sandtrail/sandtrail/worker"
)

// Beside exec and "outbox flush", these deliver what waits on the machine: a
// server, now and then, and the commands that add executions or owners of
// executions, once they are done. Commands that read change nothing.
const deliveryJobPeriod = 10 * time.Second

var deliverers = []string{"record", "strategies add", "strategies import", "users add", "users import"}

// afterwards is how long a command may take longer for a delivery.
const afterwards = 2 * time.Second

// delivery is the outbox job of a server.
func (c *serveCmd) delivery(store sandtrail.Appender, periods sandtrail.Periods, d *deps, log *slog.Logger) worker.Job {
	return worker.Job{Name: "outbox", Every: deliveryJobPeriod, RunOnce: func(ctx context.Context, now time.Time) error {
		box, err := c.existing(d)
		if err != nil || box == nil {
			return err
		}
		sessions, _ := c.sessionDir(d) // without a home there are none
		done, err := runner.DeliverWaiting(ctx, box, sessions, store, periods.Admission(now))
		if done.Delivered+done.Refused+done.Damaged > 0 {
			log.Info("delivered what waited", "outbox", box.Dir(), "delivered", done.Delivered, "refused", done.Refused, "damaged", done.Damaged)
		}
		return err
	}}
}

// deliverWaiting brings what waits to the store that a command has written to.
// Nothing of it changes the command's outcome.
func (d *deps) deliverWaiting(ctx context.Context, command string) {
	if d.opened == nil || !slices.Contains(deliverers, command) {
		return
	}
	box, err := d.waitingHere()
	if err != nil {
		d.warn("executions that wait on this machine were not delivered: %v", err)
	}
	if box == nil {
		return
	}
	if state, err := box.State(); err == nil && state.Waiting+state.Lost == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, afterwards)
	defer cancel()
	places := runner.SessionsFlag{SessionDir: d.getenv("SANDTRAIL_SESSIONS")}
	sessions, _ := places.Dir(d.program())
	keep := runner.RetentionFlag{Retention: runner.Retention}
	if value := d.getenv("SANDTRAIL_RETENTION"); value != "" {
		if err := keep.Retention.UnmarshalText([]byte(value)); err != nil {
			d.warn("executions still wait in %s: SANDTRAIL_RETENTION: %v", box.Dir(), err)
			return
		}
	}
	done, err := runner.DeliverWaiting(ctx, box, sessions, d.opened, keep.Admission(d.now()))
	if done.Delivered > 0 {
		fmt.Fprintf(d.err, "sandtrail: %s that waited in %s: delivered.\n", human.Plural(int64(done.Delivered), "execution"), box.Dir())
	}
	if done.Refused+done.Damaged > 0 {
		d.warn("%d refused and %d damaged were set aside in %s", done.Refused, done.Damaged, box.Dir())
	}
	if err != nil {
		d.warn("executions still wait in %s: %v", box.Dir(), err)
	}
}

// waitingHere is the outbox of the store that the command has written to. An
// outbox that the environment names is for the store that the environment names:
// a flag that names another store does not send it there.
func (d *deps) waitingHere() (*outbox.Outbox, error) {
	flag := runner.OutboxFlag{Outbox: d.getenv("SANDTRAIL_OUTBOX")}
	if flag.Outbox != "" && (d.DB != "" || d.Server != "") {
		return nil, nil
	}
	return flag.Existing(d.program(), outbox.All)
}
