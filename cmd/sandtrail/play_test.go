package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail/asciicast"
)

// screen notes when what is written to it.
type screen struct {
	now     time.Time
	written []string
}

func (s *screen) Write(p []byte) (int, error) {
	s.written = append(s.written, fmt.Sprintf("%s %s", s.now.Sub(time.Time{}), p))
	return len(p), nil
}

func (s *screen) wait(ctx context.Context, d time.Duration) error {
	s.now = s.now.Add(d)
	return ctx.Err()
}

func TestPlayerKeepsTime(t *testing.T) {
	const session = `{"version":3,"term":{"cols":80,"rows":24}}
[1, "o", "a"]
[2, "i", "x"]
[2, "o", "b"]
[0, "o", "c"]
[60, "r", "90x30"]
[60, "o", "d"]
[30, "x", "0"]
`
	tests := map[string]struct {
		speed     float64
		idleLimit time.Duration
		want      []string
	}{
		"as recorded":     {1, 0, []string{"1s a", "5s b", "5s c", "2m5s d"}},
		"faster":          {4, 0, []string{"250ms a", "1.25s b", "1.25s c", "31.25s d"}},
		"slower":          {0.5, 0, []string{"2s a", "10s b", "10s c", "4m10s d"}},
		"pauses cut":      {1, 3 * time.Second, []string{"1s a", "5s b", "5s c", "11s d"}},
		"faster, and cut": {2, 3 * time.Second, []string{"500ms a", "2.5s b", "2.5s c", "5.5s d"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r, err := asciicast.NewReader(strings.NewReader(session))
			if err != nil {
				t.Fatal(err)
			}
			s := &screen{}
			p := player{to: s, now: func() time.Time { return s.now }, wait: s.wait, speed: test.speed, idleLimit: test.idleLimit}
			if err := p.play(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, s.written); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlayerCatchesUp(t *testing.T) {
	const session = `{"version":3,"term":{"cols":80,"rows":24}}
[1, "o", "a"]
[1, "o", "b"]
[3, "o", "c"]
`
	r, err := asciicast.NewReader(strings.NewReader(session))
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{}
	slow := writerFunc(func(p []byte) (int, error) {
		s.now = s.now.Add(2 * time.Second) // a terminal that takes its time
		return s.Write(p)
	})
	p := player{to: slow, now: func() time.Time { return s.now }, wait: s.wait, speed: 1}
	if err := p.play(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"3s a", "5s b", "7s c"}, s.written); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestPlayerStops(t *testing.T) {
	const head = `{"version":3,"term":{"cols":80,"rows":24}}` + "\n"
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	tests := map[string]struct {
		ctx     context.Context
		session string
		to      io.Writer
		want    string
	}{
		"interrupted":      {cancelled, head + `[1, "o", "a"]`, io.Discard, context.Canceled.Error()},
		"a damaged line":   {t.Context(), head + "[\n" + `[1, "o", "a"]`, io.Discard, "line 2"},
		"nobody looks any": {t.Context(), head + `[0, "o", "a"]`, writerFunc(func([]byte) (int, error) { return 0, errors.New("gone") }), "gone"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r, err := asciicast.NewReader(strings.NewReader(test.session))
			if err != nil {
				t.Fatal(err)
			}
			s := &screen{}
			p := player{to: test.to, now: func() time.Time { return s.now }, wait: s.wait, speed: 1}
			if err := p.play(test.ctx, r); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}
