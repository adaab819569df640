package api_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
)

// TestEveryCodeHasItsMeaning finds the codes in the source.
func TestEveryCodeHasItsMeaning(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var declared []string
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "Code") {
			declared = append(declared, strings.Trim(v.Values[0].(*ast.BasicLit).Value, `"`))
		}
		return true
	})
	statuses := map[int]bool{}
	meanings := api.Meanings()
	for i, m := range meanings {
		if i >= len(declared) || string(m.Code) != declared[i] {
			t.Errorf("place %d is of %s; the codes are %v", i, m.Code, declared)
		}
		if statuses[m.Status] {
			t.Errorf("status %d has two codes", m.Status)
		}
		statuses[m.Status] = true
		server := m.Status >= http.StatusInternalServerError
		if (m.Exit == 3) != (server || m.Code == sandtrail.CodeRateLimited) {
			t.Errorf("%s: status %d and exit status %d do not blame the same side", m.Code, m.Status, m.Exit)
		}
	}
	if len(meanings) != len(declared) {
		t.Errorf("%d meanings of %d codes", len(meanings), len(declared))
	}
}

func TestDocumentedMeanings(t *testing.T) {
	page, err := os.ReadFile("../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range api.Meanings() {
		if row := fmt.Sprintf("| `%s` | %d | %d | %s |\n", m.Code, m.Status, m.Exit, m.Says); !strings.Contains(string(page), row) {
			t.Errorf("docs/errors.md lacks\n%s", row)
		}
	}
}
