package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sandtrail/sandtrail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func ptr[T any](v T) *T { return &v }

// sample makes a record that the random source decides.
func sample(r *rand.Rand) sandtrail.Execution {
	e := sandtrail.Execution{
		ID:            randomID(r),
		UserID:        fmt.Sprint("user-", r.IntN(5)),
		StrategyID:    fmt.Sprint("strategy-", r.IntN(5)),
		Type:          []sandtrail.ExecutionType{sandtrail.Validation, sandtrail.Terminal}[r.IntN(2)],
		Success:       r.IntN(2) == 0,
		ExecutionTime: r.IntN(60_000),
		ErrorCount:    r.IntN(3),
		WarningCount:  r.IntN(3),
		CreatedAt:     now.Add(-time.Duration(r.IntN(1e9)) * time.Millisecond),
	}
	e.TimedOut = !e.Success && r.IntN(4) == 0
	if r.IntN(2) == 0 {
		e.MemoryUsed, e.CPUUsage = ptr(r.IntN(4096)), ptr(r.Float64()*100)
		e.Classes = []string{"Alpha", "Beta"}[:r.IntN(3)]
		e.Metadata = json.RawMessage(fmt.Sprintf(`{"run":{"command":"<a & b>","exitCode":%d}}`, r.IntN(256)))
	}
	return e
}

func randomID(r *rand.Rand) (id sandtrail.ID) {
	for i := range id {
		id[i] = byte(r.Uint32())
	}
	return id
}

// randomBytes is a seeded source of salts and keys.
type randomBytes struct{ *rand.Rand }

func (r randomBytes) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return len(p), nil
}

// memory is a store that keeps everything in maps: a Book, and a Source.
type memory struct {
	records     map[sandtrail.ID]sandtrail.Execution
	journal     []Change
	tiles       map[TileID][]byte
	pages       map[int64]Page
	removals    map[int64][]byte
	checkpoints [][]byte
	size        int64

	order     []sandtrail.ID // of the records that came lawfully
	earlier   *memory        // a copy to go back to
	published *[][]byte      // checkpoints kept outside
	closed    []ClosedLog
}

func newMemory() *memory {
	return &memory{
		records: map[sandtrail.ID]sandtrail.Execution{}, tiles: map[TileID][]byte{},
		pages: map[int64]Page{}, removals: map[int64][]byte{}, published: &[][]byte{},
	}
}

// copy is deep enough to be attacked, or gone back to.
func (m *memory) copy() *memory {
	c := *m
	c.records, c.tiles, c.pages, c.removals = maps.Clone(m.records), maps.Clone(m.tiles), maps.Clone(m.pages), maps.Clone(m.removals)
	c.order = slices.Clone(m.order)
	c.journal, c.checkpoints = slices.Clone(m.journal), slices.Clone(m.checkpoints)
	return &c
}

func (m *memory) add(e sandtrail.Execution) {
	m.records[e.ID] = e
	m.order = append(m.order, e.ID)
	m.journal = append(m.journal, Change{ID: e.ID, CreatedAt: e.CreatedAt})
}

func (m *memory) remove(id sandtrail.ID, reason string) {
	e := m.records[id]
	delete(m.records, id)
	i := slices.Index(m.order, id)
	m.order[i] = m.order[len(m.order)-1]
	m.order = m.order[:len(m.order)-1]
	m.journal = append(m.journal, Change{Removed: true, ID: id, CreatedAt: e.CreatedAt, Reason: reason, By: "tester"})
}

func (m *memory) seal(t testing.TB, r *rand.Rand) Sealed {
	t.Helper()
	r.Shuffle(len(m.journal), func(i, j int) { m.journal[i], m.journal[j] = m.journal[j], m.journal[i] })
	sealed, err := SealChanges(context.Background(), m, m.journal, now, randomBytes{r})
	check(t, err)
	m.journal, m.size = nil, sealed.Size
	return sealed
}

func (m *memory) sign(t testing.TB, keys Keys) []byte {
	t.Helper()
	root, err := Root(m.size, m.tile)
	check(t, err)
	signed, err := keys.Sign(m.size, root)
	check(t, err)
	m.checkpoints = append(m.checkpoints, signed)
	return signed
}

// publish signs a checkpoint and keeps it outside as well.
func (m *memory) publish(t testing.TB, keys Keys) {
	t.Helper()
	*m.published = append(*m.published, m.sign(t, keys))
}

func (m *memory) tile(id TileID) ([]byte, error) { return m.tiles[id], nil }

func (m *memory) Size(context.Context) (int64, error)               { return m.size, nil }
func (m *memory) Tile(_ context.Context, id TileID) ([]byte, error) { return m.tiles[id], nil }
func (m *memory) Page(_ context.Context, n int64) (Page, error)     { return m.pages[n], nil }

func (m *memory) Put(_ context.Context, w Written) error {
	maps.Copy(m.tiles, w.Tiles)
	for _, p := range w.Pages {
		m.pages[p.N] = p
	}
	for _, r := range w.Removals {
		m.removals[r.Leaf] = r.Data
	}
	return nil
}

func (m *memory) Closed(context.Context) ([]ClosedLog, error)            { return m.closed, nil }
func (m *memory) Renames(context.Context, Range) ([]StoredRename, error) { return nil, nil }
func (m *memory) PendingRenames(context.Context) ([]Rename, error)       { return nil, nil }

func (m *memory) Pages(_ context.Context, from, to time.Time) ([]Page, error) {
	var pages []Page
	for n := range int64(len(m.pages)) {
		if p := m.pages[n]; !p.Since.IsZero() && !p.Since.After(to) && !p.Until.Before(from) {
			pages = append(pages, p)
		}
	}
	return pages, nil
}

func (m *memory) Records(_ context.Context, ids []sandtrail.ID, _, _ time.Time) ([]sandtrail.Execution, error) {
	var records []sandtrail.Execution
	for _, id := range ids {
		if e, ok := m.records[id]; ok {
			records = append(records, e)
		}
	}
	return records, nil
}

func (m *memory) Blocks(context.Context) iter.Seq2[Block, error] {
	return func(yield func(Block, error) bool) {
		for n := range int64(len(m.pages)) {
			if !yield(UnmarshalBlock(m.tiles[TileID{0, n}], m.pages[n])) {
				return
			}
		}
	}
}

func (m *memory) Removals(context.Context, Range) iter.Seq2[StoredRemoval, error] {
	return func(yield func(StoredRemoval, error) bool) {
		for _, leaf := range slices.Sorted(maps.Keys(m.removals)) {
			s := StoredRemoval{Leaf: leaf, Data: m.removals[leaf]}
			tile := m.tiles[TileID{0, leaf / BlockLeaves}]
			if at := int(leaf%BlockLeaves) * len(Hash{}); at < len(tile) {
				s.Hash = Hash(tile[at:])
			}
			if !yield(s, nil) {
				return
			}
		}
	}
}

func (m *memory) Checkpoints(context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, c := range m.checkpoints {
			if !yield(c, nil) {
				return
			}
		}
	}
}

func (m *memory) Pending(context.Context) (map[sandtrail.ID]Pending, error) {
	return PendingOf(m.journal), nil
}

func (m *memory) IDs(context.Context) iter.Seq2[sandtrail.ID, error] {
	return func(yield func(sandtrail.ID, error) bool) {
		for id := range m.records {
			if !yield(id, nil) {
				return
			}
		}
	}
}

func (m *memory) Newest(context.Context) ([]byte, error) {
	if len(m.checkpoints) == 0 {
		return nil, nil
	}
	return m.checkpoints[len(m.checkpoints)-1], nil
}

func (m *memory) Inspect(_ context.Context, _ int, f func(Snapshot) error) error { return f(m) }

func (m *memory) BlocksAt(ctx context.Context, at time.Time) ([]StoredBlock, error) {
	pages, err := m.Pages(ctx, at, at)
	blocks := make([]StoredBlock, len(pages))
	for i, p := range pages {
		blocks[i] = StoredBlock{p.N, m.pages[p.N].Entries, m.tiles[TileID{0, p.N}]}
	}
	return blocks, err
}

func (m *memory) PutCheckpoint(_ context.Context, _ int64, _ time.Time, signed []byte) error {
	m.checkpoints = append(m.checkpoints, signed)
	return nil
}
