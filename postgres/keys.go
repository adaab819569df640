package postgres

import (
	"context"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/auth"
)

var (
	_ auth.Keyring   = (*Store)(nil)
	_ auth.AccessLog = (*Store)(nil)
)

// CreateKey adds a key.
func (s *Store) CreateKey(ctx context.Context, k auth.Key) error {
	if err := k.Validate(); err != nil {
		return err
	}
	_, err := s.execute(ctx, `INSERT INTO {schema}.keys
		(id, name, role, user_id, hash, created_at, expires_at, last_used_at, revoked_at)
		VALUES ($1, $2, $3, NULLIF($4, ''), $5, $6, $7, $8, $9)`,
		[16]byte(k.ID), k.Name, string(k.Role), k.UserID, k.Hash[:], k.CreatedAt, k.ExpiresAt, k.LastUsedAt, k.RevokedAt)
	return wrap("create key", err)
}

// Keys returns all keys.
func (s *Store) Keys(ctx context.Context) ([]auth.Key, error) {
	return s.selectKeys(ctx, "ORDER BY id")
}

// KeyByHash returns the key with that hash.
func (s *Store) KeyByHash(ctx context.Context, hash auth.KeyHash) (auth.Key, error) {
	found, err := s.selectKeys(ctx, "WHERE hash = $1", hash[:])
	if err == nil && len(found) == 0 {
		err = sandtrail.Errorf(sandtrail.CodeNotFound, "there is no such key")
	}
	if err != nil {
		return auth.Key{}, err
	}
	return found[0], nil
}

func (s *Store) selectKeys(ctx context.Context, rest string, args ...any) ([]auth.Key, error) {
	l, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, l.sql(`SELECT id, name, role, coalesce(user_id, ''), hash, created_at, expires_at, last_used_at, revoked_at
		FROM {schema}.keys `+rest), args...)
	if err != nil {
		return nil, wrap("read keys", err)
	}
	keys, err := pgx.CollectRows(rows, scanKey)
	return keys, wrap("read keys", err)
}

func scanKey(row pgx.CollectableRow) (k auth.Key, err error) {
	var hash []byte
	err = row.Scan((*[16]byte)(&k.ID), &k.Name, &k.Role, &k.UserID, &hash, &k.CreatedAt, &k.ExpiresAt, &k.LastUsedAt, &k.RevokedAt)
	copy(k.Hash[:], hash)
	k.CreatedAt = k.CreatedAt.UTC()
	k.ExpiresAt, k.LastUsedAt, k.RevokedAt = utc(k.ExpiresAt), utc(k.LastUsedAt), utc(k.RevokedAt)
	return k, err
}

// Keyed reports whether a server asks for keys. Rows count where the triggers
// were disabled, too.
func (s *Store) Keyed(ctx context.Context) (bool, error) {
	found, err := collect(ctx, s, "look for keys", `SELECT coalesce((SELECT value = 'true' FROM {schema}.settings WHERE name = 'keyed'),
		EXISTS (SELECT FROM {schema}.keys)) OR EXISTS (SELECT FROM {schema}.keys WHERE revoked_at IS NULL)`, nil, pgx.RowTo[bool])
	return err != nil || found[0], err
}

// Unkey has servers work without keys again.
func (s *Store) Unkey(ctx context.Context, now time.Time) error {
	l, err := s.open(ctx)
	if err != nil {
		return err
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if err := execEach(ctx, tx, l.sql("LOCK TABLE {schema}.keys IN SHARE ROW EXCLUSIVE MODE")); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, l.sql("UPDATE {schema}.keys SET revoked_at = $1 WHERE revoked_at IS NULL AND expires_at <= $1"), now); err != nil {
			return err
		}
		var valid bool
		err := tx.QueryRow(ctx, l.sql("SELECT EXISTS (SELECT FROM {schema}.keys WHERE revoked_at IS NULL)")).Scan(&valid)
		if err == nil && valid {
			err = auth.ErrKeyed
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, l.sql("INSERT INTO {schema}.settings (name, value) VALUES ('keyed', 'false') ON CONFLICT (name) DO UPDATE SET value = 'false'"))
		return err
	})
	return wrap("open without keys", err)
}

// RevokeKey makes a key invalid.
func (s *Store) RevokeKey(ctx context.Context, id sandtrail.ID, now time.Time) error {
	n, err := s.execute(ctx, "UPDATE {schema}.keys SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1", [16]byte(id), now)
	if err == nil && n == 0 {
		err = sandtrail.Errorf(sandtrail.CodeNotFound, "there is no key %s", id)
	}
	return wrap("revoke key", err)
}

// TouchKey notes a use.
func (s *Store) TouchKey(ctx context.Context, id sandtrail.ID, now time.Time) error {
	_, err := s.execute(ctx, "UPDATE {schema}.keys SET last_used_at = $2 WHERE id = $1", [16]byte(id), now)
	return wrap("touch key", err)
}

// LogAccess adds a line to the access log.
func (s *Store) LogAccess(ctx context.Context, a auth.Access) error {
	_, err := s.execute(ctx, `INSERT INTO {schema}.access_log
		(id, at, key_id, actor, action, object, outcome, detail, remote) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		[16]byte(a.ID), a.At, (*[16]byte)(a.KeyID), a.Actor, a.Action, a.Object, string(a.Outcome), a.Detail, a.Remote)
	return wrap("log access", err)
}

// Accesses returns lines of the access log, newest first.
func (s *Store) Accesses(ctx context.Context, q auth.AccessQuery) ([]auth.Access, error) {
	l, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	var c conditions
	if !q.Before.IsZero() {
		c.add("id < $", [16]byte(q.Before))
	}
	for column, value := range map[string]string{"actor": q.Actor, "action": q.Action, "outcome": string(q.Outcome)} {
		if value != "" {
			c.add(column+" = $", value)
		}
	}
	rows, err := s.pool.Query(ctx, l.sql(`SELECT id, at, key_id, actor, action, object, outcome, detail, remote
		FROM {schema}.access_log `+c.where()+` ORDER BY id DESC LIMIT `+strconv.Itoa(q.Limit)), c.args...)
	if err != nil {
		return nil, wrap("read access log", err)
	}
	lines, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (a auth.Access, err error) {
		var key *[16]byte
		err = row.Scan((*[16]byte)(&a.ID), &a.At, &key, &a.Actor, &a.Action, &a.Object, &a.Outcome, &a.Detail, &a.Remote)
		a.At, a.KeyID = a.At.UTC(), (*sandtrail.ID)(key)
		return a, err
	})
	return lines, wrap("read access log", err)
}

// execute runs a statement and says how many rows it changed.
func (s *Store) execute(ctx context.Context, statement string, args ...any) (int64, error) {
	l, err := s.open(ctx)
	if err != nil {
		return 0, err
	}
	tag, err := s.pool.Exec(ctx, l.sql(statement), args...)
	return tag.RowsAffected(), err
}
