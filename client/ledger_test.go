package client_test

import (
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/client"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/server"
)

// How long executions are kept is the server's affair alone.
func TestAServersRulesAreTheServers(t *testing.T) {
	db := withOwners(t)
	url := serve(t, db, func(c *server.Config) { c.Now, c.Retention = time.Now, sandtrail.Periods{} })
	old := numbered(1)
	old.CreatedAt = time.Now().AddDate(0, 0, -100)
	for _, policy := range []client.Policy{client.Strict, client.Spool} {
		old.ID = sandtrail.NewID(time.Now())
		r, err := open(t, url, "").Recorder(client.RecorderOptions{Policy: policy, Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(r.Record(t.Context(), old), r.Close(t.Context())); err != nil {
			t.Errorf("%s: %v", policy, err)
		}
		if _, err := db.Execution(t.Context(), old.ID); err != nil {
			t.Errorf("%s: %v", policy, err)
		}
	}
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
		err := c.Stream(t.Context(), sandtrail.Filter{UserID: "u"}, place, func(f sandtrail.Followed) error {
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
	if _, err := c.Receipt(t.Context(), id); !errors.Is(err, sandtrail.ErrNotFound) {
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
