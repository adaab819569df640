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

// Inspect runs f on one snapshot of the records and the ledger.
func (s *Store) Inspect(ctx context.Context, f func(ledger.Snapshot) error) error {
	return s.read(ctx, "read the ledger", func(tx *sql.Tx) error { return f(&book{tx}) })
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
type book struct{ tx *sql.Tx }

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

// PutTile is part of ledger.Book.
func (b *book) PutTile(ctx context.Context, id ledger.TileID, hashes []byte) error {
	_, err := b.tx.ExecContext(ctx, `INSERT INTO sandtrail_ledger_tiles (level, n, hashes) VALUES (?, ?, ?)
		ON CONFLICT (level, n) DO UPDATE SET hashes = excluded.hashes`, id.Level, id.N, hashes)
	return err
}

// Pages is part of ledger.Book.
func (b *book) Pages(ctx context.Context, from, to time.Time) ([]ledger.Page, error) {
	rows, err := b.tx.QueryContext(ctx, `SELECT n, since, until FROM sandtrail_ledger_pages
		WHERE since <= ? AND until >= ? ORDER BY n`, formatTime(to), formatTime(from))
	if err != nil {
		return nil, err
	}
	return collect(rows, func(scan func(...any) error) (p ledger.Page, err error) {
		var since, until timestamp
		err = scan(&p.N, &since, &until)
		p.Since, p.Until = since.Time, until.Time
		return p, err
	})
}

// Page is part of ledger.Book.
func (b *book) Page(ctx context.Context, n int64) (ledger.Page, error) {
	p := ledger.Page{N: n}
	var since, until sql.Null[timestamp]
	err := b.tx.QueryRowContext(ctx, `SELECT since, until, entries FROM sandtrail_ledger_pages WHERE n = ?`, n).
		Scan(&since, &until, &p.Entries)
	p.Since, p.Until = since.V.Time, until.V.Time
	return p, noRows(err)
}

// PutPage is part of ledger.Book.
func (b *book) PutPage(ctx context.Context, p ledger.Page) error {
	var since, until any
	if !p.Since.IsZero() {
		since, until = formatTime(p.Since), formatTime(p.Until)
	}
	_, err := b.tx.ExecContext(ctx, `INSERT INTO sandtrail_ledger_pages (n, since, until, entries) VALUES (?, ?, ?, ?)
		ON CONFLICT (n) DO UPDATE SET since = excluded.since, until = excluded.until, entries = excluded.entries`,
		p.N, since, until, p.Entries)
	return err
}

// PutRemoval is part of ledger.Book.
func (b *book) PutRemoval(ctx context.Context, leaf int64, data []byte) error {
	_, err := b.tx.ExecContext(ctx, `INSERT INTO sandtrail_ledger_removals (leaf, data) VALUES (?, ?)`, leaf, data)
	return err
}

const recordsByID = `SELECT ` + recordColumns + ` FROM sandbox_execution_logs WHERE id IN (SELECT value FROM json_each(?))`

// Records is part of ledger.Book.
func (b *book) Records(ctx context.Context, ids []sandtrail.ID) ([]sandtrail.Execution, error) {
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, err
	}
	rows, err := b.tx.QueryContext(ctx, recordsByID, string(list))
	if err != nil {
		return nil, err
	}
	return collect(rows, func(scan func(...any) error) (e sandtrail.Execution, err error) {
		err = scanRecord(scan, &e)
		return e, err
	})
}

// Record is part of ledger.Snapshot.
func (b *book) Record(ctx context.Context, id sandtrail.ID) (sandtrail.Execution, error) {
	found, err := b.Records(ctx, []sandtrail.ID{id})
	if err == nil && len(found) == 0 {
		err = errNoExecution(id)
	}
	if err != nil {
		return sandtrail.Execution{}, err
	}
	return found[0], nil
}

// Newest is part of ledger.Snapshot.
func (b *book) Newest(ctx context.Context) (signed []byte, err error) {
	err = b.tx.QueryRowContext(ctx, `SELECT signed FROM sandtrail_ledger_checkpoints ORDER BY id DESC LIMIT 1`).Scan(&signed)
	return signed, noRows(err)
}

// Blocks is part of ledger.Source.
func (b *book) Blocks(ctx context.Context) iter.Seq2[ledger.Block, error] {
	return stream(ctx, b.tx, func(scan func(...any) error) (ledger.Block, error) {
		var n int64
		var tile, entries []byte
		if err := scan(&n, &tile, &entries); err != nil {
			return ledger.Block{}, err
		}
		return ledger.UnmarshalBlock(n, tile, entries)
	}, `SELECT p.n, t.hashes, p.entries FROM sandtrail_ledger_pages p
		LEFT JOIN sandtrail_ledger_tiles t ON t.level = 0 AND t.n = p.n ORDER BY p.n`)
}

// Removals is part of ledger.Source.
func (b *book) Removals(ctx context.Context) iter.Seq2[ledger.StoredRemoval, error] {
	return stream(ctx, b.tx, func(scan func(...any) error) (r ledger.StoredRemoval, err error) {
		var hash []byte
		err = scan(&r.Leaf, &r.Data, &hash)
		copy(r.Hash[:], hash)
		return r, err
	}, `SELECT r.leaf, r.data, substr(t.hashes, 1 + 32 * (r.leaf % ?1), 32) FROM sandtrail_ledger_removals r
		LEFT JOIN sandtrail_ledger_tiles t ON t.level = 0 AND t.n = r.leaf / ?1 ORDER BY r.leaf`, ledger.BlockLeaves)
}

// Checkpoints is part of ledger.Source.
func (b *book) Checkpoints(ctx context.Context) iter.Seq2[[]byte, error] {
	return stream(ctx, b.tx, func(scan func(...any) error) (signed []byte, err error) {
		err = scan(&signed)
		return signed, err
	}, `SELECT signed FROM sandtrail_ledger_checkpoints ORDER BY id`)
}

// CountRecords is part of ledger.Source.
func (b *book) CountRecords(ctx context.Context) (n int64, err error) {
	err = b.tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM sandbox_execution_logs`).Scan(&n)
	return n, err
}

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
