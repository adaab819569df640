package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/asciicast"
	"github.com/sandtrail/sandtrail/durable"
	"github.com/sandtrail/sandtrail/recorder"
)

type playCmd struct {
	executionArg
	File      inFile   `placeholder:"FILE" help:"Replay this asciicast (version 3) in place of an execution's."`
	Speed     float64  `default:"1" help:"So many times as fast."`
	IdleLimit duration `placeholder:"DURATION" help:"Shorten longer pauses to that."`
	sessionsFlag
}

// Help tells what else the status says.
func (playCmd) Help() string {
	return `The file is compared with the SHA-256 in the execution first; if it is another one a warning says so, and the exit status is 1. What is written to your terminal is what the recorded programs wrote, escape sequences included.`
}

// Examples shows how it is used.
func (playCmd) Examples() []string {
	return []string{
		"sandtrail play last",
		"sandtrail play 0192d3a4-7b1c --idle-limit 1s",
		"sandtrail play --file session.cast --speed 4",
	}
}

// Run replays a session.
func (c *playCmd) Run(ctx context.Context, d *deps) error {
	switch {
	case (c.ID == "") == (c.File == ""):
		return sandtrail.Errorf(sandtrail.CodeInvalid, "play: give the id of an execution or --file, one of them")
	case !(c.Speed > 0 && c.Speed <= 1e6): // also NaN
		return sandtrail.Errorf(sandtrail.CodeInvalid, "--speed: must be more than 0, up to 1000000")
	case c.IdleLimit < 0:
		return sandtrail.Errorf(sandtrail.CodeInvalid, "--idle-limit: must be 0 or more")
	}
	file, differs, err := c.open(ctx, d)
	if err != nil {
		return err
	}
	defer file.Close()
	session, err := asciicast.NewReader(file)
	if err != nil {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "play %s: %w", file.Name(), err)
	}
	warnOfSize(d, session.Header)
	p := player{to: d.out, now: d.now, wait: d.wait, speed: c.Speed, idleLimit: time.Duration(c.IdleLimit)}
	err = p.play(ctx, session)
	if d.outTTY {
		_, _ = io.WriteString(d.out, leaveAsFound)
	}
	if session.Torn() {
		d.warn("the last line of %s is torn and was left out", file.Name())
	}
	if err == nil && differs {
		return exitStatus(statusFinding)
	}
	return err
}

// open opens the file to replay and reports whether it is another than the
// one that was recorded.
func (c *playCmd) open(ctx context.Context, d *deps) (file *os.File, differs bool, err error) {
	if c.File != "" {
		if file, err = durable.OpenNamed(string(c.File)); err != nil {
			return nil, false, sandtrail.Errorf(sandtrail.CodeInvalid, "--file: %w", err)
		}
		return file, false, nil
	}
	store, err := d.store(ctx)
	if err != nil {
		return nil, false, err
	}
	e, err := c.find(ctx, store, d.now())
	if err != nil {
		return nil, false, err
	}
	file, session, err := c.openSession(d, e)
	if err != nil {
		return nil, false, err
	}
	differs, err = c.verify(d, file, session)
	if err != nil {
		file.Close()
	}
	return file, differs, err
}

func (c *playCmd) verify(d *deps, file *os.File, session recorder.Session) (differs bool, err error) {
	if session.SHA256 == nil {
		d.warn("%s cannot be verified: the execution has no SHA-256 of it", file.Name())
		return false, nil
	}
	same, err := isAsRecorded(file, session)
	if err == nil && !same {
		d.warn("%s is not what was recorded: its SHA-256 is another", file.Name())
	}
	return !same, err
}

// warnOfSize says so when the terminal is too small for what is to be shown.
func warnOfSize(d *deps, h asciicast.Header) {
	f, ok := d.out.(*os.File)
	if !ok || !d.outTTY {
		return
	}
	if cols, rows, err := term.GetSize(int(f.Fd())); err == nil && (cols < h.Cols || rows < h.Rows) {
		d.warn("the session was recorded on a terminal of %s, this one has %s",
			asciicast.SizeText(h.Cols, h.Rows), asciicast.SizeText(cols, rows))
	}
}

// leaveAsFound undoes what a session that ends in its middle leaves set: the
// alternate screen, a hidden cursor, colours, reports of the mouse and of
// pastes.
const leaveAsFound = "\x1b7\x1b[?1049l\x1b[!p\x1b[?1000;1002;1003;1006;2004l"

// player writes a session's output at its times.
type player struct {
	to        io.Writer
	now       func() time.Time
	wait      func(context.Context, time.Duration) error
	speed     float64
	idleLimit time.Duration // 0: none
}

func (p player) play(ctx context.Context, session *asciicast.Reader) error {
	begun := p.now()
	var at, due time.Duration // of the last event: as recorded, and as played
	for {
		event, err := session.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return sandtrail.Errorf(sandtrail.CodeInvalid, "play: %w", err)
		}
		pause := event.At - at
		if p.idleLimit > 0 {
			pause = min(pause, p.idleLimit)
		}
		at, due = event.At, due+time.Duration(float64(pause)/p.speed)
		if event.Code != asciicast.Output {
			continue
		}
		if ahead := due - p.now().Sub(begun); ahead > 0 {
			if err := p.wait(ctx, ahead); err != nil {
				return err
			}
		}
		if _, err := io.WriteString(p.to, event.Data); err != nil {
			return fmt.Errorf("play: %w", err)
		}
	}
}
