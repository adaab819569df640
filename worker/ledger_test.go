package worker

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail/ledger/publish"
)

// shelf keeps what is published; while it is broken it fails.
type shelf struct {
	broken bool
	got    []string
}

func (s *shelf) Publish(_ context.Context, c publish.Checkpoint) error {
	if s.broken {
		return errors.New("broken")
	}
	s.got = append(s.got, c.Signed)
	return nil
}

func TestCheckpointsArePublished(t *testing.T) {
	store := openStore(t)
	good, bad := &shelf{}, &shelf{broken: true}
	sign := func(_ context.Context, now time.Time) (publish.Checkpoint, error) {
		return publish.Checkpoint{Signed: now.Format(time.TimeOnly)}, nil
	}
	job := Checkpoints(sign, store, []publish.Publisher{bad, good}, time.Hour)
	for _, round := range []struct {
		after time.Duration
		fails bool
		good  int
	}{
		{0, true, 1}, // the broken one does not keep it from the other
		{30 * time.Second, false, 1},
		{time.Minute, true, 2}, // again soon
		{2 * time.Minute, false, 3},
		{3 * time.Minute, false, 3}, // not due
		{2*time.Minute + time.Hour, false, 4},
	} {
		bad.broken = round.fails
		if err := job.RunOnce(t.Context(), noon.Add(round.after)); (err != nil) != round.fails || len(good.got) != round.good {
			t.Errorf("after %s: %v, %d published; want an error: %t, %d published", round.after, err, len(good.got), round.fails, round.good)
		}
	}
}

func TestVerificationIsDueOnceInAWhile(t *testing.T) {
	store := openStore(t)
	verified := 0
	job := Verification(func(context.Context, time.Time) error { verified++; return nil }, store, 24*time.Hour)
	for _, after := range []time.Duration{0, time.Hour, 23 * time.Hour, 24 * time.Hour, 25 * time.Hour} {
		if err := job.RunOnce(t.Context(), noon.Add(after)); err != nil {
			t.Fatal(err)
		}
	}
	if verified != 2 {
		t.Errorf("verified %d times in 25 hours, want 2", verified)
	}
}
