package main

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/archive"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/nodetest"
	"github.com/sandtrail/sandtrail/internal/sample"
)

// duckRow is a row as DuckDB reads it.
type duckRow struct {
	ID            string   `json:"id"`
	UserID        string   `json:"user_id"`
	StrategyID    string   `json:"strategy_id"`
	Type          string   `json:"execution_type"`
	Success       bool     `json:"success"`
	ExecutionTime int      `json:"execution_time"`
	MemoryUsed    *int     `json:"memory_used"`
	CPUUsage      *float64 `json:"cpu_usage"`
	TimedOut      bool     `json:"timed_out"`
	ErrorCount    int      `json:"error_count"`
	WarningCount  int      `json:"warning_count"`
	Classes       *string  `json:"classes_found"`
	Metadata      *string  `json:"metadata"`
	CreatedAt     string   `json:"created_at"` // Unix milliseconds
}

func duckRowOf(e sandtrail.Execution) duckRow {
	row := duckRow{
		e.ID.String(), e.UserID, e.StrategyID, string(e.Type), e.Success, e.ExecutionTime, e.MemoryUsed, e.CPUUsage,
		e.TimedOut, e.ErrorCount, e.WarningCount, database.JoinClasses(e.Classes), nil, strconv.FormatInt(e.CreatedAt.UnixMilli(), 10),
	}
	if e.Metadata != nil {
		metadata := string(e.Metadata)
		row.Metadata = &metadata
	}
	return row
}

// TestDuckDBReadsArchives compares every column of what is archived with what
// DuckDB reads of it.
func TestDuckDBReadsArchives(t *testing.T) {
	const dir = "testdata/duckdb"
	nodetest.Install(t, dir)
	x := newExporting(t, 3)
	made := sample.New(sample.Options{Executions: 3000, Since: exportNow.AddDate(0, 0, -60), Until: exportNow.AddDate(0, 0, -10)})
	for _, u := range made.Users() {
		x.must(x.store.PutUser(t.Context(), u))
	}
	for _, s := range made.Strategies() {
		x.must(x.store.PutStrategy(t.Context(), s))
	}
	for batch, err := range made.Admit(1000) {
		x.must(err)
		_, err = x.store.Append(t.Context(), batch)
		x.must(err)
	}
	x.append(exportNow.AddDate(0, 0, -59)) // a user's id and metadata with line breaks
	var want []duckRow
	x.must(database.EachPage(t.Context(), x.store, sandtrail.Filter{Until: archive.WeekOf(exportNow)}, x.deps.now, func(page []sandtrail.Execution) error {
		for _, e := range page {
			want = append(want, duckRowOf(e))
		}
		return nil
	}))
	slices.SortFunc(want, func(a, b duckRow) int { return bytes.Compare([]byte(a.ID), []byte(b.ID)) })

	archived := t.TempDir()
	c := archiveCmd{Dir: archivePlace(archived), OlderThan: moment{exact: exportNow, given: true}, ledgerKeyFlag: x.cmd.ledgerKeyFlag}
	x.must(c.Run(t.Context(), x.deps))
	files, err := filepath.Glob(filepath.Join(archived, "*.parquet"))
	if err != nil || len(files) < 7 {
		t.Fatalf("archived %d files, %v; want one of each week", len(files), err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "read.js", filepath.Join(archived, "*.parquet"))
	var stderr bytes.Buffer
	cmd.Dir, cmd.Stderr = dir, &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("DuckDB: %v\n%s", err, &stderr)
	}
	var got struct {
		Columns map[string]string
		Rows    []duckRow
	}
	decoder := json.NewDecoder(bytes.NewReader(out))
	decoder.DisallowUnknownFields()
	x.must(decoder.Decode(&got))
	columns := map[string]string{
		"id": "UUID", "user_id": "VARCHAR", "strategy_id": "VARCHAR", "execution_type": "VARCHAR", "success": "BOOLEAN",
		"execution_time": "INTEGER", "memory_used": "INTEGER", "cpu_usage": "DOUBLE", "timed_out": "BOOLEAN", "error_count": "INTEGER",
		"warning_count": "INTEGER", "classes_found": "VARCHAR", "metadata": "VARCHAR", "created_at": "TIMESTAMP WITH TIME ZONE",
	}
	if diff := cmp.Diff(columns, got.Columns); diff != "" {
		t.Errorf("columns (-want +read by DuckDB):\n%s", diff)
	}
	if diff := cmp.Diff(want, got.Rows); diff != "" {
		t.Errorf("archived (-stored +read by DuckDB):\n%.3000s", diff)
	}
}
