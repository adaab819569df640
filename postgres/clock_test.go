package postgres_test

import (
	"errors"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// A machine whose clock is far from the database's is told so, and may remove
// nothing for its age.
func TestClockOfTheDatabase(t *testing.T) {
	s, _ := open(t)
	its, err := s.Clock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		ahead time.Duration
		ok    bool
	}{{0, true}, {30 * time.Second, true}, {-30 * time.Second, true}, {2 * time.Minute, false}, {-2 * time.Hour, false}, {90 * 24 * time.Hour, false}} {
		now := its.Add(c.ahead)
		check, err := database.CheckClock(t.Context(), s, now)
		if check.OK != c.ok || err != nil || c.ok != (check.Fix == "") {
			t.Errorf("%s ahead: %+v, %v", c.ahead, check, err)
		}
		if err := database.AgreeOnTime(t.Context(), s, now); c.ok != (err == nil) || !c.ok && !errors.Is(err, sandtrail.CodeConflict) {
			t.Errorf("%s ahead: %v", c.ahead, err)
		}
	}
}
