package storetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
)

func (k *kit) owners() {
	k.Helper()
	must(k, "users", func(s sandtrail.Store) (any, error) { return s.Users(k.ctx, sandtrail.OwnerQuery{}) })
	must(k, "strategies", func(s sandtrail.Store) (any, error) { return s.Strategies(k.ctx, sandtrail.OwnerQuery{}) })
}

// ownersPutAndRead creates, replaces and refuses owners.
func ownersPutAndRead(k *kit) {
	k.putUser(sandtrail.User{ID: "a", Email: "a@example.com"})
	k.putUser(sandtrail.User{ID: "b", Email: "b@example.com", Name: new("")})
	k.putUser(sandtrail.User{ID: "a", Email: "a@example.com", Name: new("Ada")})
	k.putUser(sandtrail.User{ID: "a", Email: "ada@example.com"})
	k.putStrategies("s", "S")
	k.putStrategy(sandtrail.Strategy{ID: "s", Name: "renamed"})
	k.append(draft("a", "s", noon))
	k.putUser(sandtrail.User{ID: "a", Email: "late@example.com"})
	k.walk(sandtrail.Query{}) // with the new e-mail, and not deleted by a replacement
	for _, u := range []sandtrail.User{
		{ID: "c", Email: "b@example.com"},
		{ID: "a", Email: "b@example.com"},
		{},
		{ID: "c"},
		{ID: "c", Email: "nowhere"},
		{ID: strings.Repeat("x", 256), Email: "x@example.com"},
		{ID: "nul\x00", Email: "x@example.com"},
		{ID: "c", Email: "x\xff@example.com"},
		{ID: "c", Email: "c@example.com", Name: new("nul\x00")},
	} {
		if _, err := both(k, fmt.Sprintf("%+v", u), func(s sandtrail.Store) (any, error) { return nil, s.PutUser(k.ctx, u) }); err == nil {
			k.Errorf("%+v was taken", u)
		}
	}
	for _, strategy := range []sandtrail.Strategy{{}, {ID: "t"}, {ID: "t", Name: "nul\x00"}, {ID: "\xff", Name: "t"}} {
		if _, err := both(k, fmt.Sprintf("%+v", strategy), func(s sandtrail.Store) (any, error) {
			return nil, s.PutStrategy(k.ctx, strategy)
		}); err == nil {
			k.Errorf("%+v was taken", strategy)
		}
	}
	// A freed e-mail can be had again.
	k.putUser(sandtrail.User{ID: "c", Email: "a@example.com"})
	k.owners()
}

// ownersPages walks owners, whose ids are compared byte by byte.
func ownersPages(k *kit) {
	ids := []string{"a", "B", "b", "ä", "Z", "z", "10", "9", "a b", "a-b", "a_b", "é", "😀", "ﬀ"}
	k.putUsers(ids...)
	k.putStrategies(ids...)
	for _, limit := range []int{1, 2, len(ids), len(ids) + 1, 0, sandtrail.MaxLimit} {
		seen := 0
		for q := (sandtrail.OwnerQuery{Limit: limit}); ; {
			page := must(k, fmt.Sprintf("users %+v", q), func(s sandtrail.Store) (sandtrail.OwnerPage[sandtrail.User], error) {
				return s.Users(k.ctx, q)
			})
			must(k, fmt.Sprintf("strategies %+v", q), func(s sandtrail.Store) (any, error) { return s.Strategies(k.ctx, q) })
			seen += len(page.Items)
			if q.Cursor = page.NextCursor; q.Cursor == "" {
				break
			}
		}
		if seen != len(ids) {
			k.Errorf("pages of %d: %d users, want %d", limit, seen, len(ids))
		}
	}
	for _, q := range []sandtrail.OwnerQuery{{Limit: -1}, {Limit: sandtrail.MaxLimit + 1}, {Cursor: "\x00"}} {
		both(k, fmt.Sprintf("%+v", q), func(s sandtrail.Store) (any, error) { return s.Users(k.ctx, q) })
		both(k, fmt.Sprintf("%+v", q), func(s sandtrail.Store) (any, error) { return s.Strategies(k.ctx, q) })
	}
}

// ownersStrangeText keeps ids and names that mean something elsewhere.
func ownersStrangeText(k *kit) {
	for i, text := range []string{
		"'", `"`, `\`, "%", "_", ",", ";--", "$1", "?", " x ", "a\tb", "a\nb", "null", "NULL", "0", "ÄÖÜ", "日本", "🎉", "e\u0301",
	} {
		k.putUser(sandtrail.User{ID: text, Email: fmt.Sprintf("%d@example.com", i), Name: new(text)})
		k.putStrategy(sandtrail.Strategy{ID: text, Name: text})
		k.append(draft(text, text, noon.Add(-time.Duration(i)*time.Hour)))
		k.walk(sandtrail.Query{Filter: sandtrail.Filter{UserID: text}})
		k.walk(sandtrail.Query{Filter: sandtrail.Filter{StrategyID: text}})
		must(k, "user", func(s sandtrail.Store) (any, error) { return s.User(k.ctx, text) })
		must(k, "strategy", func(s sandtrail.Store) (any, error) { return s.Strategy(k.ctx, text) })
		must(k, "user statistics", func(s sandtrail.Store) (any, error) { return s.UserStats(k.ctx, text) })
		must(k, "strategy statistics", func(s sandtrail.Store) (any, error) { return s.StrategyStats(k.ctx, text) })
	}
	for _, text := range []string{" ", "\u200b"} {
		for name, err := range map[string]error{
			"user":     k.db.PutUser(k.ctx, sandtrail.User{ID: text, Email: "blank@example.com"}),
			"strategy": k.db.PutStrategy(k.ctx, sandtrail.Strategy{ID: text, Name: "blank"}),
		} {
			if sandtrail.CodeOf(err) != sandtrail.CodeInvalid {
				k.Errorf("put %s %q: %v", name, text, err)
			}
		}
	}
	k.owners()
	must(k, "delete", func(s sandtrail.Store) (any, error) { return s.DeleteUser(k.ctx, "%") })
	must(k, "delete", func(s sandtrail.Store) (any, error) { return s.DeleteStrategy(k.ctx, "_") })
	k.owners()
	k.walk(sandtrail.Query{})
	k.sound()
}

// deleteCascades deletes owners with their executions, across weeks, and says
// how many went.
func deleteCascades(k *kit) {
	k.seed()
	k.putUsers("idle")
	for _, id := range []string{"u1", "u1", "idle", "nobody"} {
		both(k, "delete user "+id, func(s sandtrail.Store) (int64, error) { return s.DeleteUser(k.ctx, id) })
		k.walk(sandtrail.Query{Limit: 1000})
		k.owners()
	}
	for _, id := range []string{"s0", "s0", "s1"} {
		both(k, "delete strategy "+id, func(s sandtrail.Store) (int64, error) { return s.DeleteStrategy(k.ctx, id) })
		k.walk(sandtrail.Query{Limit: 1000})
		k.owners()
	}
	// Their ids, and those of the records, can be used anew.
	k.putUsers("u1")
	k.putStrategies("s0")
	k.append(draft("u1", "s0", noon))
	must(k, "user statistics", func(s sandtrail.Store) (any, error) { return s.UserStats(k.ctx, "u1") })
	k.sound()
}

// deletedAreForgotten finds nothing of a user whose executions retention had
// removed before, when another comes under the same id.
func deletedAreForgotten(k *kit) {
	k.putUsers("u", "v")
	k.putStrategies("s")
	old := noon.Add(-30 * 24 * time.Hour)
	k.append(draft("u", "s", old), draft("v", "s", old))
	maintain := func() {
		k.Helper()
		if err := k.db.Maintain(k.ctx, k.now); err != nil {
			k.Fatal(err)
		}
	}
	count := func(userID string) (n int64) {
		k.Helper()
		trend, err := k.db.Trends(k.ctx, sandtrail.TrendQuery{Since: old.Add(-time.Hour), Until: noon, UserID: userID})
		if err != nil {
			k.Fatal(err)
		}
		for _, b := range trend {
			n += b.Total
		}
		return n
	}
	maintain()
	if n, err := k.db.Cleanup(k.ctx, sandtrail.Before(noon.Add(-time.Hour))); n != 2 || err != nil {
		k.Fatalf("cleanup: %d, %v; want 2", n, err)
	}
	maintain()
	if _, err := k.db.DeleteUser(k.ctx, "u"); err != nil {
		k.Fatal(err)
	}
	maintain()
	k.putUsers("u")
	if u, v, all := count("u"), count("v"), count(""); u != 0 || v != 1 || all != 2 {
		k.Errorf("%d executions of the new user, %d of the one that stayed, %d of all; want 0, 1 and 2", u, v, all)
	}
}
