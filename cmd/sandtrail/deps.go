package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/client"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/postgres"
	"github.com/sandtrail/sandtrail/recorder/systemd"
	"github.com/sandtrail/sandtrail/runner"
	"github.com/sandtrail/sandtrail/sqlite"
)

// globals are the flags of every command.
type globals = runner.Target

// deps is what commands work with. It opens the store when it is first asked
// for.
type deps struct {
	globals

	in                    io.Reader
	out, err              io.Writer
	inTTY, outTTY, errTTY bool
	getenv                func(string) string
	now                   func() time.Time
	wait                  func(context.Context, time.Duration) error // until the time has passed or the context ends
	// collector sets the process's garbage collector up; nil: it stays as it is.
	collector func(percent int, limit int64)

	parser *kong.Kong
	helped bool // --help has been answered
	makes  bool // the command may make a database
	opened sandtrail.Store
}

// target tells which database or server the flags and the environment mean.
func (d *deps) target() (db, server string, err error) { return d.Resolve(d.getenv) }

// targetDigest tells one store from another without its password.
func (d *deps) targetDigest() string { return d.Digest(d.getenv) }

// program is what a run is recorded with.
func (d *deps) program() *runner.Program {
	return &runner.Program{
		Name: "sandtrail", In: d.in, Out: d.out, Err: d.err, Terminal: d.inTTY && d.outTTY, Getenv: d.getenv, Now: d.now, Target: d.globals,
		Open:       func(ctx context.Context) (sandtrail.Appender, error) { return d.store(ctx) },
		StartScope: systemd.StartScope,
	}
}

// store is the store that the command works with: ready to use when embedded.
func (d *deps) store(ctx context.Context) (sandtrail.Store, error) {
	if d.opened != nil {
		return d.opened, nil
	}
	_, server, err := d.target()
	if err != nil {
		return nil, err
	}
	if server != "" {
		c, err := d.connect(server)
		if err != nil {
			return nil, err
		}
		return c, nil
	}
	database, err := d.database(ctx, postgres.Options{})
	if err != nil {
		return nil, err
	}
	if embedded, is := database.(*sqlite.Store); is {
		if err := d.migrateEmbedded(ctx, embedded); err != nil {
			return nil, err
		}
	}
	return database, nil
}

// connect opens a client of a running server.
func (d *deps) connect(server string) (*client.Client, error) {
	c, err := client.Open(server, d.Key)
	if err != nil {
		return nil, err
	}
	d.opened = c
	return c, nil
}

// database opens the database as it is, for commands that need more than a
// store.
func (d *deps) database(ctx context.Context, options postgres.Options) (database.Database, error) {
	db, server, err := d.target()
	if err != nil {
		return nil, err
	}
	if server != "" {
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid,
			"this command works on the database itself, not through a server: give --db in place of --server or SANDTRAIL_SERVER")
	}
	options.Schema = d.Schema
	database, err := openDatabase(ctx, db, options, sqlite.Options{Existing: !d.makes})
	if err != nil {
		return nil, err
	}
	d.opened = database
	return database, nil
}

// makers are the commands whose purpose is to write: where there is no database
// they make one. The others change nothing where there is nothing.
var makers = []string{
	"bench", "demo", "exec", "keys create", "migrate", "outbox flush", "record", "serve", "strategies add", "strategies import",
	"users add", "users import",
}

func openDatabase(ctx context.Context, target string, options postgres.Options, embedded sqlite.Options) (database.Database, error) {
	if err := runner.CheckDatabase(target); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(target, "sqlite:") {
		return postgres.Open(ctx, target, options)
	}
	path, err := runner.SQLitePath(target)
	if err != nil {
		return nil, err
	}
	database, err := sqlite.Open(ctx, path, embedded)
	if errors.Is(err, fs.ErrNotExist) && embedded.Existing {
		return nil, &sandtrail.Error{Code: sandtrail.CodeUnavailable, Err: fs.ErrNotExist, Message: fmt.Sprintf(
			"there is no database %s: name another with --db or SANDTRAIL_DB, or make it with sandtrail migrate", path)}
	}
	if err != nil {
		return nil, err
	}
	return database, nil
}

// migrateEmbedded brings a file up to date. Where the command makes no
// database, a file without tables stays as it is.
func (d *deps) migrateEmbedded(ctx context.Context, db *sqlite.Store) error {
	all, err := db.Migrations(ctx)
	if err != nil {
		return err
	}
	pending := slices.DeleteFunc(slices.Clone(all), func(m database.Migration) bool { return !m.Applied.IsZero() })
	if len(pending) == len(all) && !d.makes {
		return sandtrail.Errorf(sandtrail.CodeUnavailable, "the file has no tables of Sandtrail: name another with --db or SANDTRAIL_DB, or run sandtrail migrate")
	}
	if len(pending) == 0 {
		return nil
	}
	_, err = db.Migrate(ctx, d.now())
	return err
}

// maintain keeps the answers of a local database fast, after writes. They are
// not worth failing for it.
func (d *deps) maintain(ctx context.Context) {
	if err := d.upkeep(ctx); err != nil {
		d.warn("upkeep of the database: %v", err)
	}
}

// maintainIfPossible does so before aggregates are read. A standby, or a role
// that may only read, cannot: the answer takes longer and is the same. What is
// wrong with upkeep is told by doctor.
func (d *deps) maintainIfPossible(ctx context.Context) { _ = d.upkeep(ctx) }

func (d *deps) upkeep(ctx context.Context) error {
	db, local := d.opened.(database.Database)
	if !local || ctx.Err() != nil {
		return nil
	}
	now, err := database.TimeOf(ctx, db, d.now())
	if err != nil {
		return err
	}
	var failed []error
	for _, step := range db.Upkeep() {
		if !step.Slow {
			failed = append(failed, step.RunOnce(ctx, now))
		}
	}
	return errors.Join(failed...)
}

// cannotWrite reports that a database takes no writes from us, as a standby.
func cannotWrite(err error) bool {
	code := sandtrail.CodeOf(err)
	return code == sandtrail.CodeUnavailable || code == sandtrail.CodeForbidden
}

// analyst is the store with its aggregates brought up to date.
func (d *deps) analyst(ctx context.Context) (sandtrail.Store, error) {
	store, err := d.store(ctx)
	if err == nil {
		d.maintainIfPossible(ctx)
	}
	return store, err
}

func (d *deps) warn(format string, args ...any) { d.program().Warn(format, args...) }

// say writes a line on standard output.
func (d *deps) say(format string, args ...any) error {
	_, err := fmt.Fprintf(d.out, format+"\n", args...)
	return err
}

func (d *deps) close() error {
	if d.opened == nil {
		return nil
	}
	if err := d.opened.Close(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("close the store: %w", err)
	}
	return nil
}
