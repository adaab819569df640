package sandtrail_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var (
	// apart are the parts of a page that are no sentences: code, headings, rows.
	apart = regexp.MustCompile("(?s:```.*?```)|(?m)^(#|\\|).*$")
	// paragraph ends at an empty line, or where the next item of a list begins.
	paragraph = regexp.MustCompile(`\n\s*\n|\n\s*(?:-|\d+\.) `)
	sentence  = regexp.MustCompile(`[.:;?!]\)?\s+`)
)

// TestSentencesAreShort wants one idea a sentence, of at most 25 words, on the pages
// that a newcomer reads first.
func TestSentencesAreShort(t *testing.T) {
	const most = 25
	for _, page := range []string{"docs/architecture.md", "docs/glossary.md", "docs/reference/record.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paragraph.Split(apart.ReplaceAllString(string(text), ""), -1) {
			for _, s := range sentence.Split(p, -1) {
				if words := strings.Fields(s); len(words) > most {
					t.Errorf("%s: %d words, at most %d: %s", page, len(words), most, strings.Join(words, " "))
				}
			}
		}
	}
}
