package main

import (
	"errors"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/postgres"
)

// A clock 90 days ahead removes nothing.
func TestCleanupRefusesAWrongClock(t *testing.T) {
	url := pgtest.New(t)
	store, err := postgres.Open(t.Context(), url, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if _, err := store.Migrate(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	ahead := &deps{now: func() time.Time { return time.Now().Add(90 * 24 * time.Hour) }, opened: store}
	if err := (&cleanupCmd{OlderThan: moment{ago: 90 * 24 * time.Hour}}).Run(t.Context(), ahead); !errors.Is(err, sandtrail.CodeConflict) {
		t.Errorf("got %v, want a refusal", err)
	}
}
