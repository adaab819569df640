package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sandtrail/sandtrail/ledger"
)

var checkpoint = Checkpoint{
	Origin: "example.com/audit", Size: 7, Signed: "example.com/audit\n7\n…\n",
	Proof: func(_ context.Context, old int64) ([]byte, error) { return fmt.Appendf(nil, "old %d", old), nil },
	Confirm: func(_ context.Context, signed []byte) error { // all but those marked as of a fork
		if strings.Contains(string(signed), "fork") {
			return fmt.Errorf("%w: test", ledger.ErrContradicted)
		}
		return nil
	},
}

func TestDirectory(t *testing.T) {
	dir := Directory{Path: t.TempDir()}
	for range 2 { // the second time it is there already
		if err := dir.Publish(t.Context(), checkpoint); err != nil {
			t.Fatal(err)
		}
	}
	files, err := os.ReadDir(dir.Path)
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v; want one file", files, err)
	}
	got, err := os.ReadFile(filepath.Join(dir.Path, "checkpoint-000000000007.txt"))
	if err != nil || string(got) != checkpoint.Signed {
		t.Errorf("%q, %v", got, err)
	}
	other := checkpoint // of the log that began after a reset
	other.Signed = "example.com/audit\n7\nanother\n"
	for range 2 {
		if err := dir.Publish(t.Context(), other); err != nil {
			t.Fatal(err)
		}
	}
	files, err = os.ReadDir(dir.Path)
	if err != nil || len(files) != 2 {
		t.Fatalf("%v, %v; want a file of each", files, err)
	}
	if got, err := os.ReadFile(filepath.Join(dir.Path, files[0].Name())); err != nil || string(got) != other.Signed {
		t.Errorf("%s: %q, %v", files[0].Name(), got, err)
	}
	third := checkpoint // whose name something else has
	third.Size, third.Signed = 8, "example.com/audit\n8\n…\n"
	if err := os.WriteFile(filepath.Join(dir.Path, "checkpoint-000000000008.txt"), make([]byte, 10*maxCheckpoint), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := dir.Publish(t.Context(), third); err != nil {
		t.Fatal(err)
	}
	if files, err := filepath.Glob(filepath.Join(dir.Path, "checkpoint-000000000008-*.txt")); err != nil || len(files) != 1 {
		t.Errorf("beside a file that is no checkpoint: %v, %v; want one of its own", files, err)
	}
	if err := (Directory{Path: filepath.Join(dir.Path, "missing")}).Publish(t.Context(), checkpoint); err == nil {
		t.Error("a directory that is missing is no error")
	}
}

// TestDirectoryTellsOfForks: files that contradict the log are named, of the
// checkpoint's size and beyond.
func TestDirectoryTellsOfForks(t *testing.T) {
	for _, size := range []int64{7, 900} {
		dir := Directory{Path: t.TempDir()}
		other := checkpoint
		other.Size, other.Signed = size, fmt.Sprintf("example.com/audit\n%d\nfork\n", size)
		other.Confirm = func(context.Context, []byte) error { return nil }
		if err := dir.Publish(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		for range 2 { // it is told again, and the checkpoint is published all the same
			err := dir.Publish(t.Context(), checkpoint)
			if name := fmt.Sprintf("checkpoint-%012d.txt", size); !errors.Is(err, ledger.ErrContradicted) || !strings.Contains(err.Error(), name) {
				t.Errorf("beside a fork of %d entries: %v; want an error that names %s", size, err, name)
			}
		}
		if files, err := os.ReadDir(dir.Path); err != nil || len(files) != 2 {
			t.Errorf("%v, %v; want both checkpoints", files, err)
		}
	}
}

func TestWebhook(t *testing.T) {
	var got struct {
		Type, Origin, Checkpoint string
		Size                     int64
	}
	var kind, key string
	hook := Webhook{func(_ context.Context, body []byte, contentType, of string) error {
		kind, key = contentType, of
		return json.Unmarshal(body, &got)
	}}
	if err := hook.Publish(t.Context(), checkpoint); err != nil {
		t.Fatal(err)
	}
	if got.Type != "sandtrail.checkpoint" || got.Origin != checkpoint.Origin || got.Size != 7 || got.Checkpoint != checkpoint.Signed {
		t.Errorf("posted %+v", got)
	}
	if kind != "application/json" || key != "example.com/audit/7" {
		t.Errorf("as %q with the key %q", kind, key)
	}
}

func TestWitness(t *testing.T) {
	for name, test := range map[string]struct {
		answers []string // status and body, one for each request
		asked   string
		wantErr string
	}{
		"the first":        {[]string{"200 — w x"}, "old 0", ""},
		"from where it is": {[]string{"409 5", "200 — w x"}, "old 0,old 5", ""},
		"a fork":           {[]string{"409 5", "422 cut or rewritten"}, "old 0,old 5", "cut or rewritten"},
		"no witness":       {[]string{"404 no"}, "old 0", "404"},
		"no size":          {[]string{"409 x"}, "old 0", "409"},
		"ever another":     {[]string{"409 1", "409 2", "409 3"}, "old 0,old 1,old 2", "faster"},
	} {
		t.Run(name, func(t *testing.T) {
			var asked []string
			h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				var status int
				answer := test.answers[len(asked)]
				asked = append(asked, string(body))
				_, _ = fmt.Sscan(answer, &status)
				w.WriteHeader(status)
				_, _ = io.WriteString(w, answer[4:])
			}))
			defer h.Close()
			err := Witness{URL: h.URL + "/", HTTP: h.Client()}.Publish(t.Context(), checkpoint)
			if (err == nil) != (test.wantErr == "") || err != nil && !strings.Contains(err.Error(), test.wantErr) {
				t.Errorf("error %v, want one with %q", err, test.wantErr)
			}
			if got := strings.Join(asked, ","); got != test.asked {
				t.Errorf("asked %s, want %s", got, test.asked)
			}
		})
	}
}
