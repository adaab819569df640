package storetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
)

// seed stores records of three users and two strategies whose times tie in
// threes, across two weeks.
func (k *kit) seed() int {
	k.Helper()
	k.putUsers("u0", "u1", "u2")
	k.putStrategies("s0", "s1")
	var drafts []sandtrail.Draft
	for i := range 36 {
		at := noon.Add(-time.Duration(i/3) * 30 * time.Hour)
		drafts = append(drafts, draft(fmt.Sprintf("u%d", i%3), fmt.Sprintf("s%d", i%2), at, func(d *sandtrail.Draft) {
			d.ExecutionTime = new(10 * i)
			switch i % 5 {
			case 1:
				failed(d)
			case 2:
				timedOut(d)
			}
			if i%4 == 0 {
				d.Type = sandtrail.Terminal
			} else {
				d.MemoryUsed = &i
			}
			if i%7 == 0 {
				metadata(`{"errors":[{"message":"Needle"}]}`)(d)
			}
		}))
	}
	k.append(drafts...)
	return len(drafts)
}

func (k *kit) filters() map[string]sandtrail.Filter {
	return map[string]sandtrail.Filter{
		"everything":            {},
		"user":                  {UserID: "u1"},
		"strategy":              {StrategyID: "s0"},
		"user and strategy":     {UserID: "u2", StrategyID: "s1"},
		"type":                  {Type: sandtrail.Terminal},
		"failed":                {Success: new(false)},
		"successful":            {Success: new(true)},
		"timed out":             {TimedOut: new(true)},
		"not timed out":         {TimedOut: new(false)},
		"failed, not timed out": {Success: new(false), TimedOut: new(false)},
		"failures of a user":    {UserID: "u0", Success: new(false)},
		"since":                 {Since: noon.Add(-90 * time.Hour)},
		"until":                 {Until: noon.Add(-90 * time.Hour)},
		"since and until":       {Since: noon.Add(-240 * time.Hour), Until: noon.Add(-30 * time.Hour)},
		"within":                {Within: 100 * time.Hour},
		"within and since":      {Within: 100 * time.Hour, Since: noon.Add(-50 * time.Hour)},
		"slow":                  {MinTime: new(100)},
		"large":                 {MinMemory: new(10)},
		"fast":                  {MaxTime: new(100)},
		"small":                 {MaxMemory: new(10)},
		"of a time and size":    {MinTime: new(100), MaxTime: new(200), MinMemory: new(11), MaxMemory: new(19)},
		"text":                  {Text: "needle"},
		"nobody":                {UserID: "nobody"},
		"all at once": {
			UserID: "u1", StrategyID: "s0", Type: sandtrail.Validation, Success: new(true), TimedOut: new(false),
			Since: noon.Add(-1000 * time.Hour), Until: noon.Add(time.Hour), MinTime: new(1), MinMemory: new(1), MaxTime: new(300), MaxMemory: new(30),
		},
	}
}

// everyPage walks each filter at several page sizes: every record once, in
// order, whatever the size.
func everyPage(k *kit) {
	n := k.seed()
	for name, filter := range k.filters() {
		whole := k.walk(sandtrail.Query{Filter: filter, Limit: sandtrail.MaxLimit})
		if name == "everything" && len(whole) != n {
			k.Fatalf("%d records, want %d", len(whole), n)
		}
		if !slices.IsSortedFunc(whole, func(a, b sandtrail.Execution) int { return compare(b, a) }) {
			k.Errorf("%s: not newest first", name)
		}
		for _, limit := range []int{1, 2, len(whole) - 1, len(whole), len(whole) + 1, 0} {
			if limit < 0 {
				continue
			}
			pages := k.walk(sandtrail.Query{Filter: filter, Limit: limit})
			if diff := cmp.Diff(whole, pages, sameAnswer...); diff != "" {
				k.Errorf("%s in pages of %d (-whole +pages)\n%s", name, limit, diff)
			}
		}
	}
}

// pagesWhileOthersWrite adds and removes records between two pages: what was
// there all the time comes exactly once, in a window that stays where the
// first page put it.
func pagesWhileOthersWrite(k *kit) {
	k.seed()
	q := sandtrail.Query{Filter: sandtrail.Filter{Within: 200 * time.Hour}, Limit: 4}
	steady := k.walk(q)
	var met []sandtrail.ID
	for first := true; first || q.Cursor != ""; first = false {
		page := must(k, "page", func(s sandtrail.Store) (sandtrail.Page, error) { return s.Executions(k.ctx, q, k.now) })
		for _, e := range page.Items {
			met = append(met, e.ID)
		}
		q.Cursor = page.NextCursor
		k.now = k.now.Add(time.Hour)
		k.append(draft("u0", "s0", k.now), draft("u1", "s1", k.now))
	}
	var want []sandtrail.ID
	for _, e := range steady {
		want = append(want, e.ID)
	}
	if diff := cmp.Diff(want, met); diff != "" {
		k.Errorf("pages (-want +got)\n%s", diff)
	}
}

// cursorBoundToFilter refuses a cursor under any other filter.
func cursorBoundToFilter(k *kit) {
	k.seed()
	cursors := map[string]string{}
	for name, filter := range k.filters() {
		page := must(k, name, func(s sandtrail.Store) (sandtrail.Page, error) {
			return s.Executions(k.ctx, sandtrail.Query{Filter: filter, Limit: 1}, k.now)
		})
		cursors[name] = page.NextCursor
	}
	for name, filter := range k.filters() {
		for origin, cursor := range cursors {
			if cursor == "" || origin == name {
				continue
			}
			_, err := both(k, name, func(s sandtrail.Store) (sandtrail.Page, error) {
				return s.Executions(k.ctx, sandtrail.Query{Filter: filter, Cursor: cursor}, k.now)
			})
			if sandtrail.CodeOf(err) != sandtrail.CodeInvalid {
				k.Errorf("a cursor of %q under %q: got %v, want it refused", origin, name, err)
			}
		}
	}
}

// exactBounds puts bounds at, before and after a record by less than its
// precision.
func exactBounds(k *kit) {
	k.putUsers("u")
	k.putStrategies("s")
	at := noon.Add(-time.Hour + 500*time.Millisecond)
	k.append(draft("u", "s", at), draft("u", "s", at.Add(-time.Millisecond)), draft("u", "s", at.Add(time.Millisecond)))
	for _, by := range []time.Duration{-time.Millisecond, -1, 0, 1, time.Microsecond, time.Millisecond} {
		bound := at.Add(by)
		for name, f := range map[string]sandtrail.Filter{"since": {Since: bound}, "until": {Until: bound}, "within": {Within: noon.Sub(bound)}} {
			for _, limit := range []int{1, 10} {
				k.Logf("%s %v, pages of %d", name, by, limit)
				k.walk(sandtrail.Query{Filter: f, Limit: limit})
			}
		}
		must(k, "window", func(s sandtrail.Store) (any, error) {
			return s.WindowStats(k.ctx, sandtrail.Window{Since: bound, Until: noon})
		})
		must(k, "window", func(s sandtrail.Store) (any, error) {
			return s.WindowStats(k.ctx, sandtrail.Window{Since: noon.Add(-24 * time.Hour), Until: bound})
		})
		must(k, "count", func(s sandtrail.Store) (int64, error) { return s.CountBefore(k.ctx, sandtrail.Before(bound)) })
	}
	for _, far := range []time.Time{time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(10001, 1, 1, 0, 0, 0, 0, time.UTC)} {
		k.walk(sandtrail.Query{Filter: sandtrail.Filter{Since: far}})
		k.walk(sandtrail.Query{Filter: sandtrail.Filter{Until: far}})
	}
}

// textFilter finds text in metadata literally, whatever it means to SQL.
func textFilter(k *kit) {
	k.putUsers("u")
	k.putStrategies("s")
	for i, text := range []string{
		`{"m":"100% done"}`, `{"m":"100 done"}`, `{"m":"a_b"}`, `{"m":"axb"}`, `{"m":"back\\slash"}`, `{"m":"it's"}`,
		`{"m":"ÄRGER"}`, `{"m":"ärger"}`, `{"m":"Hello World"}`, `{"m":"a,b"}`, `{"m":"[x]*?"}`, `{}`,
	} {
		k.append(draft("u", "s", noon.Add(-time.Duration(i)*time.Minute), metadata(text)))
	}
	k.append(draft("u", "s", noon))
	for text, want := range map[string]int{
		"100%": 1, "100": 2, "%": 1, "_": 1, "a_b": 1, `\`: 1, `\\`: 1, `\%`: 0, "'": 1, `"m"`: 11, "hELLO w": 1,
		"Ärger": 1, "ärger": 1, "a,b": 1, "[x]": 1, "*?": 1, "{": 12, "nothing": 0,
	} {
		if found := k.walk(sandtrail.Query{Filter: sandtrail.Filter{Text: text}}); len(found) != want {
			k.Errorf("%q: found %d, want %d", text, len(found), want)
		}
	}
}

// byPrefix names executions by how their ids begin.
func byPrefix(k *kit) {
	k.putUsers("u0", "u1")
	k.putStrategies("s")
	ids := []string{
		"0192d3a4-7b1c-7def-8a90-1b2c3d4e5f60", "0192d3a4-7b1c-7def-8a90-1b2c3d4e5f61", "0192d3a4-8000-7def-8a90-1b2c3d4e5f60",
		"0192d3a5-0000-7000-8000-000000000000", "0192d3a5-ffff-7fff-bfff-ffffffffffff", "ffffffff-ffff-4fff-bfff-ffffffffffff",
		"00000000-0000-4000-8000-000000000001", "0192d3a5-1000-7000-8000-000000000000", "0192d3a5-2000-7000-8000-000000000000",
	}
	for i, text := range ids {
		id, err := sandtrail.ParseID(text)
		if err != nil {
			k.Fatal(err)
		}
		// Of different weeks, so that no one partition has them all.
		k.append(draft(fmt.Sprintf("u%d", i%2), "s", noon.Add(-time.Duration(i)*100*time.Hour), func(d *sandtrail.Draft) { d.ID = id }))
	}
	for _, text := range append(ids, "0192d3a4", "0192d3a4-7b1c-7def-8a90-1b2c3d4e5f6", "0192d3a4-7", "0192d3a4-8", "0192d3a5", "0192d3a5-f",
		"ffffffff", "00000000", "0192d3a6", "12345678") {
		for _, user := range []string{"", "u0", "u1", "nobody"} {
			p, err := sandtrail.ParseIDPrefix(text)
			if err != nil {
				k.Fatal(err)
			}
			_, err = both(k, "find "+text+" of "+user, func(s sandtrail.Store) (sandtrail.Execution, error) {
				return s.ExecutionByPrefix(k.ctx, p, user)
			})
			if want := "0192d3a4-7b1c-7def-8a90-1b2c3d4e5f60, 0192d3a4-7b1c-7def-8a90-1b2c3d4e5f61, 0192d3a4-8000"; text == "0192d3a4" && user == "" &&
				(err == nil || !strings.Contains(err.Error(), want)) {
				k.Errorf("find %s: got %v, want to be told of %s", text, err, want)
			}
		}
	}
}
