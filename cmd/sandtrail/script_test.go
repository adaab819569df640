package main

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sandtrail/sandtrail/internal/pgtest"
)

func TestMain(m *testing.M) {
	testscript.Main(tidy{m}, map[string]func(){"sandtrail": func() {
		if len(os.Args) > 1 && os.Args[1] == "exec" && os.Getenv(smallServerEnv) != "" {
			becomeSmall(os.Args[2:])
		}
		os.Exit(start(testClock))
	}, "sandtrail-exec": func() { becomeSmall(os.Args[1:]) }})
}

// tidy removes what the tests have built.
type tidy struct{ *testing.M }

func (m tidy) Run() int {
	defer func() {
		if dir, err := buildDir(); err == nil {
			_ = os.RemoveAll(dir)
		}
	}()
	return m.M.Run()
}

// clockEnv tells the programs that tests start how far to move their clock, such
// as "-3h10m".
const clockEnv = "SANDTRAIL_TEST_CLOCK"

func testClock() time.Time {
	offset, _ := time.ParseDuration(os.Getenv(clockEnv)) // "": none
	return time.Now().Add(offset)
}

// The scripts in testdata/script run on both databases, those in the
// directories below it on one: on SQLite with the race detector, where the tests
// have it, and on PostgreSQL with the programs as they are shipped.

func TestOnSQLite(t *testing.T) {
	runScripts(t, func(*testing.T) string { return "sqlite:sandtrail.db" }, nil, "testdata/script", "testdata/script/sqlite")
}

func TestOnPostgreSQL(t *testing.T) {
	pgtest.Server(t)
	runScripts(t, newPostgreSQL, shipped(t), "testdata/script", "testdata/script/postgres")
}

func newPostgreSQL(t *testing.T) string { return pgtest.New(t) }

// shipped lets scripts find the programs as they are shipped, unless their clock
// is to be moved, which only the tests' own can.
func shipped(t *testing.T) (vars []string) {
	t.Helper()
	if os.Getenv(clockEnv) != "" {
		return nil
	}
	path, err := largeProgram()
	if err != nil {
		t.Fatalf("build sandtrail: %v", err)
	}
	small(t)
	return []string{"PATH=" + filepath.Dir(path) + string(filepath.ListSeparator) + os.Getenv("PATH")}
}

func runScripts(t *testing.T, newDatabase func(*testing.T) string, vars []string, dirs ...string) {
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no scripts in %s: %v", dir, err)
		}
		for _, file := range files {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
				t.Parallel()
				vars := vars
				if filepath.Base(file) == "small.txtar" {
					vars = append(slices.Clone(vars), smallEnv+"="+small(t))
				}
				runScript(t, file, newDatabase(t), vars...)
			})
		}
	}
}

// TestAcrossMidnight runs every script that asks for trends shortly before, and
// over, a midnight.
func TestAcrossMidnight(t *testing.T) {
	files := scriptsWith(t, "sandtrail trends ")
	if len(files) < 3 {
		t.Fatalf("only %q ask for trends", files)
	}
	for _, file := range files {
		for _, before := range []time.Duration{4 * time.Minute, time.Second} {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar")+"/"+before.String(), func(t *testing.T) {
				t.Parallel()
				now := time.Now().UTC()
				midnight := now.Truncate(24 * time.Hour).Add(24 * time.Hour)
				runScript(t, file, "sqlite:sandtrail.db", clockEnv+"="+midnight.Add(-before).Sub(now).String())
			})
		}
	}
}

// scriptsWith lists the scripts for both databases that contain a text.
func scriptsWith(t *testing.T, text string) (files []string) {
	t.Helper()
	all, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(content), text) {
			files = append(files, file)
		}
	}
	return files
}

func runScript(t *testing.T, file, database string, vars ...string) {
	testscript.Run(t, testscript.Params{
		Files: []string{file},
		Setup: func(env *testscript.Env) error {
			env.Setenv("SANDTRAIL_DB", database)
			for name, value := range s3Environment(env) {
				env.Setenv(name, value)
			}
			env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, ".state"))
			env.Setenv(clockEnv, os.Getenv(clockEnv)) // move all scripts
			env.Vars = append(env.Vars, vars...)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": status, "lines": lines, "draft": draft, "sql": otherClient, "interrupted": interruptedCall,
		},
		RequireUniqueNames: true,
	})
}

// s3Environment is that of a server of S3 with a bucket named audit.
func s3Environment(env *testscript.Env) map[string]string {
	backend := s3mem.New()
	handler := gofakes3.New(backend, gofakes3.WithV4Auth(map[string]string{"KEY": "secret"})).Server()
	server := httptest.NewServer(handler)
	env.Defer(server.Close)
	if err := backend.CreateBucket(context.Background(), "audit"); err != nil {
		panic(err) // there is none yet
	}
	return map[string]string{"AWS_ENDPOINT_URL_S3": server.URL, "AWS_ACCESS_KEY_ID": "KEY", "AWS_SECRET_ACCESS_KEY": "secret"}
}

// status runs a command and checks its exit status:
//
//	status 2 sandtrail list --limit 0
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N command [args…]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// otherClient has another client of the PostgreSQL database run a file's statements:
//
//	sql FILE
func otherClient(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: sql FILE")
	}
	conn, err := pgx.Connect(context.Background(), ts.Getenv("SANDTRAIL_DB"))
	ts.Check(err)
	ts.Defer(func() { conn.Close(context.Background()) })
	ts.Check(pgtest.ExecAll(context.Background(), conn, ts.ReadFile(args[0])))
}

// interruptedCall makes a call that is interrupted as it begins to read the store. It
// runs in another folder than the script, whose database has its whole path from
// then on:
//
//	interrupted export --to $WORK/executions.ndjson
func interruptedCall(ts *testscript.TestScript, neg bool, args []string) {
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if path, is := strings.CutPrefix(ts.Getenv("SANDTRAIL_DB"), "sqlite:"); is {
		ts.Setenv("SANDTRAIL_DB", "sqlite:"+ts.MkAbs(path))
	}
	d := bare(ts.Stdout(), ts.Stderr())
	d.getenv = ts.Getenv
	if status := run(ctx, args, d); neg || status == 0 {
		ts.Fatalf("not interrupted: status %d", status)
	}
}

// lines checks how many lines the last command printed:
//
//	lines stdout 3
func lines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: lines FILE N")
	}
	text := strings.TrimSuffix(ts.ReadFile(args[0]), "\n")
	got := 0
	if text != "" {
		got = strings.Count(text, "\n") + 1
	}
	if fmt.Sprint(got) != args[1] {
		ts.Fatalf("%s has %d lines, want %s", args[0], got, args[1])
	}
}

// draft writes NDJSON of records that differ in what is given, for ada and
// momentum:
//
//	draft FILE N [field=json …]
func draft(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: draft FILE N [field=json …]")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"userId":"ada","strategyId":"momentum","executionType":"VALIDATION"`)
		given := strings.Join(args[2:], " ")
		for field, value := range map[string]string{"success": "true", "executionTime": strconv.Itoa(100 + i)} {
			if !strings.Contains(given, field+"=") {
				fmt.Fprintf(&b, `,%q:%s`, field, value)
			}
		}
		for _, arg := range args[2:] {
			field, value, _ := strings.Cut(arg, "=")
			fmt.Fprintf(&b, `,%q:%s`, field, value)
		}
		b.WriteString("}\n")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(b.String()), 0o600))
}

// binaries is a directory with the commands that TestMain provides.
func binaries(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, "sandtrail")); err != nil {
		t.Fatal(err)
	}
	return dir
}
