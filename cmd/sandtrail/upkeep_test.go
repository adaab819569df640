package main

import (
	"bytes"
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
)

// Commands leave to servers what takes long and makes later answers quicker alone.
func TestCommandsLeaveSlowUpkeepToServers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sandtrail.db")
	for _, args := range []string{"users add ada --email ada@example.com", "strategies add mom --name Momentum", "record -", "stats --user ada", "strategies show mom"} {
		var said bytes.Buffer
		d := bare(&said, &said)
		d.getenv = func(name string) string { return map[string]string{"SANDTRAIL_DB": "sqlite:" + path}[name] }
		d.in = strings.NewReader(`{"userId":"ada","strategyId":"mom","executionType":"TERMINAL","success":false,"executionTime":7,"metadata":{"a":"needle"}}`)
		if status := run(t.Context(), strings.Fields(args), d); status != 0 {
			t.Fatalf("%s: status %d: %s", args, status, said.String())
		}
	}
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var due int
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM sandtrail_text_due").Scan(&due); err != nil || due != 1 {
		t.Errorf("%d times with texts wait for a server, want 1 (%v)", due, err)
	}
}
