package web

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/auth"
)

// Keyring is the Authenticator over a store's keys.
func Keyring(keys auth.Keyring, now func() time.Time) Authenticator {
	return &keyring{keys: keys, now: now}
}

type keyring struct {
	keys auth.Keyring
	now  func() time.Time
	// keyed: keys were asked for once. A server that runs goes on with it.
	keyed atomic.Bool
}

var errBadKey = sandtrail.Errorf(sandtrail.CodeUnauthorized, "That key is not known, or it was revoked or has expired. Ask for another.")

// Authenticate is part of Authenticator.
func (k *keyring) Authenticate(ctx context.Context, secret string) (Principal, error) {
	if secret == "" {
		return k.withoutKey(ctx)
	}
	key, err := k.keys.KeyByHash(ctx, auth.HashSecret(secret))
	if sandtrail.CodeOf(err) == sandtrail.CodeNotFound || err == nil && !key.ValidAt(k.now()) {
		return Principal{}, errBadKey
	}
	if err != nil {
		return Principal{}, err
	}
	name := key.Name
	if name == "" {
		name = key.ID.String()
	}
	return Principal{Name: name, KeyID: key.ID, Role: key.Role, UserID: key.UserID}, nil
}

func (k *keyring) withoutKey(ctx context.Context) (Principal, error) {
	if !k.keyed.Load() {
		keyed, err := k.keys.Keyed(ctx)
		if err != nil || !keyed {
			return Principal{}, err
		}
		k.keyed.Store(true)
	}
	return Principal{}, errBadKey
}
