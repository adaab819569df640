package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/durable"
	"github.com/sandtrail/sandtrail/recorder"
	"github.com/sandtrail/sandtrail/runner"
)

// sessionsFlag says where recorded sessions are.
type sessionsFlag struct{ runner.SessionsFlag }

func (f sessionsFlag) sessionDir(d *deps) (string, error) { return f.Dir(d.program()) }

func sessionPath(dir string, id sandtrail.ID) string {
	return filepath.Join(dir, recorder.SessionName(id))
}

// openSession opens the recorded session of an execution and what its record
// says of it: from the directory of sessions, or else from where the record
// says it is. A record is written by others: no file of another name is opened
// on its word.
func (f sessionsFlag) openSession(d *deps, e sandtrail.Execution) (*os.File, recorder.Session, error) {
	session, ok := recorder.SessionOf(e.Metadata)
	if !ok {
		return nil, session, sandtrail.Errorf(sandtrail.CodeNotFound, "no session of execution %s was recorded", e.ID)
	}
	dir, err := f.sessionDir(d)
	if err != nil {
		return nil, session, err
	}
	path := sessionPath(dir, e.ID)
	file, err := durable.OpenNamed(path)
	if errors.Is(err, fs.ErrNotExist) && filepath.Base(session.Path) == filepath.Base(path) {
		file, err = durable.OpenNamed(session.Path)
	}
	if err != nil {
		return nil, session, sandtrail.Errorf(sandtrail.CodeNotFound,
			"%w; name the directory with --session-dir or the file with --file", err)
	}
	return file, session, nil
}

// isAsRecorded reports whether the file's SHA-256 is the one in the record.
func isAsRecorded(f *os.File, session recorder.Session) (bool, error) {
	hash := sha256.New()
	if _, err := io.Copy(hash, io.NewSectionReader(f, 0, 1<<62)); err != nil {
		return false, fmt.Errorf("read the session: %w", err)
	}
	return hex.EncodeToString(hash.Sum(nil)) == *session.SHA256, nil
}
