package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"time"
)

const (
	// textBatch is how many milliseconds one transaction takes into the text
	// index: some 60 ms of work, for which other writers wait.
	textBatch = 200
	// textSteps is how many such transactions a round of upkeep makes while no other
	// writer of this process waits for them.
	textSteps = 10
	// textLook is how many executions a step reads in search of such with text.
	textLook = 5000
	// crowdRows and crowdBytes are the most of one millisecond in the index.
	crowdRows, crowdBytes = 1000, 4 << 20
	// textPages is how many pages of the index a step rewrites.
	textPages = 64
)

// keepTexts takes what is due into the text index, then what was there before
// it, and then removes from it what is gone.
func (s *Store) keepTexts(ctx context.Context, _ time.Time) error {
	waits := s.writer.Stats().WaitCount
	for step := 0; step < textSteps && (step == 0 || s.writer.Stats().WaitCount == waits); step++ {
		idle, err := s.textsKept(ctx)
		if err != nil || idle {
			return err
		}
		if err := s.write(ctx, "keep the text index", func(tx *sql.Tx) error { return keepTextsIn(ctx, tx) }); err != nil {
			return err
		}
	}
	return nil
}

// textState is how far the text index has come.
type textState struct {
	since   string // executions from here on are in it, or due
	rewrite int
	due     bool
}

func readTextState(ctx context.Context, tx *sql.Tx) (state textState, err error) {
	err = tx.QueryRowContext(ctx, `SELECT since, rewrite, EXISTS (SELECT 1 FROM sandtrail_text_due WHERE NOT crowded) FROM sandtrail_text_state`).
		Scan(&state.since, &state.rewrite, &state.due)
	return state, err
}

// from is since as a time.
func (t textState) from() time.Time {
	var from timestamp
	if err := from.Scan(t.since); err == nil {
		return from.Time
	}
	if t.since == allSince {
		return time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
}

// allSince is textState.since when every execution is in the index.
const allSince = "0"

func (s *Store) textsKept(ctx context.Context) (idle bool, err error) {
	err = s.read(ctx, "look at the text index", func(tx *sql.Tx) error {
		state, err := readTextState(ctx, tx)
		idle = !state.due && state.since == allSince && state.rewrite == 0
		return err
	})
	return idle, err
}

// keepTextsIn does one step of the upkeep of the text index.
func keepTextsIn(ctx context.Context, tx *sql.Tx) error {
	state, err := readTextState(ctx, tx)
	switch {
	case err != nil:
		return err
	case state.due:
		return takeDue(ctx, tx)
	case state.since > allSince:
		return takeOlder(ctx, tx, state.since)
	case state.rewrite > 0:
		return rewriteTexts(ctx, tx, state.rewrite)
	}
	return nil
}

// takeDue takes in the newest of what is due.
func takeDue(ctx context.Context, tx *sql.Tx) error {
	due, err := texts(ctx, tx, "SELECT created_at FROM sandtrail_text_due WHERE NOT crowded ORDER BY created_at DESC LIMIT ?", textBatch)
	for _, at := range due {
		if err == nil {
			err = takeTexts(ctx, tx, at)
		}
	}
	return err
}

// takeOlder takes in the newest of the executions that were there before the
// index and are not in it.
func takeOlder(ctx context.Context, tx *sql.Tx, since string) error {
	rows, err := tx.QueryContext(ctx, "SELECT created_at, metadata IS NOT NULL FROM sandbox_execution_logs INDEXED BY "+byTime+
		" WHERE created_at < ? AND created_at >= ? ORDER BY created_at DESC, id DESC LIMIT ?", since, allSince, textLook)
	if err != nil {
		return err
	}
	defer rows.Close()
	var take []string
	looked, at := 0, allSince
	for ; rows.Next() && len(take) < textBatch; looked++ {
		var hasText bool
		if err := rows.Scan(&at, &hasText); err != nil {
			return err
		}
		if hasText && (len(take) == 0 || take[len(take)-1] != at) {
			take = append(take, at)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	rows.Close()
	if len(take) < textBatch && looked < textLook {
		at = allSince
	} else if len(take) == 0 || take[len(take)-1] != at {
		take = append(take, at) // others of this millisecond may have text
	}
	for _, at := range take {
		if err := takeTexts(ctx, tx, at); err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, "UPDATE sandtrail_text_state SET since = ?", at)
	return err
}

// takeTexts makes the index say of a millisecond what the executions do.
func takeTexts(ctx context.Context, tx *sql.Tx, at string) error {
	var t timestamp
	if err := t.Scan(at); err != nil {
		return err
	}
	text, crowded, err := textsAt(ctx, tx, at)
	if err != nil {
		return err
	}
	if err := forgetTexts(ctx, tx, t.UnixMilli()); err != nil {
		return err
	}
	if crowded {
		_, err = tx.ExecContext(ctx, `INSERT INTO sandtrail_text_due (created_at, crowded) VALUES (?, 1)
			ON CONFLICT (created_at) DO UPDATE SET crowded = 1`, at)
		return err
	}
	if len(text) > 0 && at >= allSince {
		if _, err := tx.ExecContext(ctx, "INSERT INTO sandtrail_text (rowid, metadata) VALUES (?, ?)", t.UnixMilli(), string(text)); err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM sandtrail_text_due WHERE created_at = ?", at)
	return err
}

// textsAt joins the metadata of a millisecond, unless it is too much.
func textsAt(ctx context.Context, tx *sql.Tx, at string) (text []byte, crowded bool, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT metadata FROM sandbox_execution_logs INDEXED BY "+byTime+
		" WHERE created_at = ? AND metadata IS NOT NULL LIMIT ?", at, crowdRows+1)
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		var metadata sql.RawBytes
		if err := rows.Scan(&metadata); err != nil {
			return nil, false, err
		}
		if len(text)+len(metadata) > crowdBytes && n > 0 || n == crowdRows {
			return nil, true, rows.Close()
		}
		text = append(append(text, searched(metadata)...), '\n')
	}
	return text, false, rows.Err()
}

// searched is the part of a metadata column that is searched. Another client may
// have written a NUL, where SQLite's own searches end.
func searched(metadata []byte) []byte {
	text, _, _ := bytes.Cut(metadata, []byte{0})
	return text
}

// forgetTexts takes a millisecond out of the index, of which pieces remain until
// it is rewritten.
func forgetTexts(ctx context.Context, tx *sql.Tx, row int64) error {
	known, err := texts(ctx, tx, "SELECT rowid FROM sandtrail_text WHERE rowid = ?", row)
	if err != nil || len(known) == 0 {
		return err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM sandtrail_text WHERE rowid = ?", row); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "UPDATE sandtrail_text_state SET rewrite = 1")
	return err
}

// rewriteTexts rewrites a part of the index, without what is gone.
func rewriteTexts(ctx context.Context, tx *sql.Tx, rewrite int) error {
	pages := textPages
	if rewrite == 1 { // a negative number begins with the whole index
		pages = -pages
	}
	before, err := totalChanges(ctx, tx)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO sandtrail_text (sandtrail_text, rank) VALUES ('merge', ?)", pages); err != nil {
		return err
	}
	after, err := totalChanges(ctx, tx)
	if err != nil {
		return err
	}
	rewrite = 2
	if after-before < 2 { // so the documentation of FTS5 says that there was nothing to do
		rewrite = 0
	}
	_, err = tx.ExecContext(ctx, "UPDATE sandtrail_text_state SET rewrite = ?", rewrite)
	return err
}

func totalChanges(ctx context.Context, tx *sql.Tx) (n int64, err error) {
	err = tx.QueryRowContext(ctx, "SELECT total_changes()").Scan(&n)
	return n, err
}
