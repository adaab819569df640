//go:build linux

package recorder_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail/recorder"
)

// engine is a container engine as far as its client shows: run writes the id
// of the container where --cidfile says, and the container is a process that
// is no child of it.
const engine = `#!/bin/sh
dir=$(dirname "$0")
echo "$*" >> "$dir/asked"
case "$1" in
run)
	for arg; do
		case "$arg" in --cidfile=*) echo abc > "${arg#--cidfile=}" ;; esac
	done
	case "$*" in
	*forever*) touch "$dir/running"; trap '' TERM; echo runs; while :; do sleep 1000; done ;;
	esac
	;;
inspect) test -e "$dir/running" && echo true || echo false ;;
kill) rm "$dir/running" ;;
esac
`

func installEngine(t *testing.T, name string) (path string, asked func() string) {
	t.Helper()
	dir := t.TempDir()
	path = filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(engine), 0o700); err != nil {
		t.Fatal(err)
	}
	return path, func() string {
		text, err := os.ReadFile(filepath.Join(dir, "asked"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
}

func TestContainerClientsHaveNoFigures(t *testing.T) {
	for _, name := range []string{"docker", "podman", "nerdctl"} {
		t.Run(name, func(t *testing.T) {
			path, _ := installEngine(t, name)
			r := record(t, recorder.Command{
				Args: []string{path, "run", "--rm", "image", "true"}, Limits: recorder.Limits{MemoryMiB: 64},
			})
			if r.Container != name || r.Method != "" || r.MemoryPeak != nil || r.CPUTime != nil || r.ProcessesPeak != nil {
				t.Errorf("got %+v", r)
			}
			if !r.Success() || !slices.Equal(r.NotEnforced, []string{"memory"}) || len(r.Warnings) != 1 {
				t.Errorf("success %v, not enforced %v, warnings %v", r.Success(), r.NotEnforced, r.Warnings)
			}
		})
	}
}

func TestEndingEndsTheContainer(t *testing.T) {
	path, asked := installEngine(t, "docker")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r, err := recorder.Run(ctx, recorder.Command{
		Args:   []string{path, "run", "--cidfile=" + filepath.Join(filepath.Dir(path), "cid"), "image", "forever"},
		Grace:  50 * time.Millisecond,
		Stdout: writerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil }),
	})
	if err != nil || r.Status != recorder.Cancelled {
		t.Errorf("got %s, %v", r.Status, err)
	}
	want := "run --cidfile=" + filepath.Join(filepath.Dir(path), "cid") + " image forever\n" +
		"inspect --format {{.State.Running}} abc\nkill abc\n"
	if diff := cmp.Diff(want, asked()); diff != "" {
		t.Errorf("the engine was asked (-want +got)\n%s", diff)
	}
}
