package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/derive"
	"github.com/sandtrail/sandtrail/internal/sqlstore"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/remedy"
	"github.com/sandtrail/sandtrail/rollup"
)

// guard is a trigger or an index that a migration made: roll-ups, ledger, holds and
// searches rest on it. Tools that rebuild a table, as SQLite's documentation tells
// them to, drop all of the table's.
type guard struct{ kind, name, table, text string }

func (g guard) String() string { return g.kind + " " + g.name + " of table " + g.table }

const selectGuards = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE type IN ('trigger', 'index') AND sql IS NOT NULL ORDER BY type DESC, name"

// madeGuards are those that the migrations make, read from an empty database in
// memory to which they are applied.
func madeGuards(ctx context.Context) ([]guard, error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each has a database of its own
	all, err := AllMigrations()
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if _, err := db.ExecContext(ctx, m.SQL); err != nil {
			return nil, fmt.Errorf("migration %d (%s): %w", m.Version, m.Name, err)
		}
	}
	return readGuards(ctx, db)
}

func readGuards(ctx context.Context, q interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
},
) ([]guard, error) {
	rows, err := q.QueryContext(ctx, selectGuards)
	if err != nil {
		return nil, err
	}
	return collect(rows, func(scan func(...any) error) (g guard, err error) {
		return g, scan(&g.kind, &g.name, &g.table, &g.text)
	})
}

// madeDigest is digest of what the migrations make in an empty database. A test says
// what it is to be after a new migration.
const madeDigest = "8c331ea9d71d1c2058424195fa04a8dc"

// digest is one text for all guards with names of Sandtrail's: SQLite quotes the
// names of tables that it renames.
func digest(guards []guard) string {
	hash := sha256.New()
	for _, g := range guards {
		if strings.HasPrefix(g.name, "sandtrail_") || strings.HasPrefix(g.name, "sandbox_execution_logs_") {
			fmt.Fprintf(hash, "%s\n", plain.Replace(g.text))
		}
	}
	return hex.EncodeToString(hash.Sum(nil)[:16])
}

var plain = strings.NewReplacer(`"`, "", "`", "", " ", "", "\n", "", "\t", "")

// brokenGuards are those of the migrations that the database lacks or has with
// another text.
func brokenGuards(ctx context.Context, tx *sql.Tx) ([]guard, error) {
	there, err := readGuards(ctx, tx)
	if err != nil || digest(there) == madeDigest {
		return nil, err
	}
	made, err := madeGuards(ctx)
	if err != nil {
		return nil, err
	}
	texts := map[string]string{}
	for _, g := range there {
		texts[g.name] = plain.Replace(g.text)
	}
	return slices.DeleteFunc(made, func(g guard) bool { return texts[g.name] == plain.Replace(g.text) }), nil
}

// checkGuards refuses to write past guards that are missing. It compares them again
// when the schema has changed since the last time.
func (s *Store) checkGuards(ctx context.Context, tx *sql.Tx) error {
	var version int64
	if err := tx.QueryRowContext(ctx, "PRAGMA schema_version").Scan(&version); err != nil || s.guarded.Load() == version {
		return err
	}
	if pending, err := pendingMigrations(ctx, tx); err != nil || pending > 0 {
		return err // other guards are expected then
	}
	broken, err := brokenGuards(ctx, tx)
	if err == nil && len(broken) > 0 {
		err = errBroken(broken)
	}
	if err == nil {
		s.guarded.Store(version)
	}
	return err
}

func errBroken(broken []guard) error {
	return sandtrail.Errorf(sandtrail.CodeUnavailable, "the database lacks %s, as after a tool has rebuilt a table: "+
		"statistics, ledger, legal holds and searches rest on them. Nothing is written until a repair makes them, which also takes in executions written since", list(broken)).
		With(sandtrail.Remedy{Act: remedy.Migrate, Options: []sandtrail.Option{{Name: "repair"}}})
}

func list(broken []guard) string {
	const shown = 3
	var names []string
	for _, g := range broken[:min(len(broken), shown)] {
		names = append(names, g.String())
	}
	text := strings.Join(names, ", ")
	if more := len(broken) - shown; more > 0 {
		text += fmt.Sprintf(" and %d more triggers and indexes", more)
	}
	return text
}

func (s *Store) repairCommand() string { return "sandtrail migrate --repair --db sqlite:" + s.path }

func examineGuards(ctx context.Context, s *Store, tx *sql.Tx) (database.Check, error) {
	c := database.Check{Name: "triggers and indexes", OK: true, Detail: "all are as the migrations made them"}
	if migrations, err := checkMigrations(ctx, s, tx); err != nil || !migrations.OK {
		c.Detail = "waits for the migrations"
		return c, err
	}
	broken, err := brokenGuards(ctx, tx)
	if len(broken) > 0 {
		c.OK, c.Detail = false, "the database lacks "+list(broken)
		c.Fix = s.repairCommand()
	}
	return c, err
}

// Unguarded is part of ledger.Guarded.
func (b *book) Unguarded(ctx context.Context) (string, error) {
	broken, err := brokenGuards(ctx, b.tx)
	if err != nil || len(broken) == 0 {
		return "", err
	}
	return list(broken), nil
}

// Repair makes the triggers and indexes that are missing, and takes in what was
// written past them, in one transaction. All roll-ups are counted anew, except for
// the counts of what retention removed. Executions that the ledger lacks are entered
// into it, those that it has and that are gone as removals of the reason
// ledger.Unguarded, and the access log gets a line. The report has a line for each
// thing done.
func (s *Store) Repair(ctx context.Context, now time.Time) (report []string, err error) {
	err = s.writeUnguarded(ctx, "repair", func(tx *sql.Tx) error {
		var made []string
		broken, err := brokenGuards(ctx, tx)
		if err != nil {
			return err
		}
		for _, g := range broken {
			if _, err := tx.ExecContext(ctx, fmt.Sprintf("DROP %s IF EXISTS %s; %s", g.kind, g.name, g.text)); err != nil {
				return fmt.Errorf("%s: %w", g, err)
			}
			made = append(made, "made "+g.String())
		}
		unknown, gone, err := ledger.Unaccounted(ctx, &book{tx: tx})
		if err != nil {
			return err
		}
		report = append([]string{
			"counted all executions anew",
			fmt.Sprintf("entered %d executions and %d removals into the ledger", len(unknown), len(gone)),
		}, made...)
		if err := takeIn(ctx, tx, unknown, gone); err != nil {
			return err
		}
		if err := recount(ctx, tx); err != nil {
			return err
		}
		return logRepair(ctx, tx, report, now)
	})
	if err != nil {
		return nil, err
	}
	return report, nil
}

func logRepair(ctx context.Context, t *sql.Tx, report []string, now time.Time) error {
	now = sandtrail.Millisecond(now)
	return sqlstore.LogAccess(ctx, tx{t}, auth.Access{
		ID: sandtrail.NewID(now), At: now, Actor: "cli", Action: "repair", Outcome: auth.Allowed, Detail: strings.Join(report, "; "),
	}.Bounded())
}

// takeIn makes changes for the ledger and followers of what was written past the
// guards, behind all changes so far, which it applies to the roll-ups.
func takeIn(ctx context.Context, tx *sql.Tx, unknown []sandtrail.ID, gone []ledger.Gone) error {
	var pending []rollup.Change
	last, err := eachPending(ctx, tx, conditions{}, " ORDER BY seq", func(c rollup.Change) { pending = append(pending, c) })
	if err != nil {
		return err
	}
	if err := derive.Apply(ctx, rollups{tx}, pending); err != nil {
		return err
	}
	if err := counted(ctx, tx, last); err != nil {
		return err
	}
	if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'sandtrail_changes'").Scan(&last); err != nil {
		return err
	}
	add := func(sign int, id sandtrail.ID, createdAt, reason any) {
		if err == nil {
			last++
			_, err = tx.ExecContext(ctx, "INSERT INTO sandtrail_counted (seq, sign, execution_id, created_at, reason) VALUES (?, ?, ?, ?, ?)",
				last, sign, id.String(), createdAt, reason)
		}
	}
	for _, g := range gone { // first: an id may have come again
		add(-1, g.ID, formatTime(g.CreatedAt), ledger.Unguarded)
	}
	for _, id := range unknown {
		add(1, id, nil, nil)
	}
	if err == nil {
		_, err = tx.ExecContext(ctx, "DELETE FROM sqlite_sequence WHERE name = 'sandtrail_changes'; INSERT INTO sqlite_sequence (name, seq) VALUES ('sandtrail_changes', ?)", last)
	}
	return err
}

// recount makes changes of all executions, for the roll-ups alone, whose live counts
// it clears, and has searches read all texts until the index has taken them in anew.
func recount(ctx context.Context, tx *sql.Tx) error {
	var days []derive.StoredDay
	err := rollups{tx}.each(ctx, func(scan func(...any) error) error {
		var day derive.StoredDay
		defer func() { days = append(days, day) }()
		return scan(&day.Scope, &day.ID, &day.Date, &day.Summary, &day.Slots)
	}, "SELECT scope, key, day, summary, slots FROM sandtrail_rollups")
	if err == nil {
		err = derive.Clear(ctx, rollups{tx}, days)
	}
	if err == nil {
		_, err = tx.ExecContext(ctx, `DELETE FROM sandtrail_totals;
			INSERT INTO sandtrail_changes SELECT NULL, 1, 1, NULL, id, `+countedColumns+` FROM sandbox_execution_logs;
			UPDATE sandtrail_text_state SET since = '~', rewrite = 1`)
	}
	return err
}
