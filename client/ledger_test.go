package client_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/client"
	"github.com/sandtrail/sandtrail/follow"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/server"
	"github.com/sandtrail/sandtrail/sqlite"
)

// testDay is the time of every numbered record, also while midnight passes.
var testDay = time.Now().UTC().Truncate(24 * time.Hour)

func numbered(i int) sandtrail.Draft {
	return sandtrail.Draft{
		ID: sandtrail.ID{0: 1, 8: 0x80, 15: byte(i)}, UserID: "u", StrategyID: "s", Type: sandtrail.Validation,
		Success: new(true), ExecutionTime: &i, CreatedAt: testDay,
	}
}

func withOwners(t *testing.T) *sqlite.Store {
	t.Helper()
	db := openDatabase(t)
	putOwners(t, db)
	return db
}

// A stream that broke off goes on behind the last place, and tells each execution
// once.
func TestStream(t *testing.T) {
	db := withOwners(t)
	c := open(t, serve(t, db, func(c *server.Config) { c.Now = time.Now }), "")
	place, err := db.Tip(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var want, got []sandtrail.ID
	for i := range 5 {
		done, err := c.Record(t.Context(), numbered(i))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, done.IDs...)
	}
	brokeOff := errors.New("the connection broke off")
	for len(got) < len(want) {
		err := c.Stream(t.Context(), sandtrail.Filter{UserID: "u"}, place, func(f follow.Followed) error {
			got, place = append(got, f.ID), f.Place
			if len(got)%2 == 0 || len(got) == len(want) {
				return brokeOff
			}
			return nil
		})
		if !errors.Is(err, brokeOff) {
			t.Fatal(err)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestLedgerCalls(t *testing.T) {
	keys, err := ledger.GenerateKeys(rand.Reader, "example.com/audit")
	if err != nil {
		t.Fatal(err)
	}
	db := withOwners(t)
	c := open(t, serve(t, db, func(c *server.Config) {
		c.Now, c.Ledger = time.Now, ledger.Service{Log: db, Keys: keys}
	}), "")
	done, err := c.Record(t.Context(), numbered(1))
	if err != nil {
		t.Fatal(err)
	}
	id := done.IDs[0]
	if _, err := c.Receipt(t.Context(), id); !errors.Is(err, sandtrail.CodeNotFound) {
		t.Errorf("before it is sealed: %v", err)
	}
	if err := db.Maintain(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	receipt, err := c.Receipt(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if e, _, err := ledger.VerifyReceipt(receipt, keys.Verifiers); err != nil || e.ID != id {
		t.Errorf("%s: %v", e.ID, err)
	}
	if _, err := c.Proof(t.Context(), id); err != nil {
		t.Error(err)
	}
	signed, err := c.Checkpoint(t.Context())
	if err != nil || !strings.Contains(string(signed), "example.com/audit") {
		t.Errorf("%s, %v", signed, err)
	}
}

// smallPages asks a server for pages of two entries, and changes what it answers.
type smallPages struct{ change func(page map[string]any) }

func (s smallPages) RoundTrip(r *http.Request) (*http.Response, error) {
	query := r.URL.Query()
	query.Set("limit", "2")
	r.URL.RawQuery = query.Encode()
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || s.change == nil {
		return response, err
	}
	defer response.Body.Close()
	var page map[string]any
	if err := json.NewDecoder(response.Body).Decode(&page); err != nil {
		return nil, err
	}
	s.change(page)
	changed, err := json.Marshal(page)
	response.Body = io.NopCloser(bytes.NewReader(changed))
	return response, err
}

// The pages of a log are all read, and a server that answers with the same page again
// is not asked for ever.
func TestAllPagesOfALogAreRead(t *testing.T) {
	keys, err := ledger.GenerateKeys(rand.Reader, "example.com/audit")
	if err != nil {
		t.Fatal(err)
	}
	db := withOwners(t)
	url := serve(t, db, func(c *server.Config) { c.Now, c.Ledger = time.Now, ledger.Service{Log: db, Keys: keys} })
	plain := open(t, url, "")
	for i := range 5 {
		user := sandtrail.User{ID: fmt.Sprint("gone", i), Email: fmt.Sprint(i, "@example.com")}
		if err := db.PutUser(t.Context(), user); err != nil {
			t.Fatal(err)
		}
		draft := numbered(i)
		draft.UserID = user.ID
		if _, err := plain.Record(t.Context(), draft); err != nil {
			t.Fatal(err)
		}
		if err := db.Maintain(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		if _, err := db.DeleteUser(t.Context(), user.ID); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Maintain(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	read := func(change func(map[string]any)) (got []int64, failed error) {
		c, err := client.New(client.Options{URL: url, HTTP: &http.Client{Transport: smallPages{change}}, Attempts: 1})
		if err != nil {
			t.Fatal(err)
		}
		for removal, err := range c.Removals(t.Context()) {
			if err != nil {
				return got, err
			}
			got = append(got, removal.Leaf)
		}
		return got, nil
	}
	if got, err := read(nil); err != nil || !slices.Equal(got, []int64{2, 4, 6, 8, 9}) {
		t.Errorf("entries %v, %v", got, err)
	}
	for name, change := range map[string]func(map[string]any){
		"back to the first page": func(page map[string]any) { page["nextCursor"] = "0" },
		"nothing, and more":      func(page map[string]any) { page["items"], page["nextCursor"] = []any{}, "8" },
	} {
		if got, err := read(change); err == nil || !strings.Contains(err.Error(), "do not go on after entry") {
			t.Errorf("%s: entries %v, %v", name, got, err)
		}
	}
}
