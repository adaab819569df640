package derive_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail/derive"
	"github.com/sandtrail/sandtrail/rollup"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// tables are executions, pending changes and roll-ups in memory.
type tables struct {
	records, pending []rollup.Change
	days             map[rollup.Key]derive.StoredDay
	totals           map[rollup.Subject]derive.StoredTotal
	forgotten        []string
}

func newTables() *tables {
	return &tables{days: map[rollup.Key]derive.StoredDay{}, totals: map[rollup.Subject]derive.StoredTotal{}}
}

func (m *tables) Days(_ context.Context, keys []rollup.Key, f func(derive.StoredDay) error) error {
	return each(m.days, f, func(d derive.StoredDay) bool { return slices.Contains(keys, d.Key) })
}

func (m *tables) PutDays(_ context.Context, days []derive.StoredDay) error {
	for _, day := range days {
		m.days[day.Key] = day
	}
	return nil
}

func (m *tables) DeleteDays(_ context.Context, keys []rollup.Key) error {
	for _, key := range keys {
		delete(m.days, key)
	}
	return nil
}

func (m *tables) Totals(_ context.Context, subjects []rollup.Subject, f func(derive.StoredTotal) error) error {
	return each(m.totals, f, func(t derive.StoredTotal) bool { return slices.Contains(subjects, t.Subject) })
}

func (m *tables) PutTotals(_ context.Context, totals []derive.StoredTotal) error {
	for _, total := range totals {
		m.totals[total.Subject] = total
	}
	return nil
}

func (m *tables) Forget(_ context.Context, ids []string) error {
	m.forgotten = append(m.forgotten, ids...)
	return nil
}

func (m *tables) Dates(context.Context) (dates []rollup.Date, _ error) {
	seen := map[rollup.Date]bool{}
	for key := range m.days {
		seen[key.Date] = true
	}
	for _, c := range slices.Concat(m.records, m.pending) {
		seen[rollup.DateOf(c.CreatedAt)] = true
	}
	return slices.Sorted(maps.Keys(seen)), nil
}

func (m *tables) Executions(_ context.Context, date rollup.Date, f func(rollup.Change)) error {
	return onDay(m.records, date, f)
}

func (m *tables) Pending(_ context.Context, date rollup.Date, f func(rollup.Change)) error {
	return onDay(m.pending, date, f)
}

func (m *tables) StoredDays(_ context.Context, date rollup.Date, f func(derive.StoredDay) error) error {
	return each(m.days, f, func(d derive.StoredDay) bool { return d.Date == date })
}

func (m *tables) StoredTotals(_ context.Context, f func(derive.StoredTotal) error) error {
	return each(m.totals, f, func(derive.StoredTotal) bool { return true })
}

func each[K comparable, V any](m map[K]V, f func(V) error, selected func(V) bool) error {
	for _, v := range m {
		if !selected(v) {
			continue
		}
		if err := f(v); err != nil {
			return err
		}
	}
	return nil
}

func onDay(changes []rollup.Change, date rollup.Date, f func(rollup.Change)) error {
	for _, c := range changes {
		if rollup.DateOf(c.CreatedAt) == date {
			f(c)
		}
	}
	return nil
}

// step inserts an execution, deletes one, or applies some of the pending changes.
func (m *tables) step(t *testing.T, r *rand.Rand) {
	switch pick := r.IntN(10); {
	case pick < 5 || len(m.records) == 0:
		c := rollup.Change{
			Sign: 1, UserID: fmt.Sprint("u", r.IntN(3)), StrategyID: fmt.Sprint("s", r.IntN(2)),
			CreatedAt: noon.Add(-time.Duration(r.IntN(72)) * time.Hour), Success: r.IntN(2) == 0, ExecutionTime: r.IntN(1000),
		}
		m.records, m.pending = append(m.records, c), append(m.pending, c)
	case pick < 9:
		i := r.IntN(len(m.records))
		c := m.records[i]
		m.records = slices.Delete(m.records, i, i+1)
		c.Sign = -1
		m.pending = append(m.pending, c)
	default:
		n := r.IntN(len(m.pending) + 1)
		apply(t, m, m.pending[:n])
		m.pending = m.pending[n:]
	}
}

func apply(t *testing.T, m *tables, changes []rollup.Change) {
	t.Helper()
	if err := derive.Apply(t.Context(), m, changes); err != nil {
		t.Fatal(err)
	}
}

func (m *tables) wantFinding(t *testing.T, want string) {
	t.Helper()
	check, err := derive.CheckRollups(t.Context(), m, func() string { return "count anew" })
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case want == "" && !check.OK:
		t.Fatalf("a difference is found where there is none: %+v", check)
	case want != "" && (check.OK || check.Fix != "count anew" || !strings.Contains(check.Detail, want)):
		t.Fatalf("%+v does not find a difference in %s", check, want)
	}
}

// TestApplied compares after every step of random histories, which changes may
// be pending.
func TestApplied(t *testing.T) {
	for seed := range uint64(5) {
		r, m := rand.New(rand.NewPCG(seed, 1)), newTables()
		for range 100 {
			m.step(t, r)
			m.wantFinding(t, "")
		}
	}
}

func TestEmptyDaysAreDeletedAndTheirOwnersForgotten(t *testing.T) {
	m := newTables()
	c := rollup.Change{Sign: 1, UserID: "u", StrategyID: "s", CreatedAt: noon}
	apply(t, m, []rollup.Change{c})
	c.Sign = -1
	apply(t, m, []rollup.Change{c})
	slices.Sort(m.forgotten)
	if len(m.days) != 0 || len(m.totals) != 3 || !slices.Equal(m.forgotten, []string{"", "s", "u"}) {
		t.Errorf("left are %d days and %d totals, asked to forget %q", len(m.days), len(m.totals), m.forgotten)
	}
}

func TestRetire(t *testing.T) {
	m := newTables()
	for i := range 10 {
		apply(t, m, []rollup.Change{{Sign: 1, UserID: fmt.Sprint("u", i%2), StrategyID: "s", CreatedAt: noon.Add(time.Duration(i) * time.Minute)}})
	}
	moved, err := derive.Retire(t.Context(), m, slices.Collect(maps.Values(m.days)))
	if err != nil || moved != 10 {
		t.Errorf("%d executions were moved, %v; want 10", moved, err)
	}
	m.wantFinding(t, "") // no execution is left, and no live count
	if len(m.days) != 4 {
		t.Errorf("%d days are left, want 4 with retired counts", len(m.days))
	}
}

func TestDifferencesAreFound(t *testing.T) {
	c := rollup.Change{Sign: 1, UserID: "u", StrategyID: "s", CreatedAt: noon}
	for name, test := range map[string]struct {
		damage func(*tables)
		want   string
	}{
		"an execution that is not counted": {func(m *tables) { m.records = append(m.records, c) }, "2026-11-24 of "},
		"a change counted twice":           {func(m *tables) { m.pending = append(m.pending, c) }, "2026-11-24 of "},
		"a day that is missing":            {func(m *tables) { clear(m.days) }, "2026-11-24 of "},
		"a total that is missing": {
			func(m *tables) { delete(m.totals, rollup.Subject{Scope: rollup.User, ID: "u"}) }, `the total of user "u"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newTables()
			m.records = append(m.records, c)
			apply(t, m, m.records)
			test.damage(m)
			m.wantFinding(t, test.want)
		})
	}
}
