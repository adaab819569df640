package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/auth"
)

const cast = `{"version":3,"term":{"cols":40,"rows":6}}
[0.01,"o","$ echo hello\r\n"]
[0.02,"o","hello\r\n"]
[0.01,"x","0"]
`

// recordedSession stores an execution with a recorded session and returns its
// page and the file, as it is and as the page opens it.
func recordedSession(t *testing.T, store fullStore) (path, file string, open func(*Options)) {
	t.Helper()
	record(t, store)
	sum := sha256.Sum256([]byte(cast))
	batch, err := sandtrail.Admission{Now: now}.Admit(sandtrail.Draft{
		UserID: "u1", StrategyID: "s1", Type: sandtrail.Terminal, Success: new(true), ExecutionTime: new(40),
		Metadata: fmt.Appendf(nil, `{"run":{"session":{"path":"/elsewhere","format":"asciicast-v3","sha256":%q,"bytes":%d,"capped":true,"input":false}}}`,
			hex.EncodeToString(sum[:]), len(cast)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	id, dir := batch[0].Execution.ID, t.TempDir()
	file = filepath.Join(dir, id.String()+".cast")
	if err := os.WriteFile(file, []byte(cast), 0o600); err != nil {
		t.Fatal(err)
	}
	return "/executions/" + id.String(), file, func(o *Options) {
		o.Sessions = func(id sandtrail.ID) (*os.File, error) {
			f, err := os.Open(filepath.Join(dir, id.String()+".cast"))
			if os.IsNotExist(err) {
				err = sandtrail.Errorf(sandtrail.CodeNotFound, "%w", fs.ErrNotExist)
			}
			return f, err
		}
	}
}

func TestSessionIsSentToWhomMaySeeIt(t *testing.T) {
	store := emptyStore(t)
	path, file, open := recordedSession(t, store)
	h := whole(t, store, still, open)
	page(t, h, path, http.StatusOK).wantText(t, "Terminal session", "Play the session", "the end is missing")
	if policy := get(t, h, path).Header().Get("Content-Security-Policy"); !strings.Contains(policy, "'wasm-unsafe-eval'") {
		t.Errorf("the player cannot run under %q", policy)
	}
	whole1 := get(t, h, path+"/session")
	if whole1.Body.String() != cast || whole1.Header().Get("ETag") == "" {
		t.Errorf("status %d, %v: %s", whole1.Code, whole1.Header(), whole1.Body)
	}
	part := get(t, h, path+"/session", func(r *http.Request) { r.Header.Set("Range", "bytes=2-10") })
	if part.Code != http.StatusPartialContent || !bytes.Equal(part.Body.Bytes(), []byte(cast)[2:11]) {
		t.Errorf("a part: status %d: %s", part.Code, part.Body)
	}
	same := get(t, h, path+"/session", func(r *http.Request) { r.Header.Set("If-None-Match", whole1.Header().Get("ETag")) })
	if same.Code != http.StatusNotModified {
		t.Errorf("the same again: status %d", same.Code)
	}

	if err := os.WriteFile(file, []byte(strings.ReplaceAll(cast, "hello", "HELLO")), 0o600); err != nil {
		t.Fatal(err)
	}
	page(t, h, path+"/session", http.StatusConflict).wantText(t, "SHA-256 differs")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	page(t, h, path+"/session", http.StatusNotFound).wantText(t, "not on this server")
	p := page(t, h, path, http.StatusOK)
	p.wantText(t, "sandtrail play")
	if policy := get(t, h, path).Header().Get("Content-Security-Policy"); strings.Contains(policy, "wasm") {
		t.Errorf("nothing to play, but the policy is %q", policy)
	}
}

func TestSessionsOfOthersAreNotThere(t *testing.T) {
	store := emptyStore(t)
	path, _, open := recordedSession(t, store)
	h := whole(t, store, still, open)
	for user, status := range map[string]int{"u1": http.StatusOK, "u2": http.StatusNotFound} {
		_, secret := addKey(t, store, auth.RoleRead, user)
		if w := get(t, h, path+"/session", signedIn(t, h, secret)); w.Code != status {
			t.Errorf("bound to %s: status %d, want %d", user, w.Code, status)
		}
	}
}

// TestSessionPlays loads the player under the page's policy and reads the
// terminal.
func TestSessionPlays(t *testing.T) {
	store := emptyStore(t)
	path, _, open := recordedSession(t, store)
	b := browse(t, whole(t, store, still, open))
	complaints := b.complaints()
	b.open(path)
	if n := run[int](b, `performance.getEntriesByType("resource").filter((r) => r.name.includes("asciinema")).length`); n != 0 {
		t.Errorf("%d files of the player are loaded before anybody wants to play", n)
	}
	b.do(chromedp.Click(chromedp.CSS("[data-play]")))
	b.wait(`document.querySelector(".session").textContent.includes("hello")`)
	if heard := complaints(); len(heard) > 0 {
		t.Errorf("the browser says: %q", heard)
	}
}
