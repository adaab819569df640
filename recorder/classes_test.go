package recorder

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail/internal/testneed"
)

func TestPythonClasses(t *testing.T) {
	tests := map[string]struct {
		source string
		want   []string
	}{
		"none":                  {"x = 1\n", []string{}},
		"in order, each once":   {"class B: pass\nclass A(B):\n  pass\nclass B: pass\n", []string{"B", "A"}},
		"without a last line":   {"class A: pass", []string{"A"}},
		"decorated, generic":    {"@d(\nclass_=1)\nclass A[T](\n  B\n): pass\n", []string{"A"}},
		"not nested":            {"class A:\n  class B: pass\ndef f():\n  class C: pass\nif x:\n    class D: pass\n", []string{"A"}},
		"not in strings":        {"'''\nclass A: pass\n'''\nx = \"\"\"\nclass B: pass\\\"\"\"\n\"\"\"\nclass C: pass\n", []string{"C"}},
		"not in comments":       {"# class A: pass\nx = 1 # '''\nclass B: pass\n", []string{"B"}},
		"not in brackets":       {"x = [\nclass_,\n]\nclass A: pass\n", []string{"A"}},
		"not other words":       {"classes = 1\nclass_ = 2\nclassy.x = 1\n", []string{}},
		"continued lines":       {"x = 1 + \\\nclass_\nclass \\\n  A: pass\n", []string{"A"}},
		"quotes in quotes":      {"x = '\"' + \"'\" + '\\'' + r'\\'\nclass A: pass\n", []string{"A"}},
		"other line ends":       {"class A: pass\r\nclass B: pass\rclass C: pass\n", []string{"A", "B", "C"}},
		"byte order mark":       {"\ufeffclass A: pass\n", []string{"A"}},
		"form feed":             {"\fclass A: pass\n", []string{"A"}},
		"names in any script":   {"class Ärger_2: pass\nclass 策略: pass\n", []string{"Ärger_2", "策略"}},
		"f-strings":             {"x = f'{{' + f\"{a['k']:>{w}}\" + f'{x!r}'\nclass A: pass\n", []string{"A"}},
		"f-strings since 3.12":  {"x = f\"{d[\"k\"]} {\"#\"}\"\nclass A: pass\n", []string{"A"}},
		"quote in a format":     {"x = f'{a:\"<10}'\nclass A: pass\n", []string{"A"}},
		"keyword before quotes": {"x = 1 if\"{\"in s else 2\nclass A: pass\n", []string{"A"}},
		"broken string":         {"x = 'oops\nclass A: pass\n", []string{"A"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, PythonClasses([]byte(test.source))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// oracle lists, for each file of the standard library that Python itself can
// parse and that holds the word, the classes of its syntax tree: of every so
// many-th file, in the order of their names.
const oracle = `
import ast, json, os, sys, sysconfig, warnings
warnings.simplefilter("ignore")
step, n = int(sys.argv[1]), 0
for top, below, names in os.walk(sysconfig.get_path("stdlib")):
    if "site-packages" in below:
        below.remove("site-packages")
    below.sort()
    for name in sorted(names):
        if name.endswith(".py"):
            path = os.path.join(top, name)
            source = open(path, "rb").read()
            n += b"class" in source
            if b"class" not in source or n % step:
                continue
            try:
                body = ast.parse(source).body
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
            classes = list(dict.fromkeys(n.name for n in body if isinstance(n, ast.ClassDef)))
            print(json.dumps({"path": path, "classes": classes}))
`

// TestPythonClassesAgreeWithPython compares each fifth file, and all where
// SANDTRAIL_TEST_CLASSES is set.
func TestPythonClassesAgreeWithPython(t *testing.T) {
	python := testneed.Program(t, "python3", "python3")
	step := "5"
	if os.Getenv("SANDTRAIL_TEST_CLASSES") != "" {
		step = "1"
	}
	cmd := exec.Command(python, "-c", oracle, step)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	files, classes := 0, 0
	for dec := json.NewDecoder(out); dec.More(); files++ {
		var file struct {
			Path    string
			Classes []string
		}
		if err := dec.Decode(&file); err != nil {
			t.Fatal(err)
		}
		source, err := os.ReadFile(file.Path)
		if err != nil {
			t.Fatal(err)
		}
		ours := PythonClasses(source)
		if ours == nil && declaredEncoding(source) != "utf-8" {
			continue // an encoding that is not read
		}
		if diff := cmp.Diff(file.Classes, ours); diff != "" {
			t.Errorf("%s (-python +ours)\n%s", file.Path, diff)
		}
		classes += len(file.Classes)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if files < 100 {
		t.Errorf("only %d files were compared", files)
	}
	t.Logf("%d files with %d classes agree", files, classes)
}

func FuzzPythonClasses(f *testing.F) {
	f.Add([]byte("class A:\n  '''doc'''\nclass B(A): x = f'{a[\"k\"]:>{w}}'\n"))
	f.Add([]byte("x = f\"{f\"{f\"{1}\"}\"}\"\\\nclass A"))
	f.Fuzz(func(t *testing.T, source []byte) {
		seen := map[string]bool{}
		for _, name := range PythonClasses(source) {
			if name == "" || seen[name] || !utf8.ValidString(name) {
				t.Errorf("%q", name)
			}
			seen[name] = true
		}
	})
}

func TestSourceIsHashedAndScanned(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := map[string]struct {
		path    string
		classes []string
	}{
		"python":           {write("a.py", "class A: pass\n"), []string{"A"}},
		"python, none":     {write("b.py", "x=1\n"), []string{}},
		"python by its #!": {write("c", "#!/usr/bin/env python3\nclass C: pass\n"), []string{"C"}},
		"something else":   {write("d.sh", "class D: pass\n"), nil},
		"nothing in it":    {write("e.py", ""), []string{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s, err := readSource(test.path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.classes, s.Classes); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	s, err := readSource(write("hash", "abc"))
	if err != nil || s.Bytes != 3 || s.SHA256 != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Errorf("got %+v, %v", s, err)
	}
	if _, err := readSource(dir); err == nil {
		t.Error("a directory has no source")
	}
}
