package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail/database"
)

// adopted is what an adoption left, as the settings remember it.
type adopted struct {
	Table   string   `json:"table"`             // the old one
	View    string   `json:"view,omitempty"`    // that has taken its place
	Columns []string `json:"columns,omitempty"` // of the application's, kept in the log
	Dropped bool     `json:"dropped,omitempty"`
}

// keptColumns are the names of the application's columns in the log.
func (a *adoption) keptColumns() (names []string) {
	for _, c := range a.old.extra() {
		if slices.Contains(a.names, quote(c.name)) {
			names = append(names, c.name)
		}
	}
	return names
}

// adoptedIn reads what an adoption left, a zero value when there was none.
func adoptedIn(ctx context.Context, q querier, l *layout) (a adopted, err error) {
	var raw []byte
	err = q.QueryRow(ctx, l.sql("SELECT value FROM {schema}.settings WHERE name = 'adopted'")).Scan(&raw)
	if errors.Is(err, pgx.ErrNoRows) {
		return a, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &a)
	}
	return a, wrap("read settings", err)
}

// DropOld drops the table that an adoption has kept aside, and the view that
// took its place; it names what it dropped, nothing when all is gone already.
func (s *Store) DropOld(ctx context.Context) (dropped []string, err error) {
	ctx, l, err := s.openUnlimited(ctx)
	if err != nil {
		return nil, err
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if err := lock(ctx, tx, l.Schema, "migrate"); err != nil {
			return err
		}
		a, err := adoptedIn(ctx, tx, l)
		if err != nil || a.Table == "" || a.Dropped {
			return err
		}
		dropped = []string{"table " + a.Table}
		statements := []string{"DROP TABLE IF EXISTS " + a.Table}
		if a.View != "" {
			dropped = append(dropped, "view "+a.View)
			statements = append(statements, "DROP VIEW IF EXISTS "+a.View)
		}
		statements = append(statements, l.sql(`UPDATE {schema}.settings SET value = value || '{"dropped": true}' WHERE name = 'adopted'`))
		return execEach(ctx, tx, statements...)
	})
	return dropped, wrap("drop the adopted table", err)
}

// checkAdopted tells of an old table that is still there.
func (s *Store) checkAdopted(ctx context.Context, l *layout) (checks []database.Check, err error) {
	a, err := adoptedIn(ctx, s.pool, l)
	if err != nil || a.Table == "" || a.Dropped {
		return nil, err
	}
	return []database.Check{{
		Name: "adopted table", OK: true,
		Detail: "the old one is kept as " + a.Table + "; sandtrail migrate --adopt --drop-old drops it",
	}}, nil
}
