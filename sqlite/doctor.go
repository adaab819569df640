package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/human"
)

// Doctor examines the file without changing it. Deep reads all of it.
func (s *Store) Doctor(ctx context.Context, depth database.Depth, now time.Time) (checks []database.Check, err error) {
	channels, err := alert.CheckDeliveries(ctx, s, now)
	if err != nil {
		return nil, err
	}
	err = s.read(ctx, "examine", func(tx *sql.Tx) error {
		checks = nil
		for _, examine := range examinations(depth) {
			check, err := examine(ctx, s, tx)
			if err != nil {
				return err
			}
			checks = append(checks, check)
		}
		return nil
	})
	return append(checks, channels), err
}

type examination func(context.Context, *Store, *sql.Tx) (database.Check, error)

func examinations(depth database.Depth) []examination {
	all := []examination{checkMigrations, examineGuards, checkJournalMode, checkAutoVacuum, checkSize, checkLedger, checkTexts}
	if depth == database.Deep {
		return append(all, checkIntegrity("integrity_check"), checkForeignKeys, checkRollups, checkValues)
	}
	return append(all, checkIntegrity("quick_check"))
}

func checkMigrations(ctx context.Context, s *Store, tx *sql.Tx) (database.Check, error) {
	c := database.Check{Name: "migrations", OK: true, Detail: "all are applied"}
	pending, err := pendingMigrations(ctx, tx)
	if pending > 0 {
		c.OK, c.Detail = false, fmt.Sprintf("%d are pending", pending)
		c.Fix = "sandtrail migrate --db sqlite:" + s.path
	}
	return c, err
}

func checkJournalMode(ctx context.Context, _ *Store, tx *sql.Tx) (database.Check, error) {
	c := database.Check{Name: "write-ahead log"}
	err := tx.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&c.Detail)
	if c.OK = c.Detail == "wal"; !c.OK {
		c.Fix = "PRAGMA journal_mode = WAL"
	}
	c.Detail = "journal mode is " + c.Detail
	return c, err
}

func checkAutoVacuum(ctx context.Context, _ *Store, tx *sql.Tx) (database.Check, error) {
	c := database.Check{Name: "space can be given back", OK: true, Detail: "auto_vacuum is incremental"}
	var mode int
	err := tx.QueryRowContext(ctx, "PRAGMA auto_vacuum").Scan(&mode)
	if mode != 2 {
		c.OK, c.Detail = false, "auto_vacuum is not incremental: the file never shrinks"
		c.Fix = "PRAGMA auto_vacuum = INCREMENTAL; VACUUM"
	}
	return c, err
}

func checkSize(ctx context.Context, _ *Store, tx *sql.Tx) (database.Check, error) {
	total, free, err := fileSize(ctx, tx)
	if err != nil {
		return database.Check{}, err
	}
	return database.Check{Name: "size", OK: true, Detail: human.Bytes(total) + ", of which " + human.Bytes(*free) + " free"}, nil
}

func checkLedger(ctx context.Context, s *Store, tx *sql.Tx) (database.Check, error) {
	if migrations, err := checkMigrations(ctx, s, tx); err != nil || !migrations.OK {
		return database.Check{Name: "ledger", OK: true, Detail: "waits for the migrations"}, err
	}
	state, err := (&book{tx: tx}).state(ctx)
	return state.Check(), err
}

func checkTexts(ctx context.Context, s *Store, tx *sql.Tx) (database.Check, error) {
	c := database.Check{Name: "text search", OK: true, Detail: "waits for the migrations"}
	if migrations, err := checkMigrations(ctx, s, tx); err != nil || !migrations.OK {
		return c, err
	}
	state, err := readTextState(ctx, tx)
	switch {
	case err != nil:
	case state.since == allSince:
		c.Detail = "every text is indexed, or found as it came"
	case state.since > "9":
		c.Detail = "no text is in the index yet: searches read the executions until upkeep, as of sandtrail serve, has taken them in"
	default:
		c.Detail = "texts before " + state.since + " are not in the index yet: searches read these executions until upkeep, as of sandtrail serve, has taken them in"
	}
	return c, err
}

func checkIntegrity(pragma string) examination {
	return func(ctx context.Context, _ *Store, tx *sql.Tx) (database.Check, error) {
		c := database.Check{Name: "integrity", OK: true, Detail: pragma + " found no damage"}
		found, err := texts(ctx, tx, "PRAGMA "+pragma+"(10)")
		if len(found) != 1 || found[0] != "ok" {
			c.OK, c.Detail, c.Fix = false, strings.Join(found, "; "), "restore a backup"
		}
		return c, err
	}
}

func checkForeignKeys(ctx context.Context, _ *Store, tx *sql.Tx) (database.Check, error) {
	c := database.Check{Name: "foreign keys", OK: true, Detail: "every execution has its user and strategy"}
	found, err := texts(ctx, tx, `SELECT DISTINCT l.id || ' lacks its row in ' || f.parent
		FROM pragma_foreign_key_check AS f JOIN sandbox_execution_logs AS l ON l.rowid = f.rowid
		WHERE f."table" = 'sandbox_execution_logs' LIMIT 10`)
	if len(found) > 0 {
		c.OK, c.Detail = false, "executions without an owner, for example "+strings.Join(found, ", ")
		c.Fix = "add the missing users and strategies, or delete the executions"
	}
	return c, err
}

// checkValues counts what our own ways in would have refused.
func checkValues(ctx context.Context, _ *Store, tx *sql.Tx) (database.Check, error) {
	var o database.Oddities
	err := tx.QueryRowContext(ctx, `SELECT count(*) FILTER (WHERE success AND timed_out), count(*) FILTER (WHERE created_at < '0001'),
		count(*) FILTER (WHERE id = '00000000-0000-0000-0000-000000000000'), count(*) FILTER (WHERE cpu_usage = 9e999),
		count(*) FILTER (WHERE cpu_usage > ? AND cpu_usage < 9e999)
		FROM sandbox_execution_logs`, sandtrail.MaxCPUUsage).Scan(&o.Contradictory, &o.Times, &o.ZeroIDs, &o.Infinite, &o.Costless)
	return o.Check(), err
}

func texts(ctx context.Context, tx *sql.Tx, query string, args ...any) ([]string, error) {
	return textsOf(tx.QueryContext(ctx, query, args...))
}

// textsOf reads the one column of a query's rows.
func textsOf(rows *sql.Rows, err error) (found []string, _ error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		found = append(found, text)
	}
	return found, rows.Err()
}
