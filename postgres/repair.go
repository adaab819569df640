package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/ledger"
)

// standing fails when the table of executions is gone while the tables derived
// from it are there: prisma migrate reset drops the schema public with all that
// is in it, and nothing else.
func (l *layout) standing(ctx context.Context, q querier) error {
	var ours bool
	err := q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_inherits i JOIN pg_class d ON d.oid = i.inhrelid
		JOIN pg_namespace n ON n.oid = d.relnamespace
		WHERE i.inhparent = to_regclass($1) AND d.relname = 'logs_default' AND n.nspname = $2)`, l.sql("{logs}"), l.Schema).Scan(&ours)
	if err != nil || ours {
		return wrap("look for the executions", err)
	}
	return &sandtrail.Error{
		Code: sandtrail.CodeUnavailable, Err: errGone, Message: fmt.Sprintf("the table %s is gone, and its records with it, as after prisma migrate reset: repair it, "+
			"which begins a new log and keeps the ledger of the old one", l.sql("{logs}")),
		Remedies: []sandtrail.Remedy{migrateWith("", sandtrail.Option{Name: "repair"})},
	}
}

// errGone marks the error of a table of executions that was dropped.
var errGone = errors.New("the table of executions is gone")

// stand makes sure that a migrated database has its executions, where it may by
// beginning anew; remembered is whether it is still a migrated one.
func (o *Options) stand(ctx context.Context, tx pgx.Tx, l *layout, now time.Time) (remembered bool, _ *layout, err error) {
	gone := l.standing(ctx, tx)
	if !o.Repair || !errors.Is(gone, errGone) {
		return true, l, gone
	}
	if err := o.repair(ctx, tx, l, now); err != nil {
		return true, l, err
	}
	l, remembered, err = o.destination(ctx, tx)
	return remembered, l, err
}

// repair sets the schema of a log that is gone aside, so that the database is
// migrated anew. What was known of users and
// strategies is known again.
func (o *Options) repair(ctx context.Context, tx pgx.Tx, l *layout, now time.Time) error {
	for _, owner := range []owner{l.Users, l.Strategies} {
		oid, err := relationOf(ctx, tx, owner.Schema+"."+owner.Table)
		if err != nil {
			return err
		}
		if oid == 0 {
			return sandtrail.Errorf(sandtrail.CodeConflict, "table %s is gone as well: make it first, with prisma migrate dev or deploy, then repair again", owner.qualified()).
				With(migrateWith("", sandtrail.Option{Name: "repair"}))
		}
	}
	aside := l.Schema + now.UTC().Format(resetAt)
	if _, err := tx.Exec(ctx, fmt.Sprintf("ALTER SCHEMA %s RENAME TO %s", quote(l.Schema), quote(aside))); err != nil {
		return wrap("set the old log aside", err)
	}
	o.Users = OwnerTable{Table: l.Users.Schema + "." + l.Users.Table, ID: l.Users.ID, Email: l.Users.Email, Name: l.Users.Name}
	o.Strategies = OwnerTable{Table: l.Strategies.Schema + "." + l.Strategies.Table, ID: l.Strategies.ID, Name: l.Strategies.Name}
	o.repaired = aside
	return nil
}

// finishRepair closes the old log when everything is migrated.
func (o *Options) finishRepair(ctx context.Context, tx pgx.Tx, now time.Time) error {
	if o.repaired == "" {
		return nil
	}
	l, err := readLayout(ctx, tx, o.Schema)
	if err != nil {
		return err
	}
	return o.closeOld(ctx, tx, l, now)
}

// closeOld notes in the new log that the old one is closed, and brings over the
// keys, the access log, the silences, and the memory of a witness.
func (o *Options) closeOld(ctx context.Context, tx pgx.Tx, l *layout, now time.Time) error {
	for _, table := range []string{"keys", "access_log", "silences", "ledger_witnessed"} {
		if _, err := tx.Exec(ctx, l.sql("INSERT INTO {schema}."+table+" SELECT * FROM "+quote(o.repaired)+"."+table)); err != nil {
			return wrapf(err, "bring over %s", table)
		}
	}
	if _, err := tx.Exec(ctx, l.sql("INSERT INTO {schema}.settings (name, value) SELECT name, value FROM "+quote(o.repaired)+
		".settings WHERE name = 'keyed' ON CONFLICT (name) DO UPDATE SET value = excluded.value")); err != nil {
		return wrap("bring over whether there were keys", err)
	}
	at := sandtrail.Millisecond(now)
	if _, err := tx.Exec(ctx, l.sql(`INSERT INTO {schema}.access_log (id, at, actor, action, object, outcome, detail, remote)
		VALUES ($1, $2, 'cli', 'repair', $3, 'allowed', 'the table of executions was gone: its log is closed and kept in this schema, a new one begins', '')`),
		[16]byte(sandtrail.NewID(at)), at, o.repaired); err != nil {
		return wrap("note the repair", err)
	}
	_, err := tx.Exec(ctx, l.sql(`INSERT INTO {schema}.settings (name, value) VALUES ('closed', jsonb_build_array($1::text) || coalesce(
		(SELECT value FROM `+quote(o.repaired)+`.settings WHERE name = 'closed'), '[]'))`), o.repaired)
	return wrap("note the repair", err)
}

// Closed is part of ledger.Source.
func (b *book) Closed(ctx context.Context) (closed []ledger.ClosedLog, err error) {
	schemas, err := closedLogs(ctx, b.tx, b.l)
	for _, schema := range schemas {
		c := ledger.ClosedLog{At: closedAt(schema)}
		old := &book{tx: b.tx, l: newLayout(schema, b.l.LogsSchema, b.l.Users, b.l.Strategies)}
		oid, err := relationOf(ctx, b.tx, schema+".ledger_tiles")
		if err != nil {
			return nil, err
		}
		kept := "its ledger is kept in schema " + schema
		if oid == 0 {
			kept = "its ledger, schema " + schema + ", was dropped since"
		} else if c.Leaves, err = old.Size(ctx); err != nil {
			return nil, err
		}
		c.How = "its table had been dropped from outside, as prisma migrate reset does, and sandtrail migrate --repair closed it; " + kept
		c.Tiles = func(id ledger.TileID) ([]byte, error) { return old.Tile(ctx, id) }
		closed = append(closed, c)
	}
	return closed, err
}

// resetAt is how the schema of a closed log says when it was closed.
const resetAt = "_reset_20060102_150405"

func closedAt(schema string) time.Time {
	at, _ := time.Parse(resetAt, schema[max(0, len(schema)-len(resetAt)):]) // repair named it
	return at
}

// closedLogs are the schemas of the logs that repairs have closed, the last first.
func closedLogs(ctx context.Context, q querier, l *layout) ([]string, error) {
	closed, err := scanAll(ctx, q, pgx.RowTo[string], l.sql("SELECT jsonb_array_elements_text(value) FROM {schema}.settings WHERE name = 'closed'"))
	return closed, wrap("read settings", err)
}

// checkClosed tells of logs that a repair has closed.
func (s *Store) checkClosed(ctx context.Context, l *layout) (checks []database.Check, err error) {
	closed, err := closedLogs(ctx, s.pool, l)
	for _, schema := range closed {
		checks = append(checks, database.Check{
			Name: "closed log", OK: true,
			Detail: "its table was dropped from outside; its ledger is kept in schema " + schema + "; DROP SCHEMA " + quote(schema) + " CASCADE ends it",
		})
	}
	return checks, err
}
