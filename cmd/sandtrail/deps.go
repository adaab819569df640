package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/client"
	"github.com/sandtrail/sandtrail/internal/human"
	"github.com/sandtrail/sandtrail/postgres"
	"github.com/sandtrail/sandtrail/sqlite"
)

// globals are the flags of every command.
type globals struct {
	DB     string `name:"db" placeholder:"URL" help:"Database: sqlite:FILE or postgres://… ($$SANDTRAIL_DB; default sqlite:sandtrail.db)."`
	Schema string `placeholder:"NAME" env:"SANDTRAIL_SCHEMA" help:"PostgreSQL schema of Sandtrail's own tables (default sandtrail)."`
	Server string `placeholder:"URL" help:"Work with a running server in place of a database ($$SANDTRAIL_SERVER)."`
	Key    string `placeholder:"KEY" env:"SANDTRAIL_KEY" help:"Key for the server."`
}

const defaultDB = "sqlite:sandtrail.db"

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

	parser *kong.Kong
	helped bool // --help has been answered
	opened sandtrail.Store
}

// target tells which database or server the flags and the environment mean.
// A flag overrides the environment.
func (d *deps) target() (db, server string, err error) {
	if d.DB != "" && d.Server != "" {
		return "", "", sandtrail.Errorf(sandtrail.CodeInvalid, "--db and --server exclude each other: give one")
	}
	if d.DB != "" || d.Server != "" {
		return d.DB, d.Server, nil
	}
	if server := d.getenv("SANDTRAIL_SERVER"); server != "" {
		return "", server, nil
	}
	if db := d.getenv("SANDTRAIL_DB"); db != "" {
		return db, "", nil
	}
	return defaultDB, "", nil
}

// targetDigest tells one store from another without its password.
func (d *deps) targetDigest() string {
	db, server, _ := d.target() // opening the store reports it
	target := db + server
	if path, ok := strings.CutPrefix(target, "sqlite:"); ok {
		if abs, err := filepath.Abs(strings.TrimPrefix(path, "//")); err == nil {
			target = "sqlite:" + abs
		}
	} else if u, err := url.Parse(target); err == nil {
		u.User = url.User(u.User.Username())
		target = u.String()
	}
	sum := sha256.Sum256([]byte(target))
	return hex.EncodeToString(sum[:8])
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
	if _, embedded := database.(*sqlite.Store); embedded {
		if err := migratePending(ctx, database, d.now()); err != nil {
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
func (d *deps) database(ctx context.Context, options postgres.Options) (sandtrail.Database, error) {
	db, server, err := d.target()
	if err != nil {
		return nil, err
	}
	if server != "" {
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid,
			"this command works on the database itself, not through a server: give --db in place of --server or SANDTRAIL_SERVER")
	}
	options.Schema = d.Schema
	database, err := openDatabase(ctx, db, options)
	if err != nil {
		return nil, err
	}
	d.opened = database
	return database, nil
}

func openDatabase(ctx context.Context, target string, options postgres.Options) (sandtrail.Database, error) {
	scheme, rest, _ := strings.Cut(target, ":")
	switch scheme {
	case "sqlite":
		return sqlite.Open(ctx, strings.TrimPrefix(rest, "//"), sqlite.Options{})
	case "postgres", "postgresql":
		return postgres.Open(ctx, target, options)
	}
	// The target may hold a password: only its beginning is repeated.
	return nil, sandtrail.Errorf(sandtrail.CodeInvalid,
		"--db: want sqlite:FILE or postgres://user@host:5432/name, got something that begins with %.20q", scheme)
}

func migratePending(ctx context.Context, database sandtrail.Database, now time.Time) error {
	all, err := database.Migrations(ctx)
	if err != nil {
		return err
	}
	for _, m := range all {
		if m.Applied.IsZero() {
			_, err := database.Migrate(ctx, now)
			return err
		}
	}
	return nil
}

// maintain keeps the answers of a local database fast. It is called after
// writes and before aggregates are read. Neither is worth failing for it.
func (d *deps) maintain(ctx context.Context) {
	database, local := d.opened.(sandtrail.Database)
	if !local || ctx.Err() != nil {
		return
	}
	now, err := sandtrail.TimeOf(ctx, database, d.now())
	if err == nil {
		err = database.Maintain(ctx, now)
	}
	if err != nil {
		d.warn("upkeep of the database: %v", err)
	}
}

// analyst is the store with its aggregates brought up to date.
func (d *deps) analyst(ctx context.Context) (sandtrail.Store, error) {
	store, err := d.store(ctx)
	if err == nil {
		d.maintain(ctx)
	}
	return store, err
}

func (d *deps) warn(format string, args ...any) {
	fmt.Fprintf(d.err, "sandtrail: warning: %s\n", human.VisibleLines(fmt.Sprintf(format, args...)))
}

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
