//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/client"
	"github.com/sandtrail/sandtrail/outbox"
)

// victim is the process of a kind of client that runs at the moment.
type victim struct {
	mu      sync.Mutex
	process *process
}

func (v *victim) is(p *process) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.process = p
}

func (v *victim) current() *process {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.process
}

// run records runs, one after another, by both programs in turn: an acknowledged
// one is one whose recorder ended by itself without a word of a loss.
func (w *writer) run(load context.Context, server *server) {
	for load.Err() == nil {
		w.n++
		token := fmt.Sprint(tokenPrefix, w.runs.Add(1))
		program := w.programs.large
		if w.n%2 == 0 {
			program = w.programs.small
		}
		w.oracle.sends(w.kind, token, -1)
		cmd := w.program(program, "", "exec", "--server", server.url(), "--user", user, "--strategy", strategy, "--outbox", w.outbox,
			"--deliver-wait", "1s", "--record-args", "--", "sh", "-c", "sleep 0.02", token)
		if program == w.programs.small {
			cmd.Args = append(cmd.Args[:1], cmd.Args[2:]...)
		}
		p, err := start("recorder", cmd)
		if err != nil {
			w.found("%v", err)
			return
		}
		w.recorder.is(p)
		select {
		case <-p.done:
		case <-time.After(callTime):
			p.kill()
			w.found("a recorder of a command of 20 ms has not ended after %s", callTime)
		case <-w.ctx.Done():
			p.kill()
		}
		said := p.said()
		status := p.cmd.ProcessState.ExitCode()
		lost := strings.Contains(said, "is lost") || strings.Contains(said, "nor put into the outbox") || strings.Contains(said, "as lost")
		switch {
		case p.wasKilled():
		case status != 0:
			w.found("a recorder of a command that succeeded ended with status %d: %s", status, said)
		case !lost:
			w.oracle.becomes(stored, token)
		}
		if said != "" && !p.wasKilled() {
			w.told(w.kind, fmt.Errorf("%s", strings.TrimSpace(said)))
		}
		pause(load, 3*writePause)
	}
}

// The environment of a spooling client, which is the campaign's own program.
const (
	spoolEnv    = "TORTURE_SPOOL"     // its folder
	spoolURLEnv = "TORTURE_SPOOL_URL" // of the server
)

// spoolClient is the whole of that program. It says "s ID TIME" before it records,
// "a ID" when that has returned, and ends when its standard input does.
func spoolClient(dir, url string, in io.Reader, out io.Writer) error {
	c, err := client.Open(url, "")
	if err != nil {
		return err
	}
	defer c.Close()
	r, err := outbox.NewRecorder(c, outbox.RecorderOptions{Policy: outbox.Spool, Dir: dir})
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, in) // nothing is said
		close(ended)
	}()
	for i := 0; ; i++ {
		select {
		case <-ended:
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			return r.Close(ctx)
		case <-time.After(writePause):
		}
		m := made{id: sandtrail.NewID(time.Now()), time: i}
		fmt.Fprintf(out, "s %s %d\n", m.id, m.time)
		if err := r.Record(context.Background(), draftOf(m)); err != nil {
			fmt.Fprintf(out, "e %s\n", strings.ReplaceAll(err.Error(), "\n", " "))
			continue
		}
		fmt.Fprintf(out, "a %s\n", m.id)
	}
}

// spooling is a spooling client in a process of its own.
type spooling struct {
	*process
	in   io.Closer
	read sync.WaitGroup // until all that it said is noted
}

func (c *campaign) startSpooling(server *server) (*spooling, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), spoolEnv+"="+c.spool, spoolURLEnv+"="+server.url(), markEnv+"="+c.dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	// A pipe of our own: what was said is read to its end, also of one that was killed.
	said, say, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout = say
	s := &spooling{in: in}
	s.process, err = start("client", cmd)
	say.Close()
	if err != nil {
		said.Close()
		return nil, err
	}
	s.read.Go(func() {
		defer said.Close()
		for lines := bufio.NewScanner(said); lines.Scan(); {
			c.noteSpooled(lines.Text())
		}
	})
	return s, nil
}

func (c *campaign) noteSpooled(line string) {
	words := strings.Fields(line)
	switch {
	case len(words) == 3 && words[0] == "s":
		n, _ := strconv.Atoi(words[2]) // our own number
		c.oracle.sends("spool", words[1], n)
	case len(words) == 2 && words[0] == "a":
		c.oracle.becomes(stored, words[1])
	case len(words) > 1 && words[0] == "e":
		c.told("spool", fmt.Errorf("%s", strings.TrimPrefix(line, "e ")))
	}
}

// spoolAway keeps a spooling client running until the load ends, whatever kills it.
func (c *campaign) spoolAway(load context.Context, server *server, v *victim) {
	for load.Err() == nil {
		s, err := c.startSpooling(server)
		if err != nil {
			c.found("%v", err)
			return
		}
		v.is(s.process)
		select {
		case <-s.done:
		case <-load.Done():
			s.signal(syscall.SIGCONT)
			_ = s.in.Close()
			if !until(c.ctx, time.Minute, func() bool { return !s.running() }) {
				s.kill()
				if c.ctx.Err() == nil {
					c.found("a spooling client has not ended a minute after it was told to")
				}
			}
		}
		_ = s.in.Close()
		s.read.Wait()
		if said := strings.TrimSpace(s.said()); said != "" {
			c.told("spool", fmt.Errorf("%s", said))
		}
		pause(load, 4*writePause)
	}
}
