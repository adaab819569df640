package main

import (
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"os"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/durable"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/web"
)

// page makes the page for people, beside the API that it asks in their names.
func (c *serveCmd) page(store serviceStore, rules []alert.Rule, periods sandtrail.Periods, proofs *ledger.Service, d *deps, log *slog.Logger) func(http.Handler) http.Handler {
	options := web.Options{
		Store: store, Now: d.now, Authenticator: web.Keyring(store, d.now), Rules: rules, Examiner: store, Alerts: store, AccessLog: store, Log: log,
		Retention: periods, Outbox: func() (web.Outbox, error) { return c.waiting(d) },
	}
	options.Sessions = func(id sandtrail.ID) (*os.File, error) { return c.recording(d, id) }
	if proofs != nil {
		options.Ledger = shownLedger{store, proofs}
	}
	return func(api http.Handler) http.Handler {
		options.API = api
		return web.Handler(options)
	}
}

// shownLedger is what the page tells of the ledger.
type shownLedger struct {
	database.LedgerKeeper
	*ledger.Service
}

// recording opens the recording of an execution's terminal session, from the
// directory of sessions alone: a record, which names a path, is written by
// others.
func (c *serveCmd) recording(d *deps, id sandtrail.ID) (*os.File, error) {
	dir, err := c.sessionDir(d)
	if err != nil {
		return nil, sandtrail.Errorf(sandtrail.CodeNotFound, "no directory of sessions: %w", err)
	}
	file, err := durable.OpenNamed(sessionPath(dir, id))
	if errors.Is(err, fs.ErrNotExist) {
		err = sandtrail.Errorf(sandtrail.CodeNotFound, "no session: %w", err)
	}
	return file, err
}

// waiting is existing as the page wants it.
func (c *serveCmd) waiting(d *deps) (web.Outbox, error) {
	box, err := c.existing(d)
	if box == nil {
		return nil, err
	}
	return box, err
}
