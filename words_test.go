package sandtrail_test

import (
	"encoding/json"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// retired are words that users do not meet, and the one word for the same thing.
var retired = []struct {
	word *regexp.Regexp
	use  string
}{
	{regexp.MustCompile(`(?i)\b(a|an|the|one|each|every|per|whole|committed|of|older|stores?|refuse|writes|these|their|no|more|user's|waiting) records?\b|\brecord's\b|^Records\b|\brecords (that|stored|waiting|wait|are)\b`), "execution"},
	{regexp.MustCompile(`(?i)\b(a|an|the|one|each|every|last|real|earlier|of|failed) runs?\b`), "execution"},
	{regexp.MustCompile(`(?i)\bdrafts?\b`), "execution"},
	{regexp.MustCompile(`(?i)\bleaf\b|\b(of|the|all|first|more|had|%d|%s) leaves\b|\bleaves (had|have)\b`), "ledger entry"},
	{regexp.MustCompile(`(?i)\b(half|nearly all|almost all) within\b`), "p50, p95, p99"},
	{regexp.MustCompile(`(?i)\bprobes?\b`), "health check"},
	{regexp.MustCompile(`(?i)\bspool(s|ed)?\b`), "outbox"},
	{regexp.MustCompile(`(?i)\bnot (yet )?sealed\b`), "unsealed"},
	{regexp.MustCompile(`(?i)\bcrash(ed|es)?\b`), "failed, not timed out"},
}

// TestOneWordForOneThing reads the texts that users meet: the help of commands
// and flags, messages and their format strings, the description of the HTTP
// interface, the templates of the page.
func TestOneWordForOneThing(t *testing.T) {
	seen := 0
	look := func(where, text string) {
		seen++
		text = logRecords.ReplaceAllString(text, "OTLP")
		for _, r := range retired {
			if found := r.word.FindString(text); found != "" {
				t.Errorf("%s: %q in %q: the word is %s", where, found, text, r.use)
			}
		}
	}
	for _, s := range program(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			if field, ok := n.(*ast.Field); ok && field.Tag != nil {
				tag, _ := strconv.Unquote(field.Tag.Value)
				for _, key := range []string{"help", "doc"} {
					if text := reflect.StructTag(tag).Get(key); text != "" {
						look(s.files.Position(field.Pos()).String(), text)
					}
				}
			}
			return true
		})
		s.texts(s.file, func(at token.Position, text string) {
			if strings.Contains(text, " ") && !statement.MatchString(text) { // names and keys have no blank
				look(at.String(), chosen.ReplaceAllString(text, ""))
			}
		})
	}
	for _, s := range program(t) {
		if !slices.ContainsFunc(undocumented, func(room string) bool { return strings.HasPrefix(s.room, room) }) {
			s.documentation(func(where, text string) { look(where, ofGo.ReplaceAllString(text, "")) })
		}
	}
	eachDescription(t, look)
	eachTemplate(t, look)
	if seen < 2000 {
		t.Errorf("only %d texts were found", seen)
	}
}

// documentation reads what go doc shows of a package: the comments of exported names,
// their fields and methods.
func (s source) documentation(look func(where, text string)) {
	see := func(group *ast.CommentGroup) {
		if group != nil {
			look(s.files.Position(group.Pos()).String(), strings.Join(strings.Fields(group.Text()), " "))
		}
	}
	see(s.file.Doc)
	for _, d := range s.file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && isExported(d.Recv) {
				see(d.Doc)
			}
		case *ast.GenDecl:
			exported := false
			for _, spec := range d.Specs {
				exported = s.specification(spec, see) || exported
			}
			if exported {
				see(d.Doc)
			}
		}
	}
}

// isExported reports whether a receiver, if there is one, is of an exported type.
func isExported(receiver *ast.FieldList) bool {
	if receiver == nil {
		return true
	}
	of := receiver.List[0].Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	if generic, ok := of.(*ast.IndexExpr); ok {
		of = generic.X
	}
	return ast.IsExported(nameOf(of))
}

// specification reads a type, a constant or a variable, and reports whether it is
// exported.
func (s source) specification(spec ast.Spec, see func(*ast.CommentGroup)) bool {
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		if !slices.ContainsFunc(spec.Names, (*ast.Ident).IsExported) {
			return false
		}
		see(spec.Doc)
		see(spec.Comment)
	case *ast.TypeSpec:
		if !spec.Name.IsExported() {
			return false
		}
		see(spec.Doc)
		see(spec.Comment)
		ast.Inspect(spec.Type, func(n ast.Node) bool {
			if field, ok := n.(*ast.Field); ok && (len(field.Names) == 0 || slices.ContainsFunc(field.Names, (*ast.Ident).IsExported)) {
				see(field.Doc)
				see(field.Comment)
			}
			return true
		})
	default:
		return false
	}
	return true
}

var (
	// statement recognises SQL, whose names are those of tables.
	statement = regexp.MustCompile(`\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE)\b`)
	// chosen are values that a person may choose.
	chosen = regexp.MustCompile(`\bstrict or spool\b|\bpolicy spool\b|\bcrashed \(failed, not timed out\)`)
)

// undocumented are the rooms whose comments are not read: programs, what no other
// module can import, and those that are about runs and files before they are
// executions.
var undocumented = []string{"cmd", "internal", "recorder", "runner", "outbox", "asciicast", "bench", "rollup", "examples", "deploy", "prisma"}

// ofGo are names of Go's that comments use.
var ofGo = regexp.MustCompile(`\bDrafts?\b|\bdrafts?\b|\bLeaf\b|\bSpool\b|\b[Aa] spool\b|\brecords a span\b|^Records returns`)

// logRecords are OpenTelemetry's.
var logRecords = regexp.MustCompile(`(?i)\blog records?\b`)

// eachDescription reads the OpenAPI document that a test of the server compares
// with what it serves.
func eachDescription(t *testing.T, look func(where, text string)) {
	t.Helper()
	content, err := os.ReadFile("server/testdata/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var document any
	if err := json.Unmarshal(content, &document); err != nil {
		t.Fatal(err)
	}
	var walk func(path string, value any)
	walk = func(path string, value any) {
		switch value := value.(type) {
		case map[string]any:
			for key, inner := range value {
				if text, ok := inner.(string); ok && (key == "description" || key == "summary") {
					look("openapi.json "+path, text)
				}
				walk(path+"/"+key, inner)
			}
		case []any:
			for _, inner := range value {
				walk(path, inner)
			}
		}
	}
	walk("", document)
}

var (
	inline = regexp.MustCompile(`</?(code|b|i|em|strong|a|span|small|abbr)\b[^>]*>`)
	action = regexp.MustCompile(`(?s)\{\{.*?\}\}`)
	hidden = regexp.MustCompile(`(?s)<(style|script)\b.*?</(style|script)>|<!--.*?-->`)
	tag    = regexp.MustCompile(`(?s)<[^>]*>`)
	spoken = regexp.MustCompile(`\b(aria-label|title|placeholder|alt)="([^"]*)"`)
)

// eachTemplate reads what a template shows and what it has read aloud.
func eachTemplate(t *testing.T, look func(where, text string)) {
	t.Helper()
	files, err := filepath.Glob("web/templates/*/*.html")
	if err != nil || len(files) == 0 {
		t.Fatalf("no templates: %v", err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		page := inline.ReplaceAllString(hidden.ReplaceAllString(action.ReplaceAllString(string(content), "…"), ""), "")
		for _, found := range spoken.FindAllStringSubmatch(page, -1) {
			look(file, found[2])
		}
		for _, text := range strings.Split(tag.ReplaceAllString(page, "\x00"), "\x00") {
			if text = strings.TrimSpace(text); text != "" {
				look(file, text)
			}
		}
	}
}

// TestFilterSaysWhatCrashedMeans keeps the choice of the page, whose value is
// crashed, from being shown without its meaning.
func TestFilterSaysWhatCrashedMeans(t *testing.T) {
	page, err := os.ReadFile("web/templates/pages/executions.html")
	if err != nil {
		t.Fatal(err)
	}
	if option := regexp.MustCompile(`<option value="crashed"[^>]*>[^<]*`).FindString(action.ReplaceAllString(string(page), "")); !strings.HasSuffix(option, ">failed, not timed out") {
		t.Errorf("the filter offers %q", option)
	}
	filter, err := os.ReadFile("web/filter.go")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(filter)) {
		if strings.Contains(line, "crashed") && strings.Contains(line, `errors.New("`) && !strings.Contains(line, "crashed (failed, not timed out)") {
			t.Errorf("a message offers crashed without its meaning: %s", line)
		}
	}
}
