//go:build linux

package main

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/client"
)

func databaseFaults() []fault {
	onPostgres := func(name, promise string, do func(context.Context, *campaign, *postgresServers, *rand.Rand) error) fault {
		return fault{name: name, promise: promise, store: "postgres", do: func(ctx context.Context, c *campaign, rng *rand.Rand) error {
			p, _ := c.database.(*postgresServers) // it is tried on no other store
			return c.awayBoth(func() error { return do(ctx, c, p, rng) })
		}}
	}
	signalled := func(s syscall.Signal) func(context.Context, *campaign, *postgresServers, *rand.Rand) error {
		return func(ctx context.Context, c *campaign, p *postgresServers, rng *rand.Rand) error {
			p.nodes[p.primary].process.signal(s)
			pause(ctx, upTo(rng, 2*time.Second))
			if s != syscall.SIGKILL && !until(ctx, 30*time.Second, func() bool { return !p.nodes[p.primary].process.running() }) {
				return fmt.Errorf("PostgreSQL has not ended 30 seconds after %v", s)
			}
			return p.ready(ctx)
		}
	}
	return []fault{
		onPostgres("database killed", nothingLost, signalled(syscall.SIGKILL)),
		onPostgres("database ended at once", nothingLost, signalled(syscall.SIGQUIT)),
		onPostgres("database restarted", nothingLost, signalled(syscall.SIGINT)),
		onPostgres("database stopped", nothingLost+"; it goes on", databaseStopped),
		onPostgres("backend killed", nothingLost, func(ctx context.Context, c *campaign, p *postgresServers, rng *rand.Rand) error {
			n := p.nodes[p.primary]
			if pids := n.backends(); len(pids) > 0 {
				_ = syscall.Kill(pids[rng.IntN(len(pids))], syscall.SIGKILL) // it may have ended
			}
			pause(ctx, upTo(rng, time.Second))
			return p.ready(ctx)
		}),
		onPostgres("sessions ended", nothingLost, func(ctx context.Context, c *campaign, p *postgresServers, rng *rand.Rand) error {
			for range 3 {
				pause(ctx, upTo(rng, 500*time.Millisecond))
				if err := execute(ctx, p.db, endSessions); err != nil {
					return err
				}
			}
			return nil
		}),
		onPostgres("connections used up", nothingLost+"; it goes on when there are some", connectionsUsedUp),
		onPostgres("standby promoted", "nothing acknowledged is lost, as the standby is a synchronous one", func(ctx context.Context, c *campaign, p *postgresServers, rng *rand.Rand) error {
			return p.promote(ctx)
		}),
		onPostgres("limits of an administrator", nothingLost+"; maintenance sets limits of its own", administratorsLimits),
		onPostgres("no partition for its time", "one is made", noPartition),
		{name: "table locked", promise: nothingLost + "; callers are told to try again", do: tableLocked},
		{
			name: "triggers disabled", promise: "doctor --deep and verify name what is written meanwhile", store: "postgres",
			spoils: true, do: triggersDisabled,
		},
	}
}

const endSessions = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`

// databaseStopped has all processes of PostgreSQL stand still.
func databaseStopped(ctx context.Context, c *campaign, p *postgresServers, rng *rand.Rand) error {
	n := p.nodes[p.primary]
	all := append([]int{n.process.cmd.Process.Pid}, n.backends()...)
	for _, pid := range all {
		_ = syscall.Kill(pid, syscall.SIGSTOP) // it may have ended
	}
	pause(ctx, time.Second+upTo(rng, 4*time.Second))
	for _, pid := range all {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
	return nil
}

// connectionsUsedUp opens connections until PostgreSQL refuses them.
func connectionsUsedUp(ctx context.Context, c *campaign, p *postgresServers, rng *rand.Rand) error {
	db, err := sql.Open("pgx", p.nodes[p.primary].url())
	if err != nil {
		return err
	}
	defer db.Close()
	for end := time.Now().Add(2*time.Second + upTo(rng, 3*time.Second)); time.Now().Before(end) && ctx.Err() == nil; {
		conn, err := db.Conn(ctx)
		if err != nil {
			pause(ctx, 100*time.Millisecond)
			continue
		}
		defer conn.Close() // all of them are held until the end
	}
	return nil
}

// administratorsLimits are those that an administrator gives every session.
func administratorsLimits(ctx context.Context, c *campaign, p *postgresServers, rng *rand.Rand) error {
	settings := []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"}
	for _, name := range settings {
		if err := execute(ctx, p.db, fmt.Sprintf("ALTER DATABASE postgres SET %s = %d", name, 50+rng.IntN(500))); err != nil {
			return err
		}
	}
	if err := execute(ctx, p.db, endSessions); err != nil {
		return err
	}
	pause(ctx, 2*time.Second+upTo(rng, 3*time.Second))
	for _, name := range settings {
		if err := execute(ctx, p.db, "ALTER DATABASE postgres RESET "+name); err != nil {
			return err
		}
	}
	return execute(ctx, p.db, endSessions)
}

// noPartition sends executions of times that have no partition yet, by the API and
// by plain SQL.
func noPartition(ctx context.Context, c *campaign, p *postgresServers, rng *rand.Rand) error {
	w := &writer{campaign: c, kind: "old", rng: rng}
	api, err := client.Open(c.servers[0].url(), "")
	if err != nil {
		return err
	}
	defer api.Close()
	for range 5 {
		at := time.Now().Add(-upTo(rng, 85*24*time.Hour))
		for i, m := range w.make(6) {
			if i%2 == 0 {
				_, err = p.db.ExecContext(ctx, `INSERT INTO sandbox_execution_logs (id, user_id, strategy_id, execution_type, success, execution_time, created_at)
					VALUES ($1, $2, $3, 'VALIDATION', true, $4, $5)`, m.id.String(), user, strategy, m.time, at)
			} else {
				d := draftOf(m)
				d.CreatedAt = sandtrail.Millisecond(at)
				_, err = api.Record(ctx, d)
			}
			if err != nil {
				c.told(w.kind, err)
				continue
			}
			c.oracle.becomes(stored, m.id.String())
		}
	}
	return nil
}

// tableLocked holds a lock that keeps every writer out, for longer than some wait.
func tableLocked(ctx context.Context, c *campaign, rng *rand.Rand) error {
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tx, err := c.database.pool().BeginTx(limited, nil) // on SQLite that is the lock
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was changed
	if c.Store == "postgres" {
		if _, err := tx.ExecContext(limited, "LOCK TABLE sandbox_execution_logs IN ACCESS EXCLUSIVE MODE"); err != nil {
			return fmt.Errorf("lock the table: %w", err)
		}
	}
	pause(ctx, 2*time.Second+upTo(rng, 16*time.Second))
	return nil
}

// triggersDisabled writes rows while an administrator has switched the triggers off.
func triggersDisabled(ctx context.Context, c *campaign, rng *rand.Rand) error {
	const table = "ALTER TABLE sandbox_execution_logs "
	if err := execute(ctx, c.database.pool(), table+"DISABLE TRIGGER USER"); err != nil {
		return err
	}
	w := &writer{campaign: c, kind: "sql", rng: rng}
	for range 5 {
		_ = w.plainSQL(ctx) // a driver's words
	}
	return execute(ctx, c.database.pool(), table+"ENABLE TRIGGER USER")
}
