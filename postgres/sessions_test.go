package postgres_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/postgres"
)

// Whatever a database sets for the sessions of applications, the store works as
// ever.
func TestSettingsOfSessionsChangeNothing(t *testing.T) {
	_, url := open(t)
	set(t, url, "search_path = ''", "standard_conforming_strings = off", "bytea_output = escape", "datestyle = 'German, DMY'",
		"intervalstyle = sql_standard", "timezone = 'Asia/Kathmandu'", "extra_float_digits = -15", "client_encoding = LATIN1",
		"row_security = off", "work_mem = '64kB'", "temp_file_limit = '64kB'", "plan_cache_mode = force_generic_plan",
		"transform_null_equals = on", "array_nulls = off", "quote_all_identifiers = on", "enable_seqscan = off",
		"default_transaction_deferrable = on", "check_function_bodies = off", "client_min_messages = debug1")
	s := openAt(t, url, postgres.Options{})
	putOwners(t, s, 2)
	e := execution(now, func(e *sandtrail.Execution) { e.Metadata = []byte(`{"note":"\\\\ 'ü' \ud83d\ude00"}`) })
	appendAll(t, s, append(many(20), e)...)
	if err := s.Maintain(t.Context(), now); err != nil {
		t.Error(err)
	}
	if got, err := s.Execution(t.Context(), e.Execution.ID); err != nil || !e.SameContent(got) {
		t.Errorf("got %+v, %v; want %+v", got, err, e)
	}
	sum, err := ledger.VerifyLog(t.Context(), s, ledger.Verification{})
	if err != nil || sum.FindingsN > 0 || sum.Records != 21 {
		t.Errorf("verify: %+v, %v", sum, err)
	}
	checks, err := s.Doctor(t.Context(), database.Deep, now)
	if err != nil {
		t.Error(err)
	}
	for _, c := range checks {
		if !c.OK && c.Name != "session time zone" {
			t.Errorf("doctor: %s: %s", c.Name, c.Detail)
		}
	}
}

// Sessions in which no trigger fires are refused.
func TestSessionsWithoutTriggersAreRefused(t *testing.T) {
	_, url := open(t)
	set(t, url, "session_replication_role = replica")
	s, err := postgres.Open(t.Context(), url, postgres.Options{})
	if err == nil {
		s.Close()
	}
	if !errors.Is(err, sandtrail.CodeUnavailable) || !strings.Contains(err.Error(), "session_replication_role (replica)") {
		t.Errorf("got %v, want that the setting is refused", err)
	}
}

// set changes settings of a database.
func set(t *testing.T, url string, settings ...string) {
	t.Helper()
	conn := foreign(t, url)
	for _, setting := range settings {
		exec(t, conn, "ALTER DATABASE "+pgx.Identifier{conn.Config().Database}.Sanitize()+" SET "+setting)
	}
}
