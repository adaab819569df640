// Package prisma writes what an application needs to reach Sandtrail's tables
// on PostgreSQL through Prisma 7: the schema of the three models, the part of
// it that an existing schema lacks, and the configuration that keeps Prisma
// Migrate away from the table of executions.
package prisma

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"

	"github.com/sandtrail/sandtrail"
)

// Options say where the tables are and what the application calls its models.
// The zero value describes what migrate creates by default.
type Options struct {
	// Schema is the database schema of the table of executions; "": public.
	Schema     string
	Users      Owner
	Strategies Owner
}

// Owner describes the model that keeps users or strategies. Zero fields mean
// the default.
type Owner struct {
	Model string // "User" or "Strategy"
	Field string // the model's id field as Prisma names it: "id"
	Table string // "users" or "strategies"; a schema may precede it: "app.User"
	ID    string // the column of the id: "id"
	Email string // the column of the e-mail: "email"; of users only
	Name  string // the column of the name: "name"
	// IDType is the database type of the id: "text", "uuid", "smallint",
	// "integer" or "bigint"; "": text.
	IDType string
}

const logTable = "sandbox_execution_logs"

// Schema is a complete Prisma schema: generator, data source and the three
// models, each field with the name of its column. Names that Prisma cannot
// spell are an error of CodeInvalid.
func Schema(o Options) (string, error) {
	p, err := o.plan()
	if err != nil {
		return "", err
	}
	return strings.Join([]string{
		"generator client {\n  provider = \"prisma-client-js\"\n}\n",
		p.dataSource(),
		p.userModel().String(),
		p.strategyModel().String(),
		p.executionModel().String(),
	}, "\n"), nil
}

// Addition is what an existing schema with models of users and strategies
// lacks: the model of executions, and as comments the relation fields that go
// into the two others.
func Addition(o Options) (string, error) {
	p, err := o.plan()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, owner := range []owner{p.users, p.strategies} {
		fmt.Fprintf(&b, "// In the model %s, add:\n//   %s %s\n", owner.Model, relation.name, relation.kind)
	}
	b.WriteString("\n" + p.executionModel().String())
	return b.String(), nil
}

// Config is a prisma.config.ts that declares the table of executions as
// managed from outside, so that Prisma Migrate neither recreates nor drops it.
func Config(o Options) (string, error) {
	p, err := o.plan()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(`import { defineConfig } from "prisma/config";

export default defineConfig({
  datasource: { url: process.env.DATABASE_URL },
  // An existing prisma.config.ts needs these two lines: sandtrail migrate keeps
  // this table, Prisma Migrate leaves it alone.
  experimental: { externalTables: true },
  tables: { external: [%s] },
});
`, quote(p.schema+"."+logTable)), nil
}

// plan is Options with the defaults filled in.
type plan struct {
	schema            string
	users, strategies owner
	manySchemas       bool // then every model names its schema
}

type owner struct {
	Owner
	schema, table string
}

func (o Options) plan() (plan, error) {
	p := plan{
		schema:     cmp.Or(o.Schema, "public"),
		users:      o.Users.withDefaults("User", "users"),
		strategies: o.Strategies.withDefaults("Strategy", "strategies"),
	}
	for _, s := range []string{p.schema, p.users.schema, p.strategies.schema} {
		p.manySchemas = p.manySchemas || s != "public"
	}
	for _, check := range []struct {
		path  string
		owner owner
	}{{"users", p.users}, {"strategies", p.strategies}} {
		if err := sandtrail.UnderPath(check.path, check.owner.validate()); err != nil {
			return plan{}, err
		}
	}
	return p, nil
}

func (o Owner) withDefaults(model, table string) owner {
	o.Model = cmp.Or(o.Model, model)
	o.Field = cmp.Or(o.Field, "id")
	o.Table = cmp.Or(o.Table, table)
	o.ID = cmp.Or(o.ID, "id")
	o.Email = cmp.Or(o.Email, "email")
	o.Name = cmp.Or(o.Name, "name")
	o.IDType = cmp.Or(o.IDType, "text")
	schema, name, qualified := strings.Cut(o.Table, ".")
	if !qualified {
		schema, name = "public", o.Table
	}
	return owner{Owner: o, schema: schema, table: name}
}

// keyTypes are the types of keys as Prisma calls them, with what says which
// type of the database it is.
var keyTypes = map[string]struct{ kind, native string }{
	"text": {"String", ""}, "uuid": {"String", " @db.Uuid"},
	"smallint": {"Int", " @db.SmallInt"}, "integer": {"Int", ""}, "bigint": {"BigInt", ""},
}

// prismaName is what Prisma accepts as the name of a model or field.
var prismaName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)

func (o owner) validate() error {
	var fields []sandtrail.FieldError
	for path, name := range map[string]string{"model": o.Model, "field": o.Field} {
		if !prismaName.MatchString(name) {
			fields = append(fields, sandtrail.FieldError{Path: path, Message: fmt.Sprintf("must be a name of letters, digits and _, a letter first, got %q", name)})
		}
	}
	if _, ok := keyTypes[o.IDType]; !ok {
		fields = append(fields, sandtrail.FieldError{Path: "idType", Message: fmt.Sprintf("must be text, uuid, smallint, integer or bigint, got %q", o.IDType)})
	}
	if fields == nil {
		return nil
	}
	return &sandtrail.Error{Code: sandtrail.CodeInvalid, Message: "prisma", Fields: fields}
}
