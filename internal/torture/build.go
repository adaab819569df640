//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// programs are the two that are tested.
type programs struct{ large, small string }

// clockEnv names the file that says how far a server's clock is moved.
const clockEnv = "TORTURE_CLOCK"

// steppedMain takes the place of cmd/sandtrail's main function. The clock is that
// of the machine, moved by as many nanoseconds as a file says at the moment.
const steppedMain = `package main

import (
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

func main() { os.Exit(start(stepped(os.Getenv("` + clockEnv + `")))) }

func stepped(name string) func() time.Time {
	f, err := os.Open(name)
	if err != nil {
		return time.Now
	}
	defer f.Close()
	page, err := syscall.Mmap(int(f.Fd()), 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return time.Now
	}
	offset := (*int64)(unsafe.Pointer(&page[0]))
	return func() time.Time { return time.Now().Add(time.Duration(atomic.LoadInt64(offset))) }
}
`

// build builds both programs as they are shipped, but for the clock.
func build(ctx context.Context, dir string) (programs, error) {
	root, err := moduleRoot()
	if err != nil {
		return programs{}, err
	}
	overlay, err := stepClock(dir, root)
	if err != nil {
		return programs{}, err
	}
	out := filepath.Join(dir, "bin") + "/"
	for _, args := range [][]string{
		{"-overlay", overlay, "./cmd/sandtrail"},
		{"-tags=nethttpomithttp2", "./cmd/sandtrail-exec"},
	} {
		cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out}, args...)...)
		cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
		if said, err := cmd.CombinedOutput(); err != nil {
			return programs{}, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, said)
		}
	}
	return programs{out + "sandtrail", out + "sandtrail-exec"}, nil
}

// stepClock writes what has the compiler take steppedMain in place of the function.
func stepClock(dir, root string) (overlay string, err error) {
	original := filepath.Join(root, "cmd/sandtrail/main.go")
	source, err := os.ReadFile(original)
	if err != nil {
		return "", err
	}
	const function = "func main() { os.Exit(start(time.Now)) }"
	if !strings.Contains(string(source), function) {
		return "", fmt.Errorf("%s: has no longer the line %q", original, function)
	}
	replaced, added := filepath.Join(dir, "main.go"), filepath.Join(dir, "stepped.go")
	places, err := json.Marshal(map[string]map[string]string{"Replace": {
		original: replaced, filepath.Join(root, "cmd/sandtrail/stepped.go"): added,
	}})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	for name, content := range map[string]string{
		replaced: strings.Replace(string(source), function, "", 1), added: steppedMain, overlay: string(places),
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			return "", err
		}
	}
	return overlay, nil
}

// moduleRoot is the folder of go.mod.
func moduleRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	file := strings.TrimSpace(string(out))
	if filepath.Base(file) != "go.mod" {
		return "", errors.New("the programs are built from their source: call it in the repository")
	}
	return filepath.Dir(file), nil
}
