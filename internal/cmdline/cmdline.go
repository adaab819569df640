// Package cmdline reads a command line into a struct whose fields carry kong's
// tags, for a program that is too small for kong. It knows the tags and types
// that such a program uses, and refuses the others.
package cmdline

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/sandtrail/sandtrail"
)

// ErrHelp says that --help was among the flags.
var ErrHelp = errors.New("help was asked for")

// Line is a command line: flags, and behind them the words of a command.
type Line struct {
	program string
	flags   []*flag
	typed   []*flag // in the order in which they were
	command *[]string
}

// flag is a field of the struct.
type flag struct {
	name, help, placeholder string
	preset                  string   // its value where none is given; "": the zero value
	env                     string   // the variable that gives it otherwise
	enum                    []string // nil: any value
	rivals                  string   // flags of the same rivals exclude each other
	required                bool
	everywhere              bool // it is a flag of every command of the large program

	value reflect.Value
	given bool
}

// New reads the tags of a struct that the grammar points to, for a program of that
// name. Fields with the tag cmdline:"everywhere" are not listed where a flag is
// unknown.
func New(program string, grammar any) (*Line, error) {
	l := &Line{program: program}
	if err := l.add(reflect.ValueOf(grammar).Elem(), false); err != nil {
		return nil, fmt.Errorf("read the flags of %T: %w", grammar, err)
	}
	return l, nil
}

func (l *Line) add(group reflect.Value, everywhere bool) error {
	for i := range group.NumField() {
		field, value := group.Type().Field(i), group.Field(i)
		everywhere := everywhere || field.Tag.Get("cmdline") == "everywhere"
		if field.Anonymous {
			if err := l.add(value, everywhere); err != nil {
				return err
			}
			continue
		}
		if _, ok := field.Tag.Lookup("arg"); ok {
			command, isWords := value.Addr().Interface().(*[]string)
			if !isWords {
				return fmt.Errorf("%s: the words of a command are a []string", field.Name)
			}
			l.command = command
			continue
		}
		f := newFlag(field, value)
		f.everywhere = everywhere
		if err := f.check(); err != nil {
			return err
		}
		l.flags = append(l.flags, f)
	}
	return nil
}

func newFlag(field reflect.StructField, value reflect.Value) *flag {
	f := &flag{
		name: field.Tag.Get("name"), help: strings.ReplaceAll(field.Tag.Get("help"), "$$", "$"), placeholder: field.Tag.Get("placeholder"),
		preset: field.Tag.Get("default"), env: field.Tag.Get("env"), rivals: field.Tag.Get("xor"), value: value,
	}
	if f.name == "" {
		f.name = dashed(field.Name)
	}
	if enum := field.Tag.Get("enum"); enum != "" {
		f.enum = strings.Split(enum, ",")
	}
	_, f.required = field.Tag.Lookup("required")
	return f
}

// dashed is the name of a flag: DeliverWait is --deliver-wait, PassFD pass-fd.
func dashed(field string) string {
	var b strings.Builder
	for i, r := range field {
		if isUpper(r) && i > 0 && !isUpper(rune(field[i-1])) {
			b.WriteByte('-')
		}
		b.WriteString(strings.ToLower(string(r)))
	}
	return b.String()
}

func isUpper(r rune) bool { return 'A' <= r && r <= 'Z' }

// check refuses types that set does not know, and gives the flag its preset.
func (f *flag) check() error {
	kinds := []reflect.Kind{reflect.String, reflect.Bool, reflect.Int, reflect.Float64}
	kind := f.value.Kind()
	if kind == reflect.Slice {
		kind = f.value.Type().Elem().Kind()
	}
	if _, ok := f.value.Addr().Interface().(encoding.TextUnmarshaler); !ok && !slices.Contains(kinds, kind) {
		return fmt.Errorf("--%s: a flag cannot be a %s", f.name, f.value.Type())
	}
	if f.preset == "" {
		return nil
	}
	return f.set(f.preset)
}

// Parse reads the words behind the program's name, and the environment for the
// flags that are not among them. What is wrong is in the words that kong has
// for it.
func (l *Line) Parse(words []string, getenv func(string) string) error {
	for len(words) > 0 && strings.HasPrefix(words[0], "-") && words[0] != "-" && words[0] != "--" {
		var err error
		if words, err = l.take(words); err != nil {
			return err
		}
	}
	if l.command == nil && len(words) > 0 {
		return fmt.Errorf("unexpected argument %s", words[0])
	}
	if l.command != nil {
		*l.command = words
	}
	for _, f := range l.flags {
		if value := getenv(f.env); f.env != "" && value != "" && !f.given {
			if err := f.set(value); err != nil {
				return err
			}
		}
	}
	return nil
}

// take reads the flag that comes first, and returns the words behind it.
func (l *Line) take(words []string) (rest []string, err error) {
	word, value, assigned := strings.Cut(words[0], "=")
	rest = words[1:]
	if word == "--help" || word == "-h" {
		return rest, ErrHelp
	}
	f := l.find(strings.TrimPrefix(word, "--"))
	if f == nil || !strings.HasPrefix(word, "--") {
		return rest, l.unknown(word)
	}
	for _, other := range l.flags {
		if other != f && other.given && f.rivals != "" && other.rivals == f.rivals {
			return rest, fmt.Errorf("--%s and --%s can't be used together", other.name, f.name)
		}
	}
	switch {
	case f.isBool() && !assigned:
		value = "true"
	case !f.isBool() && !assigned && (len(rest) == 0 || rest[0] == "--"):
		return rest, fmt.Errorf("--%s: a value is missing, as in %s", f.name, f.use())
	case !assigned && !f.isBool():
		value, rest = rest[0], rest[1:]
		if strings.HasPrefix(value, "-") && value != "-" {
			return rest, fmt.Errorf("--%s: expected a value but got %q", f.name, value)
		}
	}
	f.given = true
	l.typed = append(l.typed, f)
	return rest, f.set(value)
}

// Typed tells which flags were among the words, or what is wrong with them.
func (l *Line) Typed() (Typed, error) {
	typed := Typed{}
	for _, f := range l.typed {
		if err := typed.Add(f.name, f.value, f.enum != nil, f.use()); err != nil {
			return nil, err
		}
	}
	return typed, nil
}

func (l *Line) find(name string) *flag {
	if i := slices.IndexFunc(l.flags, func(f *flag) bool { return f.name == name }); i >= 0 {
		return l.flags[i]
	}
	return nil
}

func (l *Line) unknown(word string) error {
	var names, own []string
	for _, f := range l.flags {
		names = append(names, f.name)
		if !f.everywhere {
			own = append(own, "--"+f.name)
		}
	}
	name := strings.ToLower(strings.TrimLeft(word, "-"))
	if nearest := sandtrail.Nearest(name, names); nearest != "" {
		return fmt.Errorf("unknown flag %s, did you mean \"--%s\"?", word, nearest)
	}
	return fmt.Errorf("unknown flag %s: %s takes %s", word, l.program, strings.Join(own, ", "))
}

// Missing tells which flags are required and not given; nil: none.
func (l *Line) Missing() error {
	var missing []string
	for _, f := range l.flags {
		if f.required && !f.given {
			missing = append(missing, f.use())
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return fmt.Errorf("missing flags: %s", strings.Join(missing, ", "))
}

func (f *flag) isBool() bool { return f.value.Kind() == reflect.Bool }

// use is how the flag is written.
func (f *flag) use() string {
	placeholder := f.placeholder
	switch {
	case f.isBool():
		return "--" + f.name
	case placeholder == "" && f.preset != "":
		placeholder = f.preset
	case placeholder == "":
		placeholder = strings.ToUpper(f.name)
	}
	if f.value.Kind() == reflect.Slice {
		placeholder += ",..."
	}
	return "--" + f.name + "=" + placeholder
}

func (f *flag) set(value string) error {
	if f.enum != nil && !slices.Contains(f.enum, value) {
		return fmt.Errorf("--%s must be one of \"%s\" but got %q", f.name, strings.Join(f.enum, `","`), value)
	}
	if err := set(f.value, value); err != nil {
		return fmt.Errorf("--%s: %w", f.name, err)
	}
	return nil
}

// set gives a field its value. A field of several takes more, with commas between
// them.
func set(field reflect.Value, value string) error {
	if text, ok := field.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return text.UnmarshalText([]byte(value))
	}
	switch field.Kind() {
	case reflect.String:
		field.SetString(value)
	case reflect.Bool:
		yes, no := slices.Contains([]string{"true", "1", "yes"}, value), slices.Contains([]string{"false", "0", "no"}, value)
		if !yes && !no {
			return fmt.Errorf("bool value must be true, 1, yes, false, 0 or no but got %q", value)
		}
		field.SetBool(yes)
	case reflect.Int:
		n, err := strconv.ParseInt(value, 10, field.Type().Bits())
		if err != nil {
			return fmt.Errorf("must be a whole number, not %q", value)
		}
		field.SetInt(n)
	case reflect.Float64:
		n, err := strconv.ParseFloat(value, 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return fmt.Errorf("must be a number, not %q", value)
		}
		field.SetFloat(n)
	case reflect.Slice:
		for word := range strings.SplitSeq(value, ",") {
			if value == "" {
				break
			}
			one := reflect.New(field.Type().Elem()).Elem()
			if err := set(one, word); err != nil {
				return err
			}
			field.Set(reflect.Append(field, one))
		}
	}
	return nil
}

// Help lists the flags with what they are for.
func (l *Line) Help() string {
	var b strings.Builder
	for _, f := range l.flags {
		help := f.help
		if f.env != "" {
			help += " ($" + f.env + ")"
		}
		fmt.Fprintf(&b, "  %s\n      %s\n", f.use(), help)
	}
	return b.String()
}
