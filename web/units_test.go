package web

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/url"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/human"
)

func TestFiguresStayTogether(t *testing.T) {
	ms := 3262.0
	for _, test := range []struct{ got, want string }{
		{formatMillis(nil), human.None},
		{formatMillis(&ms), "3.26\u202fs"},
		{formatMemory(new(1536.0)), "1.5\u202fGiB"},
		{formatPercent(new(0.0)), "0\u202f%"},
		{formatBytes(510), "510\u202fB"},
		{plural(1200, "error"), "1,200 errors"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}

func TestDeltas(t *testing.T) {
	f := func(v float64) *float64 { return &v }
	for name, test := range map[string]struct{ got, want delta }{
		"nothing before":  {relative(5, 0, "bad", "good"), delta{}},
		"twice":           {relative(200, 100, "bad", "good"), delta{"100 %", "up", "bad"}},
		"half":            {relative(50, 100, "bad", "good"), delta{"50 %", "down", "good"}},
		"the same":        {relative(100, 100, "bad", "good"), delta{"no change", "same", ""}},
		"many times":      {relative(1111000, 100, "bad", "good"), delta{"11,110 times", "up", "bad"}},
		"rate fell":       {points(f(80), f(82.5)), delta{"2.5 points", "down", "bad"}},
		"rate rose by 1":  {points(f(80.02), f(79)), delta{"1 point", "up", "good"}},
		"rate of nothing": {points(nil, f(82.5)), delta{}},
	} {
		test.got.Text = plain(test.got.Text)
		if test.got != test.want {
			t.Errorf("%s: got %+v, want %+v", name, test.got, test.want)
		}
	}
}

func TestFilterForm(t *testing.T) {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		query string
		want  sandtrail.Filter
		bad   []string // paths of the problems
	}{
		"nothing":    {query: "", want: sandtrail.Filter{}},
		"owners":     {query: "userId=u1&strategyId=+s1+", want: sandtrail.Filter{UserID: "u1", StrategyID: "s1"}},
		"type":       {query: "executionType=TERMINAL", want: sandtrail.Filter{Type: sandtrail.Terminal}},
		"failed":     {query: "outcome=failed", want: sandtrail.Filter{Success: new(false)}},
		"crashed":    {query: "outcome=crashed", want: sandtrail.Filter{Success: new(false), TimedOut: new(false)}},
		"timed out":  {query: "outcome=timedOut", want: sandtrail.Filter{TimedOut: new(true)}},
		"local time": {query: "since=2026-11-24T09:30", want: sandtrail.Filter{Since: time.Date(2026, 11, 24, 8, 30, 0, 0, time.UTC)}},
		"a day":      {query: "until=2026-11-24", want: sandtrail.Filter{Until: time.Date(2026, 11, 23, 23, 0, 0, 0, time.UTC)}},
		"limits":     {query: "minTime=1.5s&maxTime=2s&minMemory=64&maxMemory=128&within=90d", want: sandtrail.Filter{MinTime: new(1500), MaxTime: new(2000), MinMemory: new(64), MaxMemory: new(128), Within: 90 * 24 * time.Hour}},
		"bare ms":    {query: "minTime=250", want: sandtrail.Filter{MinTime: new(250)}},
		"everything wrong": {
			query: "outcome=x&executionType=y&within=z&since=a&until=b&minTime=c&minMemory=-1&maxTime=d&maxMemory=e",
			bad:   []string{"outcome", "executionType", "within", "since", "until", "minTime", "maxTime", "minMemory", "maxMemory"},
		},
		"backwards": {query: "since=2026-11-24T10:00&until=2026-11-24T09:00", bad: []string{"until"}},
		"overflow":  {query: "minTime=999999999999", bad: []string{"minTime"}},
	} {
		t.Run(name, func(t *testing.T) {
			q, err := url.ParseQuery(test.query)
			if err != nil {
				t.Fatal(err)
			}
			got, err := readForm(q).filter(paris)
			var paths []string
			if err != nil {
				for _, f := range err.(*sandtrail.Error).Fields {
					paths = append(paths, f.Path)
				}
			}
			if diff := gocmp.Diff(test.bad, paths); diff != "" {
				t.Errorf("problems: %s", diff)
			}
			if diff := gocmp.Diff(test.want, got); diff != "" && test.bad == nil {
				t.Error(diff)
			}
		})
	}
}

func TestTreeKeepsOrderAndDigits(t *testing.T) {
	got := parseTree(json.RawMessage(`{"z":1.50,"a":[true,null,"x<y"],"big":12345678901234567890}`))
	want := &node{Kind: "object", Children: []node{
		{Key: "z", Value: "1.50", Kind: "number"},
		{Key: "a", Kind: "array", Children: []node{
			{Value: "true", Kind: "literal"}, {Value: "null", Kind: "literal"}, {Value: "x<y", Kind: "string"},
		}},
		{Key: "big", Value: "12345678901234567890", Kind: "number"},
	}}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRunFactsLeaveOutWhatIsNotKnown(t *testing.T) {
	facts, sha256 := runFacts(parseTree(json.RawMessage(`{"run":{"status":"exited","signal":null,"cpuTime":7.9,
		"memoryPeakBytes":262144,"sourceSha256":null,"limits":{"timeout":30000,"memory":512},"extra":{}}}`)))
	want := []fact{
		{"Status", "exited"}, {"CPU time", "7.9 ms"}, {"Memory peak", "256 KiB"}, {"Limits", "timeout 30 s, memory 512 MiB"},
	}
	for i := range facts {
		facts[i].Value = plain(facts[i].Value)
	}
	if diff := gocmp.Diff(want, facts); diff != "" || sha256 != "" {
		t.Errorf("sha256 %q\n%s", sha256, diff)
	}
}

func TestLongTreesAreFolded(t *testing.T) {
	tree := parseTree(json.RawMessage(`{"a":{"b":[1]}}`))
	tree.fold()
	if inner := tree.child("a").child("b"); !inner.Told {
		t.Error("an inner branch is open")
	}
}

func TestValuesBetweenGapsAreSeen(t *testing.T) {
	f := func(v float64) *float64 { return &v }
	for want, values := range map[string][]*float64{
		"":                          {nil, nil},
		"M12 50.0h6":                {nil, f(5)},
		"M2 50.0h6M22 0.0h6":        {f(5), nil, f(10)},
		"M5 50.0L15 0.0M32 100.0h6": {f(5), f(10), nil, f(0)},
	} {
		var buckets []sandtrail.TrendBucket
		for _, v := range values {
			buckets = append(buckets, sandtrail.TrendBucket{AvgTime: v})
		}
		if got := line(buckets, 10, func(b sandtrail.TrendBucket) *float64 { return b.AvgTime }); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestNiceTop(t *testing.T) {
	for most, want := range map[float64]float64{0: 1, 1: 1, 2: 2, 3: 4, 41: 60, 99: 100, 100: 100, 101: 200} {
		if got := niceTop(most, 1, 2, 4, 6, 8); got != want {
			t.Errorf("niceTop(%v) = %v, want %v", most, got, want)
		}
	}
}

func TestSummariseIsWhatStoresSay(t *testing.T) {
	var found []sandtrail.Execution
	for q := (sandtrail.Query{Filter: sandtrail.Filter{StrategyID: "s-0024"}, Limit: sandtrail.MaxLimit}); ; {
		page, err := sampleStore(t).Executions(t.Context(), q, now)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, page.Items...)
		if q.Cursor = page.NextCursor; q.Cursor == "" {
			break
		}
	}
	want, err := sampleStore(t).StrategyStats(t.Context(), "s-0024")
	if err != nil {
		t.Fatal(err)
	}
	got := summarise("s-0024", found)
	// Stores may answer percentiles from sketches.
	got.Percentiles, want.Percentiles = sandtrail.Percentiles{}, sandtrail.Percentiles{}
	if diff := gocmp.Diff(want, got, gocmp.Comparer(func(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 })); diff != "" {
		t.Error(diff)
	}
}

func TestNeighboursAreThoseOfTheList(t *testing.T) {
	s := scope{store: sampleStore(t), now: now}
	all, err := s.newest(t.Context(), sandtrail.Filter{StrategyID: "s-0001"})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		i := rng.IntN(len(all) - 1)
		older, newer, err := s.neighbours(t.Context(), all[i])
		if err != nil {
			t.Fatal(err)
		}
		if older == nil || older.ID != all[i+1].ID {
			t.Errorf("%d: older is %v, want %s", i, older, all[i+1].ID)
		}
		if i == 0 && newer != nil || i > 0 && (newer == nil || newer.ID != all[i-1].ID) {
			t.Errorf("%d: newer is %v", i, newer)
		}
	}
}

// TestNeighboursOfAnyYear looks at executions with times that other clients of a
// database can write, further apart than a duration can say.
func TestNeighboursOfAnyYear(t *testing.T) {
	store := emptyStore(t)
	if err := errors.Join(store.PutUser(t.Context(), sandtrail.User{ID: "u", Email: "u@example.com"}),
		store.PutStrategy(t.Context(), sandtrail.Strategy{ID: "s", Name: "S"})); err != nil {
		t.Fatal(err)
	}
	var batch []sandtrail.Admitted
	for _, year := range []int{-1000, 1, 1582, 2026, 9999} {
		for i := range 2 * sampled {
			at := time.Date(year, 1, 1, 0, 0, 0, i/3*int(time.Millisecond), time.UTC)
			batch = append(batch, sandtrail.Admitted{Execution: sandtrail.Execution{
				ID: sandtrail.NewID(now), UserID: "u", StrategyID: "s", Type: sandtrail.Validation, CreatedAt: at,
			}})
		}
	}
	if _, err := store.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	s := scope{store: store, now: now}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	all := make([]sandtrail.Execution, len(batch))
	for i := range batch {
		all[i] = batch[i].Execution
	}
	slices.SortFunc(all, func(a, b sandtrail.Execution) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), slices.Compare(a.ID[:], b.ID[:]))
	})
	for i := 2*sampled - 1; i < len(all); i += 2 * sampled {
		older, newer, err := s.neighbours(ctx, all[i])
		if err != nil {
			t.Fatal(err)
		}
		if older == nil || older.ID != all[i-1].ID {
			t.Errorf("older than %s of %s is %v", all[i].ID, all[i].CreatedAt, older)
		}
		if last := i == len(all)-1; last != (newer == nil) || !last && newer.ID != all[i+1].ID {
			t.Errorf("newer than %s of %s is %v", all[i].ID, all[i].CreatedAt, newer)
		}
	}
}

func TestFollowingLooksBeyondAFullPage(t *testing.T) {
	s := scope{store: sampleStore(t), now: now}
	page, err := s.executions(t.Context(), sandtrail.Query{Filter: sandtrail.Filter{Until: now.AddDate(0, 0, -10)}, Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	// Of all strategies together hundreds follow within the first stretches.
	got, err := s.following(t.Context(), sandtrail.Filter{}, page.Items[0])
	if err != nil || got == nil {
		t.Fatal(got, err)
	}
	between, err := s.executions(t.Context(), sandtrail.Query{Filter: sandtrail.Filter{
		Since: page.Items[0].CreatedAt, Until: got.CreatedAt.Add(time.Millisecond),
	}})
	if err != nil || len(between.Items) != 2 {
		t.Errorf("%d executions from one to the next, want these two (%v)", len(between.Items), err)
	}
}

func TestTally(t *testing.T) {
	found := []sandtrail.Execution{
		{StrategyID: "b", Success: true}, {StrategyID: "a"}, {StrategyID: "a", Success: true}, {StrategyID: "c", Success: true}, {StrategyID: "b", Success: true},
	}
	ids := func(order sandtrail.RankOrder) []string {
		var out []string
		for _, r := range tally(found, sandtrail.Strategies, order, 10) {
			out = append(out, r.ID)
		}
		return out
	}
	if got := ids(sandtrail.MostExecutions); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("by executions: %v", got)
	}
	if got := ids(sandtrail.MostFailures); !slices.Equal(got, []string{"a"}) {
		t.Errorf("by failures: %v", got)
	}
}
