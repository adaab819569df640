package postgres_test

import (
	"slices"
	"testing"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/storetest"
)

func TestService(t *testing.T) {
	t.Run("keyring", func(t *testing.T) { s, _ := open(t); storetest.Keyring(t, s) })
	t.Run("access log", func(t *testing.T) { s, _ := open(t); storetest.AccessLog(t, s) })
	t.Run("follower", func(t *testing.T) { s, _ := open(t); storetest.Follower(t, s) })
	t.Run("surveyor", func(t *testing.T) { s, _ := open(t); storetest.Surveyor(t, s, true) })
	t.Run("agenda", func(t *testing.T) { s, _ := open(t); storetest.Agenda(t, s) })
	t.Run("alerts", func(t *testing.T) { s, _ := open(t); storetest.AlertLog(t, s) })
	t.Run("silences", func(t *testing.T) { s, _ := open(t); storetest.Silences(t, s) })
}

// A transaction that began first and commits last must not be passed over.
func TestFollowMeetsLateCommits(t *testing.T) {
	s, url := open(t)
	putOwners(t, s, 1)
	late, later := foreign(t, url), foreign(t, url)
	insert := `INSERT INTO sandbox_execution_logs (id, user_id, strategy_id, execution_type, success, execution_time)
		VALUES ($1, 'u0', 's0', 'TERMINAL', true, 1)`
	place, err := s.Tip(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lateID, laterID := sandtrail.NewID(now), sandtrail.NewID(now)
	exec(t, late, "BEGIN")
	exec(t, late, insert, lateID.String())
	exec(t, later, "BEGIN")
	exec(t, later, insert, laterID.String())

	var got []sandtrail.ID
	follow := func() {
		t.Helper()
		reconcile(t, s)
		found, err := s.Follow(t.Context(), place, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			got, place = append(got, f.ID), f.Place
		}
	}
	early := appendAll(t, s, execution(now)).IDs[0]
	follow()
	exec(t, later, "COMMIT")
	follow()
	exec(t, late, "COMMIT")
	follow()
	follow()
	if want := []sandtrail.ID{early, laterID, lateID}; !slices.Equal(got, want) {
		t.Errorf("followed %v, want %v", got, want)
	}
}

func TestFollowRefusesAPlaceOfAnotherCluster(t *testing.T) {
	s, _ := open(t)
	for _, place := range []sandtrail.Place{"999999999:999999999:", "1:2", "1:1:/2:2:/x/y", ""} {
		if _, err := s.Follow(t.Context(), place, 1); sandtrail.CodeOf(err) != sandtrail.CodeInvalid {
			t.Errorf("%q: got %v, want CodeInvalid", place, err)
		}
	}
}
