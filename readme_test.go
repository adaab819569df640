package sandtrail_test

import (
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestProgramInReadme wants the program in the README to be, whole, the one that
// runs as the Example of sqlite.
func TestProgramInReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("sqlite/example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	program, _, ok := strings.Cut(string(source), "\n\t// Output:")
	program = strings.NewReplacer("package sqlite_test", "package main", "func Example() {", "func main() {").Replace(program)
	if !ok || !strings.Contains(program, "func main() {") {
		t.Fatal("sqlite/example_test.go has no Example with an output")
	}
	if want := "```go\n" + program + "\n}\n```\n"; !strings.Contains(string(readme), want) {
		t.Errorf("README.md lacks\n%s", want)
	}
}

// TestEveryDoorHasAnExample wants the packages that programs begin with to show
// themselves by an example that runs: go vet compiles those without an output,
// and runs none of them.
func TestEveryDoorHasAnExample(t *testing.T) {
	for _, dir := range []string{".", "sqlite", "postgres", "client", "recorder", "ledger"} {
		paths, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		var runs bool
		for _, path := range paths {
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range doc.Examples(file) {
				runs = runs || e.Output != ""
				if e.Output == "" && !e.EmptyOutput {
					t.Errorf("%s: Example%s is compiled and never run: give it an output", path, e.Name)
				}
			}
		}
		if !runs {
			t.Errorf("%s: no Example with an output", dir)
		}
	}
}
