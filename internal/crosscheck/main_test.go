package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheck wants the faults to be found that only one system meets, in what is
// imported too, and nothing else.
func TestCheck(t *testing.T) {
	const fine = "package ours\n\nfunc Here() {}\n"
	for name, test := range map[string]struct {
		file, source string
		complains    string // on Windows
	}{
		"nothing":         {"ours.go", fine, ""},
		"another type":    {"ours_windows.go", "package ours\n\nvar n int = \"text\"\n", `ours_windows.go:3:13: cannot use "text"`},
		"another library": {"kill.go", "package ours\n\nimport \"syscall\"\n\nvar kill = syscall.Kill\n", "kill.go:5:20: undefined: syscall.Kill"},
		"no body":         {"call_windows.go", "package ours\n\nfunc call()\n", "call_windows.go:3:1: the function call has no body"},
		"no package":      {"import_windows.go", "package ours\n\nimport _ \"ours/none\"\n", "ours/none"},
		"not Go":          {"words_windows.go", "package ours\n\nwords\n", "words_windows.go:3:1"},
		"unused import":   {"inner/inner_windows.go", "package inner\n\nimport \"os\"\n", "inner_windows.go:3:8"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, content := range map[string]string{
				"go.mod": "module ours\n\ngo 1.26\n", "fine.go": fine, "inner/inner.go": "package inner\n", test.file: test.source,
			} {
				if name == "nothing" && file == "fine.go" {
					continue
				}
				file = filepath.Join(dir, file)
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv("GOFLAGS", "")
			if err := check(dir, "linux/arm64", "./..."); err != nil {
				t.Errorf("on Linux: %v", err)
			}
			switch err := check(dir, "windows/amd64", "./..."); {
			case test.complains == "" && err != nil:
				t.Error(err)
			case test.complains != "" && (err == nil || !strings.Contains(err.Error(), test.complains)):
				t.Errorf("on Windows: %v, want %q", err, test.complains)
			}
		})
	}
}

// TestClientBuildsAnywhere wants the client to be HTTP alone: browsers and systems
// without file locks have it too.
func TestClientBuildsAnywhere(t *testing.T) {
	for _, platform := range []string{"js/wasm", "plan9/amd64"} {
		if err := check("../..", platform, "./client"); err != nil {
			t.Errorf("%s: %v", platform, err)
		}
	}
}
