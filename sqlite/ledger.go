package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"iter"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/ledger"
)

var _ ledger.Log = (*Store)(nil)

// Inspect runs f on one snapshot of the executions and the ledger. Each reader is
// a connection of its own.
func (s *Store) Inspect(ctx context.Context, readers int, f func(ledger.Snapshot) error) error {
	const what = "read the ledger"
	if readers == 0 {
		return s.read(ctx, what, func(tx *sql.Tx) error { return f(&book{tx: tx}) })
	}
	// Of their own, because one who waited for a connection of the pool would
	// keep writers waiting.
	connections := newPool(s.connector(reading), 1+readers)
	defer func() { _ = connections.close() }()
	var txs []*sql.Tx
	defer func() { rollBack(txs) }()
	err := s.writeUnguarded(ctx, what, func(*sql.Tx) (err error) { // no process writes meanwhile: all see the same
		rollBack(txs)
		txs, err = begin(ctx, connections.DB, 1+readers)
		return err
	})
	if err != nil {
		return err
	}
	b := &book{tx: txs[0], readers: make(chan *sql.Tx, readers)}
	for _, tx := range txs[1:] {
		b.readers <- tx
	}
	if err := f(b); err != nil {
		return s.translate(ctx, what, err)
	}
	return nil
}

// begin begins transactions that have their snapshots when it returns.
func begin(ctx context.Context, db *sql.DB, n int) (txs []*sql.Tx, err error) {
	for range n {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return txs, err
		}
		txs = append(txs, tx)
		var one int // a transaction's snapshot is of its first read
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM sandtrail_cursors").Scan(&one); err != nil {
			return txs, err
		}
	}
	return txs, nil
}

func rollBack(txs []*sql.Tx) {
	for _, tx := range txs {
		_ = tx.Rollback()
	}
}

// BlocksAt finds the blocks by the times of their pages.
func (s *Store) BlocksAt(ctx context.Context, createdAt time.Time) (blocks []ledger.StoredBlock, err error) {
	at := pageTime(createdAt)
	return blocks, s.read(ctx, "read the ledger", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT p.n, p.entries, t.hashes FROM sandtrail_ledger_pages p
			JOIN sandtrail_ledger_tiles t ON t.level = 0 AND t.n = p.n
			WHERE p.since <= ?1 AND p.until >= ?1 ORDER BY p.n`, at)
		if err != nil {
			return err
		}
		blocks, err = collect(rows, func(scan func(...any) error) (b ledger.StoredBlock, err error) {
			err = scan(&b.N, &b.Entries, &b.Hashes)
			return b, err
		})
		return err
	})
}

// Tile is part of ledger.Log.
func (s *Store) Tile(ctx context.Context, id ledger.TileID) (hashes []byte, err error) {
	err = s.read(ctx, "read the ledger", func(tx *sql.Tx) error {
		hashes, err = (&book{tx: tx}).Tile(ctx, id)
		return err
	})
	return hashes, err
}

// PutCheckpoint keeps a signed checkpoint.
func (s *Store) PutCheckpoint(ctx context.Context, size int64, at time.Time, signed []byte) error {
	return s.write(ctx, "keep a checkpoint", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO sandtrail_ledger_checkpoints (size, at, signed) VALUES (?, ?, ?)`,
			size, formatTime(at), string(signed))
		return err
	})
}

// book is the ledger as a transaction sees it: a ledger.Book when it can
// write, a ledger.Snapshot.
type book struct {
	tx      *sql.Tx
	readers chan *sql.Tx // for Records; nil: it uses tx
}

// Size is part of ledger.Book.
func (b *book) Size(ctx context.Context) (size int64, err error) {
	err = b.tx.QueryRowContext(ctx, `SELECT n * ? + length(hashes) / 32 FROM sandtrail_ledger_tiles
		WHERE level = 0 ORDER BY n DESC LIMIT 1`, ledger.BlockLeaves).Scan(&size)
	return size, noRows(err)
}

// Tile is part of ledger.Book.
func (b *book) Tile(ctx context.Context, id ledger.TileID) (hashes []byte, err error) {
	err = b.tx.QueryRowContext(ctx, `SELECT hashes FROM sandtrail_ledger_tiles WHERE level = ? AND n = ?`, id.Level, id.N).Scan(&hashes)
	return hashes, noRows(err)
}

// Pages is part of ledger.Book.
func (b *book) Pages(ctx context.Context, from, to time.Time) ([]ledger.Page, error) {
	rows, err := b.tx.QueryContext(ctx, `SELECT n, since, until FROM sandtrail_ledger_pages
		WHERE since <= ? AND until >= ? ORDER BY n`, pageTime(to), pageTime(from))
	if err != nil {
		return nil, err
	}
	return collect(rows, func(scan func(...any) error) (p ledger.Page, err error) {
		var since, until sql.Null[string]
		if err = scan(&p.N, &since, &until); err == nil {
			err = setTimes(&p, since, until)
		}
		return p, err
	})
}

// beforeChrist is what a page's times are in the columns when they are of years
// before 0, whose texts do not sort as the times do.
const beforeChrist = "-"

func pageTime(t time.Time) string {
	if t.Year() < 0 {
		return beforeChrist
	}
	return formatTime(t)
}

// setTimes reads a page's times out of the columns.
func setTimes(p *ledger.Page, since, until sql.Null[string]) error {
	for _, column := range []struct {
		sql.Null[string]
		into   *time.Time
		before time.Time
	}{
		{since, &p.Since, time.Date(-4714, 1, 1, 0, 0, 0, 0, time.UTC)},
		{until, &p.Until, time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		if !column.Valid {
			continue
		}
		if *column.into = column.before; column.V == beforeChrist {
			continue
		}
		var at timestamp
		if err := at.Scan(column.V); err != nil {
			return err
		}
		*column.into = at.Time
	}
	return nil
}

// Page is part of ledger.Book.
func (b *book) Page(ctx context.Context, n int64) (ledger.Page, error) {
	p := ledger.Page{N: n}
	var since, until sql.Null[string]
	err := b.tx.QueryRowContext(ctx, `SELECT since, until, entries FROM sandtrail_ledger_pages WHERE n = ?`, n).
		Scan(&since, &until, &p.Entries)
	if err != nil {
		return p, noRows(err)
	}
	return p, setTimes(&p, since, until)
}

// Put is part of ledger.Book.
func (b *book) Put(ctx context.Context, w ledger.Written) error {
	var tiles, pages, removals, renames [][]any
	for id, hashes := range w.Tiles {
		tiles = append(tiles, []any{id.Level, id.N, hashes})
	}
	for _, p := range w.Pages {
		var since, until any
		if !p.Since.IsZero() {
			since, until = pageTime(p.Since), pageTime(p.Until)
		}
		pages = append(pages, []any{p.N, since, until, p.Entries})
	}
	for _, r := range w.Removals {
		removals = append(removals, []any{r.Leaf, r.Data})
	}
	for _, r := range w.Renames {
		renames = append(renames, []any{r.Leaf, r.Data, r.Opening})
	}
	for _, put := range []struct {
		text string
		rows [][]any
	}{
		{`INSERT INTO sandtrail_ledger_tiles (level, n, hashes) VALUES (?, ?, ?)
			ON CONFLICT (level, n) DO UPDATE SET hashes = excluded.hashes`, tiles},
		{`INSERT INTO sandtrail_ledger_pages (n, since, until, entries) VALUES (?, ?, ?, ?)
			ON CONFLICT (n) DO UPDATE SET since = excluded.since, until = excluded.until, entries = excluded.entries`, pages},
		{`INSERT INTO sandtrail_ledger_removals (leaf, data) VALUES (?, ?)`, removals},
		{`INSERT INTO sandtrail_ledger_renames (leaf, data, opening) VALUES (?, ?, ?)`, renames},
	} {
		if err := execEach(ctx, b.tx, put.text, put.rows); err != nil {
			return err
		}
	}
	return nil
}

// execEach runs a statement once for each row of arguments.
func execEach(ctx context.Context, tx *sql.Tx, text string, rows [][]any) error {
	stmt, err := tx.PrepareContext(ctx, text)
	if err != nil {
		return err
	}
	defer stmt.Close()
	for _, args := range rows {
		if _, err := stmt.ExecContext(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

const recordsByID = `SELECT ` + recordColumns + ` FROM sandbox_execution_logs WHERE id IN (SELECT value FROM json_each(?))`

// Records is part of ledger.RecordReader. The index on ids finds records of
// any time.
func (b *book) Records(ctx context.Context, ids []sandtrail.ID, _, _ time.Time) ([]sandtrail.Execution, error) {
	tx := b.tx
	if b.readers != nil {
		select {
		case tx = <-b.readers:
			defer func() { b.readers <- tx }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, err
	}
	rows, err := tx.QueryContext(ctx, recordsByID, string(list))
	if err != nil {
		return nil, err
	}
	return collect(rows, func(scan func(...any) error) (e sandtrail.Execution, err error) {
		err = scanRaw(scan, &e)
		return e, err
	})
}

// Newest is part of ledger.Snapshot.
func (b *book) Newest(ctx context.Context) (signed []byte, err error) {
	err = b.tx.QueryRowContext(ctx, `SELECT signed FROM sandtrail_ledger_checkpoints ORDER BY id DESC LIMIT 1`).Scan(&signed)
	return signed, noRows(err)
}

// Blocks is part of ledger.Source.
func (b *book) Blocks(ctx context.Context) iter.Seq2[ledger.Block, error] {
	return stream(ctx, b.tx, func(scan func(...any) error) (ledger.Block, error) {
		var p ledger.Page
		var tile []byte
		if err := scan(&tile, &p.N, &p.Entries); err != nil {
			return ledger.Block{}, err
		}
		return ledger.UnmarshalBlock(tile, p)
	}, `SELECT t.hashes, p.n, p.entries FROM sandtrail_ledger_pages p
		LEFT JOIN sandtrail_ledger_tiles t ON t.level = 0 AND t.n = p.n ORDER BY p.n`)
}

// Removals is part of ledger.Source.
func (b *book) Removals(ctx context.Context, part ledger.Range) iter.Seq2[ledger.StoredRemoval, error] {
	return stream(ctx, b.tx, func(scan func(...any) error) (r ledger.StoredRemoval, err error) {
		var hash []byte
		err = scan(&r.Leaf, &r.Data, &hash)
		copy(r.Hash[:], hash)
		return r, err
	}, `SELECT r.leaf, r.data, substr(t.hashes, 1 + 32 * (r.leaf % ?1), 32) FROM sandtrail_ledger_removals r
		LEFT JOIN sandtrail_ledger_tiles t ON t.level = 0 AND t.n = r.leaf / ?1 WHERE r.leaf >= ?2 ORDER BY r.leaf LIMIT iif(?3 = 0, -1, ?3)`, ledger.BlockLeaves, part.From, part.Limit)
}

// Checkpoints is part of ledger.Source.
func (b *book) Checkpoints(ctx context.Context) iter.Seq2[[]byte, error] {
	return stream(ctx, b.tx, func(scan func(...any) error) (signed []byte, err error) {
		err = scan(&signed)
		return signed, err
	}, `SELECT signed FROM sandtrail_ledger_checkpoints ORDER BY id`)
}

// Closed is part of ledger.Source. A database file has one log.
func (b *book) Closed(context.Context) ([]ledger.ClosedLog, error) { return nil, nil }

// IDs is part of ledger.Source.
func (b *book) IDs(ctx context.Context) iter.Seq2[sandtrail.ID, error] {
	return stream(ctx, b.tx, func(scan func(...any) error) (sandtrail.ID, error) {
		var id executionID
		err := scan(&id)
		return id.ID, err
	}, `SELECT id FROM sandbox_execution_logs`)
}

// stream yields the rows of a query.
func stream[T any](ctx context.Context, tx *sql.Tx, read func(scan func(...any) error) (T, error), text string, args ...any) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		rows, err := tx.QueryContext(ctx, text, args...)
		if err != nil {
			yield(none, err)
			return
		}
		defer rows.Close()
		for rows.Next() {
			value, err := read(rows.Scan)
			if !yield(value, err) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(none, err)
		}
	}
}

func collect[T any](rows *sql.Rows, read func(scan func(...any) error) (T, error)) (all []T, err error) {
	defer rows.Close()
	for rows.Next() {
		value, err := read(rows.Scan)
		if err != nil {
			return nil, err
		}
		all = append(all, value)
	}
	return all, rows.Err()
}

// noRows makes nothing found no error.
func noRows(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}
