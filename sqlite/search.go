package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

const (
	// probed is how many executions a search reads before it asks the index: a
	// frequent text fills its page so, and the list of a small user ends.
	probed = 300
	// candidateCost is what looking up a millisecond takes from the budget.
	candidateCost = 8
	// candidatePage is how many milliseconds the index is asked for at once.
	candidatePage = 256
	// mostPieces is how many three-character pieces the index is asked for at once.
	mostPieces = 32
)

// search returns a page of executions with a text in their metadata. The index
// names candidates, and the metadata itself decides.
func (s *Store) search(ctx context.Context, plan sandtrail.Plan) (sandtrail.Page, error) {
	return database.Search(ctx, func(ctx context.Context) (page sandtrail.Page, err error) {
		const what = "search executions"
		select { // other questions keep their readers
		case s.searching <- struct{}{}:
			defer func() { <-s.searching }()
		case <-ctx.Done():
			return page, ctx.Err()
		}
		at := filtered(plan.Filter)
		at.add("e.created_at = ? AND e.id < ?")
		var ask [3]*sql.Stmt
		for i, text := range []string{indexedText, dueText, searchText(byTime, at)} {
			if err = s.retry(ctx, what, func() (err error) { ask[i], err = s.readers.prepare(ctx, text); return err }); err != nil {
				return page, err
			}
		}
		err = s.read(ctx, what, func(tx *sql.Tx) (err error) {
			x := &search{tx: tx, asked: plan, plan: plan, needle: database.NewNeedle(plan.Filter.Text), left: s.options.budget, probed: s.options.probed, at: at.args}
			x.indexed, x.due, x.ofTime = tx.StmtContext(ctx, ask[0]), tx.StmtContext(ctx, ask[1]), tx.StmtContext(ctx, ask[2])
			if err := x.run(ctx); err != nil {
				return err
			}
			page, err = x.page(ctx)
			return err
		})
		return page, err
	})
}

const (
	indexedText = `SELECT rowid FROM sandtrail_text WHERE sandtrail_text MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rowid DESC LIMIT ?`
	dueText     = `SELECT created_at FROM sandtrail_text_due WHERE created_at BETWEEN ? AND ? ORDER BY created_at DESC LIMIT ?`
)

// searchText reads of executions what a search looks at.
func searchText(index string, where conditions) string {
	return "SELECT e.rowid, e.id, e.created_at, e.metadata FROM sandbox_execution_logs AS e INDEXED BY " + index + where.text() + newestFirst
}

// search walks back in time until it has found a page, and one execution more.
type search struct {
	tx     *sql.Tx
	asked  sandtrail.Plan
	plan   sandtrail.Plan // After moves on behind what was looked at
	needle database.Needle
	left   int     // of the budget
	probed int     // of it, before the index is asked
	found  []int64 // row ids, which hold in one snapshot
	ended  bool    // the list has no more

	indexed, due, ofTime *sql.Stmt
	at                   []any // of ofTime, before the time and the id
}

func (x *search) run(ctx context.Context) error {
	if err := x.scan(ctx, x.probed); err != nil || x.over() {
		return err
	}
	if pieces := piecesOf(x.plan.Filter.Text); pieces != "" {
		if err := x.lookUp(ctx, pieces); err != nil || x.over() {
			return err
		}
	}
	return x.scan(ctx, x.left)
}

// over reports whether there is nothing more to look at, or no more may be.
func (x *search) over() bool { return x.ended || x.left <= 0 || x.full() }

func (x *search) full() bool { return len(x.found) > x.plan.Limit }

// scan reads executions in order, for at most so much of the budget.
func (x *search) scan(ctx context.Context, budget int) error {
	where := listed(x.plan)
	rows, err := x.tx.QueryContext(ctx, searchText(listIndex(x.plan.Filter), where), where.args...)
	if err == nil {
		x.ended, err = x.look(rows, x.left-budget)
	}
	return err
}

// look decides about executions until it has enough, or is down to so much of
// the budget.
func (x *search) look(rows *sql.Rows, stop int) (ended bool, err error) {
	defer rows.Close()
	var row int64
	var id, at string
	for x.left > stop && !x.full() {
		if !rows.Next() {
			ended = true
			break
		}
		var metadata sql.RawBytes
		if err := rows.Scan(&row, &id, &at, &metadata); err != nil {
			return false, err
		}
		if metadata != nil && x.needle.In(searched(metadata)) {
			x.found = append(x.found, row)
		}
		x.left -= database.SearchCost(metadata)
	}
	if at != "" {
		err = x.reached(at, id)
	}
	return ended, errors.Join(err, rows.Err())
}

// reached moves on behind an execution.
func (x *search) reached(at, id string) error {
	var t timestamp
	var i executionID
	if err := errors.Join(t.Scan(at), i.Scan(id)); err != nil {
		return err
	}
	x.plan.After = &sandtrail.Position{CreatedAt: t.Time, ID: i.ID}
	return nil
}

// lookUp looks at the candidates that the index and what is due name, back to
// the time before which there may be others.
func (x *search) lookUp(ctx context.Context, pieces string) error {
	state, err := readTextState(ctx, x.tx)
	if err != nil {
		return err
	}
	floor := state.from()
	if since := x.plan.Filter.Since; !since.IsZero() && !since.Before(floor) {
		floor = since
		defer func() { x.ended = !x.full() && x.left > 0 }()
	}
	for high := x.plan.After.CreatedAt.UnixMilli(); high >= floor.UnixMilli() && !x.over(); high-- {
		var page []int64
		if page, high, err = x.candidates(ctx, pieces, floor.UnixMilli(), high); err != nil {
			return err
		}
		for _, at := range page {
			if err := x.lookAt(ctx, time.UnixMilli(at).UTC()); err != nil || x.over() {
				return err
			}
		}
		x.plan.After = &sandtrail.Position{CreatedAt: time.UnixMilli(high).UTC()}
	}
	return nil
}

// lookAt looks at the executions of a millisecond.
func (x *search) lookAt(ctx context.Context, at time.Time) error {
	before := "~" // behind all ids
	if after := x.plan.After; after.CreatedAt.Equal(at) {
		before = after.ID.String()
	}
	x.left -= candidateCost
	rows, err := x.ofTime.QueryContext(ctx, append(slices.Clone(x.at), formatTime(at), before)...)
	if err == nil {
		_, err = x.look(rows, 0)
	}
	return err
}

// candidates are milliseconds of a stretch, the newest first, in which there may
// be executions with the text. The stretch begins with low, or behind it.
func (x *search) candidates(ctx context.Context, pieces string, floor, high int64) (page []int64, low int64, err error) {
	indexed, err := textsOf(x.indexed.QueryContext(ctx, pieces, floor, high, candidatePage))
	if err != nil {
		return nil, 0, err
	}
	due, err := textsOf(x.due.QueryContext(ctx, formatTime(time.UnixMilli(floor)), formatTime(time.UnixMilli(high)), candidatePage))
	if err != nil {
		return nil, 0, err
	}
	low = floor
	for _, list := range []struct {
		rows []string
		read func(string) (int64, error)
	}{{indexed, readInt}, {due, readMilli}} {
		for i, row := range list.rows {
			at, err := list.read(row)
			if err != nil {
				return nil, 0, err
			}
			page = append(page, at)
			if i == candidatePage-1 {
				low = max(low, at)
			}
		}
	}
	slices.SortFunc(page, func(a, b int64) int { return cmp.Compare(b, a) })
	page = slices.Compact(page)
	return slices.DeleteFunc(page, func(at int64) bool { return at < low }), low, nil
}

func readInt(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }

func readMilli(s string) (int64, error) {
	var t timestamp
	err := t.Scan(s)
	return t.UnixMilli(), err
}

// page reads what was found. A search that its budget ended goes on behind the
// last execution that it looked at.
func (x *search) page(ctx context.Context) (sandtrail.Page, error) {
	list, err := json.Marshal(x.found)
	if err != nil {
		return sandtrail.Page{}, err
	}
	rows, err := x.tx.QueryContext(ctx, withOwners("")+" WHERE e.rowid IN (SELECT value FROM json_each(?))"+newestFirst, string(list))
	if err != nil {
		return sandtrail.Page{}, err
	}
	defer rows.Close()
	items, err := owned(rows)
	if err != nil {
		return sandtrail.Page{}, err
	}
	page := pageOf(x.asked, items)
	if !x.ended && !x.full() {
		page.NextCursor = x.asked.Cursor(sandtrail.Execution{CreatedAt: x.plan.After.CreatedAt, ID: x.plan.After.ID})
	}
	return page, nil
}

// piecesOf asks the index for all of a text's pieces of three characters, or as
// many as are enough; "" where it has none.
func piecesOf(text string) string {
	runes := []rune(text)
	pieces := len(runes) - 2
	var all []string
	for i := range min(pieces, mostPieces) {
		at := i * pieces / min(pieces, mostPieces)
		piece := `"` + strings.ReplaceAll(string(runes[at:at+3]), `"`, `""`) + `"`
		if !slices.Contains(all, piece) {
			all = append(all, piece)
		}
	}
	return strings.Join(all, " AND ")
}
