//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/internal/testneed"
)

// TestDocumentedCommands runs what the documentation tells its readers to
// type. In every Markdown file of the repository, the blocks that are fenced
// as "console" are run from top to bottom in one shell, in an empty directory:
//
//	```console
//	$ sandtrail users add ada --email ada@example.com
//	$ sandtrail users list
//	ID   E-MAIL           NAME
//	ada  ada@example.com
//	$ sandtrail failures --within 24h  # exit status 0
//	…
//	```
//
// A line that begins with "$ " is a command, one that ends with a backslash
// goes on in the next. It must end with status 0 or the one that the comment
// behind it names. Lines below it are what it prints, where "…" stands for
// any text, alone on a line for any lines; a command without such lines may
// print anything. DATABASE_URL names an empty PostgreSQL database,
// and a port of 127.0.0.1 stands for one that is free.
//
// Commands that cannot be run here belong into blocks fenced as "sh".
func TestDocumentedCommands(t *testing.T) {
	for file, blocks := range consoleBlocks(t, "../..") {
		t.Run(file, func(t *testing.T) {
			freePorts(t, blocks)
			shell := newShell(t, blocks)
			for _, c := range blocks {
				shell.check(t, c)
			}
		})
	}
}

// typed is a command of the documentation with what it prints.
type typed struct {
	line    int
	command string
	status  string
	output  []string
}

func consoleBlocks(t *testing.T, root string) map[string][]typed {
	t.Helper()
	found := map[string][]typed{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if commands := parseConsole(string(text)); len(commands) > 0 {
			found[name] = commands
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

var exitComment = regexp.MustCompile(`\s+# exit status (\d+)$`)

func parseConsole(text string) []typed {
	var commands []typed
	inside, continued := false, false
	for i, line := range strings.Split(text, "\n") {
		switch trimmed := strings.TrimSpace(line); {
		case strings.HasPrefix(trimmed, "```"):
			inside, continued = trimmed == "```console", false
		case !inside:
		case continued:
			last := &commands[len(commands)-1]
			last.command, continued = last.command+"\n"+line, strings.HasSuffix(line, `\`)
		case strings.HasPrefix(trimmed, "$ "):
			c := typed{line: i + 1, command: strings.TrimPrefix(trimmed, "$ "), status: "0"}
			if m := exitComment.FindStringSubmatch(c.command); m != nil {
				c.status = m[1]
			}
			commands, continued = append(commands, c), strings.HasSuffix(line, `\`)
		case len(commands) > 0:
			last := &commands[len(commands)-1]
			last.output = append(last.output, strings.TrimRight(line, " "))
		}
	}
	return commands
}

var localPort = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// freePorts changes the ports that commands name for ones that nobody listens
// on, the same for the same.
func freePorts(t *testing.T, commands []typed) {
	t.Helper()
	free := map[string]string{}
	for i := range commands {
		commands[i].command = localPort.ReplaceAllStringFunc(commands[i].command, func(shown string) string {
			if free[shown] == "" {
				free[shown] = testneed.FreeAddress(t)
			}
			return free[shown]
		})
	}
}

// shell is a bash that commands are typed into.
type shell struct {
	in  io.Writer
	out *bufio.Reader
}

func newShell(t *testing.T, commands []typed) *shell {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	bash := exec.CommandContext(ctx, "bash", "--norc", "--noprofile")
	bash.Dir = t.TempDir()
	bash.Env = append(os.Environ(),
		"PATH="+binaries(t)+string(filepath.ListSeparator)+os.Getenv("PATH"),
		"HOME="+bash.Dir, "XDG_STATE_HOME="+bash.Dir+"/.state", "SANDTRAIL_DB=", "SANDTRAIL_SERVER=", "SANDTRAIL_KEY=")
	for _, c := range commands {
		if strings.Contains(c.command, "DATABASE_URL") {
			bash.Env = append(bash.Env, "DATABASE_URL="+pgtest.New(t))
			break
		}
	}
	// Servers started with & end with the test.
	bash.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	bash.Cancel = func() error { return syscall.Kill(-bash.Process.Pid, syscall.SIGKILL) }
	in, err := bash.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := bash.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	bash.Stderr = bash.Stdout
	if err := bash.Start(); err != nil {
		t.Fatalf("the documentation's commands need bash: %v", err)
	}
	t.Cleanup(func() {
		cancel()
		_ = bash.Wait() // killed
	})
	return &shell{in: in, out: bufio.NewReader(out)}
}

const endMark = "--- end of the output, status "

func (s *shell) check(t *testing.T, c typed) {
	t.Helper()
	if _, err := fmt.Fprintf(s.in, "%s\nprintf '\\n%s%%d\\n' $?\n", c.command, endMark); err != nil {
		t.Fatalf("line %d: %s: %v", c.line, c.command, err)
	}
	var got bytes.Buffer
	for {
		line, err := s.out.ReadString('\n')
		if status, ok := strings.CutPrefix(line, endMark); ok {
			c.compare(t, got.String(), strings.TrimSpace(status))
			return
		}
		got.WriteString(line)
		if err != nil {
			t.Fatalf("line %d: %s: the shell ended: %v\n%s", c.line, c.command, err, got.String())
		}
	}
}

func (c typed) compare(t *testing.T, got, status string) {
	t.Helper()
	if status != c.status {
		t.Errorf("line %d: %s: exit status %s, want %s; it printed:\n%s", c.line, c.command, status, c.status, got)
	}
	want := strings.TrimSpace(strings.Join(c.output, "\n"))
	if want == "" {
		return
	}
	pattern := regexp.QuoteMeta(want)
	pattern = regexp.MustCompile(`(?m)^…$`).ReplaceAllString(pattern, `(?s:.*)`)
	pattern = strings.ReplaceAll(pattern, "…", ".*")
	trimmed := regexp.MustCompile(` +\n`).ReplaceAllString(strings.TrimSpace(got), "\n")
	if !regexp.MustCompile("^" + pattern + "$").MatchString(trimmed) {
		t.Errorf("line %d: %s printed\n%s\nwant\n%s", c.line, c.command, got, want)
	}
}
