package main

import (
	"context"
	"crypto/rand"
	"errors"
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
	Key        ledgerKeyCmd        `cmd:"" help:"Print the public keys, to be given to whoever verifies."`
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

// ensure reads the key, and makes one where there is none.
func (f ledgerKeyFlag) ensure(d *deps) (ledger.Keys, error) {
	path, err := f.path(d)
	if err != nil {
		return ledger.Keys{}, err
	}
	keys, err := ledger.EnsureKeys(path, "sandtrail/"+sandtrail.NewID(d.now()).String())
	return keys, invalid(err)
}

// service is the database's ledger with the keys that sign it.
func (f ledgerKeyFlag) service(ctx context.Context, d *deps) (s ledger.Service, err error) {
	if s.Log, err = d.ledgerOf(ctx); err != nil {
		return s, err
	}
	s.Keys, err = f.ensure(d)
	return s, err
}

// invalid makes what is wrong with a file of the caller's an input error.
func invalid(err error) error {
	if err == nil || sandtrail.CodeOf(err) != sandtrail.CodeInternal {
		return err
	}
	return &sandtrail.Error{Code: sandtrail.CodeInvalid, Message: err.Error(), Err: err}
}

// keeper is a store with a ledger.
type keeper interface {
	ledger.Log
	database.LedgerKeeper
}

// ledgerOf is the ledger of the database, up to date.
func (d *deps) ledgerOf(ctx context.Context) (keeper, error) {
	store, err := d.store(ctx)
	if err != nil {
		return nil, err
	}
	log, ok := store.(keeper)
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
func (c *ledgerKeyCmd) Run(d *deps) error {
	if err := c.noServer(d); err != nil {
		return err
	}
	keys, err := c.ensure(d)
	if err != nil {
		return err
	}
	return d.say("%s", strings.Join(keys.Public(), "\n"))
}

type ledgerRotateCmd struct{ ledgerKeyFlag }

// Examples shows how it is used.
func (ledgerRotateCmd) Examples() []string {
	return []string{"sandtrail ledger rotate"}
}

// Run replaces the key file.
func (c *ledgerRotateCmd) Run(d *deps) error {
	if err := c.noServer(d); err != nil {
		return err
	}
	path, err := c.path(d)
	if err != nil {
		return err
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
	if err := ledger.WriteKeys(path, keys, (*durable.File).Replace); err != nil {
		return err
	}
	return d.say("%s", strings.Join(keys.Public(), "\n"))
}
