package prisma

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/remedy"
)

// Application is what a Prisma schema tells of an application's tables.
type Application struct {
	Users, Strategies Found
	// Log is the model of executions; its Table is "" where there is none.
	Log Log
}

// Found is a model of users or strategies and where the schema has it, such as
// "prisma/schema.prisma:12".
type Found struct {
	Owner
	At string
}

// Log is a model of executions, and the columns of its fields by the names
// that Sandtrail gives them: "user_id" → "owner".
type Log struct {
	Model, Table, At string
	Columns          map[string]string
}

// Chosen are the tables that the caller names; "": find the model.
type Chosen struct {
	Users, Strategies, Log string
	// Schema is what the caller calls the whole schema, for commands that errors
	// print.
	Schema string
}

// File is a file of a schema.
type File struct{ Name, Text string }

// Read finds an application's users, strategies and executions in its Prisma
// schema, which may be of several files. Users and strategies are those that
// the executions' relations name, or the models User and Strategy. A fault of
// the schema is an error of CodeInvalid that says in which line; where several
// models are possible, it has the flags of sandtrail migrate that choose.
func Read(chosen Chosen, files ...File) (a Application, err error) {
	s := schema{chosen: chosen}
	for _, f := range files {
		found, err := parse(f.Name, f.Text)
		if err != nil {
			return a, err
		}
		s.declarations = append(s.declarations, found...)
	}
	if err := s.postgres(); err != nil {
		return a, err
	}
	log, err := s.log()
	if err != nil {
		return a, err
	}
	a.Log = describe(log)
	if a.Users, err = s.found(log, &a.Log, wanted{"users", "User", "userId", chosen.Users}); err != nil {
		return a, err
	}
	a.Strategies, err = s.found(log, &a.Log, wanted{"strategies", "Strategy", "strategyId", chosen.Strategies})
	return a, err
}

// wanted is what is looked for: users or strategies, the name of their model,
// the field of the executions that holds their key, and the table if it is known.
type wanted struct{ what, model, scalar, table string }

// describe describes the model of executions, if there is one.
func describe(model *declaration) Log {
	if model == nil {
		return Log{}
	}
	l := Log{Model: model.name, Table: model.table(), At: model.at, Columns: map[string]string{}}
	for _, f := range (plan{}).executionModel().fields {
		if theirs, ok := model.field(f.name); ok {
			l.Columns[snake(f.name)] = theirs.column()
		}
	}
	return l
}

var capital = regexp.MustCompile(`[A-Z]`)

// snake spells the name of a field as our column: userId, user_id.
func snake(field string) string {
	return capital.ReplaceAllStringFunc(field, func(c string) string { return "_" + strings.ToLower(c) })
}

// schema is all that the files declare.
type schema struct {
	chosen       Chosen
	declarations []declaration
}

func (s schema) models() []declaration {
	return slices.DeleteFunc(slices.Clone(s.declarations), func(d declaration) bool { return d.kind != "model" })
}

// postgres refuses a schema of another database.
func (s schema) postgres() error {
	for _, d := range s.declarations {
		provider, ok := d.settings["provider"]
		if d.kind == "datasource" && ok && provider.text != "postgresql" && provider.text != "postgres" {
			return sandtrail.Errorf(sandtrail.CodeInvalid, "%s: the schema is of %s, and Sandtrail shares a database on PostgreSQL only: leave the schema out", d.at, provider.text)
		}
	}
	return nil
}

// table is the model's table, its schema before it where the model names one.
func (d declaration) table() string {
	name := cmp.Or(mapped(d.attributes, "map"), d.name)
	if schema := mapped(d.attributes, "schema"); schema != "" {
		return schema + "." + name
	}
	return name
}

func (f declared) column() string { return cmp.Or(mapped(f.attributes, "map"), f.name) }

// is reports whether a name that the caller gave is that of the model's table;
// either may lack the schema.
func (d declaration) is(table string) bool {
	mine := d.table()
	return mine == table || strings.HasSuffix(mine, "."+table) || strings.HasSuffix(table, "."+mine)
}

// looksLikeLog reports whether a model has fields that only executions have.
func (d declaration) looksLikeLog() bool {
	for _, want := range []string{"executiontype", "success", "executiontime"} {
		if !slices.ContainsFunc(d.fields, func(f declared) bool { return strings.ReplaceAll(strings.ToLower(f.name), "_", "") == want }) {
			return false
		}
	}
	return true
}

// log is the model of executions, nil where there is none yet.
func (s schema) log() (*declaration, error) {
	table := s.chosen.Log
	found := slices.DeleteFunc(s.models(), func(d declaration) bool {
		return table != "" && !d.is(table) || table == "" && !d.looksLikeLog()
	})
	if exact := slices.IndexFunc(found, func(d declaration) bool { return d.name == "SandboxExecutionLog" }); table == "" && exact >= 0 {
		return &found[exact], nil
	}
	switch {
	case len(found) == 1:
		return &found[0], nil
	case table != "":
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "the schema has no model of a table %q: look at the name", table)
	case len(found) == 0:
		return nil, nil
	}
	return nil, s.choose("executions", "log-table", found)
}

// reference is a model that executions refer to: its key, and of the executions
// the field that holds it and its column. Without executions these are "".
type reference struct {
	model               declaration
	key, scalar, column string
}

// owner finds the users or strategies: by the field of the executions that
// refers to them, or by their name.
func (s schema) owner(log *declaration, o wanted) (reference, error) {
	all := s.references(log)
	ways := []func(reference) bool{
		func(r reference) bool { return r.scalar == o.scalar },
		func(r reference) bool {
			return r.model.name == o.model || r.model.name == o.what || r.model.table() == o.what
		},
	}
	if o.table != "" {
		ways = []func(reference) bool{func(r reference) bool { return r.model.is(o.table) }}
	}
	for _, right := range ways {
		found := slices.DeleteFunc(slices.Clone(all), func(r reference) bool { return !right(r) })
		if len(found) == 1 || o.table != "" && len(found) > 1 {
			return found[0], nil
		}
	}
	if o.table != "" {
		return reference{}, sandtrail.Errorf(sandtrail.CodeInvalid, "the schema has no model of a table %q that executions can refer to: look at the name", o.table)
	}
	var models []declaration
	for _, r := range all {
		models = append(models, r.model)
	}
	return reference{}, s.choose(o.what, o.what+"-table", models)
}

// references are the models that the executions relate to by one field each.
// Where there are no executions or no relations, it is every model with a key.
func (s schema) references(log *declaration) (all []reference) {
	if log != nil {
		for _, f := range log.fields {
			if r, ok := s.relation(*log, f); ok {
				all = append(all, r)
			}
		}
	}
	if all != nil {
		return all
	}
	for _, m := range s.models() {
		if m.key() != "" && (log == nil || m.name != log.name) {
			all = append(all, reference{model: m, key: m.key()})
		}
	}
	return all
}

// relation is what a field of a model refers to, if it does so by one field.
func (s schema) relation(d declaration, f declared) (r reference, ok bool) {
	a, _ := attributeOf(f.attributes, "relation")
	fields, references := a.arguments["fields"].list, a.arguments["references"].list
	if len(fields) != 1 || len(references) != 1 {
		return r, false
	}
	scalar, ok := d.field(fields[0].text)
	i := slices.IndexFunc(s.models(), func(d declaration) bool { return d.name == f.kind })
	if !ok || i < 0 {
		return r, false
	}
	return reference{s.models()[i], references[0].text, scalar.name, scalar.column()}, true
}

// choose tells how to say which of several models is meant.
func (s schema) choose(what, option string, models []declaration) error {
	if len(models) == 0 {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "the schema has no model of %s whose key (@id) is one field: add one", what)
	}
	var names []string
	refusal := sandtrail.Errorf(sandtrail.CodeInvalid, "")
	for _, m := range models {
		names = append(names, fmt.Sprintf("%s (%s)", m.name, m.at))
		refusal.With(sandtrail.Remedy{Act: remedy.Migrate, Options: []sandtrail.Option{
			{Name: "prisma-schema", Value: s.chosen.Schema}, {Name: option, Value: m.table()},
		}})
	}
	refusal.Message = fmt.Sprintf("which model holds the %s is not clear (%s): name its table, with the other options as before", what, strings.Join(names, ", "))
	return refusal
}

// key is the model's field that is its @id alone, "" without one.
func (d declaration) key() string {
	for _, f := range d.fields {
		if _, ok := attributeOf(f.attributes, "id"); ok {
			return f.name
		}
	}
	return ""
}

// found describes the users or strategies as options do.
func (s schema) found(model *declaration, log *Log, o wanted) (Found, error) {
	r, err := s.owner(model, o)
	if err != nil {
		return Found{}, err
	}
	if r.column != "" {
		log.Columns[snake(o.scalar)] = r.column
	}
	return r.found()
}

func (r reference) found() (Found, error) {
	m := r.model
	key, ok := m.field(r.key)
	if !ok {
		return Found{}, sandtrail.Errorf(sandtrail.CodeInvalid, "%s: model %s has no field %s, which the executions refer to: add it", m.at, m.name, r.key)
	}
	kind, err := key.keyType()
	if err != nil {
		return Found{}, err
	}
	o := Owner{Model: m.name, Field: key.name, Table: m.table(), ID: key.column(), IDType: kind}
	if f, ok := m.field("email"); ok {
		o.Email = f.column()
	}
	if f, ok := m.field("name"); ok {
		o.Name = f.column()
	}
	return Found{o, m.at}, nil
}

// declaredTypes are the types of keys that executions can refer to, by Prisma's
// and the database's name.
var declaredTypes = map[string]string{
	"String": "text", "String db.Text": "text", "String db.VarChar": "text", "String db.Uuid": "uuid",
	"Int": "integer", "Int db.Integer": "integer", "Int db.SmallInt": "smallint",
	"BigInt": "bigint", "BigInt db.BigInt": "bigint",
}

// keyType is the type of a key's column.
func (f declared) keyType() (string, error) {
	declared := f.kind
	for _, a := range f.attributes {
		if strings.HasPrefix(a.name, "db.") {
			declared += " " + a.name
		}
	}
	if kind, ok := declaredTypes[declared]; ok {
		return kind, nil
	}
	return "", sandtrail.Errorf(sandtrail.CodeInvalid, "%s: the key %s is %s; it must be text, varchar, uuid or an integer, for executions to refer to it", f.at, f.name, declared)
}
