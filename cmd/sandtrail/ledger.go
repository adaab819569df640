package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/client"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/durable"
	"github.com/sandtrail/sandtrail/internal/cmdline"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/runner"
)

// ledgerCmd is about the keys and checkpoints of the ledger.
type ledgerCmd struct {
	Checkpoint ledgerCheckpointCmd `cmd:"" help:"Print a signed checkpoint, to be kept outside the database."`
	Key        ledgerKeyCmd        `cmd:"" help:"Print the public keys, for those who verify."`
	Rotate     ledgerRotateCmd     `cmd:"" help:"Add a new key; the old one signs beside it until the next rotation."`
}

// ledgerKeyFlag says where the signing key is.
type ledgerKeyFlag struct {
	LedgerKey string `placeholder:"FILE" env:"SANDTRAIL_LEDGER_KEY" help:"File of the key that signs checkpoints (default: beside the SQLite file, else sandtrail.ledger-key)."`
}

// path is where the key is, or can be written.
func (f ledgerKeyFlag) path(d *deps) (string, error) {
	if f.LedgerKey != "" {
		check := cmdline.Readable
		if _, err := os.Stat(f.LedgerKey); errors.Is(err, fs.ErrNotExist) {
			check = cmdline.Writable
		}
		if err := check(f.LedgerKey); err != nil {
			return "", sandtrail.Errorf(sandtrail.CodeInvalid, "--ledger-key: %w", err)
		}
		return f.LedgerKey, nil
	}
	db, _, err := d.target()
	if err == nil && strings.HasPrefix(db, "sqlite:") {
		path, err := runner.SQLitePath(db)
		return path + ".ledger-key", err
	}
	return "sandtrail.ledger-key", err
}

// noServer refuses to take a file here for the key of a server.
func (ledgerKeyFlag) noServer(d *deps) error {
	if _, server, err := d.target(); err != nil || server == "" {
		return err
	}
	return sandtrail.Errorf(sandtrail.CodeInvalid,
		"the key is a file beside the server, and is not here: run this where the server runs, without --server and SANDTRAIL_SERVER")
}

// noKeyFile refuses a key file for what a server signs with its own key. One that
// the environment names is left aside.
func (f ledgerKeyFlag) noKeyFile(d *deps) error {
	if f.LedgerKey == "" || f.LedgerKey == d.getenv("SANDTRAIL_LEDGER_KEY") {
		return nil
	}
	return sandtrail.Errorf(sandtrail.CodeInvalid, "--ledger-key: the server signs with the key that it was started with: leave it out")
}

// lostKey ends the error of a log whose key is not here.
const lostKey = "; if it is lost, sandtrail ledger rotate --lost makes a new one, and every verify says so from then on"

// errNoKey is wrapped by the error of a log that is signed, whose key is not there.
var errNoKey = errors.New("the key is not there")

// ensure reads the key of a log, and makes one where there is none and the log was
// never signed.
func (f ledgerKeyFlag) ensure(ctx context.Context, d *deps, log ledger.Log) (ledger.Keys, error) {
	path, err := f.path(d)
	if err != nil {
		return ledger.Keys{}, err
	}
	keys, err := ledger.LoadKeys(path)
	if err == nil {
		if err := (ledger.Service{Log: log, Keys: keys}).CheckKeys(ctx); err != nil {
			return keys, &sandtrail.Error{Code: sandtrail.CodeOf(err), Err: err, Message: "--ledger-key: " + path + ": " + err.Error() + lostKey}
		}
		return keys, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return keys, invalid(err)
	}
	names, err := ledger.Signers(ctx, log)
	if err != nil {
		return keys, err
	}
	if len(names) > 0 {
		return keys, &sandtrail.Error{Code: sandtrail.CodeConflict, Err: errNoKey, Message: fmt.Sprintf(
			"--ledger-key: there is no file %s, and this log is signed with %s: name the file of that key%s", path, strings.Join(names, ", "), lostKey)}
	}
	keys, err = ledger.EnsureKeys(path, "sandtrail/"+sandtrail.NewID(d.now()).String())
	return keys, invalid(err)
}

// service is the database's ledger with the keys that sign it.
func (f ledgerKeyFlag) service(ctx context.Context, d *deps) (s ledger.Service, err error) {
	if s.Log, err = d.ledgerOf(ctx); err != nil {
		return s, err
	}
	s.Keys, err = f.ensure(ctx, d, s.Log)
	return s, err
}

// invalid makes what is wrong with a file of the caller's an input error.
func invalid(err error) error {
	if err == nil || sandtrail.CodeOf(err) != sandtrail.CodeInternal {
		return err
	}
	return &sandtrail.Error{Code: sandtrail.CodeInvalid, Message: err.Error(), Err: err}
}

// ledgerStore is a store with a ledger.
type ledgerStore interface {
	ledger.Log
	database.LedgerKeeper
}

// ledgerOf is the ledger of the database, up to date.
func (d *deps) ledgerOf(ctx context.Context) (ledgerStore, error) {
	store, err := d.store(ctx)
	if err != nil {
		return nil, err
	}
	log, ok := store.(ledgerStore)
	if !ok {
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid,
			"this command works on the database itself, not through a server: give --db in place of --server or SANDTRAIL_SERVER")
	}
	d.maintainIfPossible(ctx)
	return log, nil
}

type ledgerCheckpointCmd struct{ ledgerKeyFlag }

// Help tells what differs over a server.
func (ledgerCheckpointCmd) Help() string {
	return "With --server the server signs, with the key that it was started with: --ledger-key is refused, and the checkpoint is of what has reached the log, without executions of the last seconds."
}

// Examples shows how it is used.
func (ledgerCheckpointCmd) Examples() []string {
	return []string{"sandtrail ledger checkpoint > checkpoint-2026-11-24.txt"}
}

// Run signs what the log has grown to.
func (c *ledgerCheckpointCmd) Run(ctx context.Context, d *deps) error {
	signed, err := c.sign(ctx, d)
	if err != nil {
		return err
	}
	_, err = d.out.Write(signed)
	return err
}

func (c *ledgerCheckpointCmd) sign(ctx context.Context, d *deps) ([]byte, error) {
	store, err := d.store(ctx)
	if err != nil {
		return nil, err
	}
	if server, ok := store.(*client.Client); ok {
		if err := c.noKeyFile(d); err != nil {
			return nil, err
		}
		return server.Checkpoint(ctx)
	}
	service, err := c.service(ctx, d)
	if err != nil {
		return nil, err
	}
	return service.Checkpoint(ctx, d.now())
}

type ledgerKeyCmd struct{ ledgerKeyFlag }

// Examples shows how it is used.
func (ledgerKeyCmd) Examples() []string {
	return []string{"sandtrail ledger key > public-keys.txt"}
}

// Run prints a key a line, the newest of those that sign last.
func (c *ledgerKeyCmd) Run(ctx context.Context, d *deps) error {
	if err := c.noServer(d); err != nil {
		return err
	}
	path, err := c.path(d)
	if err != nil {
		return err
	}
	keys, err := ledger.LoadKeys(path) // which needs no database
	if errors.Is(err, fs.ErrNotExist) {
		keys, err = c.prepare(ctx, d, path)
	}
	if err != nil {
		return invalid(err)
	}
	return d.say("%s", strings.Join(keys.Public(), "\n"))
}

// prepare makes the key of a log that is to begin. In a file that the caller names it
// may be that of any log; else the database, if there is one, must not be signed yet.
func (c *ledgerKeyCmd) prepare(ctx context.Context, d *deps, path string) (ledger.Keys, error) {
	if c.LedgerKey == "" {
		log, err := d.ledgerOf(ctx)
		if err == nil {
			return c.ensure(ctx, d, log)
		}
		if db, _, _ := d.target(); !strings.HasPrefix(db, "sqlite:") {
			return ledger.Keys{}, err // it may be signed
		}
	}
	return ledger.EnsureKeys(path, "sandtrail/"+sandtrail.NewID(d.now()).String())
}

type ledgerRotateCmd struct {
	Lost bool `help:"The key is lost: make another. Its first checkpoint names the lost one, and verify says so from then on."`
	ledgerKeyFlag
}

// Examples shows how it is used.
func (ledgerRotateCmd) Examples() []string {
	return []string{"sandtrail ledger rotate", "sandtrail ledger rotate --lost"}
}

// Run replaces the key file, and says which key is the new one.
func (c *ledgerRotateCmd) Run(ctx context.Context, d *deps) error {
	if err := c.noServer(d); err != nil {
		return err
	}
	path, err := c.path(d)
	if err != nil {
		return err
	}
	if c.Lost {
		return c.replace(ctx, d, path)
	}
	keys, err := ledger.LoadKeys(path)
	if errors.Is(err, fs.ErrNotExist) {
		return sandtrail.Errorf(sandtrail.CodeNotFound, "--ledger-key: there is no key to rotate yet in %s: check the name, or make one with sandtrail ledger key", path)
	}
	if err != nil {
		return invalid(err)
	}
	if keys, err = keys.Rotate(rand.Reader); err != nil {
		return err
	}
	if err := c.record(ctx, d, keys); err != nil {
		return err
	}
	if err := ledger.WriteKeys(path, keys, (*durable.File).Replace); err != nil {
		return err
	}
	return d.say("%s\nThe new key: %s. Servers with this file sign with it within a minute.", strings.Join(keys.Public(), "\n"), keys.Public()[keys.Newest()])
}

// record writes a rotation to the access log of the database, where there is one: a
// key can be prepared before.
func (c *ledgerRotateCmd) record(ctx context.Context, d *deps, keys ledger.Keys) error {
	log, err := d.ledgerOf(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = (ledger.Service{Log: log, Keys: keys}).CheckKeys(ctx)
	}
	if err == nil {
		err = d.recordAct(ctx, "rotate ledger key", keys.Public()[keys.Newest()])
	}
	return err
}

// replace makes a key for a log whose own is lost. A file that is there is kept: it may
// be the key of another log.
func (c *ledgerRotateCmd) replace(ctx context.Context, d *deps, path string) error {
	log, err := d.ledgerOf(ctx)
	if err != nil {
		return err
	}
	keys, err := ledger.LoadKeys(path)
	if err == nil && (ledger.Service{Log: log, Keys: keys}).CheckKeys(ctx) == nil {
		return sandtrail.Errorf(sandtrail.CodeConflict, "--lost: %s is the key of this log, and is not lost: leave --lost out", path)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return sandtrail.Errorf(sandtrail.CodeConflict, "--lost: %s is there, and is not the key of this log: move it away, or name another file with --ledger-key", path)
	}
	keys, err = ledger.ReplaceKeys(ctx, log, d.now(), func(k ledger.Keys) error { return ledger.WriteKeys(path, k, (*durable.File).Create) })
	if err != nil {
		return invalid(err)
	}
	if err := d.recordAct(ctx, "replace lost ledger key", keys.Public()[keys.Newest()]); err != nil {
		return err
	}
	return d.say("%s", strings.Join(keys.Public(), "\n"))
}
