package ledgertest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail/database"
)

// State holds the target to what it tells about its ledger.
func State(t *testing.T, target Target) {
	o := newOperator(t, target, 1)
	o.mustBe(database.LedgerState{})
	o.begin()
	o.seal()
	state, err := o.Store.LedgerState(t.Context())
	check(t, err)
	size := state.Size

	o.append(3)
	e := o.pick()
	o.plain(`DELETE FROM sandbox_execution_logs WHERE id = '` + e.ID.String() + `'`)
	o.mustBe(database.LedgerState{Size: size, Unsealed: 4})
	_, err = o.service.Checkpoint(t.Context(), o.now)
	check(t, err)
	first := &database.LedgerCheckpoint{Size: size, At: o.now}
	o.mustBe(database.LedgerState{Size: size, Unsealed: 4, Checkpoint: first})

	verified := &database.LedgerVerification{At: o.now.Add(time.Second), Records: 7, Findings: 2}
	for _, v := range []database.LedgerVerification{{At: o.now, Records: 5}, *verified} {
		check(t, o.Store.PutVerification(t.Context(), v))
	}
	o.mustBe(database.LedgerState{Size: size, Unsealed: 4, Checkpoint: first, Verified: verified})
	checks, err := o.Store.Doctor(t.Context(), database.Shallow, o.now)
	check(t, err)
	for _, c := range checks {
		if c.Name == "ledger" && c.OK {
			t.Errorf("doctor is content with two findings: %+v", c)
		}
	}
}

func (o *operator) mustBe(want database.LedgerState) {
	o.Helper()
	got, err := o.Store.LedgerState(o.Context())
	check(o, err)
	if diff := cmp.Diff(want, got); diff != "" {
		o.Errorf("state (-want +got):\n%s", diff)
	}
}
