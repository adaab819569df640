//go:build linux

package recorder_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
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
	"github.com/sandtrail/sandtrail/asciicast"
	"github.com/sandtrail/sandtrail/internal/pty"
	"github.com/sandtrail/sandtrail/recorder"
)

// onTerminal is a command on a pseudo-terminal that is recorded.
func onTerminal(t *testing.T, script string) recorder.Command {
	t.Helper()
	c := shell(script)
	c.Terminal = &recorder.Terminal{Record: filepath.Join(t.TempDir(), "sessions", "id.cast")}
	return c
}

// events are those of a file, with how it says it ended.
func events(t *testing.T, path string) (output, exit string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := asciicast.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for {
		event, err := r.Next()
		if errors.Is(err, io.EOF) {
			if r.Torn() {
				t.Errorf("%s is torn", path)
			}
			return output, exit
		}
		if err != nil {
			t.Fatal(err)
		}
		switch event.Code {
		case asciicast.Output:
			output += event.Data
		case asciicast.Exit:
			exit = event.Data
		}
	}
}

func TestSessionIsWhatWasSeen(t *testing.T) {
	onEachMethod(t, func(t *testing.T, prepare func(recorder.Command) recorder.Command) {
		c := prepare(onTerminal(t, `test -t 1 && test -t 2 && echo out && echo err >&2; printf '\303'; printf '\251\377\n'; exit 3`))
		out := output(&c)
		r := record(t, c)
		if r.Status != recorder.Exited || r.ExitStatus() != 3 || r.Method != c.Method {
			t.Errorf("got %s, %d, %s", r.Status, r.ExitStatus(), r.Method)
		}
		if want := "out\r\nerr\r\n\xc3\xa9\xff\r\n"; out.String() != want {
			t.Errorf("seen: %q, want %q", out, want)
		}
		seen, exit := events(t, c.Terminal.Record)
		if want := "out\r\nerr\r\né\uFFFD\r\n"; seen != want || exit != "3" {
			t.Errorf("recorded: %q, exit %s; want %q", seen, exit, want)
		}
		verify(t, r.Session)
	})
}

// verify compares a session's file with what is said of it.
func verify(t *testing.T, s *recorder.Session) {
	t.Helper()
	if s == nil || s.SHA256 == nil || s.Bytes == nil {
		t.Fatalf("the session is not known: %+v", s)
	}
	raw, err := os.ReadFile(s.Path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(raw)
	if *s.SHA256 != hex.EncodeToString(sum[:]) || *s.Bytes != int64(len(raw)) {
		t.Errorf("%d bytes of another content than %+v", len(raw), s)
	}
	if info, err := os.Stat(s.Path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestProgramMayCloseItsTerminal(t *testing.T) {
	// Nobody has the terminal open for a while, and it is not hung up.
	c := onTerminal(t, `echo before; exec >/dev/null 2>&1; sleep 0.1; echo after >/dev/tty`)
	out := output(&c)
	if r := record(t, c); r.ExitStatus() != 0 {
		t.Errorf("got %s, %d, %s", r.Status, r.ExitStatus(), r.Signal)
	}
	if out.String() != "before\r\nafter\r\n" {
		t.Errorf("seen: %q", out)
	}
}

func TestTerminalHeldByAnother(t *testing.T) {
	c := onTerminal(t, `trap '' HUP; setsid sleep 1000 & echo done`)
	out := output(&c)
	if r := record(t, c); r.ExitStatus() != 0 || r.LeftBehind != 1 {
		t.Errorf("got %s, %d, %d left behind", r.Status, r.ExitStatus(), r.LeftBehind)
	}
	if out.String() != "done\r\n" {
		t.Errorf("seen: %q", out)
	}
}

func TestNobodyLooks(t *testing.T) {
	c := onTerminal(t, `while echo more; do :; done; exit 9`)
	c.Stdout = writerFunc(func([]byte) (int, error) { return 0, syscall.EPIPE })
	if r := record(t, c); r.Success() {
		t.Errorf("got %s", r.Status)
	}
}

func TestVerdictOnATerminalIsNoneOfOurs(t *testing.T) {
	c := onTerminal(t, `echo '{"success":false,"errors":["x"]}'`)
	if r := record(t, c); r.Report != nil || !r.Success() {
		t.Errorf("got %+v", r.Report)
	}
}

func TestSessionThatDidNotBeginLeavesNoFile(t *testing.T) {
	c := onTerminal(t, "")
	c.Args = []string{"no-such-program-anywhere"}
	r := record(t, c)
	if _, err := os.Stat(c.Terminal.Record); r.Status != recorder.StartFailed || r.Session != nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %s, %+v, %v", r.Status, r.Session, err)
	}
}

func TestSessionsFileMustBeNew(t *testing.T) {
	c := onTerminal(t, "touch "+filepath.Join(t.TempDir(), "ran"))
	record(t, c)
	if _, err := recorder.Run(context.Background(), c); !errors.Is(err, os.ErrExist) {
		t.Errorf("got %v", err)
	}
}

func TestLimitOfASession(t *testing.T) {
	c := onTerminal(t, "head -c 100000 /dev/zero; exit 4")
	c.Terminal.MaxBytes = 10_000
	out := output(&c)
	r := record(t, c)
	verify(t, r.Session)
	if _, exit := events(t, r.Session.Path); !r.Session.Capped || *r.Session.Bytes > 10_000 || exit != "4" {
		t.Errorf("%+v, exit %s", r.Session, exit)
	}
	if out.Len() != 100_000 {
		t.Errorf("%d bytes were seen", out.Len())
	}
}

// recordFull records a session whose file may not grow as it would, and prints
// what is known about it.
func recordFull(args []string) {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGXFSZ)
	c := shell("yes | head -c 100000; exit 5")
	c.Terminal = &recorder.Terminal{Record: args[0]}
	r, err := recorder.Run(context.Background(), c)
	if err != nil {
		panic(err)
	}
	_ = json.NewEncoder(os.Stdout).Encode(r.Session)
	for _, w := range r.Warnings {
		_, _ = os.Stdout.WriteString(w.Message + "\n")
	}
	os.Exit(r.ExitStatus())
}

func TestSessionGoesOnWithoutRoomForItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "id.cast")
	limited := self("record-full")
	cmd := exec.Command("bash", "-c", `ulimit -f 20; exec "$0" "$1"`, os.Args[0], path)
	cmd.Env = limited.Env
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 5 {
		t.Fatalf("%v\n%s", err, out)
	}
	var s recorder.Session
	first, rest, _ := bytes.Cut(out, []byte("\n"))
	if err := json.Unmarshal(first, &s); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(rest), "in part only") || !strings.Contains(string(rest), "too large") {
		t.Errorf("the warnings do not tell: %s", rest)
	}
	verify(t, &s)
	if seen, _ := events(t, path); len(seen) < 5000 {
		t.Errorf("%d bytes are recorded of the 20 KiB that there was room for", len(seen))
	}
}

// recordPanicking looks at a session with an eye that panics.
func recordPanicking([]string) {
	c := shell("echo boo; sleep 1000")
	c.Stdin, c.Terminal = os.Stdin, &recorder.Terminal{}
	c.Stdout = writerFunc(func([]byte) (int, error) { panic("a fault in the program") })
	_, _ = recorder.Run(context.Background(), c)
}

func TestTerminalIsGivenBackByAPanic(t *testing.T) {
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer slave.Close()
	before := modes(t, slave)
	cmd := exec.Command(os.Args[0])
	cmd.Env = self("record-panicking").Env
	cmd.Stdin = slave
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Run(); err == nil || !strings.Contains(stderr.String(), "a fault in the program") {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	if diff := cmp.Diff(before, modes(t, slave)); diff != "" {
		t.Errorf("the terminal was left in other modes (-before +after):\n%s", diff)
	}
}

func modes(t *testing.T, slave *os.File) *unix.Termios {
	t.Helper()
	m, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestLostSessionBecomesPartOfTheRecord(t *testing.T) {
	const head = `{"version":3,"term":{"cols":80,"rows":24}}` + "\n"
	var full bytes.Buffer
	cast, err := asciicast.NewWriter(&full, asciicast.Header{Cols: 80, Rows: 24}, 500)
	if err == nil {
		err = cast.Write(0, asciicast.Output, bytes.Repeat([]byte("x"), 500))
	}
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		content string // "": there is no file
		left    string
		capped  bool
	}{
		"whole lines":     {head + "[0, \"o\", \"x\"]\n", head + "[0, \"o\", \"x\"]\n", false},
		"a torn line":     {head + "[0, \"o\", \"x\"]\n[0, \"", head + "[0, \"o\", \"x\"]\n", false},
		"a long torn one": {head + strings.Repeat("x", 200<<10), head, false},
		"not even a line": {head[:10], "", false},
		"at its limit":    {full.String(), full.String(), true},
		"no file":         {"", "", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := onTerminal(t, "true")
			id, dir := sandtrail.NewID(time.Now()), t.TempDir()
			c.Terminal.Record = filepath.Join(dir, recorder.SessionName(id))
			begun := recorder.Begun(c, "ada", "momentum", "TERMINAL")
			begun.ID, begun.CreatedAt = id, time.Now()
			if s, ok := recorder.SessionOf(begun.Metadata); !ok || s.Path != c.Terminal.Record || s.SHA256 != nil || s.Bytes != nil {
				t.Errorf("before: %+v, %v", s, ok)
			}
			if test.content != "" {
				if err := os.WriteFile(c.Terminal.Record, []byte(test.content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			lost := recorder.LostRun(dir)(begun, time.Second)
			s, ok := recorder.SessionOf(lost.Metadata)
			if !ok || s.Path != c.Terminal.Record || s.Format != recorder.SessionFormat {
				t.Fatalf("after: %+v, %v", s, ok)
			}
			if test.content == "" {
				if s.SHA256 != nil || s.Bytes != nil {
					t.Errorf("after: %+v", s)
				}
				return
			}
			verify(t, &s)
			if s.Capped != test.capped {
				t.Errorf("capped: %v, want %v", s.Capped, test.capped)
			}
			if got, err := os.ReadFile(s.Path); err != nil || string(got) != test.left {
				t.Errorf("left: %q, %v; want %q", got, err, test.left)
			}
		})
	}
}
