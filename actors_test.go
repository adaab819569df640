package sandtrail_test

import (
	"go/ast"
	"go/token"
	"regexp"
	"strings"
	"testing"
)

// unnamed are words that leave open who acts, and documents that the repository does
// not hold.
var unnamed = regexp.MustCompile(`(?i)\b(nobody|somebody|someone|whoever|anybody|everybody|anyone|everyone|public contract|the reference)\b`)

// unnamedYet are how many of them the comments and texts of a package still have. A
// number may only become smaller; packages without one have none.
var unnamedYet = map[string]int{
	"postgres": 26, "sqlite": 4,
}

// TestCommentsNameTheActor wants the server, the caller or the process for the subject
// of a sentence, and a record that the repository holds for its source.
func TestCommentsNameTheActor(t *testing.T) {
	found := map[string]int{}
	first := map[string]string{}
	for _, s := range program(t) {
		see := func(at token.Position, text string) {
			if n := len(unnamed.FindAllString(text, -1)); n > 0 {
				if found[s.room] == 0 {
					first[s.room] = at.String() + ": " + strings.TrimSpace(text)
				}
				found[s.room] += n
			}
		}
		for _, group := range s.file.Comments {
			see(s.files.Position(group.Pos()), group.Text())
		}
		for _, d := range s.file.Decls {
			s.texts(ast.Node(d), see)
		}
	}
	for room, n := range found {
		if n > unnamedYet[room] {
			t.Errorf("%s: %d sentences name no actor, %d were left: say who acts: the server, the caller, the process; the first is %s", room, n, unnamedYet[room], first[room])
		}
	}
}
