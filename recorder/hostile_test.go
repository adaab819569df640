//go:build linux

package recorder_test

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail/recorder"
)

// TestHostileChildren has programs try what docs/recording.md says that they
// cannot do, as root, where the tests are, and as another user.
func TestHostileChildren(t *testing.T) {
	tests := map[string]struct {
		script  string
		promise func(t *testing.T, r recorder.Result, said string)
	}{
		"a double fork in a session of its own": {
			`(setsid sh -c 'trap "" TERM HUP; echo $$; exec sleep 1000' & ) ; sleep 0.2; exit 3`,
			func(t *testing.T, r recorder.Result, said string) {
				if r.ExitStatus() != 3 || r.LeftBehind < 1 {
					t.Errorf("exit status %d, %d left behind", r.ExitStatus(), r.LeftBehind)
				}
				mustBeGone(t, said)
			},
		},
		"many that fork anew when they are asked to end": {
			`for i in 1 2 3 4 5; do (trap 'setsid sleep 1000 & ' TERM; while :; do sleep 0.01; done) & done; exit 0`,
			func(t *testing.T, r recorder.Result, _ string) {
				if hasWarning(r, "LEFT") {
					t.Errorf("some are left: %+v", r.Warnings)
				}
			},
		},
		"output without end, at the time-out": {
			`exec yes`,
			func(t *testing.T, r recorder.Result, _ string) {
				if r.Status != recorder.TimedOut {
					t.Errorf("got %s", r.Status)
				}
			},
		},
		"verdicts that are none": {
			`printf '{"success": false, "errors": ["\000"], "files": [{"success": true, "errors": []}]}'`,
			func(t *testing.T, r recorder.Result, _ string) {
				if r.Report != nil || !hasWarning(r, "VERDICT") {
					t.Errorf("read %+v, %+v", r.Report, r.Warnings)
				}
			},
		},
		"the recorder's settings": {
			`env | grep SANDTRAIL; true`,
			func(t *testing.T, _ recorder.Result, said string) {
				if said != "" {
					t.Errorf("it saw %q", said)
				}
			},
		},
		"descriptors of the recorder": {
			`ls -l /proc/self/fd | grep -c 'secret-of-the-recorder'; true`,
			func(t *testing.T, _ recorder.Result, said string) {
				if strings.TrimSpace(said) != "0" {
					t.Errorf("it has %s of them", said)
				}
			},
		},
		"a process that stops itself": {
			`kill -STOP $$`,
			func(t *testing.T, r recorder.Result, _ string) {
				if r.Status != recorder.TimedOut {
					t.Errorf("got %s", r.Status)
				}
			},
		},
	}
	t.Setenv("SANDTRAIL_KEY", "st_secret")
	secret, err := os.Create(filepath.Join(t.TempDir(), "secret-of-the-recorder"))
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Close()
	for _, who := range identities(t) {
		for name, test := range tests {
			t.Run(fmt.Sprintf("%s as %s", name, who.name), func(t *testing.T) {
				c := shell(test.script)
				c.Args = append(who.prefix, c.Args...)
				c.Timeout, c.Grace, c.OwnProcess = 3*time.Second, 50*time.Millisecond, true
				out := output(&c)
				if strings.Contains(test.script, "yes") {
					c.Stdout = nil
				}
				r := within(t, c)
				test.promise(t, r, out.String())
			})
		}
	}
}

// identity is who a hostile program runs as.
type identity struct {
	name   string
	prefix []string // of the command
}

func identities(t *testing.T) []identity {
	t.Helper()
	all := []identity{{"the recorder's user", nil}}
	other, err := user.Lookup("nobody")
	if syscall.Geteuid() != 0 || err != nil {
		return all // only root can become another
	}
	uid, err := strconv.Atoi(other.Uid)
	if err != nil {
		t.Fatal(err)
	}
	return append(all, identity{"another user", []string{"setpriv", "--reuid=" + strconv.Itoa(uid), "--clear-groups"}})
}
