//go:build linux

package recorder_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail/recorder"
)

// leave moves the shell that runs it to the root of every hierarchy of cgroups.
const leave = `for top in $(awk '$3 ~ /^cgroup2?$/ {print $2}' /proc/mounts); do echo $$ > $top/cgroup.procs; done 2>/dev/null`

// Who leaves limits behind is ended at once, and not only when the run ends: here
// the run waits for it.
func TestWhoLeavesLimitsBehindIsEndedAtOnce(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("only root can write to the root of the cgroups: the kernel keeps others inside")
		return
	}
	enforcing(t, "memory", func(t *testing.T, prepare func(recorder.Command) recorder.Command) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c := prepare(shell(`setsid sh -c 'eval "$LEAVE"; trap "" TERM HUP; exec sleep 1000' & wait $!; exit 7`))
		c.Env, c.Limits.MemoryMiB = append(os.Environ(), "LEAVE="+leave), 500
		r, err := recorder.Run(ctx, c)
		if err != nil || r.Status != recorder.Exited || r.ExitStatus() != 7 {
			t.Errorf("got %s, exit status %d, %v", r.Status, r.ExitStatus(), err)
		}
		if !hasWarning(r, "ESCAPED") || len(r.Escaped) != 1 {
			t.Errorf("they are not named: %+v, %+v", r.Escaped, r.Warnings)
		}
	})
}

func TestWhoLeavesTheCageIsEndedAndNamed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("only root can write to the root of the cgroups: the kernel keeps others inside")
		return
	}
	const child = `sh -c 'eval "$LEAVE"; trap "" TERM HUP; echo $$; exec sleep 1000'`
	tests := map[string]struct {
		script string
		status recorder.Status
	}{
		"an orphan in a session of its own": {`(setsid ` + child + ` & ) ; read line`, recorder.Exited},
		"a child of a run that is ended":    {child, recorder.Cancelled},
	}
	onEachMethod(t, func(t *testing.T, prepare func(recorder.Command) recorder.Command) {
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				in, ready, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				defer in.Close()
				c := prepare(shell(test.script))
				c.Env = append(os.Environ(), "LEAVE="+leave)
				c.Stdin, c.Grace = in, 50*time.Millisecond
				var said strings.Builder
				c.Stdout = writerFunc(func(p []byte) (int, error) {
					said.Write(p)
					ready.Close()
					if test.status == recorder.Cancelled {
						cancel()
					}
					return len(p), nil
				})
				r, err := recorder.Run(ctx, c)
				if err != nil {
					t.Fatal(err)
				}
				if r.Status != test.status {
					t.Errorf("got %s", r.Status)
				}
				mustBeGone(t, said.String())
				if c.Method == recorder.Sampling {
					return // there is no cage
				}
				if !hasWarning(r, "ESCAPED") || len(r.Escaped) != 1 {
					t.Fatalf("they are not named: %+v, %+v", r.Escaped, r.Warnings)
				}
				if name := r.Escaped[0].Command; name != "sleep" && name != "sh" {
					t.Errorf("named %q", name)
				}
				if !strings.Contains(string(r.Draft("ada", "mom", "VALIDATION").Metadata), `"escaped":[{`) {
					t.Error("the record does not name it")
				}
			})
		}
	})
}
