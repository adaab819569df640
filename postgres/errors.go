package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/remedy"
)

// SQLSTATEs that mean something to us.
const (
	uniqueViolation      = "23505"
	foreignKeyViolation  = "23503"
	notNullViolation     = "23502"
	checkViolation       = "23514"
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	lockNotAvailable     = "55P03"
	tooManyConnections   = "53300"
	undefinedTable       = "42P01"
	invalidSchema        = "3F000"
	readOnlyTransaction  = "25006"
	queryCanceled        = "57014" // by statement_timeout, or by hand
	idleInTransaction    = "25P03" // these end the session
	transactionTimeout   = "25P04"
	idleSession          = "57P05"
	outOfRange           = "22003" // a number beyond the application's keys
	invalidText          = "22P02" // not a UUID, where the application's keys are UUIDs
	insufficientRights   = "42501"
	internalError        = "XX000" // of Citus's COPY: whatever happened on a worker
)

var errNotMigrated = &sandtrail.Error{
	Code:     sandtrail.CodeUnavailable,
	Message:  "the database has no Sandtrail tables yet: migrate it",
	Remedies: []sandtrail.Remedy{{Act: remedy.Migrate}},
}

// state is the SQLSTATE of an error of the server, "" for others.
func state(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// isLocked reports whether others hold a lock that a statement did not wait for
// any longer.
func isLocked(err error) bool { return state(err) == lockNotAvailable }

func isTransient(err error) bool {
	code := state(err)
	return code == serializationFailure || code == deadlockDetected
}

// wrap says what was being done and gives the error its code. Errors that
// have one keep it.
func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	var ours *sandtrail.Error
	if errors.As(err, &ours) {
		return err
	}
	if state(err) == heldState {
		return database.Held(err)
	}
	code, message := classify(err)
	if code == sandtrail.CodeInternal {
		return fmt.Errorf("%s: %w", doing, err)
	}
	e := &sandtrail.Error{Code: code, Message: doing + ": " + message, Private: err.Error(), Err: err}
	if message == missingTables {
		e.With(sandtrail.Remedy{Act: remedy.Migrate})
	}
	return e
}

const missingTables = "the database lacks tables of Sandtrail; migrate it"

const missingGrant = "the database does not let the user that Sandtrail connects as do this; grant it the right, or connect as the owner of the tables"

const readingOnly = "the database may only be read here, as on a standby: give the URL of the primary"

const outOfReach = "the database is out of reach or cannot do this now; try again later"

// classify finds what an error of the driver means to a caller, and words it
// without what the driver says: that names hosts and users.
func classify(err error) (code sandtrail.Code, message string) {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return sandtrail.CodeInternal, "" // the caller's own doing, found by errors.Is
	}
	var network net.Error
	var connect *pgconn.ConnectError
	switch class := state(err); {
	case class == undefinedTable || class == invalidSchema:
		return sandtrail.CodeUnavailable, missingTables
	case class == insufficientRights:
		return sandtrail.CodeUnavailable, missingGrant
	case class == readOnlyTransaction:
		return sandtrail.CodeUnavailable, readingOnly
	case class == queryCanceled:
		return sandtrail.CodeUnavailable, endedByHand
	case strings.HasPrefix(class, "08"), strings.HasPrefix(class, "57P"), strings.HasPrefix(class, "53"),
		limitOf(class) != "", class == serializationFailure, class == deadlockDetected:
		return sandtrail.CodeUnavailable, outOfReach
	case strings.HasPrefix(class, "22"), class == notNullViolation, class == checkViolation:
		return sandtrail.CodeInvalid, "the database does not take a value"
	case class != "" && !errors.As(err, &connect):
		return sandtrail.CodeInternal, ""
	case errors.As(err, &connect), errors.As(err, &network), pgconn.SafeToRetry(err), isClosed(err):
		return sandtrail.CodeUnavailable, outOfReach
	}
	return sandtrail.CodeInternal, ""
}

// isClosed recognises a connection that ended under a query.
func isClosed(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

// isNoKey recognises the complaint that an id cannot be one of the
// application's: no UUID, or no number that fits.
func isNoKey(err error) bool { return state(err) == invalidText || state(err) == outOfRange }

// notFound replaces the driver's "no rows", and its complaint that a key is
// not a UUID, by the contract's error.
func notFound(err error, format string, args ...any) error {
	if errors.Is(err, pgx.ErrNoRows) || isNoKey(err) {
		return sandtrail.Errorf(sandtrail.CodeNotFound, format, args...)
	}
	return err
}
