package recorder

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/asciicast"
	"github.com/sandtrail/sandtrail/durable"
	"github.com/sandtrail/sandtrail/internal/pty"
)

// Session is the recording of what was seen on a terminal. Its JSON is
// metadata.run.session.
type Session struct {
	Path   string  `json:"path"` // absolute
	Format string  `json:"format"`
	SHA256 *string `json:"sha256"` // of the file, hexadecimal; nil: not known
	Bytes  *int64  `json:"bytes"`  // of the file; nil: not known
	Capped bool    `json:"capped"` // the file reached its limit, the rest is missing
	Input  bool    `json:"input"`  // it holds what was typed too
}

const (
	// SessionFormat is the format of the files.
	SessionFormat = "asciicast-v3"
	// DefaultSessionBytes bounds a file.
	DefaultSessionBytes = 64 << 20
)

// session writes the recording of a session. Every event is in the file when
// the call returns, so that it outlives us; it is synced at the end.
type session struct {
	path  string
	input bool
	begun time.Time

	mu   sync.Mutex
	file *os.File
	sum  hash.Hash
	cast *asciicast.Writer
	err  error // the first; nothing is written after it
}

func newSession(c Command, size pty.Size) (*session, error) {
	path, err := filepath.Abs(c.Terminal.Record)
	if err == nil {
		err = durable.MakePrivate(filepath.Dir(path))
	}
	if err != nil {
		return nil, noSession(err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, noSession(err)
	}
	s := &session{path: path, input: c.Terminal.RecordInput, begun: time.Now(), file: f, sum: sha256.New()}
	limit := c.Terminal.MaxBytes
	if limit == 0 {
		limit = DefaultSessionBytes
	}
	header := asciicast.Header{Cols: size.Cols, Rows: size.Rows, Begun: s.begun, Command: storable(filepath.Base(c.Args[0]))}
	if s.cast, err = asciicast.NewWriter(lines{s}, header, limit); err != nil {
		s.abandon()
		return nil, noSession(err)
	}
	return s, nil
}

// noSession says why a session cannot be recorded: because of the path that was
// given, or because of the machine.
func noSession(err error) error {
	if errors.Is(err, durable.ErrNotPrivate) { // says itself what to do
		return sandtrail.Errorf(sandtrail.CodeInvalid, "record the session: %w", err)
	}
	for _, given := range []error{fs.ErrExist, fs.ErrNotExist, fs.ErrPermission, syscall.ENOTDIR, syscall.EISDIR, syscall.ENAMETOOLONG} {
		if errors.Is(err, given) {
			return sandtrail.Errorf(sandtrail.CodeInvalid, "record the session: %w; name another file", err)
		}
	}
	return sandtrail.Errorf(sandtrail.CodeUnavailable, "record the session: %w; mend it, or run without the recording", err)
}

// lines writes a session's lines to its file, all of each or nothing.
type lines struct{ *session }

func (l lines) Write(line []byte) (int, error) {
	n, err := l.file.Write(line)
	if err != nil {
		return 0, errors.Join(err, l.cut(int64(n)))
	}
	l.sum.Write(line)
	return n, nil
}

// cut takes the beginning of a line off the end of the file.
func (s *session) cut(n int64) error {
	end, err := s.file.Seek(-n, io.SeekEnd)
	if err != nil {
		return err
	}
	return s.file.Truncate(end)
}

// Write records what is seen. It never fails: a session that cannot be
// recorded goes on.
func (s *session) Write(p []byte) (int, error) {
	s.event(func(at time.Duration) error { return s.cast.Write(at, asciicast.Output, p) })
	return len(p), nil
}

// typed records input, if that is to be recorded.
func (s *session) typed(p []byte) {
	if s != nil && s.input {
		s.event(func(at time.Duration) error { return s.cast.Write(at, asciicast.Input, p) })
	}
}

func (s *session) resized(size pty.Size) {
	if s != nil {
		s.event(func(at time.Duration) error { return s.cast.Resize(at, size.Cols, size.Rows) })
	}
}

func (s *session) event(write func(at time.Duration) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = write(time.Since(s.begun))
	}
}

// close ends the recording with the command's exit status and makes it
// durable. The error says what is missing.
func (s *session) close(status int) (*Session, error) {
	if s == nil {
		return nil, nil
	}
	s.event(func(at time.Duration) error { return s.cast.Exit(at, status) })
	s.mu.Lock() // output that is passed on too late is not recorded any more
	defer s.mu.Unlock()
	sum, size := hex.EncodeToString(s.sum.Sum(nil)), s.cast.Bytes()
	err := errors.Join(s.err, s.file.Sync(), s.file.Close())
	s.err = os.ErrClosed
	return &Session{
		Path: s.path, Format: SessionFormat, SHA256: &sum, Bytes: &size, Capped: s.cast.Capped(), Input: s.input,
	}, err
}

// abandon removes the recording of a session that did not begin.
func (s *session) abandon() {
	if s != nil {
		s.file.Close()
		_ = os.Remove(s.path) // empty but for its header
	}
}

// SessionOf is what the metadata of an execution says of its session, if one
// was recorded.
func SessionOf(metadata json.RawMessage) (Session, bool) {
	var m struct{ Run struct{ Session Session } }
	err := json.Unmarshal(metadata, &m)
	return m.Run.Session, err == nil && m.Run.Session.Path != ""
}

// SessionName is the name of the file with the session of an execution.
func SessionName(id sandtrail.ID) string { return id.String() + ".cast" }

// sealSession completes what the metadata of a lost run says of its session, if
// that is at the path where it belongs. If its file is gone, or is not here, or
// the directory is not this user's alone, that stays as it is.
func sealSession(metadata json.RawMessage, path string) json.RawMessage {
	s, ok := SessionOf(metadata)
	if !ok || s.Path != path || durable.CheckPrivate(filepath.Dir(path)) != nil {
		return metadata
	}
	if err := s.seal(); err != nil {
		return metadata
	}
	var all map[string]any
	_ = json.Unmarshal(metadata, &all) // it has been read above
	run, ok := all["run"].(map[string]any)
	if !ok {
		return metadata
	}
	run["session"] = s
	sealed, _ := json.Marshal(all) // what was read can be written
	return sealed
}

// seal cuts a torn last line off a session's file and takes in the rest.
func (s *Session) seal() error {
	f, err := durable.OpenRegular(s.Path, os.O_RDWR)
	if err != nil {
		return err
	}
	defer f.Close()
	whole, err := lastLineEnd(f)
	if err == nil {
		err = f.Truncate(whole)
	}
	if err != nil {
		return err
	}
	if capped, err := asciicast.Capped(io.NewSectionReader(f, 0, whole)); err == nil {
		s.Capped = capped
	}
	sum := sha256.New()
	size, err := io.Copy(sum, io.NewSectionReader(f, 0, whole))
	if err != nil {
		return err
	}
	hexadecimal := hex.EncodeToString(sum.Sum(nil))
	s.SHA256, s.Bytes = &hexadecimal, &size
	return f.Sync()
}

// lastLineEnd is where the last whole line of the file ends.
func lastLineEnd(f *os.File) (int64, error) {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	buf := make([]byte, 64<<10)
	for end > 0 {
		begin := max(0, end-int64(len(buf)))
		n, err := f.ReadAt(buf[:end-begin], begin)
		if err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			return begin + int64(i) + 1, nil
		}
		end = begin
	}
	return 0, nil
}
