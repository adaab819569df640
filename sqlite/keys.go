package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

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
	return s.write(ctx, "create key", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO sandtrail_keys
			(id, name, role, user_id, hash, created_at, expires_at, last_used_at, revoked_at)
			VALUES (?, ?, ?, NULLIF(?, ''), ?, ?, ?, ?, ?)`,
			k.ID.String(), k.Name, string(k.Role), k.UserID, k.Hash[:], formatTime(k.CreatedAt),
			timeOrNull(k.ExpiresAt), timeOrNull(k.LastUsedAt), timeOrNull(k.RevokedAt))
		return err
	})
}

// Keys returns all keys.
func (s *Store) Keys(ctx context.Context) ([]auth.Key, error) {
	return s.selectKeys(ctx, " ORDER BY id")
}

// KeyByHash returns the key with that hash.
func (s *Store) KeyByHash(ctx context.Context, hash auth.KeyHash) (auth.Key, error) {
	found, err := s.selectKeys(ctx, " WHERE hash = ?", hash[:])
	if err == nil && len(found) == 0 {
		err = sandtrail.Errorf(sandtrail.CodeNotFound, "there is no such key")
	}
	if err != nil {
		return auth.Key{}, err
	}
	return found[0], nil
}

func (s *Store) selectKeys(ctx context.Context, rest string, args ...any) (keys []auth.Key, err error) {
	text := `SELECT id, name, role, COALESCE(user_id, ''), hash, created_at, expires_at, last_used_at, revoked_at
		FROM sandtrail_keys` + rest
	err = s.query(ctx, "read keys", text, args, func(rows *sql.Rows) error {
		keys = nil
		for rows.Next() {
			var k auth.Key
			var id executionID
			var hash []byte
			var created timestamp
			if err := rows.Scan(&id, &k.Name, &k.Role, &k.UserID, &hash, &created,
				optionalTime{&k.ExpiresAt}, optionalTime{&k.LastUsedAt}, optionalTime{&k.RevokedAt}); err != nil {
				return err
			}
			if len(hash) != len(k.Hash) {
				return fmt.Errorf("key %s: its hash has %d bytes", id, len(hash))
			}
			k.ID, k.Hash, k.CreatedAt = id.ID, auth.KeyHash(hash), created.Time
			keys = append(keys, k)
		}
		return rows.Err()
	})
	return keys, err
}

// Keyed reports whether a server asks for keys. Rows count however they came.
func (s *Store) Keyed(ctx context.Context) (keyed bool, err error) {
	err = s.read(ctx, "look for keys", func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT coalesce((SELECT keyed FROM sandtrail_keyed), EXISTS (SELECT 1 FROM sandtrail_keys))
			OR EXISTS (SELECT 1 FROM sandtrail_keys WHERE revoked_at IS NULL)`).Scan(&keyed)
	})
	return err != nil || keyed, err
}

// Unkey has servers work without keys again.
func (s *Store) Unkey(ctx context.Context, now time.Time) error {
	return s.write(ctx, "open without keys", func(tx *sql.Tx) error {
		at := formatTime(now)
		if _, err := tx.ExecContext(ctx, "UPDATE sandtrail_keys SET revoked_at = ? WHERE revoked_at IS NULL AND expires_at <= ?", at, at); err != nil {
			return err
		}
		var valid bool
		err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM sandtrail_keys WHERE revoked_at IS NULL)").Scan(&valid)
		if err == nil && valid {
			err = auth.ErrKeyed
		}
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO sandtrail_keyed VALUES (1, 0) ON CONFLICT (one) DO UPDATE SET keyed = 0")
		return err
	})
}

// RevokeKey makes a key invalid.
func (s *Store) RevokeKey(ctx context.Context, id sandtrail.ID, now time.Time) error {
	return s.write(ctx, "revoke key", func(tx *sql.Tx) error {
		n, err := execCount(ctx, tx, `UPDATE sandtrail_keys SET revoked_at = COALESCE(revoked_at, ?) WHERE id = ?`,
			formatTime(now), id.String())
		if err == nil && n == 0 {
			err = sandtrail.Errorf(sandtrail.CodeNotFound, "there is no key %s", id)
		}
		return err
	})
}

// TouchKey notes a use.
func (s *Store) TouchKey(ctx context.Context, id sandtrail.ID, now time.Time) error {
	return s.write(ctx, "touch key", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE sandtrail_keys SET last_used_at = ? WHERE id = ?`, formatTime(now), id.String())
		return err
	})
}

// LogAccess adds a line to the access log.
func (s *Store) LogAccess(ctx context.Context, a auth.Access) error {
	return s.write(ctx, "log access", func(tx *sql.Tx) error {
		var key any
		if a.KeyID != nil {
			key = a.KeyID.String()
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO sandtrail_access_log
			(id, at, key_id, actor, action, object, outcome, detail, remote) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			a.ID.String(), formatTime(a.At), key, a.Actor, a.Action, a.Object, string(a.Outcome), a.Detail, a.Remote)
		return err
	})
}

// Accesses returns lines of the access log, newest first.
func (s *Store) Accesses(ctx context.Context, q auth.AccessQuery) (lines []auth.Access, err error) {
	before := ""
	if !q.Before.IsZero() {
		before = q.Before.String()
	}
	const text = `SELECT id, at, COALESCE(key_id, ''), actor, action, object, outcome, detail, remote FROM sandtrail_access_log
		WHERE (?1 = '' OR id < ?1) AND (?2 = '' OR actor = ?2) AND (?3 = '' OR action = ?3) AND (?4 = '' OR outcome = ?4)
		ORDER BY id DESC LIMIT ?5`
	args := []any{before, q.Actor, q.Action, string(q.Outcome), q.Limit}
	err = s.query(ctx, "read access log", text, args, func(rows *sql.Rows) error {
		lines = nil
		for rows.Next() {
			var a auth.Access
			var id executionID
			var at timestamp
			var key string
			if err := rows.Scan(&id, &at, &key, &a.Actor, &a.Action, &a.Object, &a.Outcome, &a.Detail, &a.Remote); err != nil {
				return err
			}
			a.ID, a.At = id.ID, at.Time
			if key != "" {
				a.KeyID = new(sandtrail.ID)
				if err := a.KeyID.UnmarshalText([]byte(key)); err != nil {
					return err
				}
			}
			lines = append(lines, a)
		}
		return rows.Err()
	})
	return lines, err
}

// timeOrNull is the column of a time that may be absent.
func timeOrNull(t *time.Time) any {
	if t == nil {
		return nil
	}
	return formatTime(*t)
}

// optionalTime scans a column of a time that may be absent.
type optionalTime struct{ into **time.Time }

// Scan is part of sql.Scanner.
func (o optionalTime) Scan(src any) error {
	if src == nil {
		*o.into = nil
		return nil
	}
	var t timestamp
	if err := t.Scan(src); err != nil {
		return err
	}
	*o.into = &t.Time
	return nil
}
