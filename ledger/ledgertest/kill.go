package ledgertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"testing"
)

// childEnv holds the task of a process that Kill starts.
const childEnv = "SANDTRAIL_TEST_LEDGER_CHILD"

// task is what such a process does.
type task struct {
	URL      string
	Crashing string // its name
	Deed     deed
	Fault    fault
}

// told is a line that it writes.
type told struct {
	Checkpoint []byte // it is published
	Stopped    bool   // at the step; it waits to be killed
	Steps      int    // it is done, and took so many
}

// Kill does what Crash does in processes of their own, each of which is ended
// with SIGKILL at one of its steps. TestMain of the tests that use it calls
// Child.
func Kill(t *testing.T, open Opener, tries int) {
	crashes(t, open, tries, func(o *operator, c crashing, f fault) (steps int, stopped bool) {
		d := o.deed()
		encoded, err := json.Marshal(task{o.URL, c.name, d, f})
		check(o, err)
		cmd := exec.CommandContext(o.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+string(encoded))
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe() // open as long as we live
		check(o, err)
		defer in.Close()
		out, err := cmd.StdoutPipe()
		check(o, err)
		check(o, cmd.Start())
		for lines := json.NewDecoder(out); ; {
			var line told
			if err := lines.Decode(&line); err != nil {
				o.Fatalf("%s, %+v: %v; %v", c.name, f, err, cmd.Wait())
			}
			switch {
			case line.Checkpoint != nil:
				d.publish(line.Checkpoint)
			case line.Stopped:
				check(o, cmd.Process.Kill())
				_ = cmd.Wait() // killed
				return 0, true
			default:
				check(o, cmd.Wait())
				return line.Steps, false
			}
		}
	})
}

// Child does its task if this is a process that Kill has started. It returns
// false if not.
func Child(open Stepped) bool {
	encoded := os.Getenv(childEnv)
	if encoded == "" {
		return false
	}
	var t task
	err := json.Unmarshal([]byte(encoded), &t)
	if err == nil {
		err = t.run(context.Background(), open, json.NewEncoder(os.Stdout))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

func (t *task) run(ctx context.Context, open Stepped, out *json.Encoder) (err error) {
	t.Deed.publish = func(signed []byte) { err = errors.Join(err, out.Encode(told{Checkpoint: signed})) }
	s := stepper{fault: t.Fault, stop: func() error {
		if err := out.Encode(told{Stopped: true}); err != nil {
			return err
		}
		_, err := io.Copy(io.Discard, os.Stdin) // until it is killed, or left alone
		return errors.Join(errors.New("left alone"), err)
	}}
	store, err := s.open(ctx, open, t.URL)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(crashings, func(c crashing) bool { return c.name == t.Crashing })
	err = errors.Join(err, crashings[i].do(ctx, store, t.Deed), store.Close())
	return errors.Join(err, out.Encode(told{Steps: int(s.taken.Load())}))
}
