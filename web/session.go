package web

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/sandtrail/sandtrail"
)

// playPolicy is what pages may load that can play a session: the player is
// WebAssembly.
const playPolicy = "script-src 'self' 'wasm-unsafe-eval'"

// terminalSession is what a record says about the recording of a terminal session.
type terminalSession struct {
	SHA256 string `json:"sha256"` // "": the recorder was lost, and with it the end of the file
	Bytes  int64  `json:"bytes"`
	Capped bool   `json:"capped"` // the rest is missing
	Input  bool   `json:"input"`  // what was typed is in it

	Href string `json:"-"` // of the recording; "" when it is not on this machine
}

// sessionOf is nil when no session was recorded.
func sessionOf(metadata json.RawMessage) *terminalSession {
	var found struct {
		Run struct {
			Session *terminalSession `json:"session"`
		} `json:"run"`
	}
	if json.Unmarshal(metadata, &found) != nil {
		return nil
	}
	return found.Run.Session
}

// openSession opens the recording of an execution's session.
func (v *view) openSession(id sandtrail.ID) (*os.File, error) {
	missing := sandtrail.Errorf(sandtrail.CodeNotFound, "The recording of this session is not on this server.")
	if v.Sessions == nil {
		return nil, missing
	}
	file, err := v.Sessions(id)
	if sandtrail.CodeOf(err) == sandtrail.CodeNotFound {
		err = missing
	}
	return file, err
}

// replay prepares the player on the page of an execution.
func (p *executionPage) replay(v *view, e sandtrail.Execution) error {
	if p.Session = sessionOf(e.Metadata); p.Session == nil {
		return nil
	}
	file, err := v.openSession(e.ID)
	if sandtrail.CodeOf(err) == sandtrail.CodeNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	p.Session.Href = p.Row.Href + "/session"
	v.w.Header().Set("Content-Security-Policy", policy(playPolicy))
	return file.Close()
}

// recording sends the recording of a session, if it is still the one that was
// recorded.
func recording(v *view) error {
	e, err := v.executionInPath()
	if err != nil {
		return err
	}
	s := sessionOf(e.Metadata)
	if s == nil {
		return sandtrail.Errorf(sandtrail.CodeNotFound, "No session of this execution was recorded.")
	}
	file, err := v.openSession(e.ID)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("read the session: %w", err)
	}
	h := v.w.Header()
	if s.SHA256 != "" {
		sum := sha256.New()
		if _, err := io.Copy(sum, io.NewSectionReader(file, 0, info.Size())); err != nil {
			return fmt.Errorf("read the session: %w", err)
		}
		if hex.EncodeToString(sum.Sum(nil)) != s.SHA256 {
			return sandtrail.Errorf(sandtrail.CodeConflict, "The recording is another one than the execution names: its SHA-256 differs. Put the right one in its place.")
		}
		h.Set("ETag", `"`+s.SHA256+`"`)
	}
	h.Set("Content-Type", "application/x-asciicast")
	h.Set("Content-Disposition", `inline; filename="`+e.ID.String()+`.cast"`)
	h.Set("Cache-Control", "private, no-cache")
	http.ServeContent(v.w, v.r, "", info.ModTime(), file)
	return nil
}
