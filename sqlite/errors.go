package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/remedy"
)

// resultCode is SQLite's extended result code of err, 0 if there is none.
func resultCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

// primary is the result code without its extension.
func primary(code int) int { return code & 0xff }

// isBusy reports whether another process holds a lock that will go away.
func isBusy(err error) bool {
	code := primary(resultCode(err))
	return code == sqlite3.SQLITE_BUSY || code == sqlite3.SQLITE_LOCKED
}

// isHeld recognises the refusal of a trigger of ours. An application's own
// triggers refuse with the same result code.
func isHeld(err error) bool {
	return resultCode(err) == sqlite3.SQLITE_CONSTRAINT_TRIGGER && strings.Contains(err.Error(), "a legal hold keeps ")
}

// translate gives a driver's error its code and a message that says what to
// do. An error that has its code already is left alone.
func (s *Store) translate(ctx context.Context, what string, err error) error {
	var coded *sandtrail.Error
	if errors.As(err, &coded) {
		return err
	}
	unavailable := func(why string) *sandtrail.Error { return s.unavailable(what+": "+why, err) }
	if isHeld(err) {
		return database.Held(err)
	}
	if resultCode(err) == sqlite3.SQLITE_IOERR_SHMSIZE { // a file beside the database cannot grow
		return unavailable("the disk is full; make room and repeat")
	}
	switch primary(resultCode(err)) {
	case sqlite3.SQLITE_FULL:
		return unavailable("the disk is full; make room and repeat")
	case sqlite3.SQLITE_IOERR:
		return unavailable("the disk reports an error; check it and the file system")
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
		return unavailable("the database file cannot be opened; check its permissions and those of its directory")
	case sqlite3.SQLITE_READONLY:
		return unavailable("the database file cannot be written; check its permissions and those of its directory")
	case sqlite3.SQLITE_NOTADB:
		return unavailable("the file is not an SQLite database; give another path")
	case sqlite3.SQLITE_CORRUPT:
		return unavailable("the database file is damaged; restore a backup").With(sandtrail.Remedy{Act: remedy.Examine, Note: "tells what is wrong"})
	case sqlite3.SQLITE_TOOBIG:
		return &sandtrail.Error{Code: sandtrail.CodeTooLarge, Message: what + ": a value is too large", Private: err.Error(), Err: err}
	case sqlite3.SQLITE_ERROR:
		if pending := s.behind(ctx); pending > 0 {
			return s.errPending(pending)
		}
	}
	return fmt.Errorf("%s: %w", what, err)
}

// behind returns how many migrations are missing, 0 when it cannot tell.
func (s *Store) behind(ctx context.Context) (pending int) {
	_ = inTx(ctx, s.readers.DB, func(tx *sql.Tx) (err error) {
		pending, err = pendingMigrations(ctx, tx)
		return err
	})
	return pending
}

func (s *Store) errPending(n int) error {
	return s.unavailable(fmt.Sprintf("the database lacks %d migrations; migrate it", n), nil).With(sandtrail.Remedy{Act: remedy.Migrate})
}

// unavailable keeps from callers where the file is and what the driver says.
func (s *Store) unavailable(message string, cause error) *sandtrail.Error {
	e := &sandtrail.Error{Code: sandtrail.CodeUnavailable, Message: message, Private: s.path, Err: cause}
	if cause != nil {
		e.Private += ": " + cause.Error()
	}
	return e
}
