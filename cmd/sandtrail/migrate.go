package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/cmdline"
	"github.com/sandtrail/sandtrail/internal/human"
	"github.com/sandtrail/sandtrail/internal/table"
	"github.com/sandtrail/sandtrail/postgres"
	"github.com/sandtrail/sandtrail/sqlite"
)

type migrateCmd struct {
	Status bool `xor:"what" help:"List the migrations and change nothing."`
	DryRun bool `xor:"what" help:"Print the SQL of the pending migrations and change nothing."`
	Adopt  bool `help:"PostgreSQL: take over a table of executions that Prisma made, with every row and what hangs on it. With --dry-run, tell what becomes of it."`

	PrismaSchema cmdline.InPath `placeholder:"FILE" help:"PostgreSQL: read the tables, keys and columns of users, strategies and executions in this Prisma schema (a file, or a folder of them), and compare them with the database's."`
	LogTable     string         `placeholder:"TABLE" help:"PostgreSQL: the table to adopt (default sandbox_execution_logs); a schema may precede it: app.RunLog."`
	ExtraColumns string         `enum:",keep,metadata" default:"" placeholder:"keep|metadata" help:"With --adopt: what becomes of its columns that are none of an execution's: columns of the log (keep, the default) or keys of the metadata."`
	Repair       bool           `help:"SQLite: make triggers and indexes that another tool dropped, enter what was written meanwhile into the ledger, count all executions anew. PostgreSQL: begin a new log where the table of executions was dropped from outside, as prisma migrate reset does; the old one's ledger is kept."`
	DropOld      bool           `help:"With --adopt: drop the old table, which adoption has kept aside."`

	Partitions string `enum:",auto,day,week,month" default:"" placeholder:"SIZE" help:"PostgreSQL: how long new partitions are: day, week, month or auto, by how many executions come (default: as before, auto at first)."`

	ownerTables
	output
}

// ownerTables name the tables that an application has already.
type ownerTables struct {
	UsersTable      string `group:"tables" placeholder:"TABLE" help:"Table of users (default users); a schema may precede it: app.User."`
	UsersID         string `name:"users-id" group:"tables" placeholder:"COLUMN" help:"Its key (default id)."`
	UsersEmail      string `group:"tables" placeholder:"COLUMN" help:"Its e-mail address (default email)."`
	UsersName       string `group:"tables" placeholder:"COLUMN" help:"Its name (default name)."`
	StrategiesTable string `group:"tables" placeholder:"TABLE" help:"Table of strategies (default strategies)."`
	StrategiesID    string `name:"strategies-id" group:"tables" placeholder:"COLUMN" help:"Its key (default id)."`
	StrategiesName  string `group:"tables" placeholder:"COLUMN" help:"Its name (default name)."`
}

func (t ownerTables) users() postgres.OwnerTable {
	return postgres.OwnerTable{Table: t.UsersTable, ID: t.UsersID, Email: t.UsersEmail, Name: t.UsersName}
}

func (t ownerTables) strategies() postgres.OwnerTable {
	return postgres.OwnerTable{Table: t.StrategiesTable, ID: t.StrategiesID, Name: t.StrategiesName}
}

// Examples shows how it is used.
func (migrateCmd) Examples() []string {
	return []string{
		"sandtrail migrate --db postgres://app@localhost/app",
		"sandtrail migrate --db postgres://app@localhost/app --dry-run",
		`sandtrail migrate --db postgres://app@localhost/app --users-table User --strategies-table Strategy`,
		"sandtrail migrate --db postgres://app@localhost/app --prisma-schema prisma/schema.prisma --adopt --dry-run",
		"sandtrail migrate --db postgres://app@localhost/app --adopt --log-table RunLog",
	}
}

// Run applies, lists or prints migrations.
func (c *migrateCmd) Run(ctx context.Context, d *deps) error {
	db, server, err := d.target()
	if err != nil {
		return err
	}
	if server != "" {
		return sandtrail.Errorf(sandtrail.CodeInvalid,
			"migrate changes tables, for which a server has no call: run it at the database with --db, without --server and SANDTRAIL_SERVER")
	}
	if strings.HasPrefix(db, "sqlite:") && (c.Adopt || c.PrismaSchema != "" || c.LogTable != "" || c.Partitions != "" || c.ownerTables != ownerTables{}) {
		return sandtrail.Errorf(sandtrail.CodeInvalid,
			"--adopt, --prisma-schema, --log-table, --partitions and other names of tables and columns are for PostgreSQL: name the database with --db or SANDTRAIL_DB; on SQLite the tables are users and strategies")
	}
	if !c.Adopt && (c.ExtraColumns != "" || c.DropOld) {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "--extra-columns and --drop-old belong to --adopt")
	}
	options := postgres.Options{
		Users: c.users(), Strategies: c.strategies(), Partitions: c.Partitions,
		Adopt: c.Adopt, Repair: c.Repair, Logs: postgres.LogTable{Table: c.LogTable}, ExtraColumns: strings.TrimPrefix(c.ExtraColumns, "keep"),
	}
	adopted := false
	if err := c.readPrisma(&options); err != nil {
		return err
	}
	if c.Output == "table" {
		options.Report = func(line string) { adopted = true; _ = d.say("  %s", line) }
	}
	d.makes = !c.Status && !c.DryRun
	opened, err := d.database(ctx, options)
	trail, _ := opened.(*postgres.Store)
	if err == nil && c.PrismaSchema != "" {
		err = c.tellDeclared(ctx, d, trail)
	}
	switch {
	case err == nil && c.DropOld:
		return dropOld(ctx, d, trail)
	case err == nil && c.DryRun && c.Adopt:
		return planAdoption(ctx, d, trail)
	case c.Status || c.DryRun:
		return c.tell(ctx, d, opened, err)
	case err != nil:
		return err
	}
	now, err := database.TimeOf(ctx, opened, d.now())
	if err != nil {
		return err
	}
	if file, ok := opened.(*sqlite.Store); ok && c.Repair {
		if err := c.repair(ctx, d, file, now); err != nil {
			return err
		}
	}
	applied, err := opened.Migrate(ctx, now)
	err = errors.Join(c.report(d, applied, err == nil), err)
	if trail != nil && err == nil && c.Output == "table" {
		var search database.Check
		if search, err = trail.TextSearch(ctx); err == nil && search.Fix != "" {
			err = d.say("Note: %s: %s", search.Detail, search.Fix)
		}
	}
	if adopted && err == nil {
		err = d.say("The old table is dropped by: sandtrail migrate --adopt --drop-old")
	}
	return err
}

// repair has a file repaired and tells what was done: beside an output for programs,
// which lists migrations, as warnings.
func (c *migrateCmd) repair(ctx context.Context, d *deps, file *sqlite.Store, now time.Time) error {
	report, err := file.Repair(ctx, now)
	for _, line := range report {
		if c.Output != "table" {
			d.warn("repair: %s", line)
		} else if err == nil {
			err = d.say("%s", line)
		}
	}
	return err
}

// tell shows the migrations of a database, all of them where there is none yet.
func (c *migrateCmd) tell(ctx context.Context, d *deps, db database.Database, err error) error {
	var all []database.Migration
	if errors.Is(err, fs.ErrNotExist) {
		all, err = sqlite.AllMigrations()
	} else if err == nil {
		all, err = db.Migrations(ctx)
	}
	if err != nil {
		return err
	}
	if c.Status {
		return print(d, c.Output, migrations(all, d.now()))
	}
	return dryRun(d, all)
}

// report tells what was applied, and when that is nothing because there was
// nothing to do.
func (c *migrateCmd) report(d *deps, applied []database.Migration, done bool) error {
	if c.Output != "table" {
		return print(d, c.Output, migrations(applied, d.now()))
	}
	for _, m := range applied {
		if err := d.say("applied %d %s", m.Version, m.Name); err != nil {
			return err
		}
	}
	if len(applied) == 0 && done {
		return d.say("Nothing to do: every migration is applied.")
	}
	return nil
}

// migration is a migration as it is printed.
type migration struct {
	Version   int        `json:"version"`
	Name      string     `json:"name"`
	AppliedAt *time.Time `json:"appliedAt"` // null: pending
}

func migrations(all []database.Migration, now time.Time) finding[migration] {
	rows := make([]migration, len(all))
	for i, m := range all {
		rows[i] = migration{Version: m.Version, Name: m.Name}
		if !m.Applied.IsZero() {
			rows[i].AppliedAt = &all[i].Applied
		}
	}
	return finding[migration]{whole: rows, rows: rows, columns: migrationColumns(now)}
}

func migrationColumns(now time.Time) []table.Column[migration] {
	return []table.Column[migration]{
		{Name: "version", Title: "VERSION", Right: true, Value: func(m migration) string { return strconv.Itoa(m.Version) }},
		{Name: "name", Title: "NAME", Value: func(m migration) string { return m.Name }},
		{
			Name: "appliedAt", Title: "APPLIED (UTC)",
			Value: func(m migration) string { return exactTime(m.AppliedAt) },
			Text: func(m migration) string {
				if m.AppliedAt == nil {
					return "pending"
				}
				return human.Time(*m.AppliedAt) + " (" + human.Ago(now, *m.AppliedAt) + ")"
			},
		},
	}
}

// planAdoption prints what becomes of a table that is adopted.
func planAdoption(ctx context.Context, d *deps, database *postgres.Store) error {
	plan, err := database.PlanAdoption(ctx)
	if err != nil {
		return err
	}
	if len(plan) == 0 {
		return d.say("Nothing to adopt.")
	}
	return d.say("%s\nNothing was changed: the same command without --dry-run does it.", strings.Join(plan, "\n"))
}

// dropOld drops what an adoption has kept.
func dropOld(ctx context.Context, d *deps, database *postgres.Store) error {
	dropped, err := database.DropOld(ctx)
	if err != nil {
		return err
	}
	if len(dropped) == 0 {
		return d.say("Nothing to do: no old table is kept.")
	}
	return d.say("dropped %s", strings.Join(dropped, " and "))
}

// dryRun prints the SQL of what is pending.
func dryRun(d *deps, all []database.Migration) error {
	pending := 0
	for _, m := range all {
		if !m.Applied.IsZero() {
			continue
		}
		pending++
		if _, err := fmt.Fprintf(d.out, "-- %d %s\n%s\n", m.Version, m.Name, strings.TrimSpace(m.SQL)); err != nil {
			return err
		}
	}
	if pending == 0 {
		return d.say("-- Nothing to do: every migration is applied.")
	}
	return nil
}
