package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/archive"
	"github.com/sandtrail/sandtrail/internal/recordcsv"
)

// exportAll records executions of two users and exports them.
func exportAll(t *testing.T, n int, args ...string) []byte {
	t.Helper()
	db := "sqlite:" + filepath.Join(t.TempDir(), "test.db")
	invoke := func(in string, args ...string) []byte {
		var out, stderr bytes.Buffer
		status := run(t.Context(), append(args, "--db", db), &deps{
			in: strings.NewReader(in), out: &out, err: &stderr, now: time.Now,
			getenv: func(string) string { return "" },
		})
		if status != 0 {
			t.Fatalf("sandtrail %v: status %d\n%s", args, status, stderr.String())
		}
		return out.Bytes()
	}
	invoke("", "users", "add", "ada", "--email", "ada@example.com")
	invoke("", "users", "add", "bob", "--email", "bob@example.com")
	invoke("", "strategies", "add", "s", "--name", "=S")
	var records strings.Builder
	for i := range n {
		fmt.Fprintf(&records, `{"userId":%q,"strategyId":"s","executionType":"VALIDATION","success":%t,"executionTime":%d,"metadata":{"run":{"command":"<a&b>"}}}`+"\n",
			[]string{"ada", "bob"}[i%2], i%2 == 0, i)
	}
	invoke(records.String(), "record", "-")
	return invoke("", append([]string{"export"}, args...)...)
}

// exportedRows is more than a page.
const exportedRows = sandtrail.MaxLimit + 500

func TestExportNDJSON(t *testing.T) {
	lines := bytes.Split(bytes.TrimSpace(exportAll(t, exportedRows)), []byte("\n"))
	seen := map[int]bool{}
	for _, line := range lines {
		var e sandtrail.Execution
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		seen[e.ExecutionTime] = true
	}
	if len(lines) != exportedRows || len(seen) != exportedRows {
		t.Errorf("%d lines with %d different executions, want %d", len(lines), len(seen), exportedRows)
	}
	if !bytes.Contains(lines[0], []byte("<a&b>")) {
		t.Errorf("metadata is not written as it is stored: %s", lines[0])
	}
}

func TestExportCSV(t *testing.T) {
	rows, err := csv.NewReader(bytes.NewReader(exportAll(t, exportedRows, "--format", "csv", "--user", "bob"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(recordcsv.Header(), rows[0]); diff != "" {
		t.Errorf("head (-want +got)\n%s", diff)
	}
	if len(rows) != 1+exportedRows/2 {
		t.Errorf("%d rows, want the head and %d", len(rows), exportedRows/2)
	}
	if got := rows[1][len(rows[1])-1]; got != "'=S" {
		t.Errorf("a name that is a formula is exported as %q, want %q", got, "'=S")
	}
}

func TestExportCSVOfNothing(t *testing.T) {
	if got, want := string(exportAll(t, 0, "--format", "csv")), strings.Join(recordcsv.Header(), ",")+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestExportParquet(t *testing.T) {
	raw := exportAll(t, exportedRows, "--format", "parquet", "--failed")
	rows, err := parquet.Read[archive.Row](bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != exportedRows/2 {
		t.Fatalf("%d rows, want %d", len(rows), exportedRows/2)
	}
	for _, row := range rows {
		if row.UserID != "bob" || row.Success || row.MemoryUsed != nil || row.Metadata == nil || row.Classes != nil {
			t.Fatalf("row %+v", row)
		}
	}
	if age := time.Since(time.UnixMilli(rows[0].CreatedAt)); age < 0 || age > time.Hour {
		t.Errorf("created %v ago", age)
	}
}

func TestExportOCSF(t *testing.T) {
	lines := bytes.Split(bytes.TrimSpace(exportAll(t, 2, "--format", "ocsf")), []byte("\n"))
	for _, line := range lines {
		var got ocsfEvent
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatal(err)
		}
		failed := got.Actor.User.UID == "bob"
		want := ocsfEvent{
			ActivityID: 2, CategoryUID: 1, ClassUID: 1007, TypeUID: 100702, SeverityID: 1, StatusID: 1, StatusCode: "success",
			Time: got.Time, StartTime: got.Time, EndTime: got.Time,
			Metadata: ocsfMetadata{"1.3.0", got.Process.UID, ocsfProduct{"Sandtrail", "Sandtrail"}}, Process: ocsfProcess{got.Process.UID, "=S"},
			Unmapped: ocsfUnmapped{StrategyID: "s", ExecutionType: "VALIDATION", Metadata: json.RawMessage(`{"run":{"command":"<a&b>"}}`)},
		}
		want.Actor.User = ocsfUser{UID: "ada", EmailAddress: "ada@example.com"}
		if failed {
			want.Actor.User = ocsfUser{UID: "bob", EmailAddress: "bob@example.com"}
			want.SeverityID, want.StatusID, want.StatusCode = 3, 2, "failure"
			want.StartTime, want.Duration = got.Time-1, 1
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if len(lines) != 2 {
		t.Errorf("%d lines, want 2", len(lines))
	}
}
