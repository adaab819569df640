package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
)

// Role says what the holder of a key may do.
type Role string

// The roles.
const (
	RoleIngest  Role = "ingest"  // append executions, nothing else
	RoleRead    Role = "read"    // read everything, or one user's executions when bound to a user
	RoleAuditor Role = "auditor" // read everything, export, verify, see the access log; change nothing
	RoleAdmin   Role = "admin"   // everything
)

// Key is a stored API key, without its secret: NewKey returns that once.
type Key struct {
	ID         sandtrail.ID `json:"id"`
	Name       string       `json:"name"`
	Role       Role         `json:"role"`
	UserID     string       `json:"userId,omitempty"` // RoleRead only: sees this user's executions alone
	Hash       KeyHash      `json:"-"`
	CreatedAt  time.Time    `json:"createdAt"`
	ExpiresAt  *time.Time   `json:"expiresAt"`  // nil: never
	LastUsedAt *time.Time   `json:"lastUsedAt"` // to the minute; nil: not used yet
	RevokedAt  *time.Time   `json:"revokedAt"`  // nil: not revoked
}

// KeyHash is the SHA-256 of a key's secret. A secret has 256 random bits, so
// a fast hash keeps it safe.
type KeyHash [sha256.Size]byte

const secretPrefix = "st_"

// NewKey makes a key and its secret. Validate the key before storing it.
func NewKey(name string, role Role, userID string, now time.Time) (Key, string) {
	var random [32]byte
	_, _ = rand.Read(random[:]) // crypto/rand.Read never fails
	secret := secretPrefix + base64.RawURLEncoding.EncodeToString(random[:])
	now = sandtrail.Millisecond(now)
	return Key{ID: sandtrail.NewID(now), Name: name, Role: role, UserID: userID, Hash: HashSecret(secret), CreatedAt: now}, secret
}

// HashSecret is the hash that a key with this secret is found by.
func HashSecret(secret string) KeyHash { return sha256.Sum256([]byte(secret)) }

// IsSecret reports whether s looks like the secret of a key.
func IsSecret(s string) bool {
	random, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(s, secretPrefix))
	return strings.HasPrefix(s, secretPrefix) && err == nil && len(random) == 32
}

// Validate reports every broken rule as an *Error of CodeInvalid.
func (k Key) Validate() error {
	var p sandtrail.Faults
	switch k.Role {
	case RoleIngest, RoleRead, RoleAuditor, RoleAdmin:
	default:
		p.Addf("role", "must be ingest, read, auditor or admin, got %q", k.Role)
	}
	if k.UserID != "" {
		p.OptionalKey("userId", k.UserID)
		if k.Role != RoleRead {
			p.Addf("userId", "only a read key can be bound to a user")
		}
	}
	p.Name("name", k.Name)
	if k.ExpiresAt != nil && !k.ExpiresAt.After(k.CreatedAt) {
		p.Addf("expiresAt", "is not in the future")
	}
	return p.Err("invalid key")
}

// ValidAt reports whether the key opens anything at that time.
func (k Key) ValidAt(now time.Time) bool {
	return k.RevokedAt == nil && (k.ExpiresAt == nil || now.Before(*k.ExpiresAt))
}

// ErrKeyed is the answer of Unkey while a key is valid.
var ErrKeyed = sandtrail.Errorf(sandtrail.CodeConflict, "a key is valid: revoke it first, or go on with keys")

// Keyring keeps the keys. Every change is durable when its method returns.
type Keyring interface {
	CreateKey(ctx context.Context, k Key) error
	// Keys returns all keys, revoked and expired ones too, in the order of
	// their ids, which is that of their making.
	Keys(ctx context.Context) ([]Key, error)
	// KeyByHash is CodeNotFound when no key has that hash; a revoked or
	// expired key is returned as it is.
	KeyByHash(ctx context.Context, hash KeyHash) (Key, error)
	// Keyed reports whether a server asks for keys: since the first was made,
	// whatever became of the table's rows, until Unkey.
	Keyed(ctx context.Context) (bool, error)
	// Unkey has servers that start from then on work without keys again, on
	// this machine alone. It revokes keys that have expired, and is CodeConflict
	// while one is valid.
	Unkey(ctx context.Context, now time.Time) error
	// RevokeKey is CodeNotFound when there is no such key; the time of a key
	// that is revoked already stays.
	RevokeKey(ctx context.Context, id sandtrail.ID, now time.Time) error
	// TouchKey notes a use. Unknown keys are ignored.
	TouchKey(ctx context.Context, id sandtrail.ID, now time.Time) error
}

// Access is one line of the access log: an administrative act, an export or a
// denied attempt.
type Access struct {
	ID      sandtrail.ID  `json:"id"` // a UUIDv7; newer lines have greater ids
	At      time.Time     `json:"at"`
	KeyID   *sandtrail.ID `json:"keyId"` // nil: no valid key, or the command line
	Actor   string        `json:"actor"` // the key's name, "anonymous", or "cli"
	Action  string        `json:"action"`
	Object  string        `json:"object"` // what was acted upon: an id, a filter, a path
	Outcome Outcome       `json:"outcome"`
	Detail  string        `json:"detail"`
	Remote  string        `json:"remote"` // address of the caller; "" on the command line
}

// Bounded is the line with no text longer than 1,024 bytes, and nothing in it
// that a store could not hold: parts of it are the caller's.
func (a Access) Bounded() Access {
	const limit = 1024
	for _, text := range []*string{&a.Actor, &a.Action, &a.Object, &a.Detail, &a.Remote} {
		cut := (*text)[:min(len(*text), limit)]
		*text = strings.ToValidUTF8(strings.ReplaceAll(cut, "\x00", ""), "�")
	}
	return a
}

// Outcome says whether an access was let through.
type Outcome string

// The outcomes.
const (
	Allowed Outcome = "allowed" // noted before it is done; retention notes its cleanups afterwards, with what they deleted
	Denied  Outcome = "denied"
)

// AccessLog keeps the access log.
type AccessLog interface {
	// LogAccess adds a line, durable when it returns.
	LogAccess(ctx context.Context, a Access) error
	// Accesses returns the lines that the query selects, newest first.
	Accesses(ctx context.Context, q AccessQuery) ([]Access, error)
}

// AccessQuery is one page of the access log. Empty fields select everything.
type AccessQuery struct {
	Actor, Action string
	Outcome       Outcome
	Before        sandtrail.ID // lines with an id below it; the zero id starts at the newest
	Limit         int          // 1 to MaxLimit
}

// RetentionWork names the removal of old records, as a lease and as the
// actor of its lines in the access log. CleanupAction is
// the action of each line about a cleanup, also of those that people asked for.
const (
	RetentionWork = "retention"
	CleanupAction = "cleanup"
)
