//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/outbox"
)

const (
	// settleTime is how long what is left over may stay after the load has ended.
	settleTime = 45 * time.Second
	// maxDescriptors are the open files of a server that only the readers of its
	// streams use.
	maxDescriptors = 100
)

// compare has what waits delivered and holds everything against the oracle. It is
// called when nothing is broken any more and no client writes.
func (c *campaign) compare() {
	c.deliver()
	rows, err := readRows(c.ctx, c.database.pool())
	if err != nil {
		c.found("the executions cannot be read: %v", err)
		return
	}
	for _, loss := range c.oracle.judge(rows) {
		c.found("%s", loss)
	}
	c.examine()
	if !c.spoiled {
		c.compareStreams(rows)
	}
	c.compareRest()
}

// deliver brings to the store what waits in the outboxes, which are empty then.
func (c *campaign) deliver() {
	server := "http://" + c.servers[0].address
	for _, dir := range []string{c.outbox, c.spool} {
		for _, verb := range []string{"flush", "retry", "flush"} {
			state, err := stateOf(dir)
			if err != nil {
				c.found("outbox %s: %v", dir, err)
				break
			}
			if verb == "retry" && state.Refused == 0 {
				break
			}
			said, status, err := call(c.ctx, c.sandtrail("", "outbox", verb, "--server", server, "--outbox", dir))
			if err != nil || status != 0 && c.poisoned == 0 {
				c.found("outbox %s of %s: status %d: %s%v", verb, filepath.Base(dir), status, said, err)
			}
		}
		state, err := stateOf(dir)
		if err != nil || state.Waiting+state.Refused+state.Lost+state.Running+state.Dropped > 0 {
			c.found("outbox %s is not empty after it was flushed: %+v, %v", filepath.Base(dir), state, err)
		}
		if c.poisoned > 0 && state.Damaged == 0 || c.poisoned == 0 && state.Damaged > 0 {
			c.found("outbox %s has %d damaged files; %d times strangers put some there", filepath.Base(dir), state.Damaged, c.poisoned)
		}
	}
	if err := c.unpoison(); err != nil {
		c.found("%v", err)
	}
}

func stateOf(dir string) (outbox.State, error) {
	box, err := outbox.Open(dir, outbox.Options{})
	if err != nil {
		return outbox.State{}, err
	}
	return box.State()
}

// examine runs the commands that find faults. They must find some where something
// was written past the guards, and none otherwise.
func (c *campaign) examine() {
	clean := 0
	if c.spoiled {
		clean = 1
	}
	for _, args := range [][]string{{"doctor", "--deep", "-o", "json"}, {"verify", "-o", "json"}} {
		var said string
		var status int
		var err error
		until(c.ctx, upkeepTime, func() bool {
			said, status, err = call(c.ctx, c.sandtrail(c.database.direct(), args...))
			return err != nil || status == clean || !waitsForUpkeep(said)
		})
		if err != nil || status != clean {
			c.found("sandtrail %s: status %d: %s%v", strings.Join(args, " "), status, said, err)
		}
	}
}

// upkeepTime is in what time a step of the upkeep that a fault has stopped is done
// again.
const upkeepTime = 2 * time.Minute

// waitsForUpkeep reports whether all that doctor has found are steps that a fault
// has stopped, which are tried again by and by, and rows that one of them moves.
func waitsForUpkeep(said string) bool {
	var checks []database.Check
	if err := json.Unmarshal([]byte(said), &checks); err != nil {
		return false
	}
	return !slices.ContainsFunc(checks, func(check database.Check) bool {
		return !check.OK && !strings.HasPrefix(check.Name, "upkeep:") && check.Name != "default partition"
	})
}

// compareStreams waits until every reader was told every record.
func (c *campaign) compareStreams(rows []row) {
	for i, r := range c.readers {
		var missing, twice []string
		until(c.ctx, settleTime, func() bool {
			missing, twice = r.missing(rows)
			return len(missing) == 0
		})
		if len(missing) > 0 {
			c.found("the stream of server %d has not told %d records, such as %s", i, len(missing), missing[0])
		}
		if len(twice) > 0 {
			c.found("the stream of server %d has told %d records more than once: %s", i, len(twice), strings.Join(r.doubled, "; "))
		}
	}
}

// compareRest looks for what should have been let go of: files, descriptors, memory.
func (c *campaign) compareRest() {
	for i, s := range c.servers {
		var left []os.DirEntry
		if !until(c.ctx, settleTime, func() bool { left, _ = os.ReadDir(s.temp); return len(left) == 0 }) {
			c.found("server %d has left %d temporary files, such as %s", i, len(left), left[0].Name())
		}
		var open int
		if !until(c.ctx, settleTime, func() bool { open = s.current().descriptors(); return open <= maxDescriptors }) {
			c.found("server %d has %d files open when no client uses it", i, open)
		}
		if memory := s.peak(); memory > c.Memory {
			c.found("server %d has had %d MiB of memory", i, memory>>20)
		}
		if slowest := s.slowestAnswer(); slowest > c.Health {
			c.found("/healthz of server %d has answered after %s", i, slowest)
		}
	}
	if left := c.leftProcesses(); len(left) > 0 {
		c.found("processes are left: %s", strings.Join(left, ", "))
	}
	c.compareSessions()
}

// leftProcesses are those that the campaign started, whatever their parent is by now,
// and are none of its servers.
func (c *campaign) leftProcesses() (left []string) {
	ours := map[string]bool{}
	for _, s := range c.servers {
		if s != nil {
			ours[strconv.Itoa(s.current().cmd.Process.Pid)] = true
		}
	}
	until(c.ctx, 5*time.Second, func() bool {
		left = nil
		environments, _ := filepath.Glob("/proc/[0-9]*/environ") // a valid pattern
		for _, name := range environments {
			environment, err := os.ReadFile(name)
			pid := filepath.Base(filepath.Dir(name))
			if err == nil && bytes.Contains(environment, []byte(markEnv+"="+c.dir+"\x00")) && !ours[pid] {
				command, _ := os.ReadFile("/proc/" + pid + "/cmdline") // it may have ended
				left = append(left, pid+" "+strings.ReplaceAll(string(command), "\x00", " "))
			}
		}
		return len(left) == 0
	})
	return left
}

// markEnv is in the environment of all that the campaign starts.
const markEnv = "TORTURE"

// compareSessions wants no transaction left open, on PostgreSQL.
func (c *campaign) compareSessions() {
	if c.Store != "postgres" {
		return
	}
	var left int
	done := until(c.ctx, settleTime, func() bool {
		ctx, cancel := context.WithTimeout(c.ctx, 10*time.Second)
		defer cancel()
		err := c.database.pool().QueryRowContext(ctx, `SELECT (SELECT count(*) FROM pg_stat_activity
			WHERE state LIKE 'idle in transaction%' AND state_change < now() - interval '2 seconds')
			+ (SELECT count(*) FROM pg_prepared_xacts)`).Scan(&left)
		return err == nil && left == 0
	})
	if !done {
		c.found("%d transactions are left open", left)
	}
}
