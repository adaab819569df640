package sandtrail_test

import (
	"os"
	"strings"
	"testing"
)

// TestProgramInReadme wants the program in the README to be the one that runs as
// the Example of sqlite.
func TestProgramInReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("sqlite/example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, program, ok := strings.Cut(string(source), "func Example() {\n")
	program, _, found := strings.Cut(program, "\n\t// Output:")
	if !ok || !found {
		t.Fatal("sqlite/example_test.go has no Example with an output")
	}
	if want := "```go\n" + strings.ReplaceAll("\n"+program, "\n\t", "\n")[1:] + "\n```\n"; !strings.Contains(string(readme), want) {
		t.Errorf("README.md lacks\n%s", want)
	}
}
