package sqlstore

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/auth"
)

var (
	_ auth.Keyring   = Tables{}
	_ auth.AccessLog = Tables{}
)

// CreateKey adds a key.
func (t Tables) CreateKey(ctx context.Context, k auth.Key) error {
	if err := k.Validate(); err != nil {
		return err
	}
	_, err := t.engine.Exec(ctx, "create key", `INSERT INTO {schema}.keys
		(id, name, role, user_id, hash, created_at, expires_at, last_used_at, revoked_at)
		VALUES ($1, $2, $3, NULLIF($4, ''), $5, $6, $7, $8, $9)`,
		k.ID, k.Name, string(k.Role), k.UserID, k.Hash[:], k.CreatedAt, k.ExpiresAt, k.LastUsedAt, k.RevokedAt)
	return err
}

// Keys returns all keys.
func (t Tables) Keys(ctx context.Context) ([]auth.Key, error) {
	return t.selectKeys(ctx, "ORDER BY id")
}

// KeyByHash returns the key with that hash.
func (t Tables) KeyByHash(ctx context.Context, hash auth.KeyHash) (auth.Key, error) {
	found, err := t.selectKeys(ctx, "WHERE hash = $1", hash[:])
	if err == nil && len(found) == 0 {
		err = sandtrail.Errorf(sandtrail.CodeNotFound, "there is no such key")
	}
	if err != nil {
		return auth.Key{}, err
	}
	return found[0], nil
}

func (t Tables) selectKeys(ctx context.Context, rest string, args ...any) (keys []auth.Key, err error) {
	const query = `SELECT id, name, role, coalesce(user_id, ''), hash, created_at, expires_at, last_used_at, revoked_at
		FROM {schema}.keys `
	err = t.engine.Query(ctx, "read keys", query+rest, args, each(&keys, scanKey))
	return keys, err
}

func scanKey(scan func(...any) error, k *auth.Key) error {
	var hash []byte
	err := scan(&k.ID, &k.Name, &k.Role, &k.UserID, &hash, &k.CreatedAt, &k.ExpiresAt, &k.LastUsedAt, &k.RevokedAt)
	if err == nil && len(hash) != len(k.Hash) {
		err = fmt.Errorf("key %s: its hash has %d bytes", k.ID, len(hash))
	}
	copy(k.Hash[:], hash)
	return err
}

// valid are the keys that are not revoked.
const valid = "EXISTS (SELECT 1 FROM {schema}.keys WHERE revoked_at IS NULL)"

// Keyed reports whether a server asks for keys. Rows count however they came, where
// triggers were disabled, too.
func (t Tables) Keyed(ctx context.Context) (keyed bool, err error) {
	err = t.engine.Query(ctx, "look for keys", "SELECT coalesce(("+t.engine.Dialect().Keyed+
		"), EXISTS (SELECT 1 FROM {schema}.keys)) OR "+valid, nil, single(&keyed))
	return err != nil || keyed, err
}

// Unkey has servers work without keys again. Its note comes first: those who create a
// key change it, too, so that they wait for each other.
func (t Tables) Unkey(ctx context.Context, now time.Time) error {
	return t.engine.InTx(ctx, "open without keys", func(tx Tx) error {
		if _, err := tx.Exec(ctx, t.engine.Dialect().Unkey); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "UPDATE {schema}.keys SET revoked_at = $1 WHERE revoked_at IS NULL AND expires_at <= $1", now); err != nil {
			return err
		}
		var keyed bool
		err := tx.Query(ctx, "SELECT "+valid, nil, single(&keyed))
		if err == nil && keyed {
			err = auth.ErrKeyed
		}
		return err
	})
}

// RevokeKey makes a key invalid.
func (t Tables) RevokeKey(ctx context.Context, id sandtrail.ID, now time.Time) error {
	n, err := t.engine.Exec(ctx, "revoke key", "UPDATE {schema}.keys SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1", id, now)
	if err == nil && n == 0 {
		err = sandtrail.Errorf(sandtrail.CodeNotFound, "there is no key %s", id)
	}
	return err
}

// TouchKey notes a use.
func (t Tables) TouchKey(ctx context.Context, id sandtrail.ID, now time.Time) error {
	_, err := t.engine.Exec(ctx, "touch key", "UPDATE {schema}.keys SET last_used_at = $2 WHERE id = $1", id, now)
	return err
}

const insertAccess = `INSERT INTO {schema}.access_log
	(id, at, key_id, actor, action, object, outcome, detail, remote) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`

func accessArgs(a auth.Access) []any {
	return []any{a.ID, a.At, a.KeyID, a.Actor, a.Action, a.Object, string(a.Outcome), a.Detail, a.Remote}
}

// LogAccess adds a line to the access log.
func (t Tables) LogAccess(ctx context.Context, a auth.Access) error {
	_, err := t.engine.Exec(ctx, "log access", insertAccess, accessArgs(a)...)
	return err
}

// LogAccess adds a line to the access log in the transaction of the act.
func LogAccess(ctx context.Context, tx Tx, a auth.Access) error {
	_, err := tx.Exec(ctx, insertAccess, accessArgs(a)...)
	return err
}

// Accesses returns lines of the access log, newest first.
func (t Tables) Accesses(ctx context.Context, q auth.AccessQuery) (lines []auth.Access, err error) {
	var c conditions
	if !q.Before.IsZero() {
		c.add("id < ", q.Before)
	}
	for _, filter := range []struct{ column, value string }{{"actor", q.Actor}, {"action", q.Action}, {"outcome", string(q.Outcome)}} {
		if filter.value != "" {
			c.add(filter.column+" = ", filter.value)
		}
	}
	query := "SELECT id, at, key_id, actor, action, object, outcome, detail, remote FROM {schema}.access_log" + c.text +
		" ORDER BY id DESC LIMIT " + strconv.Itoa(q.Limit)
	err = t.engine.Query(ctx, "read access log", query, c.args, each(&lines, func(scan func(...any) error, a *auth.Access) error {
		return scan(&a.ID, &a.At, &a.KeyID, &a.Actor, &a.Action, &a.Object, &a.Outcome, &a.Detail, &a.Remote)
	}))
	return lines, err
}
