//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/durable"
	"github.com/sandtrail/sandtrail/internal/pty"
	"github.com/sandtrail/sandtrail/postgres"
	"github.com/sandtrail/sandtrail/recorder"
	"github.com/sandtrail/sandtrail/sqlite"
)

// person sits at a terminal that sandtrail runs on.
type person struct {
	master, slave *os.File
	cmd           *exec.Cmd
	before        *unix.Termios
	screen        bytes.Buffer // what was written and not yet looked for
}

// sitDown starts "sandtrail exec --type TERMINAL" on a terminal of 100 by 30,
// recording into dir, on a database that knows ada and momentum.
func sitDown(t *testing.T, database, dir string, args ...string) *person {
	t.Helper()
	p := &person{}
	var err error
	if p.master, p.slave, err = pty.Open(); err != nil {
		t.Fatal(err)
	}
	if err := pty.Resize(p.master, pty.Size{Cols: 100, Rows: 30}); err != nil {
		t.Fatal(err)
	}
	p.before = p.modes(t)
	p.cmd = racingCommand(t, database, append([]string{
		"exec", "--user", "ada", "--strategy", "momentum",
		"--type", "TERMINAL", "--grace", "100ms", "--outbox", filepath.Join(dir, "outbox"), "--session-dir", filepath.Join(dir, "sessions"),
	}, args...)...)
	p.cmd.Env = append(p.cmd.Env, "PS1=ready> ", "HISTFILE=", "TERM=xterm-256color")
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = p.slave, p.slave, p.slave
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it has ended, unless the test has failed
		_ = p.cmd.Wait()
		p.master.Close()
		p.slave.Close()
	})
	return p
}

func (p *person) modes(t *testing.T) *unix.Termios {
	t.Helper()
	modes, err := unix.IoctlGetTermios(int(p.slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return modes
}

// types types keys.
func (p *person) types(t *testing.T, keys string) {
	t.Helper()
	if _, err := p.master.WriteString(keys); err != nil {
		t.Fatalf("type %q: %v", keys, err)
	}
}

// sees waits until the text is written, and forgets what was before it.
func (p *person) sees(t *testing.T, text string) {
	t.Helper()
	if err := p.master.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	for {
		if i := bytes.Index(p.screen.Bytes(), []byte(text)); i >= 0 {
			p.screen.Next(i + len(text))
			return
		}
		n, err := p.master.Read(buf)
		p.screen.Write(buf[:n])
		if err != nil {
			t.Fatalf("%q does not appear (%v) in\n%s", text, err, p.screen.String())
		}
	}
}

// leaves waits for the end, gives the exit status and checks that the terminal
// is as it was.
func (p *person) leaves(t *testing.T) int {
	t.Helper()
	stuck := time.AfterFunc(2*time.Minute, func() {
		t.Errorf("exec still waits; it is killed")
		_ = p.cmd.Process.Kill()
	})
	defer stuck.Stop()
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p.before, p.modes(t)); diff != "" {
		t.Errorf("the terminal was left in other modes (-before +after):\n%s", diff)
	}
	return p.cmd.ProcessState.ExitCode()
}

func newDatabase(t *testing.T) (database, dir string) {
	t.Helper()
	dir = t.TempDir()
	database = "sqlite:" + filepath.Join(dir, "sandtrail.db")
	prepare(t, database)
	return database, dir
}

// execution is the one that is recorded.
func execution(t *testing.T, database string) (sandtrail.Execution, recorder.Session) {
	t.Helper()
	store, err := openDatabase(t.Context(), database, postgres.Options{}, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	page, err := store.Executions(t.Context(), sandtrail.Query{}, time.Now())
	if err != nil || len(page.Items) != 1 {
		t.Fatalf("%d executions, %v; want 1", len(page.Items), err)
	}
	session, _ := recorder.SessionOf(page.Items[0].Metadata)
	return page.Items[0], session
}

func TestShellOnATerminal(t *testing.T) {
	database, dir := newDatabase(t)
	job := filepath.Join(dir, "job")
	if err := os.WriteFile(job, []byte("trap 'echo back' CONT; echo begun; sleep 1000 & while kill -0 $!; do wait; done"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := sitDown(t, database, dir, "--record-session", "--", "bash", "--norc", "--noprofile", "-i")
	p.sees(t, "ready> ")
	p.types(t, "stty size\r")
	p.sees(t, "30 100\r\n")
	p.types(t, "test -t 0 && test -t 1 && test -t 2 && echo all ter''minals; ls --color=auto -d /\r")
	p.sees(t, "all terminals\r\n")
	p.sees(t, "\x1b[01;34m/")

	// The window changes its size.
	if err := pty.Resize(p.master, pty.Size{Cols: 120, Rows: 40}); err != nil {
		t.Fatal(err)
	}
	p.types(t, "until [ \"$(stty size)\" = '40 120' ]; do :; done; echo resi''zed\r")
	p.sees(t, "resized\r\n")

	// Job control: a key stops what is in front, another ends it.
	p.types(t, "sh "+job+"\r")
	p.sees(t, "begun\r\n")
	p.types(t, "\x1a")
	p.sees(t, "Stopped")
	p.types(t, "fg\r")
	p.sees(t, "back\r\n")
	p.types(t, "\x03")
	p.sees(t, "ready> ")
	p.types(t, "echo status $?\r")
	p.sees(t, "status 130\r\n")

	p.types(t, "exit 7\r")
	if status := p.leaves(t); status != 7 {
		t.Errorf("exit status %d, want 7", status)
	}
	e, session := execution(t, database)
	if e.Type != sandtrail.Terminal || e.Success || e.ExecutionTime == 0 || e.TimedOut {
		t.Errorf("recorded: %+v", e)
	}
	cast := sessionFile(t, session)
	for _, part := range []string{`"cols":100,"rows":30`, `ready> `, `"r", "120x40"`, `"x", "7"`} {
		if !strings.Contains(cast, part) {
			t.Errorf("%s is missing in the recording\n%s", part, cast)
		}
	}
	if strings.Contains(cast, `"i", `) {
		t.Errorf("input is in the recording, unasked for")
	}
}

// sessionFile is the content of a session's file, compared with its record.
func sessionFile(t *testing.T, session recorder.Session) string {
	t.Helper()
	raw, err := os.ReadFile(session.Path)
	if err != nil {
		t.Fatal(err)
	}
	if session.SHA256 == nil || session.Bytes == nil {
		t.Fatalf("the record does not know the file: %+v", session)
	}
	f, err := durable.OpenNamed(session.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if same, err := isAsRecorded(f, session); err != nil || !same || *session.Bytes != int64(len(raw)) {
		t.Errorf("the record is of another file (%v): %d bytes, %+v", err, len(raw), session)
	}
	return string(raw)
}

func TestInputIsRecordedOnRequest(t *testing.T) {
	database, dir := newDatabase(t)
	p := sitDown(t, database, dir, "--record-session", "--record-input", "--", "sh", "-c", "stty -echo; echo go; read secret; echo done")
	p.sees(t, "go\r\n")
	p.types(t, "sesame\r")
	p.sees(t, "done\r\n")
	if status := p.leaves(t); status != 0 {
		t.Errorf("exit status %d", status)
	}
	_, session := execution(t, database)
	if cast := sessionFile(t, session); !session.Input || !strings.Contains(cast, `"i", "sesame\r"`) {
		t.Errorf("%+v\n%s", session, cast)
	}
}

func TestTerminalIsGivenBack(t *testing.T) {
	// Started under nohup, the tests ignore SIGHUP, and so would exec and the
	// command: it would run to its end. Signals that are handled are not ignored
	// in what is started.
	hangUps := make(chan os.Signal, 1)
	signal.Notify(hangUps, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(hangUps) })
	const obedient = "echo go; exec sleep 1000"
	const stubborn = `trap "" HUP TERM; echo go; while :; do sleep 1000; done`
	tests := map[string]struct {
		flags  []string
		script string
		act    func(t *testing.T, p *person)
		status int
	}{
		"an end":              {nil, "echo go", nil, 0},
		"not startable":       {nil, "", nil, 127},
		"SIGTERM":             {nil, obedient, sends(syscall.SIGTERM), 143},
		"SIGHUP":              {nil, obedient, sends(syscall.SIGHUP), 129},
		"SIGINT":              {nil, obedient, sends(syscall.SIGINT), 130},
		"SIGQUIT":             {nil, obedient, sends(syscall.SIGQUIT), 131},
		"a time-out":          {[]string{"--timeout", "300ms"}, obedient, nil, 124},
		"a stubborn one":      {[]string{"--timeout", "300ms"}, stubborn, nil, 124},
		"without a recording": {nil, "echo go; exit 3", nil, 3},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database, dir := newDatabase(t)
			args := append(test.flags, "--record-session")
			if name == "without a recording" {
				args = test.flags
			}
			args = append(args, "--", "no-such-program")
			if test.script != "" {
				args = append(args[:len(args)-1], "sh", "-c", test.script)
			}
			p := sitDown(t, database, dir, args...)
			if test.script != "" {
				p.sees(t, "go\r\n")
			}
			if test.act != nil {
				test.act(t, p)
			}
			if status := p.leaves(t); status != test.status {
				t.Errorf("exit status %d, want %d", status, test.status)
			}
			execution(t, database)
		})
	}
}

func sends(signal syscall.Signal) func(t *testing.T, p *person) {
	return func(t *testing.T, p *person) {
		t.Helper()
		if err := p.cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKilledSession ends a recorder in the middle of a session: what was seen
// until then can be replayed, and the session is recorded as lost.
func TestKilledSession(t *testing.T) {
	database, dir := newDatabase(t)
	p := sitDown(t, database, dir, "--record-session", "--", "sh", "-c", "echo seen at last; exec sleep 1000")
	p.sees(t, "seen at last\r\n")
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait() // killed
	files, err := filepath.Glob(filepath.Join(dir, "sessions", "*.cast"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	if out, err := sandtrailCommand(t, database, "play", "--file", files[0]).CombinedOutput(); err != nil || string(out) != "seen at last\r\n" {
		t.Errorf("replayed: %v, %q", err, out)
	}
	// A line that was torn when a disk stopped in its middle.
	f, err := os.OpenFile(files[0], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprint(f, `[0.5, "o", "to`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if out, err := sandtrailCommand(t, database, "outbox", "flush", "--outbox", filepath.Join(dir, "outbox"), "--session-dir", filepath.Join(dir, "sessions")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	e, session := execution(t, database)
	if e.Success || !strings.Contains(string(e.Metadata), `"status":"lost"`) {
		t.Errorf("recorded: %s", e.Metadata)
	}
	if cast := sessionFile(t, session); !strings.HasSuffix(cast, "seen at last\\r\\n\"]\n") {
		t.Errorf("the file ends with %q", cast)
	}
	if out, err := sandtrailCommand(t, database, "play", e.ID.String()).CombinedOutput(); err != nil || string(out) != "seen at last\r\n" {
		t.Errorf("replayed by its id: %v, %q", err, out)
	}
}
