package outbox_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail/outbox"
)

// filesWith lists the files of an outbox that hold a text.
func filesWith(t *testing.T, b *outbox.Outbox, text string) (found []string) {
	t.Helper()
	if err := filepath.WalkDir(b.Dir(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte(text)) {
			found = append(found, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

// No file of an outbox holds the text of a record that was delivered or given
// up, or of one whose writer was killed before it was acknowledged.
func TestNoFileHoldsWhatIsGone(t *testing.T) {
	const secret = "marker-of-ada"
	b, s := open(t, outbox.Options{}), &store{}
	put(t, b, draft(secret), draft(secret))
	trace := must(b.Begin(draft(secret)))
	if err := b.Finish(trace, put(t, b, draft(secret))[0]); err != nil {
		t.Fatal(err)
	}
	if err := b.End(trace); err != nil {
		t.Fatal(err)
	}
	if err := b.Drop(outbox.TooOld, draft(secret)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.AccountForDrops(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"", "refused", "started", "dropped"} {
		path := filepath.Join(b.Dir(), dir, ".killed.tmp")
		if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
		killed := now.Add(-2 * time.Hour)
		if err := os.Chtimes(path, killed, killed); err != nil {
			t.Fatal(err)
		}
	}
	written := filepath.Join(b.Dir(), ".written.tmp") // at this moment
	if err := os.WriteFile(written, []byte("of another"), 0o600); err != nil {
		t.Fatal(err)
	}
	if done := flush(t, b, s); done.Delivered != 4 {
		t.Errorf("got %+v, want 4 delivered", done)
	}
	if found := filesWith(t, b, secret); len(found) > 0 {
		t.Errorf("the text is in %q", found)
	}
	if found := filesWith(t, b, "of another"); len(found) != 1 {
		t.Error("a file that is being written was removed")
	}
	holds(t, b, outbox.State{})
}

// A file that is being written aside is no refused record.
func TestRetryLeavesWhatIsWrittenAside(t *testing.T) {
	b := open(t, outbox.Options{})
	if err := os.WriteFile(filepath.Join(b.Dir(), "refused", ".written.tmp"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := b.Retry(); n != 0 || err != nil {
		t.Errorf("put back %d, %v", n, err)
	}
	holds(t, b, outbox.State{})
}
