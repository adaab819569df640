package sandtrail_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// source is a file of the program: neither a test nor a package of tests.
type source struct {
	room  string // the package's path below the module's
	file  *ast.File
	files *token.FileSet
}

// program parses the program.
func program(t *testing.T) (found []source) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || strings.HasSuffix(d.Name(), "test") || d.Name() == "testdata" || d.Name() == "testneed"):
			return fs.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		found = append(found, source{filepath.Dir(path), file, files})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// texts calls see with every text in n, and the place where it stands.
func (s source) texts(n ast.Node, see func(at token.Position, text string)) {
	ast.Inspect(n, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if text, err := strconv.Unquote(lit.Value); err == nil {
				see(s.files.Position(lit.Pos()), text)
			}
		}
		return true
	})
}

// TestMessagesSayWhatMustBe refuses "want X, got Y", the words of a test: a
// message tells a person what a value must be.
func TestMessagesSayWhatMustBe(t *testing.T) {
	want := regexp.MustCompile(`\bwant `)
	for _, s := range program(t) {
		s.texts(s.file, func(at token.Position, text string) {
			if want.MatchString(text) {
				t.Errorf("%v: %q: say what the value must be", at, text)
			}
		})
	}
}

// constructors are the functions by whose name an error is made: those that
// return one, and what gathers the places of one.
func constructors(all []source) map[string]bool {
	made := map[string]bool{"Errorf": true, "New": true, "Addf": true, "obstacle": true}
	for _, s := range all {
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Type.Results == nil || f.Type.Results.NumFields() != 1 {
				continue
			}
			result := f.Type.Results.List[0].Type
			if star, ok := result.(*ast.StarExpr); ok {
				result = star.X
			}
			if selector, ok := result.(*ast.SelectorExpr); ok {
				result = selector.Sel
			}
			if name, ok := result.(*ast.Ident); ok && (name.Name == "error" || name.Name == "Error" || name.Name == "FieldError") {
				made[f.Name.Name] = true
			}
		}
	}
	delete(made, "append") // Go's own
	return made
}

// messages calls see with every text of an error that a file makes.
func (s source) messages(made map[string]bool, see func(at token.Position, text string)) {
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if !made[nameOf(n.Fun)] {
				return true
			}
			for _, argument := range n.Args {
				s.texts(argument, see)
			}
		case *ast.CompositeLit:
			if name := nameOf(n.Type); name != "Error" && name != "FieldError" {
				return true
			}
			for _, element := range n.Elts {
				if pair, ok := element.(*ast.KeyValueExpr); !ok || nameOf(pair.Key) != "Remedies" {
					s.texts(element, see)
				}
			}
		}
		return true
	})
}

func nameOf(n ast.Expr) string {
	switch n := n.(type) {
	case *ast.Ident:
		return n.Name
	case *ast.SelectorExpr:
		return n.Sel.Name
	}
	return ""
}

// TestLibrariesNameNoCommands refuses a command of the command line in the
// errors of packages that programs import: a Remedy names the act, and the
// command line words it.
func TestLibrariesNameNoCommands(t *testing.T) {
	all := program(t)
	made, command := constructors(all), regexp.MustCompile(`\bsandtrail [a-z-]+`)
	seen := 0
	for _, s := range all {
		if strings.HasPrefix(s.room, "cmd/") || s.room == "web" {
			continue
		}
		s.messages(made, func(at token.Position, text string) {
			seen++
			if found := command.FindString(text); found != "" {
				t.Errorf("%v: an error names the command %q: give it a Remedy", at, found)
			}
		})
	}
	if seen < 500 {
		t.Errorf("only %d messages were found; how are errors made?", seen)
	}
}

// advises recognises words that tell what a value has to be, or what to do.
var advises = regexp.MustCompile(`(?i)\b(must|may be|may have|may hold|holds at most|takes?|exclude|belongs? to|before|` +
	`add|adopt|archive|ask|attach|begin|change|check|choose|compare|continue|delete|deliver|examine|give|go on|grant|is tried again|leave|listen|look|make|mend|migrate|move|name|narrow|open|put|redirect|rename|repair|repeat|restart|restore|revoke|run|say|send|set|sign in|split|start|take|try|use|verify|wait|write)\b`)

// TestErrorsSayWhatToDo looks at every error with a code of its own: its words
// say what must be otherwise, or its cause ends it and does. Who is told that
// something does not exist knows what to do, and faults of Sandtrail's own are
// answered with the request's id.
func TestErrorsSayWhatToDo(t *testing.T) {
	for _, s := range program(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) < 2 {
				return true
			}
			code, text := nameOf(call.Args[0]), ""
			if !strings.HasPrefix(code, "Code") || code == "CodeNotFound" || code == "CodeInternal" {
				return true
			}
			s.texts(call.Args[1], func(_ token.Position, part string) { text += part })
			if text != "" && !advises.MatchString(text) && !strings.Contains(text, "%w") && !strings.HasSuffix(strings.TrimSpace(text), "%s") && !strings.HasSuffix(text, ": ") {
				t.Errorf("%v: %q: say what to do", s.files.Position(n.Pos()), text)
			}
			return true
		})
	}
}
