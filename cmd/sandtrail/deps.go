package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path/filepath"
	"slices"
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
	makes  bool // the command may make a database
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

// checkTarget refuses a target that can never be opened, before anything is done
// for it. It connects to nothing.
func (d *deps) checkTarget() error {
	db, server, err := d.target()
	if err != nil {
		return err
	}
	if server != "" {
		c, err := client.Open(server, d.Key)
		if err != nil {
			return err
		}
		return c.Close()
	}
	return checkDatabase(db)
}

// targetDigest tells one store from another without its password.
func (d *deps) targetDigest() string {
	db, server, _ := d.target() // opening the store reports it
	target := db + server
	if path, err := sqlitePath(target); err == nil && strings.HasPrefix(target, "sqlite:") {
		if abs, err := filepath.Abs(path); err == nil {
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

// checkDatabase refuses what names no database. The target may hold a password:
// only its beginning is repeated.
func checkDatabase(target string) error {
	switch scheme, _, _ := strings.Cut(target, ":"); scheme {
	case "sqlite":
		_, err := sqlitePath(target)
		return err
	case "postgres", "postgresql":
		if _, err := url.Parse(target); err != nil { // the error repeats the target
			return sandtrail.Errorf(sandtrail.CodeInvalid, "--db: must be a URL such as postgres://user@host:5432/name")
		}
		return nil
	case "file":
		return sandtrail.Errorf(sandtrail.CodeInvalid, "--db: must be sqlite:FILE for a file, without file: and what stands behind ?")
	default:
		return sandtrail.Errorf(sandtrail.CodeInvalid,
			"--db: must be sqlite:FILE or postgres://user@host:5432/name, not something that begins with %.20q", scheme)
	}
}

func openDatabase(ctx context.Context, target string, options postgres.Options, embedded sqlite.Options) (sandtrail.Database, error) {
	if err := checkDatabase(target); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(target, "sqlite:") {
		return postgres.Open(ctx, target, options)
	}
	path, err := sqlitePath(target)
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

// sqlitePath is the file of a target that begins with sqlite:. SQLite's own
// URIs, which Prisma writes too, say more than a path: they are refused.
func sqlitePath(target string) (string, error) {
	path := strings.TrimPrefix(strings.TrimPrefix(target, "sqlite:"), "//")
	plain, _, parameters := strings.Cut(strings.TrimPrefix(path, "file:"), "?")
	if parameters || strings.HasPrefix(path, "file:") {
		return "", sandtrail.Errorf(sandtrail.CodeInvalid,
			"--db: must be sqlite:FILE, without file: and what stands behind ?, as in sqlite:%s", strings.TrimPrefix(plain, "//"))
	}
	if path == "" || path == ":memory:" {
		return "", sandtrail.Errorf(sandtrail.CodeInvalid, "--db: must name a file, as in sqlite:sandtrail.db")
	}
	return path, nil
}

// migrateEmbedded brings a file up to date. Where the command makes no
// database, a file without tables stays as it is.
func (d *deps) migrateEmbedded(ctx context.Context, database *sqlite.Store) error {
	all, err := database.Migrations(ctx)
	if err != nil {
		return err
	}
	pending := slices.DeleteFunc(slices.Clone(all), func(m sandtrail.Migration) bool { return !m.Applied.IsZero() })
	if len(pending) == len(all) && !d.makes {
		return sandtrail.Errorf(sandtrail.CodeUnavailable, "the file has no tables of Sandtrail: name another with --db or SANDTRAIL_DB, or run sandtrail migrate")
	}
	if len(pending) == 0 {
		return nil
	}
	_, err = database.Migrate(ctx, d.now())
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
	database, local := d.opened.(sandtrail.Database)
	if !local || ctx.Err() != nil {
		return nil
	}
	now, err := sandtrail.TimeOf(ctx, database, d.now())
	if err != nil {
		return err
	}
	return database.Maintain(ctx, now)
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

// secrets are what of the flags others may not read.
func (d *deps) secrets() (values []string) {
	if d.Key != "" {
		values = append(values, d.Key)
	}
	for _, address := range []string{d.DB, d.Server} {
		if u, err := url.Parse(address); err == nil && u.User != nil || strings.Contains(address, "password=") {
			values = append(values, address)
		}
	}
	return values
}

func (d *deps) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	for _, arg := range args {
		if err, ok := arg.(error); ok {
			text += advice(err)
		}
	}
	fmt.Fprintf(d.err, "sandtrail: warning: %s\n", human.VisibleLines(text))
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
