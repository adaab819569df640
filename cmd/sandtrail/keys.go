package main

import (
	"context"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/follow"
	"github.com/sandtrail/sandtrail/internal/human"
	"github.com/sandtrail/sandtrail/internal/table"
	"github.com/sandtrail/sandtrail/ledger"
)

type keysCmd struct {
	Create keysCreateCmd `cmd:"" help:"Make a key and print it, the only time it is shown."`
	List   keysListCmd   `cmd:"" help:"List the keys, without their secrets."`
	Revoke keysRevokeCmd `cmd:"" help:"Make a key invalid."`
	Open   keysOpenCmd   `cmd:"" help:"Have servers that start from now on work without keys, for this machine alone."`
}

type keysCreateCmd struct {
	Role    string    `required:"" enum:"ingest,read,auditor,admin" placeholder:"ROLE" help:"ingest (writes executions, nothing else), read, auditor (reads, exports, verifies) or admin."`
	User    string    `placeholder:"ID" help:"read: sees this user's executions alone."`
	Name    string    `placeholder:"NAME" help:"What the key is for."`
	Expires *duration `placeholder:"DURATION" help:"Valid for so long, such as 30d; for ever if left out."`
}

// Examples shows what keys are for.
func (keysCreateCmd) Examples() []string {
	return []string{
		"sandtrail keys create --role admin --name me",
		"sandtrail keys create --role ingest --name runner-7 --expires 90d",
		"sandtrail keys create --role read --user ada",
	}
}

// Run prints the new key alone, for scripts.
func (c *keysCreateCmd) Run(ctx context.Context, d *deps) error {
	keys, err := d.keys(ctx)
	if err != nil {
		return err
	}
	ask := api.NewKey{Name: c.Name, Role: auth.Role(c.Role), UserID: c.User}
	if c.Expires != nil {
		ask.ExpiresIn = time.Duration(*c.Expires).String()
	}
	made, err := keys.CreateKey(ctx, ask)
	if err != nil {
		return err
	}
	return d.say("%s", made.Secret)
}

type keysListCmd struct{ output }

// Examples shows how it is used.
func (keysListCmd) Examples() []string {
	return []string{"sandtrail keys list", "sandtrail keys list -o csv"}
}

// Run prints all keys, oldest first.
func (c *keysListCmd) Run(ctx context.Context, d *deps) error {
	keys, err := d.keys(ctx)
	if err != nil {
		return err
	}
	list, err := keys.Keys(ctx)
	if err != nil {
		return err
	}
	return print(d, c.Output, finding[auth.Key]{
		whole: api.NewPage(list, ""), rows: list, columns: keyColumns(d.now()),
		empty: "No keys yet: sandtrail keys create --role admin",
	})
}

func keyColumns(now time.Time) []table.Column[auth.Key] {
	type row = auth.Key
	when := func(name, title, never string, at func(row) *time.Time) table.Column[row] {
		return table.Column[row]{
			Name: name, Title: title, Value: func(k row) string { return exactTime(at(k)) },
			Text: func(k row) string {
				if at(k) == nil {
					return never
				}
				return human.Time(*at(k))
			},
		}
	}
	return []table.Column[row]{
		label("id", "ID", func(k row) string { return k.ID.String() }),
		label("name", "NAME", func(k row) string { return k.Name }),
		label("role", "ROLE", func(k row) string { return string(k.Role) }),
		label("userId", "USER", func(k row) string { return k.UserID }),
		label("state", "STATE", func(k row) string { return keyState(k, now) }),
		when("createdAt", "CREATED (UTC)", "", func(k row) *time.Time { return &k.CreatedAt }),
		when("expiresAt", "EXPIRES", "never", func(k row) *time.Time { return k.ExpiresAt }),
		when("lastUsedAt", "LAST USED", "never", func(k row) *time.Time { return k.LastUsedAt }),
		when("revokedAt", "REVOKED", "", func(k row) *time.Time { return k.RevokedAt }),
	}
}

func keyState(k auth.Key, now time.Time) string {
	switch {
	case k.RevokedAt != nil:
		return "revoked"
	case !k.ValidAt(now):
		return "expired"
	}
	return "valid"
}

type keysRevokeCmd struct {
	ID string `arg:"" help:"Id of the key, as list shows it, or its first digits."`
}

// Examples shows how it is used.
func (keysRevokeCmd) Examples() []string {
	return []string{"sandtrail keys revoke 0192d3a4-7b1c"}
}

// Run makes the key invalid.
func (c *keysRevokeCmd) Run(ctx context.Context, d *deps) error {
	keys, err := d.keys(ctx)
	if err != nil {
		return err
	}
	id, err := idOf("key", c.ID, func() ([]auth.Key, error) { return keys.Keys(ctx) }, func(k auth.Key) sandtrail.ID { return k.ID })
	if err != nil {
		return err
	}
	return keys.RevokeKey(ctx, id)
}

type keysOpenCmd struct{}

// Help tells what it takes.
func (keysOpenCmd) Help() string {
	return "Works on the database itself, once every key is revoked or has expired; a server that runs asks for keys until it is started anew. " +
		"Deleting the rows of keys opens nothing."
}

// Examples shows how it is used.
func (keysOpenCmd) Examples() []string { return []string{"sandtrail keys open"} }

// Run forgets that there were keys.
func (c *keysOpenCmd) Run(ctx context.Context, d *deps) error {
	store, err := d.store(ctx)
	if err != nil {
		return err
	}
	keys, local := store.(serviceStore)
	if !local {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "--server: a server is opened at its database: give that with --db")
	}
	if err := d.recordAct(ctx, "open without keys", "keys"); err != nil {
		return err
	}
	if err := keys.Unkey(ctx, sandtrail.Millisecond(d.now())); err != nil {
		return err
	}
	return d.say("Servers that start from now on work without keys, for this machine alone.")
}

// keyKeeper keeps keys, here or on a server.
type keyKeeper interface {
	CreateKey(ctx context.Context, k api.NewKey) (api.CreatedKey, error)
	Keys(ctx context.Context) ([]auth.Key, error)
	RevokeKey(ctx context.Context, id sandtrail.ID) error
}

func (d *deps) keys(ctx context.Context) (keyKeeper, error) {
	return remoteOrLocal(ctx, d, "keys", func(s serviceStore) keyKeeper { return localKeys{s, d} })
}

// remoteOrLocal is the client of a server, or the service that local makes of a database.
func remoteOrLocal[T any](ctx context.Context, d *deps, kept string, local func(serviceStore) T) (found T, err error) {
	store, err := d.store(ctx)
	if err != nil {
		return found, err
	}
	switch s := store.(type) {
	case serviceStore:
		return local(s), nil
	case T:
		return s, nil
	}
	return found, sandtrail.Errorf(sandtrail.CodeInvalid, "this store keeps no %s", kept)
}

// serviceStore is what both databases keep for a server.
type serviceStore interface {
	database.Database
	auth.Keyring
	auth.AccessLog
	follow.Follower
	database.Leases
	alert.Log
	alert.Silences
	database.ArchivedCleaner
	database.LedgerKeeper
	database.Surveyor
	ledger.Log
	ledger.WitnessMemory
}

// localKeys keeps keys in a database and writes what it does into the access
// log, as a server does.
type localKeys struct {
	store serviceStore
	d     *deps
}

func (l localKeys) CreateKey(ctx context.Context, ask api.NewKey) (api.CreatedKey, error) {
	key, secret, err := ask.Make(l.d.now())
	if err != nil {
		return api.CreatedKey{}, err
	}
	if err := l.d.recordAct(ctx, "create key", key.ID.String()); err != nil {
		return api.CreatedKey{}, err
	}
	return api.CreatedKey{Key: key, Secret: secret}, l.store.CreateKey(ctx, key)
}

func (l localKeys) Keys(ctx context.Context) ([]auth.Key, error) { return l.store.Keys(ctx) }

func (l localKeys) RevokeKey(ctx context.Context, id sandtrail.ID) error {
	if err := l.d.recordAct(ctx, "revoke key", id.String()); err != nil {
		return err
	}
	return l.store.RevokeKey(ctx, id, sandtrail.Millisecond(l.d.now()))
}

// localActor is who acts on a database itself.
const localActor = "cli"

// recordAct writes an administrative act on a database into its access log. A
// server writes it itself.
func (d *deps) recordAct(ctx context.Context, act, object string) error {
	log, local := d.opened.(auth.AccessLog)
	if !local {
		return nil
	}
	now := sandtrail.Millisecond(d.now())
	return log.LogAccess(ctx, auth.Access{
		ID: sandtrail.NewID(now), At: now, Actor: localActor, Action: act, Object: object, Outcome: auth.Allowed,
	})
}
