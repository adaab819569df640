package prisma

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/sandtrail/sandtrail"
)

// MaxSchema is how many bytes a file of a schema may have.
const MaxSchema = 4 << 20

// maxNesting is how many lists may stand within one another.
const maxNesting = 16

// A declaration is a block of a schema: a model, the data source and so on.
type declaration struct {
	kind, name string
	at         string // "schema.prisma:12"
	fields     []declared
	attributes []attribute         // "@@map(…)"
	settings   map[string]argument // of a data source
}

// A declared field is one line of a model.
type declared struct {
	name, kind string
	at         string
	attributes []attribute
}

// An attribute is its name without the @, and its arguments by their names; the
// first without a name has the name "".
type attribute struct {
	name      string
	arguments map[string]argument
}

// An argument is a word, a text or a list.
type argument struct {
	text string
	list []argument
}

func attributeOf(all []attribute, name string) (attribute, bool) {
	i := slices.IndexFunc(all, func(a attribute) bool { return a.name == name })
	if i < 0 {
		return attribute{}, false
	}
	return all[i], true
}

// mapped is the text of an attribute such as @map, in either of its forms.
func mapped(all []attribute, name string) string {
	a, _ := attributeOf(all, name)
	return cmp.Or(a.arguments[""].text, a.arguments["name"].text)
}

func (d declaration) field(name string) (declared, bool) {
	i := slices.IndexFunc(d.fields, func(f declared) bool { return f.name == name })
	if i < 0 {
		return declared{}, false
	}
	return d.fields[i], true
}

// words are those of Prisma's language; blanks and comments stand between them.
// They are compiled when they are needed, which most commands never do.
var words = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:[ \t\r\f]|//[^\n]*|(?s:/\*.*?\*/))*` +
		`(\n|"(?:[^"\\\n]|\\.)*"|@@|[\p{L}\p{N}_-][\p{L}\p{N}_.-]*|[@{}()\[\]:,?=!]|$)`)
})

// reader reads a schema word by word. After a fault it is at the end.
type reader struct {
	name, rest string
	line       int
	word       string // the next one, "" at the end
	depth      int
	err        error
}

// parse reads the declarations of a schema file. It knows the form of Prisma's
// language, not all that Prisma demands of the content.
func parse(name, text string) (found []declaration, err error) {
	if len(text) > MaxSchema {
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "%s: %d bytes, and a schema may have %d", name, len(text), MaxSchema)
	}
	r := &reader{name: name, rest: text, line: 1}
	for r.next(); r.skipLines(); {
		found = append(found, r.declaration())
	}
	return found, r.err
}

// next goes to the next word.
func (r *reader) next() {
	if r.word == "\n" {
		r.line++
	}
	at := words().FindStringSubmatchIndex(r.rest)
	if at == nil {
		line, _, _ := strings.Cut(strings.TrimLeft(r.rest, " \t\r\f"), "\n")
		r.fail("here must be a word of Prisma's language, got %.40q", line)
		return
	}
	r.line += strings.Count(r.rest[:at[2]], "\n") // in comments
	r.word, r.rest = r.rest[at[2]:at[3]], r.rest[at[1]:]
}

func (r *reader) at() string { return fmt.Sprintf("%s:%d", r.name, r.line) }

// fail notes the first fault and goes to the end.
func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = sandtrail.Errorf(sandtrail.CodeInvalid, "%s: %s", r.at(), fmt.Sprintf(format, args...))
	}
	r.word, r.rest = "", ""
}

// skipLines goes to the next word that is no end of a line; false at the end.
func (r *reader) skipLines() bool {
	for r.word == "\n" {
		r.next()
	}
	return r.word != ""
}

// take goes past a word that has to be there.
func (r *reader) take(want string) {
	if r.word != want {
		r.fail("here must be %q, got %q", want, r.word)
		return
	}
	r.next()
}

var name = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[\p{L}\p{N}_-][\p{L}\p{N}_.-]*$`)
})

// identifier goes past a name and returns it.
func (r *reader) identifier(what string) string {
	word := r.word
	if !name().MatchString(word) {
		r.fail("here must be %s, got %q", what, word)
		return ""
	}
	r.next()
	return word
}

func (r *reader) declaration() declaration {
	d := declaration{at: r.at(), kind: r.identifier("model, enum, datasource or another kind of block"), settings: map[string]argument{}}
	d.name = r.identifier("the name of the " + d.kind)
	r.take("{")
	for r.skipLines() && r.word != "}" {
		r.member(&d)
	}
	r.take("}")
	return d
}

// member reads a line of a block.
func (r *reader) member(d *declaration) {
	switch {
	case r.word == "@@":
		d.attributes = append(d.attributes, r.attribute())
	case d.kind == "enum":
		r.identifier("a value of the enum")
		r.attributes()
	case d.kind == "datasource" || d.kind == "generator":
		setting := r.identifier("a setting")
		r.take("=")
		d.settings[setting] = r.argument()
	default:
		d.fields = append(d.fields, r.field())
	}
	if r.word != "\n" && r.word != "}" {
		r.fail("here must be the end of the line, got %q", r.word)
	}
}

func (r *reader) field() declared {
	f := declared{at: r.at(), name: r.identifier("the name of a field")}
	f.kind = r.identifier("the type of field " + f.name)
	if r.word == "(" { // Unsupported("…")
		r.arguments()
	}
	for slices.Contains([]string{"?", "!", "[", "]"}, r.word) {
		r.next()
	}
	f.attributes = r.attributes()
	return f
}

func (r *reader) attributes() (all []attribute) {
	for r.word == "@" {
		all = append(all, r.attribute())
	}
	return all
}

// attribute reads one that begins with @ or @@.
func (r *reader) attribute() attribute {
	r.next()
	a := attribute{name: r.identifier("the name of an attribute")}
	if r.word == "(" {
		a.arguments = r.arguments()
	}
	return a
}

// arguments reads those between parentheses.
func (r *reader) arguments() map[string]argument {
	found := map[string]argument{}
	r.take("(")
	for r.skipLines() && r.word != ")" {
		name, value := "", r.argument()
		if r.word == ":" {
			r.next()
			name, value = value.text, r.argument()
		}
		if _, ok := found[name]; !ok {
			found[name] = value
		}
		if r.skipLines(); r.word == "," {
			r.next()
		} else if r.word != ")" {
			r.fail("a value must be followed by , or ), got %q", r.word)
		}
	}
	r.take(")")
	return found
}

// argument reads a word, a text, a call or a list.
func (r *reader) argument() (a argument) {
	if r.depth++; r.depth > maxNesting {
		r.fail("more than %d lists within one another", maxNesting)
	}
	defer func() { r.depth-- }()
	r.skipLines()
	switch {
	case strings.HasPrefix(r.word, `"`):
		if json.Unmarshal([]byte(r.word), &a.text) != nil {
			r.fail("here must be a text, got %s", r.word)
		}
		r.next()
	case r.word == "[":
		r.next()
		for r.skipLines() && r.word != "]" {
			a.list = append(a.list, r.argument())
			if r.skipLines(); r.word == "," {
				r.next()
			}
		}
		r.take("]")
	default:
		a.text = r.identifier("a value")
		if r.word == "(" {
			r.arguments()
		}
	}
	return a
}
