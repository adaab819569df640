package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
)

func (m *memory) verify(t testing.TB, keys Keys, outside ...[]byte) (Summary, []Finding) {
	t.Helper()
	var findings []Finding
	sum, err := Verify(context.Background(), m, Verification{
		Trusted: keys.Verifiers, Outside: outside,
		Report: func(f Finding) { findings = append(findings, f) },
	})
	check(t, err)
	if sum.Records != sum.Intact+sum.Removed+sum.Missing+sum.Altered+sum.Inserted+sum.Unsealed {
		t.Fatalf("the counts do not add up: %+v", sum)
	}
	if sum.FindingsN != int64(len(findings)) {
		t.Fatalf("%d findings counted, %d reported", sum.FindingsN, len(findings))
	}
	return sum, findings
}

// clean fails the test on any finding.
func (m *memory) clean(t testing.TB, keys Keys, outside ...[]byte) Summary {
	t.Helper()
	sum, findings := m.verify(t, keys, outside...)
	if len(findings) > 0 {
		t.Fatalf("false alarm: %+v", findings)
	}
	return sum
}

// live does n random lawful things.
func (m *memory) live(t testing.TB, r *rand.Rand, n int) {
	t.Helper()
	for range n {
		switch {
		case len(m.order) < 50 || r.IntN(10) < 8:
			m.add(sample(r))
		default:
			id := pick(r, m)
			e := m.records[id]
			m.remove(id, []string{"retention", "user", "delete"}[r.IntN(3)])
			if r.IntN(4) == 0 {
				e.ExecutionTime++
				m.add(e) // the id comes back with another record
			}
		}
		if r.IntN(50) == 0 {
			m.seal(t, r)
		}
		if r.IntN(200) == 0 {
			m.sign(t, testKeys(t))
		}
	}
}

// TestNoFalseAlarm: whatever happens lawfully, sealed or not, verifies, also
// against every checkpoint signed on the way.
func TestNoFalseAlarm(t *testing.T) {
	keys := testKeys(t)
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(10, seed))
		m := newMemory()
		m.live(t, r, 600)
		sum := m.clean(t, keys, m.checkpoints...)
		if stored := int64(len(m.records)); sum.Intact+sum.Unsealed != stored {
			t.Fatalf("%d intact and %d unsealed of %d records", sum.Intact, sum.Unsealed, stored)
		}
	}
}

// attack does something unlawful behind the ledger's back and says what should
// be found: kinds by the record's id, or by "" for the log as a whole.
type attack struct {
	name string
	do   func(t *testing.T, r *rand.Rand, m *memory) map[string]FindingKind
	// unseen attacks need a checkpoint from outside to be found.
	unseen bool
}

func pick(r *rand.Rand, m *memory) sandtrail.ID {
	return m.order[r.IntN(len(m.order))]
}

var attacks = []attack{
	{name: "change one field", do: func(_ *testing.T, r *rand.Rand, m *memory) map[string]FindingKind {
		id := pick(r, m)
		m.records[id] = change(m.records[id], fieldNames[r.IntN(nFields)])
		return map[string]FindingKind{id.String(): Altered}
	}},
	{name: "swap two records", do: func(_ *testing.T, r *rand.Rand, m *memory) map[string]FindingKind {
		ids := m.order
		i := r.IntN(len(ids) - 1)
		a, b := m.records[ids[i]], m.records[ids[i+1]]
		a.ID, b.ID = b.ID, a.ID
		m.records[ids[i]], m.records[ids[i+1]] = b, a
		return map[string]FindingKind{a.ID.String(): Altered, b.ID.String(): Altered}
	}},
	{name: "delete one", do: func(_ *testing.T, r *rand.Rand, m *memory) map[string]FindingKind {
		id := pick(r, m)
		delete(m.records, id)
		return map[string]FindingKind{id.String(): Missing}
	}},
	{name: "delete a range", do: func(_ *testing.T, r *rand.Rand, m *memory) map[string]FindingKind {
		ids := m.order
		from := r.IntN(len(ids) - 5)
		want := map[string]FindingKind{}
		for _, id := range ids[from : from+5] {
			delete(m.records, id)
			want[id.String()] = Missing
		}
		return want
	}},
	{name: "insert one", do: func(_ *testing.T, r *rand.Rand, m *memory) map[string]FindingKind {
		e := sample(r)
		m.records[e.ID] = e
		return map[string]FindingKind{e.ID.String(): Inserted}
	}},
	{name: "delete one and insert another", do: func(_ *testing.T, r *rand.Rand, m *memory) map[string]FindingKind {
		gone, e := pick(r, m), sample(r)
		delete(m.records, gone)
		m.records[e.ID] = e
		return map[string]FindingKind{gone.String(): Missing, e.ID.String(): Inserted}
	}},
	{name: "put back a removed one", do: func(t *testing.T, r *rand.Rand, m *memory) map[string]FindingKind {
		id := pick(r, m)
		e := m.records[id]
		m.remove(id, "user")
		m.seal(t, r)
		m.records[id] = e
		return map[string]FindingKind{id.String(): Inserted}
	}},
	{name: "edit a removal", do: func(t *testing.T, r *rand.Rand, m *memory) map[string]FindingKind {
		id := pick(r, m)
		_, leaf := m.entry(t, id)
		m.remove(id, "user")
		m.seal(t, r)
		for at, data := range m.removals {
			removal, err := ParseRemoval(data)
			check(t, err)
			if slices.Contains(removal.Leaves, Span{leaf, leaf}) {
				removal.By = "somebody else"
				m.removals[at] = removal.Marshal()
			}
		}
		return map[string]FindingKind{"": Altered, id.String(): Missing}
	}},
	{name: "forge a checkpoint", do: func(t *testing.T, r *rand.Rand, m *memory) map[string]FindingKind {
		forger, err := GenerateKeys(randomBytes{r}, "example.com/audit")
		check(t, err)
		m.sign(t, forger)
		return map[string]FindingKind{"": BadSignature}
	}},
	{name: "cut the tail of the log", do: func(t *testing.T, r *rand.Rand, m *memory) map[string]FindingKind {
		for m.size%BlockLeaves != 0 { // so that whole blocks can be cut
			m.add(sample(r))
			m.seal(t, r)
		}
		cut := m.copy()
		e := sample(r)
		m.add(e)
		m.seal(t, r)
		m.publish(t, testKeys(t))
		m.tiles, m.pages, m.checkpoints = cut.tiles, cut.pages, nil
		return map[string]FindingKind{"": Truncated, e.ID.String(): Inserted}
	}},
	{name: "tear the log", do: func(t *testing.T, r *rand.Rand, m *memory) map[string]FindingKind {
		for m.size%BlockLeaves != 0 {
			m.add(sample(r))
			m.seal(t, r)
		}
		e := sample(r)
		m.add(e)
		m.seal(t, r)
		m.publish(t, testKeys(t))
		delete(m.tiles, TileID{0, m.size / BlockLeaves})
		return map[string]FindingKind{"": Truncated, e.ID.String(): Inserted}
	}},
	{name: "go back to an earlier copy", unseen: true, do: func(t *testing.T, r *rand.Rand, m *memory) map[string]FindingKind {
		*m = *m.earlier.copy()
		return map[string]FindingKind{"": Truncated}
	}},
	{name: "go back and go on differently", unseen: true, do: func(t *testing.T, r *rand.Rand, m *memory) map[string]FindingKind {
		size := m.size
		*m = *m.earlier.copy()
		for m.size < size {
			m.add(sample(r))
			m.seal(t, r)
		}
		return map[string]FindingKind{"": Forked}
	}},
	{name: "change a record and its leaf", unseen: true, do: func(t *testing.T, r *rand.Rand, m *memory) map[string]FindingKind {
		id := pick(r, m)
		entry, leaf := m.entry(t, id)
		e := change(m.records[id], "executionTime")
		m.records[id] = e
		m.rewrite(t, e, entry.Salt, leaf)
		m.checkpoints = nil
		return map[string]FindingKind{"": Forked}
	}},
}

// rewrite puts another record into the log at a leaf and mends the tree.
func (m *memory) rewrite(t *testing.T, e sandtrail.Execution, salt Salt, leaf int64) {
	t.Helper()
	var leaves []Hash
	for block, err := range m.Blocks(context.Background()) {
		check(t, err)
		leaves = append(leaves, block.Hashes...)
	}
	entry, hash := Seal(e, salt)
	leaves[leaf] = hash
	page := m.pages[leaf/BlockLeaves]
	parsed, err := parsePage(page.Entries)
	check(t, err)
	parsed.entries[leaf%BlockLeaves] = entry
	page.Entries = parsed.marshal()
	m.pages[leaf/BlockLeaves] = page
	_, m.tiles, err = Append(0, leaves, m.tile)
	check(t, err)
}

func change(e sandtrail.Execution, field string) sandtrail.Execution {
	switch field {
	case "userId":
		e.UserID += "x"
	case "strategyId":
		e.StrategyID += "x"
	case "executionType":
		e.Type = sandtrail.ExecutionType("X")
	case "success":
		e.Success = !e.Success
	case "executionTime":
		e.ExecutionTime++
	case "memoryUsed":
		e.MemoryUsed = ptr(5000)
	case "cpuUsage":
		e.CPUUsage = ptr(200.0)
	case "timedOut":
		e.TimedOut = !e.TimedOut
	case "errorCount":
		e.ErrorCount++
	case "warningCount":
		e.WarningCount++
	case "classesFound":
		e.Classes = append(slices.Clone(e.Classes), "Gamma")
	case "metadata":
		e.Metadata = []byte(`{"run":{}}`)
	case "createdAt":
		e.CreatedAt = e.CreatedAt.Add(1e6)
	}
	return e
}

// TestHostileOperator does each unlawful thing many times at random to stores
// with different histories.
func TestHostileOperator(t *testing.T) {
	keys := testKeys(t)
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			for seed := range uint64(12) {
				r := rand.New(rand.NewPCG(11, seed))
				m := newMemory()
				m.live(t, r, 200+r.IntN(400))
				m.seal(t, r)
				m.earlier = m.copy()
				m.live(t, r, 80)
				m.seal(t, r)
				m.publish(t, keys)
				m.clean(t, keys, *m.published...)

				want := a.do(t, r, m)
				if a.unseen {
					m.clean(t, keys)
				}
				_, findings := m.verify(t, keys, *m.published...)
				sameFindings(t, seed, findings, want)
			}
		})
	}
}

// sameFindings compares kinds by record; findings about the log as a whole may
// come more than once.
func sameFindings(t *testing.T, seed uint64, findings []Finding, want map[string]FindingKind) {
	t.Helper()
	got := map[string]FindingKind{}
	for _, f := range findings {
		got[f.ID] = f.Kind
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("seed %d: findings (-want +got)\n%s%+v", seed, diff, findings)
	}
}

// TestAlteredFields: the fields that were changed are named, and no others.
func TestAlteredFields(t *testing.T) {
	r := rand.New(rand.NewPCG(12, 12))
	named := 0
	for i := range 20 * nFields {
		field := fieldNames[i%nFields]
		e := sample(r)
		entry, hash := Seal(e, Salt{byte(i), 1})
		changed := change(e, field)
		same, fields, _ := entry.compare(&changed, hash, nil)
		if same {
			t.Fatalf("a change of %s goes unseen", field)
		}
		switch {
		case slices.Equal(fields, []string{field}):
			named++
		case len(fields) > 0:
			t.Errorf("changed %s, named %v", field, fields)
		}
	}
	// A check of one byte misses one change in 256.
	if total := 20 * nFields; named < total*95/100 {
		t.Errorf("%d of %d changed fields named", named, total)
	}
}

func TestFindingsOfSize0(t *testing.T) {
	keys := testKeys(t)
	m := newMemory()
	signed := m.sign(t, keys)
	if sum := m.clean(t, keys, signed); sum.Checkpoints != 2 {
		t.Errorf("%d checkpoints agree, want 2", sum.Checkpoints)
	}
}

func TestForgetsTheRemoved(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 13))
	m := newMemory()
	e := sample(r)
	m.add(e)
	m.seal(t, r)
	entry, _ := m.entry(t, e.ID)
	m.remove(e.ID, "user")
	m.seal(t, r)
	for _, page := range m.pages {
		parsed, err := parsePage(page.Entries)
		check(t, err)
		if slices.Contains(parsed.salts.salts(BlockLeaves), entry.Salt) {
			t.Error("the salt of a removed record can still be had")
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	r := rand.New(rand.NewPCG(14, 14))
	const n = 10_000
	records := make([]sandtrail.Execution, n)
	for i := range records {
		records[i] = sample(r)
	}
	for b.Loop() {
		m := newMemory()
		for _, e := range records {
			m.add(e)
		}
		m.seal(b, r)
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkVerify(b *testing.B) {
	r := rand.New(rand.NewPCG(15, 15))
	m, keys := newMemory(), testKeys(b)
	const n = 50_000
	for range n {
		m.add(sample(r))
	}
	m.seal(b, r)
	bytes := 0
	for _, tile := range m.tiles {
		bytes += len(tile)
	}
	for _, page := range m.pages {
		bytes += len(page.Entries)
	}
	for b.Loop() {
		m.clean(b, keys)
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(bytes)/n, "B/record")
}

// TestSinceOfAnotherLog: a checkpoint of a log that this one does not continue
// spares no record the reading.
func TestSinceOfAnotherLog(t *testing.T) {
	r := rand.New(rand.NewPCG(19, 19))
	keys := testKeys(t)
	sealed := func(records int) *memory {
		m := newMemory()
		for range records {
			m.add(sample(r))
		}
		m.seal(t, r)
		return m
	}
	former, longer, m := sealed(300), sealed(900), sealed(600)
	m.closed = []ClosedLog{{At: now, How: "closed", Leaves: 300, Tiles: former.tile}}
	for _, test := range []struct {
		since []byte
		want  FindingKind
	}{{former.sign(t, keys), Reset}, {sealed(200).sign(t, keys), Forked}, {longer.sign(t, keys), Truncated}} {
		var found []FindingKind
		sum, err := Verify(t.Context(), m, Verification{
			Trusted: keys.Verifiers, Since: test.since, Report: func(f Finding) { found = append(found, f.Kind) },
		})
		check(t, err)
		if diff := cmp.Diff([]FindingKind{test.want}, found); diff != "" || sum.Earlier != 0 || sum.Intact != 600 {
			t.Errorf("%s: %d intact, %d verified earlier; findings (-want +got)\n%s", test.want, sum.Intact, sum.Earlier, diff)
		}
		err = Service{Log: m, Keys: keys}.Confirm(t.Context(), test.since)
		if errors.Is(err, ErrContradicted) != (test.want != Reset) || err != nil && !errors.Is(err, ErrContradicted) {
			t.Errorf("%s is confirmed with %v", test.want, err)
		}
	}
	service := Service{Log: m, Keys: keys}
	other, err := GenerateKeys(randomBytes{r}, keys.Origin())
	check(t, err)
	check(t, service.Confirm(t.Context(), m.sign(t, keys)))
	if err := service.Confirm(t.Context(), former.sign(t, other)); !errors.Is(err, ErrSignature) {
		t.Errorf("one that was signed with another key is confirmed with %v", err)
	}
}

// TestSince: an increment reads no record before an earlier checkpoint, and
// still tells which of them are gone or were added.
func TestSince(t *testing.T) {
	r := rand.New(rand.NewPCG(18, 18))
	m, keys := newMemory(), testKeys(t)
	for range 700 {
		m.add(sample(r))
	}
	m.seal(t, r)
	since := m.sign(t, keys)
	old := slices.Clone(m.order)
	for range 300 {
		m.add(sample(r))
	}
	m.remove(old[0], "user")
	m.seal(t, r)
	verify := func(m *memory) (Summary, map[string]FindingKind) {
		found := map[string]FindingKind{}
		sum, err := Verify(t.Context(), m, Verification{
			Trusted: keys.Verifiers, Since: since, Report: func(f Finding) { found[f.ID] = f.Kind },
		})
		check(t, err)
		return sum, found
	}
	sum, found := verify(m)
	if sum.Earlier != 699 || sum.Intact != 300 || sum.Removed != 1 || sum.Records != 1000 || len(found) > 0 {
		t.Errorf("%+v, found %v", sum, found)
	}

	gone, added, altered, unread := old[1], sample(r), m.order[len(m.order)-1], old[2]
	bad := m.copy()
	delete(bad.records, gone)
	bad.records[added.ID] = added
	bad.records[altered] = change(bad.records[altered], "userId")
	bad.records[unread] = change(bad.records[unread], "userId")
	_, found = verify(bad)
	want := map[string]FindingKind{gone.String(): Missing, added.ID.String(): Inserted, altered.String(): Altered}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestVerifyReadsColumns changes what the column of the metadata holds, so that
// what is read of it, or what is left of it without blanks, is the same or not.
func TestVerifyReadsColumns(t *testing.T) {
	for sealed, columns := range map[string]map[string]bool{
		`{"a":12,"b":"c d"}`: {
			`{"a":12,"b":"c d"}`: true, ` { "a" : 12, "b" : "c d" } `: true,
			`{"a":1 2,"b":"c d"}`: false, `{"a":12,"b":"cd"}`: false, `{"a":12,"b":"c d"`: false,
		},
		"":               {"": true, "null": false, "{}": false},
		"null":           {"null": true, "": false, `{"text":"null"}`: true},
		"not JSON":       {"not JSON": true, "notJSON": false},
		`{"text":"x y"}`: {"x y": true, "xy": false},
	} {
		for column, intact := range columns {
			t.Run(fmt.Sprintf("%s/%s", sealed, column), func(t *testing.T) {
				r := rand.New(rand.NewPCG(7, 7))
				store := newMemory()
				e := sample(r)
				e.Metadata = columnOf(sealed)
				store.add(e)
				store.seal(t, r)
				e.Metadata = columnOf(column)
				store.records[e.ID] = e
				sum, err := Verify(t.Context(), store, Verification{})
				check(t, err)
				if (sum.Intact == 1) != intact || sum.Intact+sum.Altered != 1 {
					t.Errorf("%d intact, %d altered; want it intact: %t", sum.Intact, sum.Altered, intact)
				}
			})
		}
	}
}

// columnOf is a column; "" is null.
func columnOf(text string) json.RawMessage {
	if text == "" {
		return nil
	}
	return json.RawMessage(text)
}
