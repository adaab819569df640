package sqlite_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/sqlite"
	"github.com/sandtrail/sandtrail/storetest"
)

// TestSearches asks the index at once, and lets a budget end pages.
func TestSearches(t *testing.T) {
	storetest.RunSearch(t, func(t *testing.T) database.Database { s, _ := openSearching(t, 3, 300); return s })
}

// openSearching opens a store that reads so much before it asks the index.
func openSearching(t *testing.T, probed, budget int) (*sqlite.Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sandtrail.db")
	s, err := sqlite.OpenSearching(t.Context(), path, probed, budget)
	if err == nil {
		_, err = s.Migrate(t.Context(), noon)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	plain(t, path, "INSERT INTO users VALUES ('u', 'u@example.com', NULL)", "INSERT INTO strategies VALUES ('s', 'S')")
	return s, path
}

// count walks all pages of a search.
func count(t *testing.T, s *sqlite.Store, text string) (found, pages int) {
	t.Helper()
	for q := (sandtrail.Query{Filter: sandtrail.Filter{Text: text}, Limit: 100}); ; pages++ {
		page, err := s.Executions(t.Context(), q, noon)
		if err != nil {
			t.Fatalf("%.20q: %v", text, err)
		}
		found += len(page.Items)
		if q.Cursor = page.NextCursor; q.Cursor == "" {
			return found, pages + 1
		}
	}
}

// TestTheTextIndexFollowsPlainSQL lets another client write what comes to its
// mind, and compares each search with SQLite's own.
func TestTheTextIndexFollowsPlainSQL(t *testing.T) {
	s, path := openSearching(t, 1, 0)
	other, err := sql.Open("sqlite", "file:"+path+"?_pragma=foreign_keys(on)")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	r := rand.New(rand.NewPCG(3, 4))
	parts := []string{"error", "ERR", "x\x00hidden", "\xff\xc3", "é", "é\x80", "%", "'", `"`, "日本語", "a", "\n"}
	text := func() (s string) {
		for range 1 + r.IntN(4) {
			s += parts[r.IntN(len(parts))]
		}
		return s
	}
	at := func() string {
		return fmt.Sprintf("%04d-01-01 00:00:00.%03d", []int{2026, 1, 0}[r.IntN(3)], r.IntN(30))
	}
	insert := func(how string) {
		_, err := other.Exec(how+` INTO sandbox_execution_logs (id, user_id, strategy_id, execution_type, success, execution_time, metadata, created_at)
			VALUES (?, 'u', 's', 'TERMINAL', 0, 7, ?, ?)`, fmt.Sprintf("00000000-0000-4000-8000-%012d", r.IntN(100)), text(), at())
		if err != nil && how != "INSERT" && how != "INSERT OR ROLLBACK" { // those refuse an id that is there
			t.Fatal(err)
		}
	}
	for i := range 300 {
		switch r.IntN(8) {
		case 0:
			plain(t, path, "DELETE FROM sandbox_execution_logs WHERE id IN (SELECT id FROM sandbox_execution_logs ORDER BY random() LIMIT 1)")
		case 1:
			if _, err := other.Exec("UPDATE OR ABORT sandbox_execution_logs SET metadata = nullif(?, 'a') WHERE created_at = ?", text(), at()); err != nil {
				t.Fatal(err)
			}
		case 2:
			if _, err := other.Exec("UPDATE sandbox_execution_logs SET created_at = ? WHERE created_at = ?", at(), at()); err != nil {
				t.Fatal(err)
			}
		case 3:
			insert("INSERT OR ROLLBACK")
		default:
			insert([]string{"INSERT", "REPLACE", "INSERT OR IGNORE"}[r.IntN(3)])
		}
		if i%40 == 20 {
			if err := s.Maintain(t.Context(), noon); err != nil {
				t.Fatal(err)
			}
		}
		if i%100 == 60 {
			plain(t, path, "VACUUM")
		}
		if i%10 != 0 {
			continue
		}
		for range 5 {
			text := strings.ToValidUTF8(strings.ReplaceAll(text(), "\x00", ""), "")
			if text == "" {
				continue
			}
			var want int
			if err := other.QueryRow(`SELECT count(*) FROM sandbox_execution_logs WHERE metadata LIKE ? ESCAPE '\'`,
				"%"+strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text)+"%").Scan(&want); err != nil {
				t.Fatal(err)
			}
			if found, _ := count(t, s, text); found != want {
				t.Fatalf("after %d statements, %q: found %d, SQLite finds %d", i+1, text, found, want)
			}
		}
	}
}

// fill adds executions with a text by plain SQL, one a second.
func fill(t *testing.T, path string, n int, metadata string) {
	t.Helper()
	plain(t, path, "PRAGMA secure_delete = ON", fmt.Sprintf(`WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < %d)
		INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time, metadata, created_at)
		SELECT 'u', 's', 'TERMINAL', 0, 7, %s, strftime('%%Y-%%m-%%d %%H:%%M:%%f', '2026-11-01', i || ' seconds') FROM n`, n, metadata))
}

// TestTextsFromBeforeTheIndex are found at all times, also while they are taken
// in, which doctor tells.
func TestTextsFromBeforeTheIndex(t *testing.T) {
	s, path := openSearching(t, 1, 0)
	fill(t, path, 6000, "CASE WHEN i % 3 = 0 THEN 'needle ' || (i % 1000) END")
	plain(t, path, "DELETE FROM sandtrail_text_due", "UPDATE sandtrail_text_state SET since = '~'")
	told := func() bool {
		checks, err := s.Doctor(t.Context(), database.Shallow, noon)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range checks {
			if c.Name == "text search" {
				return strings.Contains(c.Detail, "not in the index yet") || strings.Contains(c.Detail, "no text is in the index yet")
			}
		}
		t.Fatal("doctor tells nothing of text search")
		return false
	}
	if !told() {
		t.Error("doctor takes an empty index for whole")
	}
	rounds := 0
	for ; told() && rounds < 10; rounds++ {
		if found, _ := count(t, s, "needle 99"); found != 22 {
			t.Fatalf("in round %d found %d, want 22", rounds, found)
		}
		if err := s.Maintain(t.Context(), noon); err != nil {
			t.Fatal(err)
		}
	}
	if found, _ := count(t, s, "needle 99"); found != 22 || rounds < 2 || rounds == 10 {
		t.Errorf("after %d rounds found %d, want 22", rounds, found)
	}
}

// TestManyTextsOfOneMillisecond are too much for the index, and found.
func TestManyTextsOfOneMillisecond(t *testing.T) {
	s, path := openSearching(t, 1, 0)
	fill(t, path, 1500, "'needle ' || i")
	plain(t, path, "UPDATE sandbox_execution_logs SET created_at = '2026-11-01 00:00:00.000'")
	for _, left := range []int{1500, 1400, 900} {
		plain(t, path, fmt.Sprintf("DELETE FROM sandbox_execution_logs WHERE CAST(substr(metadata, 8) AS INTEGER) > %d", left))
		if err := s.Maintain(t.Context(), noon); err != nil {
			t.Fatal(err)
		}
		if found, _ := count(t, s, "needle"); found != left {
			t.Errorf("found %d, want %d", found, left)
		}
	}
}

// TestHostileTextEndsInTime searches large metadata for what it nearly holds.
// Comparing letter by letter at each place takes a minute and more.
func TestHostileTextEndsInTime(t *testing.T) {
	s, path := openSearching(t, 1000, 0)
	fill(t, path, 200, "CAST(replace(hex(zeroblob(32000)), '00', 'aa') AS TEXT)")
	for range 2 {
		for _, text := range []string{strings.Repeat("a", 1022) + "b", "b" + strings.Repeat("a", 1022), strings.Repeat("a", 511) + "b" + strings.Repeat("a", 511)} {
			if found, pages := count(t, s, text); found > 0 || pages > 3 {
				t.Errorf("found %d on %d pages", found, pages)
			}
		}
		if found, _ := count(t, s, strings.Repeat("a", 1023)); found != 200 {
			t.Errorf("found %d", found)
		}
		if err := s.Maintain(t.Context(), noon); err != nil {
			t.Fatal(err)
		}
	}
}

// TestErasedTextLeavesNoPieces deletes a text, whose pieces then are in no file.
func TestErasedTextLeavesNoPieces(t *testing.T) {
	s, path := openSearching(t, 1, 0)
	fill(t, path, 900, "CASE WHEN i % 2 THEN 'other ' ELSE 'qzj' END || i")
	maintain := func() {
		for range 3 {
			if err := s.Maintain(t.Context(), noon); err != nil {
				t.Fatal(err)
			}
		}
	}
	maintain()
	plain(t, path, "PRAGMA secure_delete = ON", "DELETE FROM sandbox_execution_logs WHERE metadata LIKE 'qzj%'")
	maintain()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(content, []byte("qzj")) || bytes.Contains(content, []byte("zj1")) {
		t.Error("pieces of what was deleted are in the file")
	}
}
