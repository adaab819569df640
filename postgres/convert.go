package postgres

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sandtrail/sandtrail/internal/ownerkey"
)

// rowRule is what the rows of a table must fulfil to be adopted. {c} is the
// column, {t} the table.
type rowRule struct{ broken, want, fix string }

// conversion reads a column of theirs as ours without loss.
type conversion struct {
	expression string
	rules      []rowRule
	note       string // what is done, "" when the value stays as it is
}

var (
	textKinds    = []string{"text", "varchar", "bpchar", "name", "citext"}
	integerKinds = []string{"int2", "int4", "int8"}
)

// convert is the conversion of a column, false when there is none for its
// type.
func (l *layout) convert(ours string, c oldColumn) (conversion, bool) {
	for _, f := range []func(string, oldColumn) (conversion, bool){
		l.convertOwner, convertID, convertText, convertInteger, convertFloat, convertBoolean, convertTime,
	} {
		if v, ok := f(ours, c); ok {
			v.rules = append(v.rules, valueRules[ours]...)
			if required(ours) && !c.notNull {
				v.rules = append(v.rules, rowRule{"{c} IS NULL", "a value for " + c.name, requiredFix(ours)})
			}
			if c.kind == "enum" { // that may lack the words of the mend
				for i := range v.rules {
					v.rules[i].fix = "ALTER TABLE {t} ALTER COLUMN {c} TYPE text; " + v.rules[i].fix
				}
			}
			return v, true
		}
	}
	return conversion{}, false
}

func required(ours string) bool {
	return !slices.Contains([]string{"memory_used", "cpu_usage", "classes_found", "metadata"}, ours)
}

// requiredFix is a statement for rows that lack a value. Who ran something
// cannot be made up.
func requiredFix(ours string) string {
	switch ours {
	case "user_id", "strategy_id":
		return "DELETE FROM {t}"
	case "id":
		return "UPDATE {t} SET {c} = gen_random_uuid()"
	case "created_at":
		return "UPDATE {t} SET {c} = now()"
	case "execution_type":
		return "UPDATE {t} SET {c} = 'VALIDATION'"
	case "success", "timed_out":
		return "UPDATE {t} SET {c} = false"
	}
	return "UPDATE {t} SET {c} = 0"
}

// valueRules are the rules of the table itself.
var valueRules = map[string][]rowRule{
	"execution_type": {{"{c}::text NOT IN ('VALIDATION', 'TERMINAL')", "an execution type of VALIDATION or TERMINAL", "UPDATE {t} SET {c} = CASE upper({c}::text) WHEN 'TERMINAL' THEN 'TERMINAL' ELSE 'VALIDATION' END"}},
	"execution_time": {{"{c} < 0", "an execution time of at least 0", "UPDATE {t} SET {c} = 0"}},
	"memory_used":    {{"{c} < 0", "a memory use of at least 0", "UPDATE {t} SET {c} = NULL"}},
	"cpu_usage":      {{"NOT ({c} >= 0 AND {c}::float8 < 'Infinity')", "a finite CPU use of at least 0", "UPDATE {t} SET {c} = NULL"}},
	"error_count":    {{"{c} < 0", "an error count of at least 0", "UPDATE {t} SET {c} = 0"}},
	"warning_count":  {{"{c} < 0", "a warning count of at least 0", "UPDATE {t} SET {c} = 0"}},
	"created_at":     {{"NOT isfinite({c})", "a finite time", "UPDATE {t} SET {c} = now()"}},
}

func (l *layout) convertOwner(ours string, c oldColumn) (conversion, bool) {
	target := map[string]owner{"user_id": l.Users, "strategy_id": l.Strategies}[ours]
	if target.Table == "" {
		return conversion{}, false
	}
	return l.ownerConversion(target, c)
}

func (l *layout) ownerConversion(target owner, c oldColumn) (conversion, bool) {
	orphan := rowRule{
		"{c} IS NOT NULL AND NOT EXISTS (SELECT FROM " + target.qualified() + " o WHERE o." + quote(target.ID) + "::text = {t}.{c}::text)",
		"an owner in " + target.qualified(), "DELETE FROM {t}",
	}
	as := conversion{quote(c.name) + "::" + target.plainType(), []rowRule{orphan}, ""}
	switch target.key() {
	case ownerkey.UUID:
		return as, c.kind == "uuid" || slices.Contains(textKinds, c.kind)
	case ownerkey.Int16, ownerkey.Int32, ownerkey.Int64:
		return as, slices.Contains(integerKinds, c.kind)
	}
	return as, c.kind == "uuid" || slices.Contains(textKinds, c.kind) || slices.Contains(integerKinds, c.kind)
}

// originalID keeps ids that are no UUIDs in a column of their own.
const originalID = `ALTER TABLE {t} ADD COLUMN "originalId" text; UPDATE {t} SET "originalId" = {c}, {c} = gen_random_uuid()`

func convertID(ours string, c oldColumn) (conversion, bool) {
	switch {
	case ours != "id":
		return conversion{}, false
	case c.kind == "uuid":
		return conversion{quote(c.name), nil, ""}, true
	case slices.Contains(textKinds, c.kind):
		return conversion{quote(c.name) + "::uuid", []rowRule{{
			"{c}::text !~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'", "an id that is a UUID", originalID,
		}}, "as a uuid"}, true
	}
	return conversion{}, false
}

func convertText(ours string, c oldColumn) (conversion, bool) {
	name := quote(c.name)
	switch {
	case !slices.Contains([]string{"execution_type", "classes_found", "metadata"}, ours):
		return conversion{}, false
	case slices.Contains(textKinds, c.kind):
		return conversion{name + "::text", nil, ""}, true
	case c.kind == "enum":
		return conversion{name + "::text", nil, "as text"}, true
	case ours == "metadata" && (c.kind == "json" || c.kind == "jsonb"):
		return conversion{name + "::text", nil, "as the text of the JSON"}, true
	case ours == "classes_found" && slices.Contains([]string{"text[]", "varchar[]"}, c.kind):
		return conversion{"array_to_string(" + name + ", ',')", []rowRule{{
			"EXISTS (SELECT FROM unnest({c}) AS element WHERE element IS NULL OR element = '' OR element ~ '[,]|^\\s|\\s$')",
			"class names without commas, blanks at their ends and gaps",
			"UPDATE {t} SET {c} = (SELECT coalesce(array_agg(replace(btrim(element), ',', ' ')), '{}') FROM unnest({c}) AS element WHERE btrim(element) <> '')",
		}}, "joined by commas"}, true
	}
	return conversion{}, false
}

func convertInteger(ours string, c oldColumn) (conversion, bool) {
	const whole = "{c}::numeric <> trunc({c}::numeric) OR {c}::numeric > 2147483647"
	name := quote(c.name)
	switch {
	case !slices.Contains([]string{"execution_time", "memory_used", "error_count", "warning_count"}, ours):
		return conversion{}, false
	case c.kind == "int2", c.kind == "int4":
		return conversion{name, nil, ""}, true
	case slices.Contains([]string{"int8", "numeric", "float4", "float8"}, c.kind):
		return conversion{name + "::integer", []rowRule{{
			whole, "a whole number up to 2147483647 in " + c.name, "UPDATE {t} SET {c} = least(round({c}::numeric), 2147483647)",
		}}, "as an integer"}, true
	}
	return conversion{}, false
}

func convertFloat(ours string, c oldColumn) (conversion, bool) {
	name := quote(c.name)
	switch {
	case ours != "cpu_usage":
		return conversion{}, false
	case c.kind == "float8":
		return conversion{name, nil, ""}, true
	case c.kind == "float4": // what it reads as, not its nearest double
		return conversion{name + "::text::float8", nil, "as double precision"}, true
	case c.kind == "numeric", slices.Contains(integerKinds, c.kind):
		return conversion{name + "::float8", []rowRule{{
			"{c}::float8::numeric <> {c}::numeric", "a " + c.name + " of at most 15 digits", "UPDATE {t} SET {c} = {c}::float8::numeric",
		}}, "as double precision"}, true
	}
	return conversion{}, false
}

func convertBoolean(ours string, c oldColumn) (conversion, bool) {
	return conversion{quote(c.name), nil, ""}, (ours == "success" || ours == "timed_out") && c.kind == "bool"
}

func convertTime(ours string, c oldColumn) (conversion, bool) {
	fine := []rowRule{{
		"isfinite({c}) AND {c} <> date_trunc('milliseconds', {c})", "a time of whole milliseconds, which is what a JavaScript date holds",
		"UPDATE {t} SET {c} = date_trunc('milliseconds', {c})",
	}}
	switch {
	case ours != "created_at":
		return conversion{}, false
	case c.kind == "timestamptz":
		return conversion{quote(c.name), fine, ""}, true
	case c.kind == "timestamp":
		return conversion{"(" + quote(c.name) + " AT TIME ZONE 'UTC')", fine, "as UTC, which is what Prisma writes"}, true
	}
	return conversion{}, false
}

// ourTypes are the types of our columns, as a statement that changes theirs
// names them.
var ourTypes = map[string]string{
	"id": "uuid", "execution_type": "text", "success": "boolean", "execution_time": "integer", "memory_used": "integer",
	"cpu_usage": "double precision", "timed_out": "boolean", "error_count": "integer", "warning_count": "integer",
	"classes_found": "text", "metadata": "text", "created_at": "timestamptz(3)",
}

// typeOf is the type of a column of ours.
func (l *layout) typeOf(ours string) string {
	switch ours {
	case "user_id":
		return l.Users.Type
	case "strategy_id":
		return l.Strategies.Type
	}
	return ourTypes[ours]
}

// mistyped says that a column cannot be converted, and how it can be changed.
func (l *layout) mistyped(o *oldLogs, ours string, c oldColumn) string {
	name := quote(c.name)
	if ours == "id" {
		return fmt.Sprintf("column %s is %s, and ids are UUIDs; keep the old ones beside new ones: "+
			`ALTER TABLE %s RENAME COLUMN %[1]s TO "originalId"; ALTER TABLE %[3]s ADD COLUMN id uuid NOT NULL DEFAULT gen_random_uuid(); `+
			`ALTER TABLE %[3]s DROP CONSTRAINT IF EXISTS %s; ALTER TABLE %[3]s ADD PRIMARY KEY (id); `+
			`ALTER TABLE %[3]s ALTER COLUMN "originalId" DROP IDENTITY IF EXISTS, ALTER COLUMN "originalId" DROP DEFAULT, ALTER COLUMN "originalId" DROP NOT NULL`,
			name, c.typ, o.table(), quote(o.name+"_pkey"))
	}
	using := name + "::" + l.typeOf(ours)
	if strings.HasSuffix(c.kind, "[]") {
		using = "array_to_string(" + name + ", ',')"
	}
	return fmt.Sprintf("column %s is %s, which cannot be read as %s without a decision; change it, for example with ALTER TABLE %s ALTER COLUMN %s DROP DEFAULT, ALTER COLUMN %s TYPE %s USING %s",
		name, c.typ, l.typeOf(ours), o.table(), name, name, l.typeOf(ours), using)
}
