package storetest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/follow"
	"github.com/sandtrail/sandtrail/internal/recordcsv"
	"github.com/sandtrail/sandtrail/ledger"
)

// ForeignWriter is another client of a store's database, in which the
// application has made the tables of users and strategies itself, with columns
// that may be NULL.
type ForeignWriter struct {
	// Exec runs a statement. Foreign keys are not enforced, where a client can
	// choose that.
	Exec func(statement string) error
	// Values are SQL expressions for columns of the log, taken by this database
	// alone.
	Values map[string][]string
	// Refused are expressions that the database must refuse.
	Refused map[string][]string
	// Orphans says that Values has rows of OrphanKey, which is no user's and no
	// strategy's.
	Orphans bool
}

// ForeignStore is what a store must be to be asked about foreign values.
type ForeignStore interface {
	database.Database
	follow.Follower
	ledger.Log
}

// foreignKeys are ids of users and strategies, whatever an application calls
// them.
var foreignKeys = []string{"u", "", " ", "a'b", `"`, "Zoë", "日本", "../x?y#z%00", "<b>&", "line\nbreak", strings.Repeat("k", 1000)}

// OrphanKey is the owner that rows name and nothing else knows.
const OrphanKey = "gone"

// ForeignKeys are the ids of the users and strategies that WriteForeign makes.
func ForeignKeys() []string { return slices.Clone(foreignKeys) }

// foreignValues are expressions that every database must take, by column of
// the log. The first of each is ordinary.
var foreignValues = map[string][]string{
	"id":             {""}, // by default
	"execution_type": {"'VALIDATION'", "'TERMINAL'"},
	"success":        {"true", "false"},
	"timed_out":      {"false", "true"},
	"execution_time": {"5", "0", "2147483647"},
	"memory_used":    {"NULL", "0", "2147483647"},
	"cpu_usage":      {"NULL", "0", "5e-324", "1.7976931348623157e308"},
	"error_count":    {"0", "2147483647"},
	"warning_count":  {"0", "2147483647"},
	"classes_found": {
		"NULL", "''", "','", "' '", "'A'", "' A ,,B'", "'{A,B}'", "'[\"A\",\"B\"]'", "'A''B'", "'A\nB'", "'日本'", "'" + strings.Repeat("C,", 5000) + "'",
	},
	"metadata": {
		"NULL", "''", "' '", "'not JSON'", "'null'", "'[]'", "'7'", "'\"text\"'", "'{}'", "' {} '", "'{'", `'{"a":1}x'`,
		`'{"errors":"\ud800"}'`, `'{"errors":[{"message":"\ud800"}]}'`, `'{"errors":7,"warnings":{"message":[]}}'`,
		`'{"errors":[7,null,[],{"message":7},{"message":"m","line":"x"},{"line":1e99}]}'`, `'{"errors":[null]}'`,
		`'{"run":7}'`, `'{"run":{"status":7,"exitCode":"x","signal":[],"command":{},"cpuTime":"x","limits":7,"method":null}}'`,
		`'{"run":{"exitCode":1e99,"memoryPeakBytes":-1e99}}'`, `'{"run":null,"errors":null}'`, `'{"a":1,"a":2}'`,
		`'{"a":"<script>&lt;"}'`, "'{\"a\":" + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + "}'",
		"'" + strings.Repeat("x", 70_000) + "'", `'{"text":"` + strings.Repeat("é", 35_000) + `"}'`,
	},
	"created_at": {
		"'2026-11-24 11:59:59.999'", "'2026-11-24 12:00:00.001'", "'1970-01-01 00:00:00.000'", "'1969-12-31 23:59:59.999'", "'0001-01-01 00:00:00.000'",
		"'1582-10-10 00:00:00.000'", "'2199-12-31 23:59:59.999'", "'9999-12-31 23:59:59.999'", "'2026-10-25 00:30:00.000'",
	},
}

// foreignIDs are written once each.
var foreignIDs = []string{
	"'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'", "'019ac000-0000-0000-0000-000000000001'",
}

// WriteForeign writes every value that a column's type and checks allow, with
// others drawn at random beside it, and returns how many rows there are.
func WriteForeign(t testing.TB, w ForeignWriter) (rows int) {
	t.Helper()
	must := func(statement string) {
		t.Helper()
		if err := w.Exec(statement); err != nil {
			t.Fatalf("%.300s: %v", statement, err)
		}
	}
	must("BEGIN")
	for i, key := range foreignKeys {
		email, name := fmt.Sprintf("'%d@example.com'", i), "'N'"
		if i%3 == 1 {
			email, name = "NULL", "NULL"
		}
		must(fmt.Sprintf("INSERT INTO users (id, email, name) VALUES (%s, %s, %s)", quoted(key), email, name))
		must(fmt.Sprintf("INSERT INTO strategies (id, name) VALUES (%s, %s)", quoted(key), name))
	}
	values := map[string][]string{"user_id": nil, "strategy_id": nil}
	for _, key := range foreignKeys {
		values["user_id"] = append(values["user_id"], quoted(key))
		values["strategy_id"] = append(values["strategy_id"], quoted(key))
	}
	for column, list := range foreignValues {
		values[column] = list
	}
	for column, list := range w.Values {
		values[column] = slices.Concat(values[column], list)
	}
	random := rand.New(rand.NewPCG(1, 1))
	insert := func(column, value string) error {
		return w.Exec(foreignInsert(random, values, column, value))
	}
	for column, list := range values {
		for _, value := range slices.Concat(list, map[bool][]string{true: foreignIDs}[column == "id"]) {
			if err := insert(column, value); err != nil {
				t.Fatalf("%s = %.300s: %v", column, value, err)
			}
			rows++
		}
	}
	must("COMMIT")
	for column, list := range w.Refused {
		for _, value := range list {
			if err := insert(column, value); err == nil {
				t.Errorf("the database takes %s = %.300s", column, value)
			}
		}
	}
	return rows
}

// foreignInsert writes a row with a value in a column, and anything in others.
func foreignInsert(random *rand.Rand, values map[string][]string, column, value string) string {
	var names, row []string
	for _, name := range slices.Sorted(mapKeys(values)) {
		drawn := values[name][random.IntN(len(values[name]))]
		if name == column {
			drawn = value
		}
		if drawn != "" {
			names, row = append(names, name), append(row, drawn)
		}
	}
	return fmt.Sprintf("INSERT INTO sandbox_execution_logs (%s) VALUES (%s)", strings.Join(names, ", "), strings.Join(row, ", "))
}

func mapKeys(m map[string][]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for key := range m {
			if !yield(key) {
				return
			}
		}
	}
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// ForeignValues writes whatever the tables take, past every rule of ours, and
// expects every question and every step of upkeep to answer: before upkeep,
// after it, and while all of it is removed again.
func ForeignValues(t *testing.T, open func(*testing.T) (ForeignStore, ForeignWriter)) {
	store, writer := open(t)
	f := &foreign{T: t, store: store, now: noon, orphans: writer.Orphans}
	tip, err := store.Tip(t.Context())
	f.check("tip", err)
	rows := WriteForeign(t, writer)
	for _, when := range []string{"before upkeep", "after upkeep"} {
		f.when = when
		f.ask(rows, tip)
		f.check("maintain", store.Maintain(t.Context(), f.now))
		f.check("maintain", store.Maintain(t.Context(), f.now))
	}
	f.when = "while all is removed"
	old := sandtrail.Before(noon)
	count, err := store.CountBefore(t.Context(), old)
	f.check("count before", err)
	_, err = store.HeldBefore(t.Context(), old)
	f.check("held before", err)
	deleted, err := store.Cleanup(t.Context(), old)
	if f.check("cleanup", err); deleted != count || deleted == 0 {
		t.Errorf("cleanup deleted %d, counted were %d", deleted, count)
	}
	rows -= int(deleted)
	f.ask(rows, "")
	for _, key := range foreignKeys {
		n, err := store.DeleteUser(t.Context(), key)
		f.check(fmt.Sprintf("delete user %.20q", key), err)
		rows -= int(n)
	}
	f.check("maintain", store.Maintain(t.Context(), f.now))
	if f.ask(rows, ""); rows != 0 && !f.orphans {
		t.Errorf("%d rows are left of no user", rows)
	}
	if f.orphans {
		deleted, err := store.Cleanup(t.Context(), sandtrail.Before(noon.AddDate(10_000, 0, 0)))
		f.check("cleanup of orphans", err)
		rows -= int(deleted)
		f.check("maintain", store.Maintain(t.Context(), f.now))
		if f.ask(rows, ""); rows != 0 || deleted == 0 {
			t.Errorf("%d rows are left after cleanup removed %d orphans", rows, deleted)
		}
	}
}

type foreign struct {
	*testing.T
	store ForeignStore
	now   time.Time
	when  string
	// orphans says that there are executions without an owner.
	orphans bool
	keys    ledger.Keys // of the log, made when they are first needed
}

func (f *foreign) check(what string, err error) {
	f.Helper()
	if err != nil {
		f.Errorf("%s: %s: %v", f.when, what, err)
	}
}

// ask asks everything. All pages must meet all rows, as must followers from a
// place.
func (f *foreign) ask(rows int, from follow.Place) {
	f.Helper()
	f.pages(rows)
	f.statistics()
	if from != "" {
		f.follow(rows, from)
	}
	checks, err := f.store.Doctor(f.Context(), database.Deep, f.now)
	f.check("doctor", err)
	for _, c := range checks {
		if !c.OK && (c.Name == "roll-ups" || c.Name == "ids" || c.Name == "integrity" || c.Name == "foreign keys" && !f.orphans) {
			f.Errorf("%s: doctor: %s: %s", f.when, c.Name, c.Detail)
		}
		if c.OK && c.Name == "foreign keys" && f.orphans && rows > 0 {
			f.Errorf("%s: doctor misses executions without an owner: %s", f.when, c.Detail)
		}
	}
	if i := slices.IndexFunc(checks, func(c database.Check) bool { return c.Name == "values" }); rows > 100 &&
		(i < 0 || !checks[i].OK || !strings.Contains(checks[i].Detail, "success and timedOut") || !strings.Contains(checks[i].Detail, "years 1 to 9999")) {
		f.Errorf("%s: doctor does not count odd values: %+v", f.when, checks)
	}
	f.verify(rows)
}

func (f *foreign) pages(rows int) {
	f.Helper()
	var all []sandtrail.Execution
	for _, limit := range []int{1, 7, 1000} {
		got := f.walk(sandtrail.Query{Limit: limit})
		if len(got) != rows {
			f.Errorf("%s: pages of %d met %d of %d rows", f.when, limit, len(got), rows)
		}
		all = got
	}
	byUser, byStrategy, outcomes := 0, 0, 0
	for _, key := range append(ForeignKeys(), OrphanKey) {
		if key == "" {
			continue // no filter
		}
		byUser += len(f.walk(sandtrail.Query{Limit: 3, Filter: sandtrail.Filter{UserID: key}}))
		byStrategy += len(f.walk(sandtrail.Query{Limit: 3, Filter: sandtrail.Filter{StrategyID: key}}))
	}
	if rows > 0 && (byUser == 0 || byUser > rows || byStrategy == 0 || byStrategy > rows) {
		f.Errorf("%s: %d rows by user, %d by strategy, of %d", f.when, byUser, byStrategy, rows)
	}
	for _, success := range []bool{true, false} {
		outcomes += len(f.walk(sandtrail.Query{Limit: 3, Filter: sandtrail.Filter{Success: &success}}))
	}
	if outcomes != rows {
		f.Errorf("%s: %d of %d rows have an outcome", f.when, outcomes, rows)
	}
	f.walk(sandtrail.Query{Limit: 3, Filter: sandtrail.Filter{Text: "a"}})
	f.walk(sandtrail.Query{Limit: 3, Filter: sandtrail.Filter{Since: noon.AddDate(0, -1, 0), Until: noon.AddDate(0, 1, 0)}})
	seen := map[sandtrail.ID]bool{}
	for _, e := range all {
		if seen[e.ID] {
			f.Errorf("%s: %s is met twice", f.when, e.ID)
		}
		seen[e.ID] = true
		f.record(e)
	}
}

func (f *foreign) walk(q sandtrail.Query) (all []sandtrail.Execution) {
	f.Helper()
	for {
		page, err := f.store.Executions(f.Context(), q, f.now)
		if err != nil {
			f.Fatalf("%s: list %+v: %v", f.when, q, err)
		}
		all = append(all, page.Items...)
		if q.Cursor = page.NextCursor; q.Cursor == "" {
			return all
		}
	}
}

// record reads one as the list has it, and sends it to a client and back.
func (f *foreign) record(e sandtrail.Execution) {
	f.Helper()
	one, err := f.store.Execution(f.Context(), e.ID)
	f.check("read "+e.ID.String(), err)
	alone, err := sandtrail.EncodeJSON(one)
	f.check("encode", err)
	raw, err := sandtrail.EncodeJSON(e)
	if f.check("encode", err); string(alone) != string(raw) {
		f.Errorf("%s: read alone\n%.500s\nin a list\n%.500s", f.when, alone, raw)
	}
	var back sandtrail.Execution
	f.check("decode", json.Unmarshal(raw, &back))
	if again, err := sandtrail.EncodeJSON(back); err != nil || string(again) != string(raw) {
		f.Errorf("%s: a client sends back, %v\n%.500s\nof\n%.500s", f.when, err, again, raw)
	}
	recordcsv.Record(e)
	e.Findings()
}

func (f *foreign) statistics() {
	f.Helper()
	ctx := f.Context()
	ask := func(what string, answer any, err error) {
		f.Helper()
		f.check(what, err)
		_, err = json.Marshal(answer)
		f.check(what, err)
	}
	for _, key := range foreignKeys {
		if _, err := f.store.User(ctx, key); err == nil {
			stats, err := f.store.UserStats(ctx, key)
			ask("user statistics", stats, err)
		}
		stats, err := f.store.StrategyStats(ctx, key)
		ask("strategy statistics", stats, err)
		health, err := f.store.StrategyHealth(ctx, key, 100)
		ask("health", health, err)
	}
	for _, q := range []sandtrail.TrendQuery{
		{Since: noon.AddDate(0, 0, -6), Until: noon},
		{Since: time.Date(9999, 12, 28, 0, 0, 0, 0, time.UTC), Until: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)},
		{Since: time.Date(1, 1, 1, 1, 0, 0, 0, time.UTC), Until: time.Date(1, 1, 3, 0, 0, 0, 0, time.UTC)},
	} {
		trend, err := f.store.Trends(ctx, q)
		ask("trends", trend, err)
	}
	for _, w := range []sandtrail.Window{{}, {Since: noon.Add(-time.Hour)}, {Until: noon}} {
		stats, err := f.store.WindowStats(ctx, w)
		ask("window", stats, err)
	}
	for _, subject := range []sandtrail.Subject{sandtrail.Users, sandtrail.Strategies} {
		ranks, err := f.store.Ranking(ctx, sandtrail.RankQuery{Subject: subject})
		ask("ranking", ranks, err)
	}
	f.owners()
}

func (f *foreign) owners() {
	f.Helper()
	for _, limit := range []int{1, 3, 1000} {
		users, strategies := 0, 0
		for q := (sandtrail.OwnerQuery{Limit: limit}); ; {
			page, err := f.store.Users(f.Context(), q)
			f.check("users", err)
			users += len(page.Items)
			if q.Cursor = page.NextCursor; q.Cursor == "" {
				break
			}
		}
		for q := (sandtrail.OwnerQuery{Limit: limit}); ; {
			page, err := f.store.Strategies(f.Context(), q)
			f.check("strategies", err)
			strategies += len(page.Items)
			if q.Cursor = page.NextCursor; q.Cursor == "" {
				break
			}
		}
		if strategies != len(foreignKeys) || users > strategies {
			f.Errorf("%s: pages of %d met %d users and %d strategies, want %d", f.when, limit, users, strategies, len(foreignKeys))
		}
	}
}

func (f *foreign) follow(rows int, from follow.Place) {
	f.Helper()
	met := 0
	for {
		found, err := f.store.Follow(f.Context(), from, 7)
		f.check("follow", err)
		if len(found) == 0 {
			break
		}
		met, from = met+len(found), found[len(found)-1].Place
	}
	if met != rows {
		f.Errorf("%s: followers met %d of %d rows", f.when, met, rows)
	}
}
