package sqlite

import (
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
)

// TestListPlans shows each list reading its index in order, from the place
// where the page before ended, without sorting.
func TestListPlans(t *testing.T) {
	s := openMigrated(t)
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		filter sandtrail.Filter
		want   string
	}{
		"all":               {sandtrail.Filter{}, "SEARCH e USING INDEX " + byTime + " ((created_at,id)<(?,?))"},
		"since":             {sandtrail.Filter{Since: now}, "SEARCH e USING INDEX " + byTime + " (created_at>? AND (created_at,id)<(?,?))"},
		"type":              {sandtrail.Filter{Type: sandtrail.Terminal}, "SEARCH e USING INDEX " + byTime + " ((created_at,id)<(?,?))"},
		"successful":        {sandtrail.Filter{Success: new(true)}, "SEARCH e USING INDEX " + byTime + " ((created_at,id)<(?,?))"},
		"failed":            {sandtrail.Filter{Success: new(false)}, "SEARCH e USING INDEX " + failures + " ((created_at,id)<(?,?))"},
		"failed lately":     {sandtrail.Filter{Success: new(false), Within: time.Hour}, "SEARCH e USING INDEX " + failures + " (created_at>? AND (created_at,id)<(?,?))"},
		"user":              {sandtrail.Filter{UserID: "u"}, "SEARCH e USING INDEX " + byUser + " (user_id=? AND (created_at,id)<(?,?))"},
		"user's failures":   {sandtrail.Filter{UserID: "u", Success: new(false)}, "SEARCH e USING INDEX " + byUser + " (user_id=? AND (created_at,id)<(?,?))"},
		"strategy":          {sandtrail.Filter{StrategyID: "s"}, "SEARCH e USING INDEX " + byStrategy + " (strategy_id=? AND (created_at,id)<(?,?))"},
		"strategy in time":  {sandtrail.Filter{StrategyID: "s", Since: now, Until: now.Add(1)}, "SEARCH e USING INDEX " + byStrategy + " (strategy_id=? AND created_at>? AND (created_at,id)<(?,?))"},
		"user and strategy": {sandtrail.Filter{UserID: "u", StrategyID: "s"}, "SEARCH e USING INDEX " + byUser + " (user_id=? AND (created_at,id)<(?,?))"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			plan, err := sandtrail.Query{Filter: test.filter}.Plan(now)
			if err != nil {
				t.Fatal(err)
			}
			firstPage, args := listQuery(plan)
			if got := explain(t, s, firstPage, args...); strings.Contains(got, "TEMP B-TREE") || !strings.Contains(got, strings.Fields(test.want)[4]) {
				t.Errorf("the first page reads\n%s", got)
			}
			plan.After = &sandtrail.Position{CreatedAt: now, ID: sandtrail.NewID(now)}
			nextPage, args := listQuery(plan)
			got := explain(t, s, nextPage, args...)
			if !strings.HasPrefix(got, test.want+"\n") || strings.Contains(got, "TEMP B-TREE") || strings.Contains(got, "SCAN") {
				t.Errorf("the next page reads\n%s\nwant first\n%s", got, test.want)
			}
		})
	}
}

// TestPrefixPlan shows that ids that begin so are found by the index of ids.
func TestPrefixPlan(t *testing.T) {
	s := openMigrated(t)
	p, err := sandtrail.ParseIDPrefix("0192d3a4")
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"", "ada"} {
		text, args := prefixQuery(p, user)
		got, want := explain(t, s, text, args...), "SEARCH e USING INDEX "+byID+" (id>? AND id<?)\n"
		if !strings.HasPrefix(got, want) || strings.Contains(got, "TEMP B-TREE") {
			t.Errorf("of user %q, the plan is\n%s\nwant first\n%s", user, got, want)
		}
	}
}

// TestFollowPlan shows that followers read nothing of what they have read.
func TestFollowPlan(t *testing.T) {
	got := explain(t, openMigrated(t), followText, 1, 2)
	for _, table := range []string{"sandtrail_counted", "sandtrail_changes"} {
		if !strings.Contains(got, "SEARCH "+table+" USING INTEGER PRIMARY KEY (rowid>?)") || strings.Contains(got, "TEMP B-TREE") {
			t.Errorf("the plan is\n%s", got)
		}
	}
}

// explain returns the steps of a statement's plan, one a line.
func explain(t *testing.T, s *Store, text string, args ...any) string {
	t.Helper()
	rows, err := s.readers.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+text, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var steps strings.Builder
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		steps.WriteString(detail + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return steps.String()
}
