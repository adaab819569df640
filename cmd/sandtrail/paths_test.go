package main

import (
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// A pathUse is what a flag or an argument does with the path that it is given.
type pathUse struct {
	call  string // before the flag, or with % in the place of the argument
	after string
	bad   map[string]string // what is said of each path of badPaths, %: the path
}

// badPaths lie in every folder of the test, or do not.
var badPaths = []string{"missing", "missing/x", "folder", "file", "file/x", "loop"}

var (
	reading = map[string]string{
		"missing": "there is no file %: check the name", "missing/x": "there is no file %: check the name",
		"folder": "% is a folder: name a file", "file/x": "% cannot be read: not a directory: name another file",
		"loop": "% cannot be read: too many levels of symbolic links: name another file",
	}
	writing = map[string]string{
		"missing/x": "there is no folder missing: check the name, or make it first", "folder": "% is a folder: name a file",
		"file/x": "file is a file: name a folder", "loop": "% cannot be written: too many levels of symbolic links: name another file",
	}
	inFolder = map[string]string{
		"missing": "there is no folder %: check the name, or make it first", "missing/x": "there is no folder %: check the name",
		"file": "% is a file: name a folder", "file/x": "% cannot be read: not a directory: name another folder",
		"loop": "% cannot be read: too many levels of symbolic links: name another folder",
	}
	makingFolder = map[string]string{
		"file": "% is a file: name a folder", "file/x": "file is a file: name a folder",
		"loop": "% cannot be read: too many levels of symbolic links: name another folder",
	}
	signing = map[string]string{
		"missing/x": writing["missing/x"], "folder": reading["folder"], "file/x": reading["file/x"], "loop": reading["loop"],
	}
	schema = map[string]string{
		"missing": "there is no file or folder %: check the name", "missing/x": "there is no file or folder %: check the name",
		"file/x": "% cannot be read: not a directory: name another file or folder", "loop": "% cannot be read: too many levels of symbolic links",
	}
)

const (
	listening   = "serve --listen 127.0.0.1:none "
	terminalRun = "exec --user ada --strategy s --type TERMINAL "
)

// pathUses are the flags and arguments that name files and folders.
var pathUses = map[string]pathUse{
	"record <file>": {"record %", "", reading}, "users import <file>": {"users import %", "", reading}, "strategies import <file>": {"strategies import %", "", reading},
	"play --file": {"play ", "", reading}, "exec --source": {terminalRun, " -- true", reading},
	"verify --checkpoint": {"verify ", "", reading}, "verify --since": {"verify ", "", reading}, "verify --receipt": {"verify ", "", reading},
	"verify --export": {"verify --manifest file ", "", reading}, "verify --manifest": {"verify --export file ", "", reading},
	"serve --rules": {listening, "", reading}, "serve --tls-cert": {listening + "--tls-key file ", "", reading}, "serve --tls-key": {listening + "--tls-cert file ", "", reading},
	"prisma --prisma-schema": {"prisma ", "", schema}, "migrate --prisma-schema": {"migrate ", "", schema},

	"export --to": {"export ", "", writing}, "export --manifest": {"export ", "", writing}, "exec --record-file": {terminalRun, " -- true", writing},

	"archive <dir>": {"archive %", "", inFolder}, "list --from-archive": {"list ", "", inFolder},
	"serve --archive": {listening, "", inFolder}, "serve --checkpoint-dir": {listening, "", inFolder},

	"outbox list --outbox": {"outbox list ", "", makingFolder}, "outbox flush --outbox": {"outbox flush ", "", makingFolder},
	"outbox retry --outbox": {"outbox retry ", "", makingFolder}, "doctor --outbox": {"doctor ", "", makingFolder},
	"serve --outbox": {listening, "", makingFolder}, "exec --outbox": {terminalRun, " -- true", makingFolder},
	"outbox flush --session-dir": {"outbox flush --outbox none ", "", makingFolder}, "outbox retry --session-dir": {"outbox retry --outbox none ", "", makingFolder},
	"serve --session-dir": {listening, "", makingFolder}, "exec --session-dir": {terminalRun + "--record-session ", " -- true", makingFolder},
	"play --session-dir": {"play last ", "", makingFolder},

	"ledger key --ledger-key": {"ledger key ", "", signing}, "ledger checkpoint --ledger-key": {"ledger checkpoint ", "", signing},
	"ledger rotate --ledger-key": {"ledger rotate ", "", with(signing, "missing", "there is no key to rotate yet in %: check the name")},
	"verify --ledger-key":        {"verify ", "", with(signing, "missing", "there is no file %: check the name")},
	"export --ledger-key":        {"export --manifest m ", "", signing}, "archive --ledger-key": {"archive folder ", "", signing},
	"serve --ledger-key": {listening, "", signing},
}

func with(bad map[string]string, path, said string) map[string]string {
	bad = maps.Clone(bad)
	bad[path] = said
	return bad
}

// TestPathsAreChecked gives every command each kind of wrong path, in place of each
// file and folder that it takes. The message names the flag or the argument, the path
// and what to do, and nothing is made or changed.
func TestPathsAreChecked(t *testing.T) {
	parser, _, err := newParser(nil, &deps{})
	if err != nil {
		t.Fatal(err)
	}
	seeded, rows := seedPaths(t), maps.Clone(pathUses)
	for _, node := range leaves(parser.Model.Node) {
		for _, name := range pathsOf(node) {
			use, ok := rows[name]
			if !ok {
				t.Errorf("%s has no row: say what is told of a wrong path", name)
				continue
			}
			delete(rows, name)
			t.Run(name, func(t *testing.T) { checkPaths(t, seeded, name, use) })
		}
	}
	for name := range rows {
		t.Errorf("%s takes no path", name)
	}
}

// pathsOf are the flags and arguments of a command that name files or folders.
func pathsOf(node *kong.Node) (names []string) {
	for _, f := range node.Flags {
		if slices.Contains([]string{"FILE", "DIR"}, f.PlaceHolder) {
			names = append(names, pathOf(node)+" --"+f.Name)
		}
	}
	for _, argument := range node.Positional {
		if slices.Contains([]string{"file", "dir"}, argument.Name) {
			names = append(names, pathOf(node)+" <"+argument.Name+">")
		}
	}
	return names
}

func checkPaths(t *testing.T, seeded, name string, use pathUse) {
	t.Chdir(t.TempDir())
	if said, err := exec.Command("cp", "-a", seeded+"/.", ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	_, named, _ := strings.Cut(name, " --")
	if named = "--" + named; strings.HasSuffix(name, ">") {
		named = "<" + name[strings.LastIndex(name, "<")+1:]
	}
	before := names(t)
	for _, path := range badPaths {
		said, isBad := use.bad[path]
		if !isBad {
			continue
		}
		call := use.call + named + " " + path + use.after
		if strings.Contains(use.call, "%") {
			call = strings.ReplaceAll(use.call, "%", path)
		}
		status, printed, complained := makeCall(t, strings.Fields(call))
		ran := name == "exec --outbox" // its command runs, whatever becomes of the outbox
		want := named + ": " + strings.ReplaceAll(said, "%", path)
		if wanted := map[bool]int{true: 0, false: statusUsage}[ran]; status != wanted || !strings.Contains(strings.ReplaceAll(complained, ">]: ", ">: "), want) || printed != "" {
			t.Errorf("%s: status %d, want %d and to read %q in\n%s%s", call, status, wanted, want, printed, complained)
		}
		if after := names(t); after != before && !ran {
			t.Errorf("%s: the folder is\n%s\nand was\n%s", call, after, before)
			before = after // or all that follow complain
		}
	}
}

// seedPaths makes a folder with a database, a recorded session, and the bad paths.
func seedPaths(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	command(t, 0, "migrate")
	command(t, 0, "users", "add", "ada", "--email", "ada@example.com")
	command(t, 0, "strategies", "add", "s", "--name", "S")
	if status, _, complained := makeCall(t, strings.Fields(terminalRun+"--record-session --session-dir casts -- true")); status != 0 {
		t.Fatal(complained)
	}
	for _, err := range []error{os.Mkdir("folder", 0o700), os.WriteFile("file", []byte("x"), 0o600), os.Symlink("loop", "loop")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// names lists the files here and below, without those of the database.
func names(t *testing.T) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if !strings.HasPrefix(path, "sandtrail.db") {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, "\n")
}
