//go:build linux

package prisma_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/sandtrail/sandtrail/internal/nodetest"
	"github.com/sandtrail/sandtrail/prisma"
)

// app is the application in testdata/app, running against a database.
type app struct {
	calls   io.Writer
	answers *bufio.Reader
	stderr  bytes.Buffer
}

// builtApp is the folder of the application, which is built once for all tests.
var builtApp struct {
	once  sync.Once
	dir   string
	ready bool
}

// TestMain removes the application that tests have built.
func TestMain(m *testing.M) {
	code := m.Run()
	if err := os.RemoveAll(builtApp.dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// buildApp builds the application with a client made from what this package
// prints, and returns its folder, which no test changes.
func buildApp(t testing.TB) string {
	t.Helper()
	nodetest.Install(t, "testdata/app") // skips each test where there is no npm
	builtApp.once.Do(func() {
		dir, err := os.MkdirTemp("", "sandtrail-prisma")
		check(t, err)
		builtApp.dir = dir
		checkOut(t, dir)
		write(t, dir, "prisma/schema.prisma", printed(t, prisma.Schema))
		write(t, dir, "prisma.config.ts", printed(t, prisma.Config))
		run(t, dir, "prisma", "generate")
		run(t, dir, "tsc")
		builtApp.ready = true
	})
	if !builtApp.ready {
		t.Fatal("the application could not be built for the first test")
	}
	// The client is in node_modules, where tests of other schemas put theirs.
	run(t, builtApp.dir, "prisma", "generate")
	return builtApp.dir
}

// startApp starts the application built in a folder. It ends with the test.
func startApp(t testing.TB, dir, databaseURL string) *app {
	t.Helper()
	a := &app{}
	cmd := exec.CommandContext(t.Context(), "node", "dist/main.js")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DATABASE_URL="+databaseURL)
	cmd.Stderr = &a.stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil && t.Context().Err() == nil {
			t.Errorf("the application ended with %v\n%s", err, &a.stderr)
		}
	})
	a.calls, a.answers = in, bufio.NewReader(out)
	return a
}

// answer is what a call of the application came to.
type answer struct {
	Result json.RawMessage
	Logged []string
	Error  string
}

// ask calls a function of the application.
func (a *app) ask(t testing.TB, call string, arguments ...any) answer {
	t.Helper()
	if arguments == nil {
		arguments = []any{}
	}
	line, err := json.Marshal(map[string]any{"call": call, "arguments": arguments})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.calls.Write(append(line, '\n')); err != nil {
		t.Fatalf("%s: %v\n%s", call, err, &a.stderr)
	}
	line, err = a.answers.ReadBytes('\n')
	if err != nil {
		t.Fatalf("%s: %v\n%s", call, err, &a.stderr)
	}
	var got answer
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatalf("%s answered %s: %v", call, line, err)
	}
	return got
}

// do is ask for a call that has to succeed.
func (a *app) do(t testing.TB, call string, arguments ...any) answer {
	t.Helper()
	got := a.ask(t, call, arguments...)
	if got.Error != "" {
		t.Fatalf("%s: %s", call, got.Error)
	}
	return got
}

// get calls a function of the application and decodes its result.
func get[T any](t testing.TB, a *app, call string, arguments ...any) T {
	t.Helper()
	raw := a.do(t, call, arguments...).Result
	var result T
	if err := json.Unmarshal(raw, &result); err != nil {
		t.Fatalf("%s answered %s: %v", call, raw, err)
	}
	return result
}

// checkOut copies the application's own files to a folder, beside the packages
// of its lockfile, which are installed once per checkout.
func checkOut(t testing.TB, dir string) {
	t.Helper()
	source, err := filepath.Abs("testdata/app")
	if err != nil {
		t.Fatal(err)
	}
	nodetest.Install(t, source)
	if err := os.Symlink(filepath.Join(source, "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"package.json", "tsconfig.json", "src/main.ts", "src/reference.ts"} {
		content, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, name, string(content))
	}
}

// run runs a program of the application's packages.
func run(t testing.TB, dir, program string, arguments ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join("node_modules", ".bin", program), arguments...)
	cmd.Dir = dir
	cmd.Env = environment(t)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", program, arguments, err, out)
	}
}

// environment is that of Prisma's commands. Nothing is downloaded.
func environment(t testing.TB) []string {
	t.Helper()
	engine, err := filepath.Abs(engine)
	if err != nil {
		t.Fatal(err)
	}
	return append(os.Environ(), "PRISMA_SCHEMA_ENGINE_BINARY="+engine,
		"PRISMA_HIDE_UPDATE_MESSAGE=1", "CHECKPOINT_DISABLE=1", "NO_COLOR=1")
}

func printed(t testing.TB, output func(prisma.Options) (string, error)) string {
	t.Helper()
	text, err := output(prisma.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func write(t testing.TB, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
