package server_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/server"
)

// What the calls answer fits together, for somebody who holds the public key.
func TestLedgerCanBeChecked(t *testing.T) {
	k := newKit(t).owners()
	for range 5 {
		k.put("u1")
	}
	id := k.put("u1")
	if got := k.get("/v1/ledger/proof/" + id.String()); got.status != 404 {
		t.Errorf("proof of what is not sealed: status %d: %s", got.status, got.body)
	}
	if err := k.store.Maintain(t.Context(), start); err != nil {
		t.Fatal(err)
	}

	signed := k.get("/v1/ledger/checkpoint")
	if form := signed.header.Get("Content-Type"); !strings.HasPrefix(form, "text/plain") {
		t.Errorf("checkpoint with Content-Type %q", form)
	}
	checkpoint, err := ledgerKeys.Open(signed.body)
	if err != nil || checkpoint.Size != 6 {
		t.Fatalf("checkpoint of %d leaves, %v; want 6", checkpoint.Size, err)
	}
	root, err := ledger.Root(6, func(tile ledger.TileID) ([]byte, error) {
		return k.get("/v1/ledger/" + tile.Path(6)).body, nil
	})
	if err != nil || root != checkpoint.Root {
		t.Errorf("the tiles have root %v, %v; want %v", root, err, checkpoint.Root)
	}

	proof := as[ledger.Proof](t, k.get("/v1/ledger/proof/"+id.String()), 200)
	path := make(tlog.RecordProof, len(proof.Proof))
	for i, hash := range proof.Proof {
		path[i] = tlog.Hash(hash)
	}
	if err := tlog.CheckRecord(path, checkpoint.Size, checkpoint.Root, proof.Leaf, tlog.Hash(proof.Hash)); err != nil {
		t.Errorf("proof: %v", err)
	}
	proved, _, err := ledger.VerifyReceipt(k.get("/v1/ledger/receipt/"+id.String()).body, ledgerKeys.Verifiers)
	if err != nil || proved.ID != id {
		t.Errorf("receipt of %s: %v; want %s", proved.ID, err, id)
	}
}

func TestMetricsShowTheLedger(t *testing.T) {
	k := newKit(t).owners()
	k.put("u1")
	metrics := func() string { return string(k.get("/metrics").body) }
	if got := metrics(); !strings.Contains(got, "sandtrail_ledger_unsealed 1\n") || strings.Contains(got, "ledger_verif") {
		t.Errorf("before the first verification: %s", got)
	}
	if err := k.store.Maintain(t.Context(), start); err != nil {
		t.Fatal(err)
	}
	k.get("/v1/ledger/checkpoint")
	if err := k.store.PutVerification(t.Context(), database.LedgerVerification{At: start.Add(-time.Minute), Records: 1, Findings: 2}); err != nil {
		t.Fatal(err)
	}
	got := metrics()
	for _, want := range []string{"size 1", "unsealed 0", "checkpoint_age_seconds 0", "verification_age_seconds 60", "verification_findings 2"} {
		if !strings.Contains(got, "sandtrail_ledger_"+want+"\n") {
			t.Errorf("metrics lack %q", want)
		}
	}
}

func TestLedgerRefuses(t *testing.T) {
	k := newKit(t).owners()
	for _, path := range []string{
		"closed/2020-01-01T00:00:00Z/tile/0/000", "closed/yesterday/tile/0/000", "tile/0/000", "tile/x", "tile/0/../../keys", "proof/" + sandtrail.NewID(start).String(),
	} {
		problem(t, k.get("/v1/ledger/"+strings.ReplaceAll(path, "..", "%2e%2e")), sandtrail.CodeNotFound)
	}
	for _, path := range []string{"receipt/x", "removals?cursor=x", "renames?cursor=-1", "renames?limit=0"} {
		problem(t, k.get("/v1/ledger/"+path), sandtrail.CodeInvalid)
	}
}

func TestWithoutALedgerItIsSaid(t *testing.T) {
	k := newKit(t, func(c *server.Config) { c.Ledger = nil }).owners()
	id := k.put("u1").String()
	for _, path := range []string{"checkpoint", "tile/0/000.p/1", "proof/" + id, "receipt/" + id, "removals", "renames", "closed", "closed/2020-01-01T00:00:00Z/tile/0/000"} {
		got := k.get("/v1/ledger/" + path)
		problem(t, got, sandtrail.CodeNotFound)
		if !bytes.Contains(got.body, []byte("no ledger")) {
			t.Errorf("%s: %s", path, got.body)
		}
	}
}

// emptyLog is a signed checkpoint of a log without leaves.
func emptyLog() string {
	signed, err := ledgerKeys.Sign(0, ledger.Hash(sha256.Sum256(nil)))
	if err != nil {
		panic(err)
	}
	return string(signed)
}

// forks counts the lines of a log that tell of a fork.
type forks struct{ atomic.Int64 }

func (f *forks) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("a log was cut or rewritten")) {
		f.Add(1)
	}
	return len(line), nil
}

// A witness takes what continues what it saw, and nothing else.
func TestWitness(t *testing.T) {
	var alarms forks
	observed, witness := newKit(t).owners(), newKit(t, func(c *server.Config) {
		c.Log = slog.New(slog.NewTextHandler(&alarms, nil))
	})
	service := ledger.Service{Log: observed.store, Keys: ledgerKeys}
	grow := func(n int) []byte {
		for range n {
			observed.put("u1")
		}
		if err := observed.store.Maintain(t.Context(), start); err != nil {
			t.Fatal(err)
		}
		signed, err := service.Checkpoint(t.Context(), start)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	add := func(old int64, signed []byte) reply {
		request, err := service.WitnessRequest(t.Context(), old, signed)
		if err != nil {
			t.Fatal(err)
		}
		return witness.post("/v1/ledger/witness/add-checkpoint", string(request))
	}
	first, second := grow(3), grow(5)
	if got := add(0, first); got.status != 200 || !strings.HasPrefix(string(got.body), "— example.com/audit ") {
		t.Fatalf("first: status %d: %s", got.status, got.body)
	}
	if got := add(0, second); got.status != 409 || string(got.body) != "3\n" || got.header.Get("Content-Type") != "text/x.tlog.size" {
		t.Errorf("proof from elsewhere: status %d: %s", got.status, got.body)
	}
	if got := add(3, second); got.status != 200 {
		t.Errorf("second: status %d: %s", got.status, got.body)
	}
	forked, err := ledgerKeys.Sign(8, ledger.Hash{1})
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := ledger.GenerateKeys(rand.Reader, "example.com/audit")
	if err != nil {
		t.Fatal(err)
	}
	forged, err := stranger.Sign(9, ledger.Hash{1})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		request string
		want    sandtrail.Code
		alarm   bool
	}{
		"another log of the same size": {"old 8\n\n" + string(forked), sandtrail.CodeInvalid, true},
		"an older checkpoint":          {"old 8\n\n" + string(first), sandtrail.CodeInvalid, false},
		"not signed by the log":        {"old 8\n\n" + string(forged), sandtrail.CodeForbidden, false},
		"no request":                   {"x", sandtrail.CodeInvalid, false},
		"no size":                      {"old x\n\n" + string(first), sandtrail.CodeInvalid, false},
		"no hash":                      {"old 8\nAAA\n\n" + string(second), sandtrail.CodeInvalid, false},
	} {
		t.Run(name, func(t *testing.T) {
			before := alarms.Load()
			problem(t, witness.post("/v1/ledger/witness/add-checkpoint", c.request), c.want)
			if alarm := alarms.Load() > before; alarm != c.alarm {
				t.Errorf("the witness's log tells of a fork: %t, want %t", alarm, c.alarm)
			}
		})
	}
}
