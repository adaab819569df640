package postgres

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/ledger"
)

var _ ledger.Log = (*Store)(nil)

// Inspect runs f on one snapshot of the executions and the ledger. Each reader is
// a connection of its own.
func (s *Store) Inspect(ctx context.Context, readers int, f func(ledger.Snapshot) error) error {
	ctx, l, err := s.openUnlimited(ctx)
	if err != nil {
		return err
	}
	b := &book{l: l, k: l.keeper()}
	look := func(tx pgx.Tx) error {
		b.tx = tx
		return f(b)
	}
	if readers == 0 {
		err = s.inSnapshot(ctx, l, pgx.ReadOnly, look)
	} else {
		err = s.inspectApart(ctx, b, readers, look)
	}
	return wrap("read the ledger", err)
}

// inspectApart is Inspect on connections outside of the pool: a long look at
// everything leaves the pool to those who ask and write meanwhile. All are
// there before the first transaction begins.
func (s *Store) inspectApart(ctx context.Context, b *book, readers int, look func(pgx.Tx) error) error {
	if b.l.Distributed != nil { // what the workers see cannot be passed on
		readers = 0
	}
	conns, err := s.connectApart(ctx, 1+readers)
	defer closeAll(ctx, conns)
	if err != nil {
		return err
	}
	return b.k.snapshot(ctx, conns[0], pgx.ReadOnly, func(tx pgx.Tx) error {
		if len(conns) == 1 {
			return look(tx)
		}
		b.readers = make(chan pgx.Tx, len(conns)-1)
		var id string
		if err := tx.QueryRow(ctx, "SELECT pg_export_snapshot()").Scan(&id); err != nil {
			return err
		}
		return b.withReaders(ctx, id, conns[1:], func() error { return look(tx) })
	})
}

// connectApart makes up to n connections, at least one: a server that has no
// more is asked by fewer.
func (s *Store) connectApart(ctx context.Context, n int) (conns []*pgx.Conn, err error) {
	for range n {
		conn, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig)
		if state(err) == tooManyConnections && len(conns) > 0 {
			break
		}
		if err != nil {
			return conns, err
		}
		conns = append(conns, conn)
	}
	return conns, nil
}

func closeAll(ctx context.Context, conns []*pgx.Conn) {
	for _, conn := range conns {
		_ = conn.Close(context.WithoutCancel(ctx))
	}
}

// withReaders runs f when each of the connections has begun a transaction of a
// snapshot, for the book to read in.
func (b *book) withReaders(ctx context.Context, snapshot string, conns []*pgx.Conn, f func() error) error {
	if len(conns) == 0 {
		return f()
	}
	return begin(ctx, conns[0], pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET TRANSACTION SNAPSHOT '"+snapshot+"'"); err != nil {
			return err
		}
		b.readers <- tx
		return b.withReaders(ctx, snapshot, conns[1:], f)
	})
}

// BlocksAt finds the blocks by the times of their pages, in one statement.
func (s *Store) BlocksAt(ctx context.Context, createdAt time.Time) ([]ledger.StoredBlock, error) {
	l, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := s.ask(ctx, l.sql(`SELECT p.n, p.entries, t.hashes FROM {schema}.ledger_pages p
		JOIN {schema}.ledger_tiles t ON t.level = 0 AND t.n = p.n
		WHERE p.since IS NOT NULL AND tstzrange(p.since, p.until, '[]') @> $1::timestamptz ORDER BY p.n`), createdAt)
	if err != nil {
		return nil, wrap("read the ledger", err)
	}
	blocks, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ledger.StoredBlock])
	return blocks, wrap("read the ledger", err)
}

const tileText = "SELECT hashes FROM {schema}.ledger_tiles WHERE level = $1 AND n = $2"

// Tile is part of ledger.Log.
func (s *Store) Tile(ctx context.Context, id ledger.TileID) ([]byte, error) {
	l, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	hashes, err := askOne[[]byte](ctx, s.ask, l.sql(tileText), int16(id.Level), id.N)
	return hashes, wrap("read the ledger", noRows(err))
}

// PutCheckpoint keeps a signed checkpoint.
func (s *Store) PutCheckpoint(ctx context.Context, size int64, at time.Time, signed []byte) error {
	ctx, l, err := s.openUnlimited(ctx)
	if err != nil {
		return err
	}
	_, err = s.pool.Exec(ctx, l.sql("INSERT INTO {schema}.ledger_checkpoints (size, at, signed) VALUES ($1, $2, $3)"),
		size, sandtrail.Millisecond(at), string(signed))
	return wrap("keep a checkpoint", err)
}

// book is the ledger as a transaction sees it: a ledger.Book when it can
// write, a ledger.Snapshot.
type book struct {
	tx      pgx.Tx
	l       *layout
	k       keeper
	readers chan pgx.Tx    // for Records; nil: it uses tx
	mu      sync.Mutex     // held by who uses tx while others may
	absent  []sandtrail.ID // of the records asked for, those that are not stored
}

// Size is part of ledger.Book.
func (b *book) Size(ctx context.Context) (size int64, err error) {
	err = b.tx.QueryRow(ctx, b.l.sql(`SELECT n * $1 + length(hashes) / 32 FROM {schema}.ledger_tiles
		WHERE level = 0 ORDER BY n DESC LIMIT 1`), int64(ledger.BlockLeaves)).Scan(&size)
	return size, noRows(err)
}

// Tile is part of ledger.Book.
func (b *book) Tile(ctx context.Context, id ledger.TileID) (hashes []byte, err error) {
	err = b.tx.QueryRow(ctx, b.l.sql(tileText),
		int16(id.Level), id.N).Scan(&hashes)
	return hashes, noRows(err)
}

// Pages is part of ledger.Book.
func (b *book) Pages(ctx context.Context, from, to time.Time) ([]ledger.Page, error) {
	rows, err := b.tx.Query(ctx, b.l.sql(`SELECT n, since, until FROM {schema}.ledger_pages
		WHERE since IS NOT NULL AND tstzrange(since, until, '[]') && tstzrange($1, $2, '[]') ORDER BY n`), from, to)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (p ledger.Page, err error) {
		err = row.Scan(&p.N, &p.Since, &p.Until)
		p.Since, p.Until = p.Since.UTC(), p.Until.UTC()
		return p, err
	})
}

// Page is part of ledger.Book.
func (b *book) Page(ctx context.Context, n int64) (ledger.Page, error) {
	p := ledger.Page{N: n}
	var since, until *time.Time
	err := b.tx.QueryRow(ctx, b.l.sql("SELECT since, until, entries FROM {schema}.ledger_pages WHERE n = $1"), n).
		Scan(&since, &until, &p.Entries)
	if since != nil && until != nil {
		p.Since, p.Until = since.UTC(), until.UTC()
	}
	return p, noRows(err)
}

// Put is part of ledger.Book.
func (b *book) Put(ctx context.Context, w ledger.Written) error {
	var batch pgx.Batch
	b.putTiles(&batch, w.Tiles)
	b.putPages(&batch, w.Pages)
	for _, r := range w.Removals {
		batch.Queue(b.l.sql("INSERT INTO {schema}.ledger_removals (leaf, data) VALUES ($1, $2)"), r.Leaf, r.Data)
	}
	for _, r := range w.Renames {
		batch.Queue(b.l.sql("INSERT INTO {schema}.ledger_renames (leaf, data, opening) VALUES ($1, $2, $3)"), r.Leaf, r.Data, r.Opening)
	}
	return b.tx.SendBatch(ctx, &batch).Close()
}

func (b *book) putTiles(batch *pgx.Batch, tiles map[ledger.TileID][]byte) {
	var levels []int16
	var numbers []int64
	var hashes [][]byte
	for id, tile := range tiles {
		levels, numbers, hashes = append(levels, int16(id.Level)), append(numbers, id.N), append(hashes, tile)
	}
	batch.Queue(b.l.sql(`INSERT INTO {schema}.ledger_tiles (level, n, hashes) SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])
		ON CONFLICT (level, n) DO UPDATE SET hashes = excluded.hashes`), levels, numbers, hashes)
}

func (b *book) putPages(batch *pgx.Batch, pages []ledger.Page) {
	numbers, entries := make([]int64, len(pages)), make([][]byte, len(pages))
	since, until := make([]*time.Time, len(pages)), make([]*time.Time, len(pages))
	for i := range pages {
		p := &pages[i]
		numbers[i], entries[i] = p.N, p.Entries
		if !p.Since.IsZero() {
			since[i], until[i] = &p.Since, &p.Until
		}
	}
	batch.Queue(b.l.sql(`INSERT INTO {schema}.ledger_pages (n, since, until, entries)
		SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[], $4::bytea[])
		ON CONFLICT (n) DO UPDATE SET since = excluded.since, until = excluded.until, entries = excluded.entries`),
		numbers, since, until, entries)
}

// Records is part of ledger.RecordReader. It looks into the partitions of the
// times that are given; what is not there, because somebody has changed its
// time, it looks for everywhere.
func (b *book) Records(ctx context.Context, ids []sandtrail.ID, since, until time.Time) ([]sandtrail.Execution, error) {
	tx := b.tx
	if b.readers != nil {
		select {
		case tx = <-b.readers:
			defer func() { b.readers <- tx }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	} else {
		b.mu.Lock()
		defer b.mu.Unlock()
	}
	found, err := recordsWhere(ctx, tx, b.l, len(ids), "id = ANY ($1) AND created_at >= $2 AND created_at <= $3", uuids(ids), since, until)
	if err != nil || len(found) == len(ids) {
		return found, err
	}
	known := make(map[sandtrail.ID]bool, len(found))
	for i := range found {
		known[found[i].ID] = true
	}
	var lost []sandtrail.ID
	for _, id := range ids {
		if !known[id] {
			lost = append(lost, id)
		}
	}
	elsewhere, err := recordsWhere(ctx, tx, b.l, len(lost), "id = ANY ($1)", uuids(lost))
	if err == nil && b.readers == nil && len(elsewhere) < len(lost) {
		for i := range elsewhere {
			known[elsewhere[i].ID] = true
		}
		b.absent = append(b.absent, slices.DeleteFunc(lost, func(id sandtrail.ID) bool { return known[id] })...)
	}
	return append(found, elsewhere...), err
}

// recordsWhere reads up to n records, their metadata as in the column.
func recordsWhere(ctx context.Context, tx pgx.Tx, l *layout, n int, condition string, args ...any) ([]sandtrail.Execution, error) {
	rows, err := tx.Query(ctx, l.sql("SELECT "+selectLogs+" FROM {logs} e WHERE "+condition), args...)
	if err != nil {
		return nil, err
	}
	return pgx.AppendRows(make([]sandtrail.Execution, 0, n), rows, scanRaw)
}

func uuids(ids []sandtrail.ID) [][16]byte {
	out := make([][16]byte, len(ids))
	for i, id := range ids {
		out[i] = id
	}
	return out
}

// Newest is part of ledger.Snapshot.
func (b *book) Newest(ctx context.Context) (signed []byte, err error) {
	err = b.tx.QueryRow(ctx, b.l.sql("SELECT signed FROM {schema}.ledger_checkpoints ORDER BY id DESC LIMIT 1")).Scan(&signed)
	return signed, noRows(err)
}

// Blocks is part of ledger.Source. The connection can do one thing at a time,
// so that blocks are read some at once, and others may read in between.
func (b *book) Blocks(ctx context.Context) iter.Seq2[ledger.Block, error] {
	return func(yield func(ledger.Block, error) bool) {
		for next := int64(0); ; {
			blocks, err := b.blocksFrom(ctx, next)
			if err != nil {
				yield(ledger.Block{}, err)
				return
			}
			for _, block := range blocks {
				if !yield(ledger.UnmarshalBlock(block.hashes, block.page)) {
					return
				}
				next = block.page.N + 1
			}
			if len(blocks) < blocksAtOnce {
				return
			}
		}
	}
}

const blocksAtOnce = 64

type storedBlock struct {
	hashes []byte
	page   ledger.Page
}

func (b *book) blocksFrom(ctx context.Context, n int64) ([]storedBlock, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rows, err := b.tx.Query(ctx, b.l.sql(`SELECT t.hashes, p.n, p.since, p.until, p.entries FROM {schema}.ledger_pages p
		LEFT JOIN {schema}.ledger_tiles t ON t.level = 0 AND t.n = p.n
		WHERE p.n >= $1 ORDER BY p.n LIMIT $2`), n, blocksAtOnce)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (s storedBlock, err error) {
		var since, until *time.Time
		err = row.Scan(&s.hashes, &s.page.N, &since, &until, &s.page.Entries)
		if since != nil && until != nil {
			s.page.Since, s.page.Until = *since, *until
		}
		return s, err
	})
}

// Removals is part of ledger.Source.
func (b *book) Removals(ctx context.Context, part ledger.Range) iter.Seq2[ledger.StoredRemoval, error] {
	return stream(ctx, b.tx, func(row pgx.CollectableRow) (r ledger.StoredRemoval, err error) {
		var hash []byte
		err = row.Scan(&r.Leaf, &r.Data, &hash)
		copy(r.Hash[:], hash)
		return r, err
	}, b.l.sql(`SELECT r.leaf, r.data, substr(t.hashes, (1 + 32 * (r.leaf % $1))::integer, 32) FROM {schema}.ledger_removals r
		LEFT JOIN {schema}.ledger_tiles t ON t.level = 0 AND t.n = r.leaf / $1 WHERE r.leaf >= $2 ORDER BY r.leaf LIMIT nullif($3, 0)`),
		int64(ledger.BlockLeaves), part.From, part.Limit)
}

// Checkpoints is part of ledger.Source.
func (b *book) Checkpoints(ctx context.Context) iter.Seq2[[]byte, error] {
	return stream(ctx, b.tx, func(row pgx.CollectableRow) ([]byte, error) {
		var signed string
		err := row.Scan(&signed)
		return []byte(signed), err
	}, b.l.sql("SELECT signed FROM {schema}.ledger_checkpoints ORDER BY id"))
}

// IDs is part of ledger.Source.
func (b *book) IDs(ctx context.Context) iter.Seq2[sandtrail.ID, error] {
	return stream(ctx, b.tx, func(row pgx.CollectableRow) (id sandtrail.ID, err error) {
		err = row.Scan((*[16]byte)(&id))
		return id, err
	}, b.l.sql("SELECT id FROM {logs}"))
}

// stream yields the rows of a query.
func stream[T any](ctx context.Context, tx pgx.Tx, scan pgx.RowToFunc[T], text string, args ...any) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		rows, err := tx.Query(ctx, text, args...)
		if err != nil {
			yield(none, err)
			return
		}
		defer rows.Close()
		for rows.Next() {
			value, err := scan(rows)
			if !yield(value, err) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(none, err)
		}
	}
}

// noRows makes nothing found no error.
func noRows(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	return err
}
