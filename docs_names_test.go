package sandtrail_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentationNamesTestsThatExist wants a test that a document cites to be one,
// and so a file.
func TestDocumentationNamesTestsThatExist(t *testing.T) {
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	tests := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, found := range function.FindAllStringSubmatch(string(source), -1) {
			tests[found[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	pages = append(pages, "docs/reference/record.md")
	cited := regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w+|[a-z/]+\\.go)`")
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range cited.FindAllStringSubmatch(string(text), -1) {
			_, missing := os.Stat(found[1])
			if isFile := strings.HasSuffix(found[1], ".go"); isFile && missing != nil || !isFile && !tests[found[1]] {
				t.Errorf("%s cites %s, which is not there", page, found[1])
			}
		}
	}
}
