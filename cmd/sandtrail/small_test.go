package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/internal/testneed"
)

// recordingScripts are about exec: they hold for the small program too.
var recordingScripts = []string{"exec", "hostile", "nohup", "recording", "session"}

// The variables that make "sandtrail exec" the small program, with a server on
// the database that the script began with.
const (
	smallEnv       = "SANDTRAIL_TEST_SMALL"
	smallServerEnv = "SANDTRAIL_TEST_SMALL_SERVER"
	smallDBEnv     = "SANDTRAIL_TEST_SMALL_DB"
)

// becomeSmall runs the small program in place of this one. It delivers to the server of the test, if there is one; a database
// that a script has put out of reach is a server out of reach.
func becomeSmall(args []string) {
	program := os.Getenv(smallEnv)
	env, server := os.Environ(), os.Getenv(smallServerEnv)
	if server != "" && os.Getenv("SANDTRAIL_DB") != os.Getenv(smallDBEnv) {
		server = "http://127.0.0.1:1"
	}
	if server != "" {
		env = append(env, "SANDTRAIL_SERVER="+server)
	}
	panic(syscall.Exec(program, append([]string{"sandtrail-exec"}, args...), env))
}

// The two programs as they are shipped.
var (
	smallProgram = sync.OnceValues(func() (string, error) { return build("sandtrail-exec", "-tags=nethttpomithttp2") })
	largeProgram = sync.OnceValues(func() (string, error) { return build("sandtrail") })
)

// buildDir is where they are, until the tests have ended.
var buildDir = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "sandtrail-built") })

// packageDir is where the tests begin; some go elsewhere.
var packageDir, errPackageDir = os.Getwd()

// build builds a program beside this one.
func build(name string, flags ...string) (string, error) {
	dir, err := buildDir()
	if err := errors.Join(err, errPackageDir); err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	build := exec.Command("go", slices.Concat([]string{"build"}, flags, []string{"-o", path, "../" + name})...)
	build.Dir, build.Env = packageDir, append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	return path, build.Run()
}

func small(t *testing.T) string {
	t.Helper()
	path, err := smallProgram()
	if err != nil {
		t.Fatalf("build sandtrail-exec: %v", err)
	}
	return path
}

// TestSmallProgram runs the scripts of exec with the small program in its
// place, which delivers to a server over the script's database.
func TestSmallProgram(t *testing.T) {
	program := small(t)
	for name, newDatabase := range map[string]func(*testing.T) string{
		"SQLite":     func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "sandtrail.db") },
		"PostgreSQL": newPostgreSQL,
	} {
		t.Run(name, func(t *testing.T) {
			if name == "PostgreSQL" {
				pgtest.Server(t)
			}
			for _, script := range recordingScripts {
				t.Run(script, func(t *testing.T) {
					t.Parallel()
					db := newDatabase(t)
					runScript(t, filepath.Join("testdata/script", script+".txtar"), db,
						smallEnv+"="+program, smallServerEnv+"="+serveFor(t, db), smallDBEnv+"="+db)
				})
			}
		})
	}
}

// serveFor serves a database until the test ends, and returns the address.
func serveFor(t *testing.T, db string) (url string) {
	t.Helper()
	if status, said := inProcess("migrate", "--db", db); status != 0 {
		t.Fatalf("migrate: %s", said)
	}
	address := testneed.FreeAddress(t)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() {
		defer close(served)
		if status, said := inProcessUntil(ctx, "serve", "--db", db, "--listen", address, "--log-level", "error"); ctx.Err() == nil {
			t.Errorf("serve: status %d: %s", status, said)
		}
	}()
	t.Cleanup(func() {
		stop()
		<-served
	})
	return "http://" + address
}

func inProcess(args ...string) (status int, said string) {
	return inProcessUntil(context.Background(), args...)
}

func inProcessUntil(ctx context.Context, args ...string) (status int, said string) {
	var out bytes.Buffer
	status = run(ctx, args, &deps{
		in: strings.NewReader(""), out: &out, err: &out, getenv: func(string) string { return "" }, now: time.Now, wait: wait,
	})
	return status, out.String()
}

// everyFlagAmiss are calls with each flag of exec that takes a value: an empty one,
// and two where one can count.
func everyFlagAmiss(t *testing.T, who []string) (calls [][]string) {
	t.Helper()
	parser, _, err := newParser([]string{"exec"}, &deps{})
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{"URL": "http://x", "DURATION": "1s", "MB": "3", "N": "3", "BYTES": "3"} // by placeholder
	for _, group := range parser.Model.Children[0].AllFlags(false) {
		for _, f := range group {
			if f.Name == "help" || f.Name == "version" || f.IsBool() {
				continue
			}
			calls = append(calls, slices.Concat(who, []string{"--" + f.Name + "=", "--", "true"}))
			value := values[f.PlaceHolder]
			if f.Default != "" {
				value = f.Default
			}
			if value == "" {
				value = "x"
			}
			if !f.IsCumulative() {
				given := "--" + f.Name + "=" + value
				calls = append(calls, slices.Concat(who, []string{given, given, "--", "true"}))
			}
		}
	}
	return calls
}

// TestBothProgramsRefuseTheSame gives the same slips to both programs, and
// wants the same words and status.
func TestBothProgramsRefuseTheSame(t *testing.T) {
	program := small(t)
	who := []string{"--user", "ada", "--strategy", "momentum"}
	for _, args := range append(everyFlagAmiss(t, who), [][]string{
		{"--", "true"},
		{"--user", "ada", "--", "true"},
		{"--user"},
		{"--user", "--", "true"},
		append(who, "--"),
		append(who, "true", "--", "false"),
		append(who, "--type", "ALL", "--", "true"),
		append(who, "--timeout", "soon", "--", "true"),
		append(who, "--memory", "much", "--", "true"),
		append(who, "--cpus", "NaN", "--", "true"),
		append(who, "--pass-fd", "x", "--", "true"),
		append(who, "-memory", "3", "--", "true"),
		append(who, "--unheard", "--", "true"),
		append(who, "--record-file", "a", "--record-fd", "3", "--", "true"),
		append(who, "--record-session", "--", "true"),
		append(who, "--db", "mysql://x", "--", "true"),
		append(who, "--db", "sqlite:x", "--server", "http://x", "--", "true"),
		append(who, "--server", "ftp://x", "--", "true"),
		append(who, "--grace", "0s", "--", "true"),
		append(who, "--memroy", "3", "--", "true"),
		append(who, "--record-args=perhaps", "--", "true"),
		append(who, "--key", "st_x", "--", "true"),
		append(who, "--schema", "x", "--", "true"),
		append(who, "--schema", "x", "--server", "http://x", "--", "true"),
		append(who, "--pass-env", "A,,B", "--", "true"),
		append(who, "--pass-fd", "77,78", "--", "true"),
		append(who, "--pass-fd", "3,x", "--", "true"),
	}...) {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			wantStatus, want := inProcess(append([]string{"exec"}, args...)...)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			c := exec.CommandContext(ctx, program, args...)
			c.Dir = t.TempDir()
			c.Env = []string{"HOME=" + c.Dir}
			got, _ := c.CombinedOutput()
			said := strings.ReplaceAll(string(got), "sandtrail-exec", "sandtrail")
			want = strings.ReplaceAll(strings.Replace(want, ": exec: ", ": ", 1), "sandtrail exec", "sandtrail")
			if status := c.ProcessState.ExitCode(); status != wantStatus || said != want || wantStatus != statusUsage {
				t.Errorf("sandtrail-exec: status %d: %ssandtrail exec: status %d: %s", status, said, wantStatus, want)
			}
		})
	}
}
