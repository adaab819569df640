package runner

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/client"
	"github.com/sandtrail/sandtrail/internal/cmdline"
)

// Target are the flags that name a store: a database or a running server.
type Target struct {
	DB     string `name:"db" placeholder:"URL" help:"Database: sqlite:FILE or postgres://… ($$SANDTRAIL_DB; default sqlite:sandtrail.db)."`
	Schema string `placeholder:"NAME" env:"SANDTRAIL_SCHEMA" help:"PostgreSQL schema of Sandtrail's own tables (default sandtrail)."`
	Server string `placeholder:"URL" help:"Work with a running server in place of a database ($$SANDTRAIL_SERVER)."`
	Key    string `placeholder:"KEY" env:"SANDTRAIL_KEY" help:"Key for the server."`
}

const defaultDB = "sqlite:sandtrail.db"

// Resolve tells which database or server the flags and the environment mean.
// A flag overrides the environment.
func (t Target) Resolve(getenv func(string) string) (db, server string, err error) {
	if t.DB != "" && t.Server != "" {
		return "", "", sandtrail.Errorf(sandtrail.CodeInvalid, "--db and --server exclude each other: give one")
	}
	if t.DB != "" || t.Server != "" {
		return t.DB, t.Server, nil
	}
	if server := getenv("SANDTRAIL_SERVER"); server != "" {
		return "", server, nil
	}
	if db := getenv("SANDTRAIL_DB"); db != "" {
		return db, "", nil
	}
	return defaultDB, "", nil
}

// Fits refuses flags, of those that were typed, that are for another kind of store.
func (t Target) Fits(typed cmdline.Typed, getenv func(string) string) error {
	db, server, err := t.Resolve(getenv)
	switch {
	case err != nil:
		return err
	case typed["key"] && server == "":
		return sandtrail.Errorf(sandtrail.CodeInvalid, "--key is for a server: name it with --server, or leave --key out")
	case typed["schema"] && (server != "" || strings.HasPrefix(db, "sqlite:")):
		return sandtrail.Errorf(sandtrail.CodeInvalid, "--schema is for PostgreSQL: name a database with --db postgres://…, or leave --schema out")
	}
	return nil
}

// Check refuses a target that can never be opened, before anything is done for
// it. It connects to nothing.
func (t Target) Check(getenv func(string) string) error {
	db, server, err := t.Resolve(getenv)
	if err != nil {
		return err
	}
	if server != "" {
		c, err := client.Open(server, t.Key)
		if err != nil {
			return err
		}
		return c.Close()
	}
	return CheckDatabase(db)
}

// Digest tells one store from another without its password.
func (t Target) Digest(getenv func(string) string) string {
	db, server, _ := t.Resolve(getenv) // opening the store reports it
	target := db + server
	if path, err := SQLitePath(target); err == nil && strings.HasPrefix(target, "sqlite:") {
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

// Secrets are what of the flags others may not read.
func (t Target) Secrets() (values []string) {
	if t.Key != "" {
		values = append(values, t.Key)
	}
	for _, address := range []string{t.DB, t.Server} {
		if u, err := url.Parse(address); err == nil && u.User != nil || strings.Contains(address, "password=") {
			values = append(values, address)
		}
	}
	return values
}

// CheckDatabase refuses what names no database. The target may hold a password:
// only its beginning is repeated.
func CheckDatabase(target string) error {
	scheme, rest, named := strings.Cut(target, ":")
	if !named {
		scheme = ""
	}
	switch scheme {
	case "sqlite":
		_, err := SQLitePath(target)
		return err
	case "postgres", "postgresql":
		if _, err := url.Parse(target); err != nil || !strings.HasPrefix(rest, "//") { // the error repeats the target
			return sandtrail.Errorf(sandtrail.CodeInvalid, "--db: must be a URL such as postgres://user@host:5432/name")
		}
		return nil
	case "file":
		return sandtrail.Errorf(sandtrail.CodeInvalid, "--db: must be sqlite:FILE for a file, without file: and what stands behind ?")
	default:
		if !named && filepath.Ext(target) != "" {
			return sandtrail.Errorf(sandtrail.CodeInvalid, "--db: must be sqlite:FILE or postgres://user@host:5432/name, not %q: this file is sqlite:%s", target, target)
		}
		if !named {
			scheme = target
		}
		return sandtrail.Errorf(sandtrail.CodeInvalid,
			"--db: must be sqlite:FILE or postgres://user@host:5432/name, not something that begins with %.20q", scheme)
	}
}

// SQLitePath is the file of a target that begins with sqlite:. SQLite's own
// URIs, which Prisma writes too, say more than a path: they are refused.
func SQLitePath(target string) (string, error) {
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
