package recorder

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/sandtrail/sandtrail/internal/pty"
)

// defaultSize is that of a terminal where there is none around.
var defaultSize = pty.Size{Cols: 80, Rows: 24}

// terminal is a pseudo-terminal, in the place of the one around us.
type terminal struct {
	master, slave *os.File
	outer         *os.File // the terminal that is typed at; nil: none
	screen        *os.File // the terminal whose size ours has; nil: none
	session       *session // nil: not recorded

	changed chan os.Signal // the outer terminal has another size, or we were stopped
	stop    *os.File       // closing it ends the copying of input
	copied  chan struct{}  // closed when no input is copied any more; nil: none ever was

	mu    sync.Mutex
	saved *term.State // of the outer terminal while it is raw
}

// newTerminal makes a pseudo-terminal, and a file for its session.
func newTerminal(c Command) (*terminal, error) {
	t := &terminal{outer: terminalOf(c.Stdin), screen: terminalOf(c.Stdout)}
	if t.screen == nil {
		t.screen = t.outer
	}
	var err error
	if t.master, t.slave, err = pty.Open(); err != nil {
		return nil, err
	}
	if t.outer != nil {
		err = pty.CopyModes(t.slave, t.outer)
	}
	size := t.size()
	if err = errors.Join(err, pty.Resize(t.slave, size)); err == nil && c.Terminal.Record != "" {
		t.session, err = newSession(c, size)
	}
	if err != nil {
		t.master.Close()
		t.slave.Close()
		return nil, err
	}
	return t, nil
}

// terminalOf is the stream if it is a terminal.
func terminalOf(stream any) *os.File {
	f, ok := stream.(*os.File)
	if !ok || f == nil || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return f
}

// size is that of the terminal around us.
func (t *terminal) size() pty.Size {
	if t.screen != nil {
		if s, err := pty.SizeOf(t.screen); err == nil && s.Cols > 0 && s.Rows > 0 {
			return s
		}
	}
	return defaultSize
}

// stream is what is seen on the terminal on its way to a person and into the
// recording.
func (t *terminal) stream(to io.Writer, keep int) *stream {
	if to == nil {
		to = io.Discard
	}
	if t.session != nil {
		to = io.MultiWriter(t.session, to)
	}
	return streamOf(t.master, t.slave, to, keep)
}

// takeOver begins to pass on what is typed and how the window changes.
func (t *terminal) takeOver() {
	if t == nil {
		return
	}
	if t.screen != nil {
		t.changed = make(chan os.Signal, 1)
		signal.Notify(t.changed, syscall.SIGWINCH, syscall.SIGCONT)
		t.adapt() // it may have changed before we listened
	}
	if t.outer == nil {
		return
	}
	stopped, stop, err := os.Pipe()
	if err != nil {
		return // of no use without input, but it can be watched and ended
	}
	t.stop, t.copied = stop, make(chan struct{})
	go func() {
		defer t.restoreIfPanicking()
		defer close(t.copied)
		defer stopped.Close()
		t.copyInput(stopped)
	}()
}

// copyInput passes on what is typed until stopped ends. It looks before it
// reads: what is typed when the command has ended is for the next one.
func (t *terminal) copyInput(stopped *os.File) {
	buf := make([]byte, 4<<10)
	ready := []unix.PollFd{
		{Fd: int32(t.outer.Fd()), Events: unix.POLLIN},
		{Fd: int32(stopped.Fd()), Events: unix.POLLIN},
	}
	for {
		if _, err := unix.Poll(ready, -1); err == unix.EINTR {
			continue
		} else if err != nil || ready[1].Revents != 0 {
			return
		}
		n, err := t.outer.Read(buf)
		if n > 0 {
			t.session.typed(buf[:n])
			if _, err := t.master.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return // it has hung up, and SIGHUP tells so
		}
	}
}

// changes tells when adapt is to be called.
func (t *terminal) changes() <-chan os.Signal {
	if t == nil {
		return nil
	}
	return t.changed
}

// adapt takes on the size of the terminal around us, and makes that raw: a
// shell that we were stopped under has given it its own modes.
func (t *terminal) adapt() {
	t.makeRaw()
	size := t.size()
	if was, err := pty.SizeOf(t.master); err != nil || was == size {
		return
	}
	if pty.Resize(t.master, size) == nil {
		t.session.resized(size)
	}
}

func (t *terminal) makeRaw() {
	if t.outer == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	saved, err := term.MakeRaw(int(t.outer.Fd()))
	if err == nil && t.saved == nil {
		t.saved = saved
	}
}

// end gives the terminal around us back. All output has been written, and the
// master closed, so that no input waits to be taken.
func (t *terminal) end() {
	if t == nil {
		return
	}
	if t.changed != nil {
		signal.Stop(t.changed)
	}
	if t.stop != nil {
		t.stop.Close()
		// As long as the terminal is raw what is typed can be read at once.
		// Should another reader have taken it, the next key is waited for: by
		// then we have ended.
		select {
		case <-t.copied:
		case <-time.After(pipeDelay):
		}
	}
	t.restore()
}

// restore gives the terminal around us the modes that it had.
func (t *terminal) restore() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.saved != nil {
		_ = term.Restore(int(t.outer.Fd()), t.saved) // it may have hung up
		t.saved = nil
	}
}

// restoreIfPanicking is deferred by goroutines, whose panics end the program
// past everything that Run defers.
func (t *terminal) restoreIfPanicking() {
	if t == nil {
		return
	}
	if v := recover(); v != nil {
		t.restore()
		panic(v)
	}
}

// closeSlave closes our own copy of the command's end. Until the command has
// ended we hold one: a program that closes its output, as many do when they
// exit, would else be told that its terminal has hung up.
func (t *terminal) closeSlave() {
	if t != nil {
		t.slave.Close()
	}
}

// abandonSession removes the recording of a command that did not start.
func (t *terminal) abandonSession() {
	if t != nil {
		t.session.abandon()
	}
}
