package sandtrail_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/recordcsv"
	"github.com/sandtrail/sandtrail/prisma"
	"github.com/sandtrail/sandtrail/sqlite"
)

// table reads the rows of the table under a heading of docs/reference/record.md,
// with the quotes of code taken off.
func table(t *testing.T, heading string) (rows [][]string) {
	t.Helper()
	page, err := os.ReadFile("docs/reference/record.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "| `") || strings.HasPrefix(line, "| ") && len(rows) > 0 {
			cells := strings.Split(strings.Trim(line, "| "), " | ")
			for i, cell := range cells {
				if strings.Count(cell, "`") == 2 {
					cells[i] = strings.Trim(cell, "`")
				}
			}
			rows = append(rows, cells)
		}
	}
	if len(rows) < 2 {
		t.Fatalf("docs/reference/record.md has no table under %q", heading)
	}
	return rows
}

// column gives one cell of each row.
func column(rows [][]string, i int) (cells []string) {
	for _, row := range rows {
		cells = append(cells, row[i])
	}
	return cells
}

// TestRecordReferenceHasEveryField compares the names on the page with those of Go,
// JSON, CSV, Prisma and the table itself.
func TestRecordReferenceHasEveryField(t *testing.T) {
	rows := table(t, "Fields")
	var names, members []string
	for field := range reflect.TypeFor[sandtrail.Execution]().Fields() {
		if member, omitted, _ := strings.Cut(field.Tag.Get("json"), ","); omitted == "" {
			names, members = append(names, field.Name), append(members, member)
		}
	}
	if diff := cmp.Diff(names, column(rows, 2)); diff != "" {
		t.Errorf("names in Go (-code +page):\n%s", diff)
	}
	if diff := cmp.Diff(members, column(rows, 0)); diff != "" {
		t.Errorf("names in JSON (-code +page):\n%s", diff)
	}
	if diff := cmp.Diff(recordcsv.Header()[:len(rows)], column(rows, 0)); diff != "" {
		t.Errorf("names in CSV (-code +page):\n%s", diff)
	}
	schema, err := prisma.Schema(prisma.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		field := regexp.MustCompile(`(?m)^\s+` + row[0] + `\s+(\w+\??).*@map\("` + row[1] + `"\)`)
		if row[0] == row[1] {
			field = regexp.MustCompile(`(?m)^\s+` + row[0] + `\s+(\w+\??)`)
		}
		found := field.FindAllStringSubmatch(schema, -1)
		if found == nil || strings.HasSuffix(found[len(found)-1][1], "?") != (row[5] != "never") {
			t.Errorf("%s is %q in Prisma's schema", row[0], found)
		}
	}
}

// TestRecordReferenceHasEveryColumn compares the page with the table that migrate
// makes.
func TestRecordReferenceHasEveryColumn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trail.db")
	store, err := sqlite.Open(t.Context(), file, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if _, err := store.Migrate(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	columns, err := db.QueryContext(t.Context(), `SELECT name, "notnull" FROM pragma_table_info('sandbox_execution_logs')`)
	if err != nil {
		t.Fatal(err)
	}
	defer columns.Close()
	var got, want []string
	for columns.Next() {
		var name string
		var required bool
		if err := columns.Scan(&name, &required); err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(name, " required: ", required))
	}
	for _, row := range table(t, "Fields") {
		want = append(want, fmt.Sprint(row[1], " required: ", row[5] == "never"))
	}
	if diff := cmp.Diff(want, got); diff != "" || columns.Err() != nil {
		t.Errorf("%v (-page +table):\n%s", columns.Err(), diff)
	}
}

// TestRecordReferenceLimits compares the limits on the page with the constants.
func TestRecordReferenceLimits(t *testing.T) {
	for i, want := range []string{
		fmt.Sprintf("0 to %d MaxInt", sandtrail.MaxInt),
		fmt.Sprintf("0 to %.0f MaxCPUUsage", sandtrail.MaxCPUUsage),
		fmt.Sprintf("%d bytes MaxKeyBytes", sandtrail.MaxKeyBytes),
		fmt.Sprintf("%d bytes MaxClassBytes", sandtrail.MaxClassBytes),
		fmt.Sprintf("%d bytes MaxMetadataBytes", sandtrail.MaxMetadataBytes),
		fmt.Sprintf("%d MaxNesting", sandtrail.MaxNesting),
		sandtrail.FormatDuration(sandtrail.MaxClockSkew) + " MaxClockSkew",
		sandtrail.FormatDuration(sandtrail.DefaultRetention) + " DefaultRetention",
		fmt.Sprintf("%d MaxBatch", sandtrail.MaxBatch),
		fmt.Sprintf("%d MaxFaults", sandtrail.MaxFaults),
	} {
		if row := table(t, "Limits")[i]; row[1]+" "+row[2] != want {
			t.Errorf("%s: the page says %q, the code %q", row[0], row[1]+" "+row[2], want)
		}
	}
}

// TestRecordReferenceRefusals sends each record that the page says is refused, and
// leaves out each field whose default the page names.
func TestRecordReferenceRefusals(t *testing.T) {
	correct := map[string]json.RawMessage{
		"userId": json.RawMessage(`"ada"`), "strategyId": json.RawMessage(`"momentum"`), "executionType": json.RawMessage(`"VALIDATION"`),
		"success": json.RawMessage(`false`), "executionTime": json.RawMessage(`12`),
	}
	send := func(record map[string]json.RawMessage) (sandtrail.Execution, error) {
		raw, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		var draft sandtrail.Draft
		if err := json.Unmarshal(raw, &draft); err != nil {
			return sandtrail.Execution{}, err
		}
		admitted, err := sandtrail.Admission{Now: noon}.Admit(draft)
		if err != nil {
			return sandtrail.Execution{}, err
		}
		return admitted[0].Execution, nil
	}
	if stored, err := send(correct); err != nil || stored.MemoryUsed != nil || stored.CPUUsage != nil || stored.Classes != nil || stored.Metadata != nil ||
		stored.TimedOut || stored.ErrorCount != 0 || stored.WarningCount != 0 || !stored.CreatedAt.Equal(noon) || stored.ID.IsZero() {
		t.Errorf("the defaults are other than the page's: %+v, %v", stored, err)
	}
	for _, row := range table(t, "Fields") {
		without := maps.Clone(correct)
		delete(without, row[0])
		_, err := send(without)
		if want := strings.HasPrefix(row[6], "refused"); (err != nil) != want || want && !slices.Equal(paths(err), []string{row[0]}) {
			t.Errorf("without %s: %v; the page says %q", row[0], err, row[6])
		}
	}
	for _, row := range table(t, "Refusals") {
		record := maps.Clone(correct)
		if err := json.Unmarshal([]byte(row[0]), &record); err != nil {
			t.Fatalf("%s: %v", row[0], err)
		}
		_, err := send(record)
		var fault *sandtrail.Error
		if !errors.As(err, &fault) || len(fault.Fields) != 1 || fault.Fields[0].Path != row[1] || !strings.HasPrefix(fault.Fields[0].Message, row[2]) {
			t.Errorf("%s: %v; the page says %s: %s", row[0], err, row[1], row[2])
		}
	}
}
