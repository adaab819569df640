package asciicast_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os/exec"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail/asciicast"
	"github.com/sandtrail/sandtrail/internal/nodetest"
)

// played is what asciinema's player makes of a file.
type played struct {
	Output   string
	Input    string
	Markers  []string
	Sizes    []string
	Duration float64 // seconds
}

// TestPlayer has asciinema's own player play what is written, and compares
// what it shows with what the reader reads.
func TestPlayer(t *testing.T) {
	const dir = "testdata/player"
	nodetest.Install(t, dir)
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 300<<10)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	sessions := map[string]struct {
		limit int64
		write func(w *asciicast.Writer) error
	}{
		"a shell": {0, func(w *asciicast.Writer) error {
			must(t,
				w.Write(10*ms, asciicast.Output, []byte("\x1b[01;34m~\x1b[0m$ ")),
				w.Write(900*ms, asciicast.Input, []byte("ls\r")),
				w.Write(901*ms, asciicast.Output, []byte("ls\r\nh\xc3")),
				w.Resize(950*ms, 120, 40),
				w.Write(960*ms, asciicast.Output, []byte("\xa9 世界 😀\r\n")))
			return w.Exit(2*time.Second, 130)
		}},
		"noise": {0, func(w *asciicast.Writer) error {
			for i := 0; len(noise) > i*1000; i++ {
				must(t, w.Write(time.Duration(i)*333*time.Microsecond, asciicast.Output, noise[i*1000:min(len(noise), (i+1)*1000)]))
			}
			return w.Exit(time.Second, 0)
		}},
		"one great burst": {0, func(w *asciicast.Writer) error { return w.Write(ms, asciicast.Output, noise) }},
		"up to a limit": {20 << 10, func(w *asciicast.Writer) error {
			for i := range 100 {
				must(t, w.Write(time.Duration(i)*ms, asciicast.Output, bytes.Repeat([]byte("x"), 1000)))
			}
			return w.Exit(time.Second, 1)
		}},
		"nothing at all": {0, func(w *asciicast.Writer) error { return w.Exit(ms, 0) }},
	}
	for name, session := range sessions {
		t.Run(name, func(t *testing.T) {
			var file bytes.Buffer
			must(t, session.write(newWriter(t, &file, session.limit)))

			want := played{Sizes: []string{"80x24"}, Markers: []string{}}
			_, events := read(t, file.String())
			for _, event := range events {
				want.Duration = event.At.Seconds()
				switch event.Code {
				case asciicast.Output:
					want.Output += event.Data
				case asciicast.Input:
					want.Input += event.Data
				case asciicast.Marker:
					want.Markers = append(want.Markers, event.Data)
				case asciicast.Resize:
					want.Sizes = append(want.Sizes, event.Data)
				}
			}
			cmd := exec.CommandContext(t.Context(), "node", "play.js")
			cmd.Dir, cmd.Stdin = dir, &file
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("the player: %v\n%.1000s", err, out)
			}
			var got played
			if err := json.Unmarshal(out, &got); err != nil {
				t.Fatalf("%v: %.1000s", err, out)
			}
			got.Duration, want.Duration = float64(int(got.Duration*1e6+0.5)), float64(int(want.Duration*1e6+0.5))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the player sees another session (-written +played):\n%.2000s", diff)
			}
		})
	}
}
