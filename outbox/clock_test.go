package outbox_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/outbox"
)

// A recorder six minutes ahead of the store loses nothing: its record waits
// until the store's clock has come near enough.
func TestRecordsOfTheFutureWait(t *testing.T) {
	b, s := open(t, outbox.Options{}), &store{}
	early, late := draft("ada"), draft("ada")
	early.CreatedAt, late.CreatedAt = now.Add(6*time.Minute), now.Add(-10000*time.Hour)
	put(t, b, draft("ada"), early, late)
	at := func(now time.Time) outbox.Delivery {
		t.Helper()
		done, err := b.Flush(context.Background(), s, sandtrail.Admission{Now: now})
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	if done := at(now); done.Delivered != 1 || done.Stayed != 1 || done.Why == nil || done.Refused != 1 {
		t.Errorf("got %+v, want 1 delivered, 1 stayed, and the one that is too old refused", done)
	}
	if done := at(now.Add(time.Minute)); done.Delivered != 1 || done.Stayed != 0 {
		t.Errorf("a minute later: %+v, want 1 delivered", done)
	}
	holds(t, b, outbox.State{Refused: 1})
}

// What was refused is tried again on request.
func TestRetryPutsBackWhatWasRefused(t *testing.T) {
	b, s := open(t, outbox.Options{}), &store{}
	old := draft("ada")
	old.CreatedAt = now.Add(-10000 * time.Hour)
	put(t, b, old)
	if done := flush(t, b, s); done.Refused != 1 {
		t.Fatalf("got %+v, want 1 refused", done)
	}
	torn := filepath.Join(b.Dir(), "refused", "torn.json")
	if err := os.WriteFile(torn, []byte(`{"record":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := b.Retry(); n != 1 || err == nil {
		t.Errorf("put back %d, %v; want 1, and an error about the file that is torn", n, err)
	}
	holds(t, b, outbox.State{Waiting: 1, Refused: 1})
	done, err := b.Flush(context.Background(), s, sandtrail.Admission{Now: now, Retention: -1})
	if err != nil || done.Delivered != 1 {
		t.Errorf("%+v, %v; want 1 delivered", done, err)
	}
}

// A program that is killed after it made drops final, and before it made a
// record of them, leaves their count to the next, whatever is dropped between.
func TestDropsSurviveAKillBetweenRenameAndAccount(t *testing.T) {
	b := open(t, outbox.Options{})
	const killed = 3
	for range killed {
		if err := b.Drop(outbox.Full, draft("ada")); err != nil {
			t.Fatal(err)
		}
		files := must(filepath.Glob(filepath.Join(b.Dir(), "dropped", "*.json")))
		if len(files) != 1 {
			t.Fatalf("dropped holds %v, want one file that is open", files)
		}
		if err := outbox.CloseDrops(files[0]); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Drop(outbox.Full, draft("ada")); err != nil {
		t.Fatal(err)
	}
	holds(t, b, outbox.State{Dropped: killed + 1})
	if n, err := b.AccountForDrops(); n != killed+1 || err != nil {
		t.Errorf("accounted for %d, %v; want %d", n, err, killed+1)
	}
	drafts, _, err := b.Waiting(0)
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, d := range drafts {
		var metadata struct{ Dropped struct{ Count int } }
		if err := json.Unmarshal(d.Metadata, &metadata); err != nil {
			t.Fatal(err)
		}
		told += metadata.Dropped.Count
	}
	if told != killed+1 {
		t.Errorf("the records tell of %d, want %d", told, killed+1)
	}
}
