package prisma

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// model is one model of a Prisma schema.
type model struct {
	name       string
	fields     []field
	relations  []field
	attributes []string // "@@…"
}

type field struct{ name, kind, attributes, note string }

var relation = field{name: "sandboxExecutions", kind: "SandboxExecutionLog[]"}

func (p plan) userModel() model {
	u := p.users
	return model{
		name: u.Model,
		fields: []field{
			{u.Field, u.kind(), "@id " + column(u.ID) + u.nativeType(), ""},
			{"email", "String", "@unique " + column(u.Email), ""},
			{"name", "String?", column(u.Name), ""},
		},
		relations:  []field{relation},
		attributes: p.place(u.schema, u.table),
	}
}

func (p plan) strategyModel() model {
	s := p.strategies
	return model{
		name: s.Model,
		fields: []field{
			{s.Field, s.kind(), "@id " + column(s.ID) + s.nativeType(), ""},
			{"name", "String", column(s.Name), ""},
		},
		relations:  []field{relation},
		attributes: p.place(s.schema, s.table),
	}
}

// executionModel is the model of an execution, with the columns as migrate makes
// them.
//
// The id is the model's @id, as applications expect, so that records are found
// by it. The table's primary key, which has to contain the time that the
// table is partitioned by, stands beside it as the @@unique that an upsert
// can use.
func (p plan) executionModel() model {
	return model{
		name: "SandboxExecutionLog",
		fields: []field{
			{"id", "String", "@id @default(uuid(7)) " + column("id") + " @db.Uuid", ""},
			{"userId", p.users.kind(), column("user_id") + p.users.nativeType(), ""},
			{"strategyId", p.strategies.kind(), column("strategy_id") + p.strategies.nativeType(), ""},
			{"executionType", "String", column("execution_type"), "'VALIDATION' | 'TERMINAL'"},
			{"success", "Boolean", column("success"), ""},
			{"executionTime", "Int", column("execution_time"), "milliseconds"},
			{"memoryUsed", "Int?", column("memory_used"), "MB; null: not measured"},
			{"cpuUsage", "Float?", column("cpu_usage"), "percentage; null: not measured"},
			{"timedOut", "Boolean", "@default(false) " + column("timed_out"), ""},
			{"errorCount", "Int", "@default(0) " + column("error_count"), ""},
			{"warningCount", "Int", "@default(0) " + column("warning_count"), ""},
			{"classesFound", "String?", column("classes_found"), "comma-separated list"},
			{"metadata", "String?", column("metadata") + " @db.Text", "JSON object with detailed info"},
			{"createdAt", "DateTime", "@default(now()) " + column("created_at") + " @db.Timestamptz(3)", "end of the execution"},
		},
		relations: []field{
			{"user", p.users.Model, p.users.reference("userId"), ""},
			{"strategy", p.strategies.Model, p.strategies.reference("strategyId"), ""},
		},
		attributes: append([]string{
			"@@unique([userId, createdAt, id])",
			"@@index([strategyId, createdAt, id])",
			"@@index([createdAt, id])",
			"@@index([id])",
		}, p.place(p.schema, logTable)...),
	}
}

// nativeType is what a field with this owner's key says about its column.
func (o owner) nativeType() string { return keyTypes[o.IDType].native }

// kind is Prisma's type of this owner's key.
func (o owner) kind() string { return keyTypes[o.IDType].kind }

func (o owner) reference(field string) string {
	return fmt.Sprintf("@relation(fields: [%s], references: [%s], onDelete: Cascade)", field, o.Field)
}

// place says which table a model is.
func (p plan) place(schema, table string) []string {
	attributes := []string{"@@map(" + quote(table) + ")"}
	if p.manySchemas {
		attributes = append(attributes, "@@schema("+quote(schema)+")")
	}
	return attributes
}

func (p plan) dataSource() string {
	schemas := ""
	if p.manySchemas {
		var quoted []string
		for _, schema := range []string{p.schema, p.users.schema, p.strategies.schema} {
			if !slices.Contains(quoted, quote(schema)) {
				quoted = append(quoted, quote(schema))
			}
		}
		schemas = "\n  schemas  = [" + strings.Join(quoted, ", ") + "]"
	}
	return "datasource db {\n  provider = \"postgresql\"" + schemas + "\n}\n"
}

// String lays the model out as prisma format does.
func (m model) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "model %s {\n", m.name)
	writeAligned(&b, m.fields)
	b.WriteByte('\n')
	writeAligned(&b, m.relations)
	b.WriteByte('\n')
	for _, attribute := range m.attributes {
		b.WriteString("  " + attribute + "\n")
	}
	b.WriteString("}\n")
	return b.String()
}

func writeAligned(b *strings.Builder, fields []field) {
	var name, kind int
	for _, f := range fields {
		name, kind = max(name, len(f.name)), max(kind, len(f.kind))
	}
	for _, f := range fields {
		line := fmt.Sprintf("  %-*s %-*s %s", name, f.name, kind, f.kind, f.attributes)
		b.WriteString(strings.TrimRight(line, " "))
		if f.note != "" {
			b.WriteString(" // " + f.note)
		}
		b.WriteByte('\n')
	}
}

func column(name string) string { return "@map(" + quote(name) + ")" }

// quote writes a string as Prisma and TypeScript both read it: JSON.
func quote(s string) string {
	text, _ := json.Marshal(s) // a string always encodes
	return string(text)
}
