package postgres

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

const (
	// readAtOnce is how many executions a search reads in order with a statement:
	// a frequent text fills its page with the first ones.
	readAtOnce = 5000
	// foundAtOnce is how many candidates an index is asked for.
	foundAtOnce = 500
	// pieceLength and mostPieces bound the work of comparing one metadata with what
	// the database looks for; the whole text is compared here.
	pieceLength, mostPieces = 16, 3
)

// search returns a page of executions with a text in their metadata. The database
// finds candidates, by indexes where partitions have one, and the metadata decides.
func (s *Store) search(ctx context.Context, l *layout, plan sandtrail.Plan) (sandtrail.Page, error) {
	return database.Search(ctx, func(ctx context.Context) (page sandtrail.Page, err error) {
		select { // other questions keep their connections
		case s.searching <- struct{}{}:
			defer func() { <-s.searching }()
		case <-ctx.Done():
			return page, ctx.Err()
		}
		first := search{l: l, plan: plan, needle: database.NewNeedle(plan.Filter.Text), left: s.options.searchBudget, atOnce: s.options.readAtOnce}
		first.plan.Filter.UserID, first.plan.Filter.StrategyID = l.spell(plan.Filter.UserID, plan.Filter.StrategyID)
		err = s.pool.inTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
			x := first // a transaction that is repeated begins anew
			x.tx = tx
			if err := x.run(ctx); err != nil {
				return err
			}
			page, err = x.page(ctx, plan)
			return err
		})
		return page, wrap("search executions", notFoundIsEmpty(err))
	})
}

// search walks back in time until it has found a page, and one execution more.
type search struct {
	tx     pgx.Tx
	l      *layout
	plan   sandtrail.Plan // After moves on behind what was looked at
	needle database.Needle
	left   int // of the budget
	atOnce int // are read with a statement
	found  []sandtrail.Position
	ended  bool // the list has no more
}

func (x *search) run(ctx context.Context) error {
	indexes, err := textIndexes(ctx, x.tx, x.l)
	if err != nil {
		return err
	}
	if err := x.read(ctx, time.Time{}); err != nil || x.over() {
		return err
	}
	pieces := piecesOf(x.plan.Filter.Text)
	if !hasTrigram(pieces) {
		indexes = nil
	}
	for _, w := range indexes {
		if w.name == "" || !w.since.Before(x.plan.After.CreatedAt) {
			continue
		}
		for err == nil && !x.over() && x.plan.After.CreatedAt.After(w.covered) {
			err = x.read(ctx, w.covered)
		}
		for done := false; err == nil && !done && !x.over(); {
			done, err = x.lookUp(ctx, span{w.since, w.covered}, pieces)
		}
		if err != nil || x.over() {
			return err
		}
	}
	for err == nil && !x.over() {
		err = x.read(ctx, time.Time{})
	}
	return err
}

// over reports whether there is nothing more to look at, or no more may be.
func (x *search) over() bool { return x.ended || x.left <= 0 || x.full() }

func (x *search) full() bool { return len(x.found) > x.plan.Limit }

// conditions selects what is behind the place that was reached, down to a time.
func (x *search) conditions(floor time.Time) (c conditions) {
	f := x.plan.Filter
	f.Text = ""
	c.filter(f)
	w := span{f.Since, f.Until}
	if floor.After(w.since) {
		w.since = floor
	}
	if after := x.plan.After; after != nil {
		c.add("(created_at, id) < ($, $)", after.CreatedAt, [16]byte(after.ID))
		if next := after.CreatedAt.Add(time.Millisecond); isStorable(next) && (w.until.IsZero() || next.Before(w.until)) {
			w.until = next
		}
	}
	c.span(w)
	return c
}

const newestFirst = " ORDER BY created_at DESC, id DESC LIMIT "

// read looks at the next executions in order, down to a time.
func (x *search) read(ctx context.Context, floor time.Time) error {
	c := x.conditions(floor)
	inner := fmt.Sprintf("SELECT created_at, id, metadata FROM {logs} %s%s%d", c.where(), newestFirst, x.atOnce)
	c.parts = nil
	like(&c, piecesOf(x.plan.Filter.Text)[:1])
	n, err := x.look(ctx, `SELECT created_at, id, CASE WHEN `+c.parts[0]+` THEN metadata END, coalesce(octet_length(metadata), 0)
		FROM (`+inner+`) e ORDER BY created_at DESC, id DESC`, c.args)
	if n < x.atOnce && !x.full() && x.left > 0 {
		x.behind(floor)
	}
	return err
}

// lookUp looks at the next candidates that an index names, and reports whether
// they are the last.
func (x *search) lookUp(ctx context.Context, w span, pieces []string) (done bool, err error) {
	f := x.plan.Filter
	f.Text = ""
	var c conditions
	c.filter(f)
	c.span(span{since: f.Since})
	// The times of the index find it, and its partition; the place is in a form
	// that no index by time has, which would be read in its stead.
	c.add(fmt.Sprintf("metadata IS NOT NULL AND created_at >= '%s' AND created_at < '%s'", w.since.UTC().Format(time.RFC3339), w.until.UTC().Format(time.RFC3339)))
	c.add("(created_at + interval '0', id) < ($::timestamptz, $::uuid)", x.plan.After.CreatedAt, [16]byte(x.plan.After.ID))
	like(&c, pieces)
	if _, err := x.tx.Exec(ctx, plans(false)); err != nil {
		return false, err
	}
	n, err := x.look(ctx, "SELECT created_at, id, metadata, octet_length(metadata) FROM {logs} "+c.where()+newestFirst+fmt.Sprint(foundAtOnce), c.args)
	if err != nil {
		return false, err
	}
	if done = n < foundAtOnce; done && !x.full() && x.left > 0 {
		x.behind(w.since)
	}
	_, err = x.tx.Exec(ctx, plans(true))
	return done, err
}

// plans lets the planner choose, or keeps it from reading a partition in order
// for a text that it thinks frequent.
func plans(choose bool) string {
	return fmt.Sprintf("SELECT set_config('enable_seqscan', '%[1]t', true), set_config('enable_indexscan', '%[1]t', true), set_config('enable_indexonlyscan', '%[1]t', true)", choose)
}

// behind moves on to what is older than a time; without one, or one that the
// filter does not reach, to the end.
func (x *search) behind(floor time.Time) {
	if floor.IsZero() || !floor.After(x.plan.Filter.Since) {
		x.ended = true
		return
	}
	x.plan.After = &sandtrail.Position{CreatedAt: floor}
}

// look decides about executions, and returns how many there were.
func (x *search) look(ctx context.Context, query string, args []any) (n int, err error) {
	rows, err := x.tx.Query(ctx, x.l.sql(query), args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for ; !x.full() && x.left > 0 && rows.Next(); n++ {
		var p sandtrail.Position
		var metadata []byte
		var size int
		if err := rows.Scan(&p.CreatedAt, (*[16]byte)(&p.ID), &metadata, &size); err != nil {
			return n, err
		}
		p.CreatedAt = p.CreatedAt.UTC()
		if metadata != nil && x.needle.In(metadata) {
			x.found = append(x.found, p)
		}
		x.left -= 1 + size/database.SearchUnit
		x.plan.After = &p
	}
	rows.Close()
	return n, rows.Err()
}

// page reads what was found. A search that its budget ended goes on behind the
// last execution that it looked at.
func (x *search) page(ctx context.Context, asked sandtrail.Plan) (sandtrail.Page, error) {
	var page sandtrail.Page
	if len(x.found) > 0 {
		var c conditions
		var ids []string
		for _, p := range x.found {
			ids = append(ids, p.ID.String())
		}
		c.add("created_at BETWEEN $ AND $", x.found[len(x.found)-1].CreatedAt, x.found[0].CreatedAt)
		c.add("id = ANY($::text[]::uuid[])", ids)
		items, err := scanAll(ctx, x.tx, scanOwned, x.l.owned("SELECT * FROM {logs} "+c.where()), c.args...)
		if err != nil {
			return page, err
		}
		page.Items = items
	}
	switch {
	case x.full():
		page.Items = page.Items[:min(len(page.Items), asked.Limit)]
		x.plan.After = &x.found[asked.Limit-1]
	case x.ended:
		return page, nil
	}
	page.NextCursor = asked.Cursor(sandtrail.Execution{CreatedAt: x.plan.After.CreatedAt, ID: x.plan.After.ID})
	return page, nil
}

// piecesOf are the parts of a text that the database looks for, in lower case:
// those at its ends and in its middle, or all of it where it is short.
func piecesOf(text string) []string {
	runes := []rune(text)
	if len(runes) <= pieceLength {
		return []string{text}
	}
	var pieces []string
	for i := range mostPieces {
		at := i * (len(runes) - pieceLength) / (mostPieces - 1)
		pieces = append(pieces, string(runes[at:at+pieceLength]))
	}
	return pieces
}

// hasTrigram reports whether pg_trgm finds something to look for, whatever the
// database's locale: three letters or digits of ASCII.
func hasTrigram(pieces []string) bool { return threeLetters.MatchString(strings.Join(pieces, " ")) }

var threeLetters = regexp.MustCompile("[0-9A-Za-z]{3}")

// like adds that metadata contains all pieces. The C collation knows no case but
// ASCII's.
func like(c *conditions, pieces []string) {
	var all []string
	for _, piece := range pieces {
		lower := strings.Map(func(r rune) rune {
			if 'A' <= r && r <= 'Z' {
				return r + 'a' - 'A'
			}
			return r
		}, piece)
		c.args = append(c.args, "%"+strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(lower)+"%")
		all = append(all, fmt.Sprintf(`lower(metadata COLLATE "C") LIKE $%d`, len(c.args)))
	}
	c.parts = append(c.parts, strings.Join(all, " AND "))
}
