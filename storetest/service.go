package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/follow"
	"github.com/sandtrail/sandtrail/ledger"
)

var serviceStart = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// Keyring holds an empty keyring to its contract.
func Keyring(t *testing.T, ring auth.Keyring) {
	ctx := t.Context()
	wantKeyed(t, ring, false, "before the first key")
	expires := serviceStart.Add(24 * time.Hour)
	reader, _ := auth.NewKey("für Ada", auth.RoleRead, "u1", serviceStart)
	admin, _ := auth.NewKey("", auth.RoleAdmin, "", serviceStart.Add(time.Millisecond))
	admin.ExpiresAt = &expires
	for _, k := range []auth.Key{admin, reader} {
		if err := ring.CreateKey(ctx, k); err != nil {
			t.Fatalf("create: %v", err)
		}
	}
	if err := ring.CreateKey(ctx, auth.Key{ID: reader.ID, Role: "owner"}); !errors.Is(err, sandtrail.CodeInvalid) {
		t.Errorf("a key with an unknown role: got %v, want ErrInvalid", err)
	}
	wantKeys(t, ring, reader, admin)

	if _, err := ring.KeyByHash(ctx, auth.HashSecret("st_nobody")); !errors.Is(err, sandtrail.CodeNotFound) {
		t.Errorf("a hash nobody has: got %v, want ErrNotFound", err)
	}
	used, revoked := serviceStart.Add(time.Minute), serviceStart.Add(time.Hour)
	if err := ring.TouchKey(ctx, reader.ID, used); err != nil {
		t.Fatalf("touch: %v", err)
	}
	if err := ring.TouchKey(ctx, sandtrail.NewID(serviceStart), used); err != nil {
		t.Errorf("touch a key that is not there: %v", err)
	}
	for _, at := range []time.Time{revoked, revoked.Add(time.Hour)} {
		if err := ring.RevokeKey(ctx, reader.ID, at); err != nil {
			t.Fatalf("revoke: %v", err)
		}
	}
	if err := ring.RevokeKey(ctx, sandtrail.NewID(serviceStart), revoked); !errors.Is(err, sandtrail.CodeNotFound) {
		t.Errorf("revoke a key that is not there: got %v, want ErrNotFound", err)
	}
	reader.LastUsedAt, reader.RevokedAt = &used, &revoked
	wantKeys(t, ring, reader, admin)

	if err := ring.Unkey(ctx, revoked); !errors.Is(err, auth.ErrKeyed) {
		t.Errorf("open while a key is valid: got %v, want ErrKeyed", err)
	}
	wantKeyed(t, ring, true, "while a key is valid")
	if err := ring.Unkey(ctx, expires); err != nil {
		t.Errorf("open: %v", err)
	}
	admin.RevokedAt = &expires
	wantKeys(t, ring, reader, admin)
	wantKeyed(t, ring, false, "after it was opened")
	again, _ := auth.NewKey("", auth.RoleAdmin, "", serviceStart)
	if err := ring.CreateKey(ctx, again); err != nil {
		t.Fatal(err)
	}
	if err := ring.RevokeKey(ctx, again.ID, revoked); err != nil {
		t.Fatal(err)
	}
	wantKeyed(t, ring, true, "with a revoked key alone")
}

// KeysGone makes a key by plain SQL, removes all rows of keys in each way that
// SQL has, and expects that keys are asked for all the same.
func KeysGone(t *testing.T, ring auth.Keyring, make string, remove []string, exec func(statement string) error) {
	wantKeyed(t, ring, false, "before the first key")
	for _, statement := range remove {
		for _, statement := range []string{make, statement} {
			if err := exec(statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
		if keys, err := ring.Keys(t.Context()); err != nil || len(keys) != 0 {
			t.Errorf("after %s: %d keys, %v", statement, len(keys), err)
		}
		wantKeyed(t, ring, true, "after "+statement)
		if err := ring.Unkey(t.Context(), serviceStart); err != nil {
			t.Errorf("open: %v", err)
		}
		wantKeyed(t, ring, false, "after it was opened")
	}
}

func wantKeyed(t *testing.T, ring auth.Keyring, want bool, when string) {
	t.Helper()
	if keyed, err := ring.Keyed(t.Context()); err != nil || keyed != want {
		t.Errorf("%s: keyed %v, %v; want %v", when, keyed, err, want)
	}
}

func wantKeys(t *testing.T, ring auth.Keyring, want ...auth.Key) {
	t.Helper()
	got, err := ring.Keys(t.Context())
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("keys: %v\n%s", err, diff)
	}
	for _, k := range want {
		got, err := ring.KeyByHash(t.Context(), k.Hash)
		if diff := cmp.Diff(k, got); err != nil || diff != "" {
			t.Errorf("key by hash: %v\n%s", err, diff)
		}
	}
}

// AccessLog holds an empty access log to its contract.
func AccessLog(t *testing.T, log auth.AccessLog) {
	ctx := t.Context()
	key := sandtrail.NewID(serviceStart)
	var newestFirst []auth.Access
	for i := range 5 {
		at := serviceStart.Add(time.Duration(i) * time.Millisecond)
		line := auth.Access{
			ID: sandtrail.NewID(at), At: at, Actor: "ci", Action: "export", Object: fmt.Sprintf("/v1/export?%d", i),
			Outcome: auth.Allowed, Remote: "127.0.0.1",
		}
		if i%2 == 1 {
			line.KeyID, line.Outcome, line.Detail = &key, auth.Denied, "role"
		}
		if err := log.LogAccess(ctx, line); err != nil {
			t.Fatalf("log: %v", err)
		}
		newestFirst = append([]auth.Access{line}, newestFirst...)
	}
	for _, size := range []int{1, 2, 5, 100} {
		var got []auth.Access
		for before := (sandtrail.ID{}); ; before = got[len(got)-1].ID {
			page, err := log.Accesses(ctx, auth.AccessQuery{Before: before, Limit: size})
			if err != nil {
				t.Fatalf("read: %v", err)
			}
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
		}
		if diff := cmp.Diff(newestFirst, got); diff != "" {
			t.Errorf("pages of %d:\n%s", size, diff)
		}
	}
	for q, want := range map[auth.AccessQuery]int{
		{Actor: "ci"}: 5, {Actor: "nobody"}: 0, {Action: "export"}: 5, {Action: "cleanup"}: 0,
		{Outcome: auth.Denied}: 2, {Actor: "ci", Outcome: auth.Allowed, Before: newestFirst[0].ID}: 2,
	} {
		q.Limit = 100
		if got, err := log.Accesses(ctx, q); err != nil || len(got) != want {
			t.Errorf("%+v: %d lines, want %d (%v)", q, len(got), want, err)
		}
	}
}

// SurveyedStore is what Surveyor needs.
type SurveyedStore interface {
	FollowedStore
	database.Surveyor
}

// Surveyor wants the records of a store, empty but for its schema, to take
// room.
func Surveyor(t *testing.T, store SurveyedStore, partitioned bool) {
	ctx := t.Context()
	putOwners(t, store)
	write(t, store, "kept", 200)
	space, err := store.Space(ctx)
	if err != nil || space.Total <= 0 || space.Free != nil && (*space.Free < 0 || *space.Free > space.Total) {
		t.Fatalf("space: %+v, %v", space, err)
	}
	var used int64
	for i, p := range space.Parts {
		used += p.Bytes
		if i > 0 && p.Since.After(space.Parts[i-1].Since) {
			t.Errorf("part %s comes after one that is older", p.Name)
		}
	}
	if partitioned != (len(space.Parts) > 0) || used > space.Total {
		t.Errorf("%d parts of %d bytes, in all %d", len(space.Parts), used, space.Total)
	}
}

// FollowedStore is what Follower needs: a store that can be followed.
type FollowedStore interface {
	sandtrail.Appender
	sandtrail.Owners
	sandtrail.Reader
	follow.Follower
}

// Follower holds a store, empty but for its schema, to the contract of
// following.
func Follower(t *testing.T, store FollowedStore) {
	ctx := t.Context()
	putOwners(t, store)
	write(t, store, "kept", 3) // before the tip: never seen
	tip, err := store.Tip(ctx)
	if err != nil {
		t.Fatalf("tip: %v", err)
	}
	if got, err := store.Follow(ctx, tip, 10); err != nil || len(got) != 0 {
		t.Fatalf("follow from the tip: %d records, %v", len(got), err)
	}
	var want []sandtrail.ID
	for batch := range 4 {
		write(t, store, "gone", 2)
		want = append(want, write(t, store, "kept", 1+batch)...)
	}
	if _, err := store.DeleteUser(ctx, "gone"); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1, 2, 3, 100} {
		if diff := cmp.Diff(idSet(want), idSet(walk(t, store, tip, size))); diff != "" {
			t.Errorf("followed %d at a time:\n%s", size, diff)
		}
	}
	if _, err := store.Follow(ctx, "nonsense", 1); !errors.Is(err, sandtrail.CodeInvalid) {
		t.Errorf("a place that is none: got %v, want ErrInvalid", err)
	}
}

// write appends n records with times that run backwards: the order of
// following is not that of createdAt.
func write(t *testing.T, store sandtrail.Appender, user string, n int) []sandtrail.ID {
	t.Helper()
	batch := make([]sandtrail.Admitted, n)
	for i := range batch {
		batch[i].Execution = sandtrail.Execution{
			ID: sandtrail.NewID(serviceStart), UserID: user, StrategyID: "s", Type: sandtrail.Validation,
			ExecutionTime: i, CreatedAt: serviceStart.Add(-time.Duration(i) * time.Hour),
		}
	}
	done, err := store.Append(t.Context(), batch)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	if want := slices.Repeat([]bool{true}, n); !slices.Equal(done.Stored, want) {
		t.Fatalf("append of new records says Stored %v", done.Stored)
	}
	return done.IDs
}

// walk follows to the end, checks that each record is the one a read gives,
// and that every place on the way can be gone on from.
func walk(t *testing.T, store FollowedStore, from follow.Place, size int) []sandtrail.ID {
	t.Helper()
	var ids []sandtrail.ID
	for {
		found, err := store.Follow(t.Context(), from, size)
		if err != nil {
			t.Fatalf("follow: %v", err)
		}
		if len(found) == 0 {
			return ids
		}
		for i, f := range found {
			want, err := store.Execution(t.Context(), f.ID)
			if diff := cmp.Diff(want, f.Execution); err != nil || diff != "" {
				t.Errorf("followed record: %v\n%s", err, diff)
			}
			ids = append(ids, f.ID)
			rest, err := store.Follow(t.Context(), f.Place, size)
			if err != nil || i+1 < len(found) && (len(rest) == 0 || rest[0].ID != found[i+1].ID) {
				t.Errorf("going on from %q does not lead to the next record (%v)", f.Place, err)
			}
		}
		from = found[len(found)-1].Place
	}
}

// idSet counts ids, so that one met twice shows.
func idSet(ids []sandtrail.ID) map[sandtrail.ID]int {
	set := map[sandtrail.ID]int{}
	for _, id := range ids {
		set[id]++
	}
	return set
}

func putOwners(t *testing.T, owners sandtrail.Owners) {
	t.Helper()
	for _, id := range []string{"kept", "gone"} {
		if err := owners.PutUser(t.Context(), sandtrail.User{ID: id, Email: id + "@example.com"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := owners.PutStrategy(t.Context(), sandtrail.Strategy{ID: "s", Name: "S"}); err != nil {
		t.Fatal(err)
	}
}

// Leases holds a store without leases to their contract.
func Leases(t *testing.T, leases database.Leases) {
	ctx, hour := t.Context(), time.Hour
	claims := func(when string, now time.Time, want int) {
		t.Helper()
		got := make(chan bool)
		for range 8 {
			go func() {
				mine, err := leases.Claim(ctx, "work", now, hour, 24*hour)
				if err != nil {
					t.Errorf("claim: %v", err)
				}
				got <- mine
			}()
		}
		n := 0
		for range 8 {
			if <-got {
				n++
			}
		}
		if n != want {
			t.Errorf("%s: %d of 8 callers got the work, want %d", when, n, want)
		}
	}
	due := func(want time.Time) {
		t.Helper()
		if got, err := leases.Due(ctx, "work"); err != nil || !got.Equal(want) {
			t.Errorf("due %v, want %v (%v)", got, want, err)
		}
	}
	due(time.Time{})
	claims("at first", serviceStart, 1)
	due(serviceStart.Add(hour))
	claims("while it is claimed", serviceStart.Add(hour-time.Millisecond), 0)
	claims("when the claim has ended", serviceStart.Add(hour), 1)
	if err := leases.Reschedule(ctx, "work", serviceStart.Add(24*hour)); err != nil {
		t.Fatalf("reschedule: %v", err)
	}
	due(serviceStart.Add(24 * hour))
	claims("before it is due", serviceStart.Add(23*hour), 0)
	claims("when it is due", serviceStart.Add(24*hour), 1)
	for _, wrong := range []time.Duration{24*hour + 2*time.Minute, 365 * 24 * hour} {
		if err := leases.Reschedule(ctx, "work", serviceStart.Add(wrong)); err != nil {
			t.Fatalf("reschedule: %v", err)
		}
		claims("when it is due later than a period from now", serviceStart, 1)
	}
}

// WitnessMemory holds an empty memory of other logs' checkpoints to its contract.
func WitnessMemory(t *testing.T, m ledger.WitnessMemory) {
	for _, step := range []struct {
		was, signed, kept string
		put               bool
	}{
		{"", "first\n", "first\n", true},
		{"", "a fork\n", "first\n", false},
		{"first\n", "second\n", "second\n", true},
		{"first\n", "a fork\n", "second\n", false},
	} {
		put, err := m.PutWitnessed(t.Context(), "example.org/log", []byte(step.was), []byte(step.signed), serviceStart)
		if err != nil || put != step.put {
			t.Errorf("put %q behind %q: %v, %v; want %v", step.signed, step.was, put, err, step.put)
		}
		for origin, want := range map[string]string{"example.org/log": step.kept, "example.org/other": ""} {
			if kept, err := m.Witnessed(t.Context(), origin); err != nil || string(kept) != want {
				t.Errorf("%s after %q: %q, %v; want %q", origin, step.signed, kept, err, want)
			}
		}
	}
}
