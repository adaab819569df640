//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func diskFaults() []fault {
	return []fault{
		{
			name: "disk full", promise: nothingLost + "; it goes on when there is room", cannot: noMount,
			do: func(ctx context.Context, c *campaign, rng *rand.Rand) error { return c.fill(ctx, c.disk, rng) },
		},
		{
			name: "disk of the outboxes full", promise: "what cannot be kept is refused aloud; the rest is delivered", cannot: noMount,
			do: func(ctx context.Context, c *campaign, rng *rand.Rand) error { return c.fill(ctx, c.boxes, rng) },
		},
		{name: "disk read-only", promise: "servers say so and come back with it", cannot: noMount, do: diskReadOnly},
		{
			name: "fsync fails", promise: nothingLost, cannot: noStrace,
			do: func(ctx context.Context, c *campaign, rng *rand.Rand) error {
				return c.injected(ctx, "fsync,fdatasync:error=EIO:when="+strconv.Itoa(1+rng.IntN(3))+"+2", upTo(rng, 3*time.Second))
			},
		},
		{
			name: "writes fail", promise: nothingLost, cannot: noStrace,
			do: func(ctx context.Context, c *campaign, rng *rand.Rand) error {
				return c.injected(ctx, "pwrite64:error=EIO:when="+strconv.Itoa(1+rng.IntN(3))+"+3", upTo(rng, 3*time.Second))
			},
		},
		{
			name: "disk slow", promise: nothingLost, cannot: noStrace,
			do: func(ctx context.Context, c *campaign, rng *rand.Rand) error {
				return c.injected(ctx, "fsync,fdatasync:delay_enter=300000", time.Second+upTo(rng, 3*time.Second))
			},
		},
		{name: "clock forward", promise: nothingLost, do: clockStep(1)},
		{name: "clock back", promise: nothingLost, do: clockStep(-1)},
		{name: "descriptors run out", promise: nothingLost + "; it goes on when there are some", do: noDescriptors},
	}
}

func noMount(c *campaign) string {
	if err := c.tryMount(); err != nil {
		return "no file system may be mounted here: " + err.Error()
	}
	return ""
}

// noStrace says why no system call can be made to fail.
func noStrace(*campaign) string {
	if said, err := exec.Command("strace", "-qq", "-o", "/dev/null", "-e", "inject=fsync:error=EIO", "true").CombinedOutput(); err != nil {
		return fmt.Sprintf("strace cannot be had here: %v %s", err, strings.TrimSpace(string(said)))
	}
	return ""
}

func (c *campaign) fill(ctx context.Context, d *disk, rng *rand.Rand) error {
	return c.awayBoth(func() error {
		if err := d.fill(); err != nil {
			return err
		}
		pause(ctx, time.Second+upTo(rng, 3*time.Second))
		return d.empty()
	})
}

// awayBoth does something because of which no server need answer.
func (c *campaign) awayBoth(do func() error) error {
	return c.servers[0].away(func() error { return c.servers[1].away(do) })
}

// diskReadOnly starts servers on a disk that takes nothing. A disk with files that
// are open for writing cannot be made one.
func diskReadOnly(ctx context.Context, c *campaign, rng *rand.Rand) error {
	return c.awayBoth(func() error {
		for _, s := range c.servers {
			s.current().kill()
		}
		c.plain.Lock()
		defer c.plain.Unlock()
		c.database.pool().SetMaxIdleConns(0)
		defer c.database.pool().SetMaxIdleConns(2)
		if p, ok := c.database.(*postgresServers); ok {
			p.nodes[p.primary].stop()
		}
		var err error
		until(ctx, 10*time.Second, func() bool { err = c.disk.readOnly(true); return err == nil })
		if err != nil {
			return fmt.Errorf("make the disk read-only: %w", err)
		}
		for _, s := range c.servers {
			if err := s.start(); err != nil {
				return err
			}
		}
		pause(ctx, time.Second+upTo(rng, 2*time.Second))
		for _, s := range c.servers {
			if said := s.current().said(); said != "" {
				c.told("serve", fmt.Errorf("%s", strings.TrimSpace(said)))
			}
		}
		return errors.Join(c.disk.readOnly(false), c.database.ready(ctx)) // another fault may wait for it
	})
}

// injected has system calls of the processes that write the store fail or take long,
// by strace, for a time.
func (c *campaign) injected(ctx context.Context, what string, d time.Duration) error {
	pids := []int{c.servers[0].current().cmd.Process.Pid, c.servers[1].current().cmd.Process.Pid}
	if p, ok := c.database.(*postgresServers); ok {
		n := p.nodes[p.primary]
		pids = append([]int{n.process.cmd.Process.Pid}, n.backends()...)
	}
	calls, _, _ := strings.Cut(what, ":")
	args := []string{"-f", "-qq", "-o", "/dev/null", "-e", "trace=" + calls, "-e", "inject=" + what}
	for _, pid := range pids {
		args = append(args, "-p", strconv.Itoa(pid))
	}
	return c.awayBoth(func() error {
		p, err := start("strace", exec.Command("strace", args...))
		if err != nil {
			return err
		}
		pause(ctx, 300*time.Millisecond+d)
		p.signal(syscall.SIGINT) // it lets go of the processes
		if !until(context.Background(), 10*time.Second, func() bool { return !p.running() }) {
			p.kill()
		}
		return nil
	})
}

// clockStep moves the clock of a server by up to three hours, and back.
func clockStep(sign time.Duration) func(context.Context, *campaign, *rand.Rand) error {
	return func(ctx context.Context, c *campaign, rng *rand.Rand) error {
		s := c.servers[rng.IntN(2)]
		if err := s.setClock(sign * (time.Minute + upTo(rng, 3*time.Hour))); err != nil {
			return err
		}
		pause(ctx, time.Second+upTo(rng, 3*time.Second))
		return s.setClock(0)
	}
}

// noDescriptors lets a server open no more files for a time.
func noDescriptors(ctx context.Context, c *campaign, rng *rand.Rand) error {
	s := c.servers[rng.IntN(2)]
	return s.away(func() error {
		p := s.current()
		limit := func(new, old *unix.Rlimit) error {
			err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_NOFILE, new, old)
			if errors.Is(err, unix.ESRCH) {
				return nil // it has ended, by another fault
			}
			return err
		}
		var before unix.Rlimit
		if err := limit(nil, &before); err != nil {
			return err
		}
		if err := limit(&unix.Rlimit{Cur: uint64(p.descriptors()), Max: before.Max}, nil); err != nil {
			return err
		}
		pause(ctx, time.Second+upTo(rng, 2*time.Second))
		return limit(&before, nil)
	})
}
