package sandtrail_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

func TestPlanRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		query sandtrail.Query
		want  []string
	}{
		"limit below":    {sandtrail.Query{Limit: -1}, []string{"limit"}},
		"limit above":    {sandtrail.Query{Limit: 1001}, []string{"limit"}},
		"type":           {sandtrail.Query{Filter: sandtrail.Filter{Type: "X"}}, []string{"executionType"}},
		"within":         {sandtrail.Query{Filter: sandtrail.Filter{Within: -1}}, []string{"within"}},
		"until < since":  {sandtrail.Query{Filter: sandtrail.Filter{Since: noon, Until: noon.Add(-1e9)}}, []string{"until"}},
		"user with NUL":  {sandtrail.Query{Filter: sandtrail.Filter{UserID: "\x00"}}, []string{"userId"}},
		"text no UTF-8":  {sandtrail.Query{Filter: sandtrail.Filter{Text: "\xff"}}, []string{"text"}},
		"text too long":  {sandtrail.Query{Filter: sandtrail.Filter{Text: strings.Repeat("x", 1025)}}, []string{"text"}},
		"cursor":         {sandtrail.Query{Cursor: "nonsense"}, []string{"cursor"}},
		"cursor's bytes": {sandtrail.Query{Cursor: base64.RawURLEncoding.EncodeToString(make([]byte, 41))}, []string{"cursor"}},
		"several":        {sandtrail.Query{Limit: -1, Cursor: "x", Filter: sandtrail.Filter{Type: "X"}}, []string{"cursor", "executionType", "limit"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := test.query.Plan(noon)
			if diff := cmp.Diff(test.want, paths(err)); diff != "" || !errors.Is(err, sandtrail.CodeInvalid) {
				t.Errorf("%v\n(-want +got)\n%s", err, diff)
			}
		})
	}
}

func TestPlanFillsIn(t *testing.T) {
	for name, test := range map[string]struct {
		filter sandtrail.Filter
		since  time.Time
	}{
		"nothing":           {sandtrail.Filter{}, time.Time{}},
		"within":            {sandtrail.Filter{Within: time.Hour}, noon.Add(-time.Hour)},
		"the later of both": {sandtrail.Filter{Within: time.Hour, Since: noon.Add(-time.Minute)}, noon.Add(-time.Minute)},
		"whole millisecond": {sandtrail.Filter{Since: noon.Add(1)}, noon.Add(time.Millisecond)},
	} {
		t.Run(name, func(t *testing.T) {
			plan, err := sandtrail.Query{Filter: test.filter}.Plan(noon)
			if err != nil || !plan.Filter.Since.Equal(test.since) || plan.Limit != sandtrail.DefaultLimit || plan.Filter.Within != 0 {
				t.Errorf("%+v, %v", plan, err)
			}
		})
	}
}

// TestPlanEndsNoLaterThanDatabases asks for what lies before an instant that no
// database takes.
func TestPlanEndsNoLaterThanDatabases(t *testing.T) {
	newest := time.Date(294276, 12, 31, 23, 59, 59, 999e6, time.UTC)
	for _, until := range []time.Time{newest, newest.Add(time.Millisecond)} {
		plan, err := sandtrail.Query{Filter: sandtrail.Filter{Until: until}}.Plan(noon)
		if want := until.Equal(newest); err != nil || plan.Filter.Until.IsZero() == want {
			t.Errorf("until %s is %s, %v", until, plan.Filter.Until, err)
		}
	}
}

// TestCursorKeepsItsWindow reads the second page an hour after the first.
func TestCursorKeepsItsWindow(t *testing.T) {
	q := sandtrail.Query{Filter: sandtrail.Filter{Within: time.Hour, UserID: "u"}}
	first, err := q.Plan(noon)
	if err != nil {
		t.Fatal(err)
	}
	last := sandtrail.Execution{ID: sandtrail.ID{1, 2, 3}, CreatedAt: noon.Add(-time.Minute)}
	q.Cursor = first.Cursor(last)
	second, err := q.Plan(noon.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if !second.Filter.Since.Equal(noon.Add(-time.Hour)) {
		t.Errorf("the window moved to %v", second.Filter.Since)
	}
	if want := (&sandtrail.Position{CreatedAt: last.CreatedAt, ID: last.ID}); !cmp.Equal(want, second.After) {
		t.Errorf("resumes after %+v, want %+v", second.After, want)
	}
	q.Filter.UserID = "v"
	if _, err := q.Plan(noon); !errors.Is(err, sandtrail.CodeInvalid) {
		t.Errorf("another filter's cursor: %v", err)
	}
}

func FuzzCursor(f *testing.F) {
	plan, err := sandtrail.Query{}.Plan(noon)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plan.Cursor(sandtrail.Execution{ID: sandtrail.ID{1}, CreatedAt: noon}))
	f.Add("")
	f.Add(strings.Repeat("A", 55))
	f.Add("AcBLujvhYHOQ00000000000AA000000000000000000000000000000") // year 31418
	f.Fuzz(func(t *testing.T, cursor string) {
		plan, err := sandtrail.Query{Cursor: cursor}.Plan(noon)
		if err != nil {
			if diff := cmp.Diff([]string{"cursor"}, paths(err)); diff != "" {
				t.Fatalf("%q: %v", cursor, err)
			}
			return
		}
		if plan.After == nil {
			if cursor != "" {
				t.Fatalf("%q starts anew", cursor)
			}
			return
		}
		// The years that PostgreSQL's clients can write.
		for _, at := range []time.Time{plan.After.CreatedAt, plan.Filter.Since} {
			if y := at.Year(); y < -4713 || y > 294276 {
				t.Fatalf("%q resumes in year %d", cursor, y)
			}
		}
		again, err := sandtrail.Query{Cursor: plan.Cursor(sandtrail.Execution{ID: plan.After.ID, CreatedAt: plan.After.CreatedAt})}.Plan(noon)
		if err != nil || !cmp.Equal(again.After, plan.After) {
			t.Fatalf("%q: %+v became %+v, %v", cursor, plan.After, again.After, err)
		}
	})
}

func TestOtherQueries(t *testing.T) {
	if q, err := (sandtrail.OwnerQuery{}).Plan(); err != nil || q.Limit != sandtrail.DefaultLimit {
		t.Errorf("owners: %+v, %v", q, err)
	}
	if q, err := (sandtrail.RankQuery{Subject: sandtrail.Users}).Plan(); err != nil || q.Limit != 10 || q.Order != sandtrail.MostExecutions {
		t.Errorf("ranking: %+v, %v", q, err)
	}
	_, ownersErr := sandtrail.OwnerQuery{Limit: -1, Cursor: "\x00"}.Plan()
	_, rankErr := sandtrail.RankQuery{Limit: -1, Order: "x", Subject: "x"}.Plan()
	for _, test := range []struct {
		err  error
		want []string
	}{
		{ownersErr, []string{"limit", "cursor"}},
		{rankErr, []string{"limit", "order", "subject"}},
		{database.CheckHealthLast(0), []string{"last"}},
		{database.CheckHealthLast(sandtrail.MaxHealthLast + 1), []string{"last"}},
	} {
		if diff := cmp.Diff(test.want, paths(test.err)); diff != "" {
			t.Errorf("%v\n%s", test.err, diff)
		}
	}
}
