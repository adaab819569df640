//go:build linux

package prisma_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/postgres"
)

// TestReferenceApplication runs the example application's own code through a real Prisma
// client against the tables that migrate makes, and compares every result
// with Sandtrail's answer to the same question.
func TestReferenceApplication(t *testing.T) {
	f := newFixture(t)

	t.Log("rows that Sandtrail wrote")
	f.compare(t)

	t.Log("rows that Prisma wrote")
	f.createThroughPrisma(t)
	f.compare(t)
	f.maintain(t)
	f.compare(t)

	t.Log("rows that Prisma changed")
	f.updateThroughPrisma(t)
	f.compare(t)

	t.Log("rows that Prisma deleted")
	f.deleteThroughPrisma(t)
	f.compare(t)
	f.maintain(t)
	f.compare(t)
}

type fixture struct {
	app   *app
	store *postgres.Store
	now   time.Time
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	url := pgtest.New(t)
	f := fixture{store: open(t, url), app: startApp(t, buildApp(t), url)}
	// The clock is read when the application is built, which can take minutes.
	f.now = sandtrail.Millisecond(time.Now())
	if _, err := f.store.Migrate(t.Context(), f.now); err != nil {
		t.Fatal(err)
	}
	f.seed(t)
	return f
}

func open(t testing.TB, url string) *postgres.Store {
	t.Helper()
	store, err := postgres.Open(t.Context(), url, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// ages are far enough from the edges of every window of the example application that
// the seconds between two questions do not matter.
func ages() []time.Duration {
	var ages []time.Duration
	for i := range 12 {
		ages = append(ages, 5*time.Minute+time.Duration(i)*10*time.Minute)
	}
	for i := range 120 {
		ages = append(ages, 150*time.Minute+time.Duration(i)*5*time.Hour)
	}
	return ages
}

// seed stores users, strategies and executions of every kind, through
// Sandtrail.
func (f fixture) seed(t *testing.T) {
	t.Helper()
	for _, u := range []sandtrail.User{
		{ID: "user-id", Email: "ada@example.com"},
		{ID: "other-user", Email: "o'neill@example.com", Name: new("Zoë \"Zed\", Ltd. – 数")},
		{ID: "idle-user", Email: "idle@example.com", Name: new("")},
	} {
		check(t, f.store.PutUser(t.Context(), u))
	}
	for _, s := range []sandtrail.Strategy{
		{ID: "strategy-id", Name: "Momentum"}, {ID: "other-strategy", Name: "Mean\treversion; DROP"}, {ID: "idle-strategy", Name: "Idle"},
	} {
		check(t, f.store.PutStrategy(t.Context(), s))
	}
	var drafts []sandtrail.Draft
	for i, age := range ages() {
		drafts = append(drafts, f.draft(i, age))
	}
	f.append(t, drafts...)
}

func (f fixture) draft(i int, age time.Duration) sandtrail.Draft {
	d := sandtrail.Draft{
		UserID:     []string{"user-id", "other-user"}[i%2],
		StrategyID: []string{"strategy-id", "strategy-id", "other-strategy"}[i%3],
		Type:       []sandtrail.ExecutionType{sandtrail.Validation, sandtrail.Terminal}[i/5%2],
		Success:    new(i%5 > 1), ExecutionTime: new(7 * i), TimedOut: i%10 == 0,
		ErrorCount: new(i % 4), WarningCount: new(i % 3),
		Classes:   [][]string{nil, {}, {"Momentum"}, {"Basis", "Größe"}}[i%4],
		CreatedAt: f.now.Add(-age),
	}
	if i%4 > 0 {
		d.MemoryUsed = new(40 + i)
	}
	if i%7 > 0 {
		d.CPUUsage = new(0.1 * float64(i))
	}
	if i%2 > 0 {
		d.Metadata = fmt.Appendf(nil, `{"note":"it's \"%d\", naïve","errors":[{"severity":"error","message":"%%s; ? $1"}]}`, i)
	}
	return d
}

func (f fixture) append(t *testing.T, drafts ...sandtrail.Draft) sandtrail.Appended {
	t.Helper()
	admitted, err := sandtrail.Admission{Now: f.now, Retention: -1}.Admit(drafts...)
	check(t, err)
	appended, err := f.store.Append(t.Context(), admitted)
	check(t, err)
	return appended
}

func (f fixture) maintain(t *testing.T) {
	t.Helper()
	check(t, f.store.Maintain(t.Context(), f.now))
}

// row is a record as Prisma gives it.
type row struct {
	ID            string
	UserID        string
	StrategyID    string
	ExecutionType string
	Success       bool
	ExecutionTime int
	MemoryUsed    *int
	CPUUsage      *float64
	TimedOut      bool
	ErrorCount    int
	WarningCount  int
	ClassesFound  *string
	Metadata      *string
	CreatedAt     time.Time
	User          *sandtrail.User
	Strategy      *sandtrail.Strategy
}

func fromSandtrail(e sandtrail.Execution) row {
	r := row{
		ID: e.ID.String(), UserID: e.UserID, StrategyID: e.StrategyID, ExecutionType: string(e.Type),
		Success: e.Success, ExecutionTime: e.ExecutionTime, MemoryUsed: e.MemoryUsed, CPUUsage: e.CPUUsage,
		TimedOut: e.TimedOut, ErrorCount: e.ErrorCount, WarningCount: e.WarningCount,
		ClassesFound: database.JoinClasses(e.Classes), CreatedAt: e.CreatedAt, User: e.User, Strategy: e.Strategy,
	}
	if e.Metadata != nil {
		r.Metadata = new(string(e.Metadata))
	}
	return r
}

// rows asks Sandtrail for all pages of a filter.
func (f fixture) rows(t *testing.T, filter sandtrail.Filter) []row {
	t.Helper()
	var rows []row
	for q := (sandtrail.Query{Filter: filter, Limit: 50}); ; {
		page, err := f.store.Executions(t.Context(), q, time.Now())
		check(t, err)
		for _, e := range page.Items {
			rows = append(rows, fromSandtrail(e))
		}
		if q.Cursor = page.NextCursor; q.Cursor == "" {
			return rows
		}
	}
}

// compare asks Prisma and Sandtrail everything that can be asked of both.
func (f fixture) compare(t *testing.T) {
	t.Helper()
	if pgtest.OnCitus() { // reconciles what Prisma wrote
		f.maintain(t)
	}
	same(t, "all rows", f.rows(t, sandtrail.Filter{}), get[[]row](t, f.app, "all"))
	f.compareLists(t)
	f.compareStrategies(t)
	f.compareUsers(t)
	f.compareTrends(t)
	f.compareAlert(t)
	f.verify(t)
}

// verify finds nothing in what Prisma wrote and removed, sealed or not.
func (f fixture) verify(t *testing.T) {
	t.Helper()
	for range 2 {
		_, err := ledger.VerifyLog(t.Context(), f.store, ledger.Verification{
			Report: func(found ledger.Finding) { t.Errorf("false alarm: %+v", found) },
		})
		check(t, err)
		check(t, f.store.Maintain(t.Context(), f.now))
	}
}

func (f fixture) compareLists(t *testing.T) {
	t.Helper()
	recent := f.rows(t, sandtrail.Filter{UserID: "user-id"})
	recent = recent[:min(10, len(recent))]
	for i := range recent {
		recent[i].User, recent[i].Strategy = nil, &sandtrail.Strategy{Name: recent[i].Strategy.Name}
	}
	same(t, "recent executions of a user", recent, get[[]row](t, f.app, "recent"))

	failed := f.rows(t, sandtrail.Filter{Success: new(false), Within: time.Hour})
	for i := range failed {
		failed[i].User = &sandtrail.User{Email: failed[i].User.Email}
		failed[i].Strategy = &sandtrail.Strategy{Name: failed[i].Strategy.Name}
	}
	unordered := cmpopts.SortSlices(func(a, b row) bool { return a.ID < b.ID })
	same(t, "failures of the last hour", failed, get[[]row](t, f.app, "failures"), unordered)
}

func (f fixture) compareStrategies(t *testing.T) {
	t.Helper()
	type aggregate struct {
		Count int64                                     `json:"_count"`
		Avg   sandtrail.Averages                        `json:"_avg"`
		Sum   struct{ ErrorCount, WarningCount *int64 } `json:"_sum"`
	}
	stats, err := f.store.StrategyStats(t.Context(), "strategy-id")
	check(t, err)
	want := aggregate{Count: stats.Count, Avg: stats.Avg}
	if stats.Count > 0 { // SQL's sum over nothing is null
		want.Sum.ErrorCount, want.Sum.WarningCount = &stats.Sum.ErrorCount, &stats.Sum.WarningCount
	}
	same(t, "aggregates of a strategy", want, get[aggregate](t, f.app, "strategyStats"))

	for _, id := range []string{"strategy-id", "other-strategy", "idle-strategy"} {
		health, err := f.store.StrategyHealth(t.Context(), id, sandtrail.DefaultHealthLast)
		check(t, err)
		health.StrategyID = ""
		same(t, "health of "+id, health, get[sandtrail.StrategyHealth](t, f.app, "getStrategyHealthMetrics", id))
	}
}

func (f fixture) compareUsers(t *testing.T) {
	t.Helper()
	for _, id := range []string{"user-id", "other-user", "idle-user"} {
		stats, err := f.store.UserStats(t.Context(), id)
		check(t, err)
		stats.UserID, stats.Sum, stats.Measured = "", sandtrail.Costs{}, sandtrail.Measured{} // the example application knows no costs
		same(t, "statistics of "+id, stats, get[sandtrail.UserStats](t, f.app, "getUserSandboxStats", id))
	}
}

func (f fixture) compareTrends(t *testing.T) {
	t.Helper()
	type day struct {
		Date       string
		Total      int64
		Successful int64
		AvgTime    *float64 `json:"avg_time,string"`
		AvgMemory  *float64 `json:"avg_memory,string"`
	}
	since, until := sandtrail.LastDays(time.Now(), 7) // has what Prisma wrote just now
	buckets, err := f.store.Trends(t.Context(), sandtrail.TrendQuery{Since: since, Until: until})
	check(t, err)
	var want []day
	for _, b := range buckets {
		if b.Total > 0 { // the example application's SQL leaves empty days out
			want = append(want, day{b.Date, b.Total, b.Successful, b.AvgTime, b.AvgMemory})
		}
	}
	got := get[[]day](t, f.app, "trends")
	for i := range got {
		got[i].Date, _, _ = strings.Cut(got[i].Date, "T")
	}
	same(t, "trends by day", want, got)
}

func (f fixture) compareAlert(t *testing.T) {
	t.Helper()
	rule := alert.DefaultRule()
	now := time.Now()
	stats, err := f.store.WindowStats(t.Context(), sandtrail.Window{Since: now.Add(-rule.Window), Until: now.Add(sandtrail.MaxClockSkew)})
	check(t, err)
	var want []string
	if verdict := rule.Evaluate(stats); verdict.Firing {
		want = []string{fmt.Sprintf("⚠️ HIGH FAILURE RATE: %.1f%%", *verdict.Value)}
	}
	same(t, "alert", want, f.app.do(t, "checkSandboxHealthAlert").Logged)
}

// same compares an answer of Sandtrail with Prisma's.
func same(t *testing.T, what string, sandtrails, prismas any, options ...gocmp.Option) {
	t.Helper()
	options = append(options, cmpopts.EquateEmpty(), cmpopts.EquateApprox(1e-12, 0))
	if diff := gocmp.Diff(sandtrails, prismas, options...); diff != "" {
		t.Errorf("%s (-Sandtrail +Prisma):\n%s", what, diff)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
