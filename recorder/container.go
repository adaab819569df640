package recorder

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail/durable"
)

// container is a command that is the client of a container engine: what it
// starts are children of the engine, out of our sight. Its figures would be
// the client's and are left out; its container is ended by asking the engine.
type container struct {
	engine  string // as the command names it
	env     []string
	options []string
	cidFile string // "": the command starts no container
	scratch string // directory of a cidFile of ours; "": the caller's own
}

// findContainer recognises a command line of docker, podman or nerdctl, and
// gives back the command line to run in its place: with --cidfile, which tells
// the container's id. Nil: it is another command.
func findContainer(args []string) (*container, []string, error) {
	if !slices.Contains([]string{"docker", "podman", "nerdctl"}, filepath.Base(args[0])) {
		return nil, args, nil
	}
	c := &container{engine: args[0]}
	run := slices.Index(args, "run")
	if run < 0 || !areOptions(args[1:run]) {
		return c, args, nil
	}
	c.options = slices.DeleteFunc(slices.Clone(args[1:run]), func(arg string) bool { return arg == "container" })
	for i, arg := range args[run+1:] {
		if file, ok := strings.CutPrefix(arg, "--cidfile="); ok {
			c.cidFile = file
			return c, args, nil
		}
		if arg == "--cidfile" && run+2+i < len(args) {
			c.cidFile = args[run+2+i]
			return c, args, nil
		}
	}
	scratch, err := os.MkdirTemp("", "sandtrail-cid-")
	if err != nil {
		return nil, nil, fmt.Errorf("make a place for the container's id: %w", err)
	}
	c.scratch, c.cidFile = scratch, filepath.Join(scratch, "cid")
	return c, slices.Insert(slices.Clone(args), run+1, "--cidfile="+c.cidFile), nil
}

// areOptions reports whether arguments before a subcommand are options, with
// or without a value, or the word container.
func areOptions(args []string) bool {
	for i, arg := range args {
		isValue := i > 0 && strings.HasPrefix(args[i-1], "-") && !strings.Contains(args[i-1], "=")
		if !strings.HasPrefix(arg, "-") && arg != "container" && !isValue {
			return false
		}
	}
	return true
}

// kill ends the container, if there is one that still runs.
func (c *container) kill() error {
	id, err := durable.ReadFile(c.cidFile, 4<<10)
	if err != nil || len(id) == 0 {
		return nil // it was never started
	}
	name := strings.TrimSpace(string(id))
	running, err := c.ask("inspect", "--format", "{{.State.Running}}", name)
	if err != nil || strings.TrimSpace(running) != "true" {
		return nil // it is gone, as it should be
	}
	if said, err := c.ask("kill", name); err != nil {
		return fmt.Errorf("%s kill %s: %w: %s", filepath.Base(c.engine), name, err, storable(said))
	}
	return nil
}

// ask runs another command of the engine.
func (c *container) ask(args ...string) (said string, err error) {
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.engine, append(slices.Clone(c.options), args...)...)
	cmd.Env, cmd.WaitDelay = c.env, time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (c *container) close() error {
	if c.scratch == "" {
		return nil
	}
	return os.RemoveAll(c.scratch)
}
