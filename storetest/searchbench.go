package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// SearchSizeEnv names the variable that says among how many executions
// BenchmarkSearch searches; 20,000 without it.
const SearchSizeEnv = "SANDTRAIL_BENCH_EXECUTIONS"

// BenchmarkSearch searches 30 days of executions of 1,000 users for texts, after
// as many rounds of upkeep as take them into the index. One has the rare word.
func BenchmarkSearch(b *testing.B, db database.Database, indexed func() bool) {
	size := 20_000
	if given := os.Getenv(SearchSizeEnv); given != "" {
		var err error
		if size, err = strconv.Atoi(given); err != nil {
			b.Fatalf("%s: %v", SearchSizeEnv, err)
		}
	}
	check := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	for i := range 1000 {
		check(db.PutUser(b.Context(), sandtrail.User{ID: fmt.Sprint("u", i), Email: fmt.Sprintf("u%d@example.com", i)}))
	}
	check(db.PutStrategy(b.Context(), sandtrail.Strategy{ID: "s", Name: "S"}))
	start := time.Now()
	for at := 0; at < size; at += 5000 {
		_, err := db.Append(b.Context(), searchable(at, min(at+5000, size), size))
		check(err)
	}
	appended := time.Since(start)
	for now := noon; ; now = now.Add(time.Hour) {
		check(db.Maintain(b.Context(), now))
		if indexed() {
			break
		}
	}
	b.Logf("%d executions, appended in %v, indexed %v later", size, appended.Round(time.Second), (time.Since(start) - appended).Round(time.Second))
	for _, q := range []struct {
		name   string
		filter sandtrail.Filter
	}{
		{"rare word", sandtrail.Filter{Text: "Zirkonia"}},
		{"word that is nowhere", sandtrail.Filter{Text: "wolframite"}},
		{"frequent text", sandtrail.Filter{Text: "unexpected token"}},
		{"one in a thousand", sandtrail.Filter{Text: "at line 777 "}},
		{"frequent text of a user", sandtrail.Filter{Text: "unexpected token", UserID: "u7"}},
		{"two characters", sandtrail.Filter{Text: "Zk"}},
		{"nearly everywhere", sandtrail.Filter{Text: strings.Repeat("unexpected token ", 30) + "!"}},
	} {
		b.Run(q.name, func(b *testing.B) {
			var slowest time.Duration
			found, short := 0, false
			for b.Loop() {
				start := time.Now()
				page, err := db.Executions(b.Context(), sandtrail.Query{Filter: q.filter}, noon)
				if errors.Is(err, sandtrail.CodeUnavailable) {
					b.Skipf("refused after %v: %v", time.Since(start).Round(time.Second), err)
				}
				check(err)
				slowest = max(slowest, time.Since(start))
				found, short = len(page.Items), len(page.Items) < sandtrail.DefaultLimit && page.NextCursor != ""
			}
			b.ReportMetric(float64(slowest.Microseconds())/1000, "slowest-ms")
			b.ReportMetric(float64(found), "found")
			if short {
				b.Log("the budget ended the page")
			}
		})
	}
}

// searchable makes a stretch of such executions, of which one in six failed.
func searchable(from, to, size int) []sandtrail.Admitted {
	r := rand.New(rand.NewPCG(uint64(from), 1))
	var batch []sandtrail.Admitted
	for i := from; i < to; i++ {
		at := sandtrail.Millisecond(noon.Add(-time.Duration(size-i) * (30 * 24 * time.Hour / time.Duration(size))))
		errors := ""
		if i%6 == 0 {
			errors = fmt.Sprintf(`"errors":[{"severity":"error","message":"unexpected token at line %d of module %x","code":"E%d"}],`, r.IntN(1000), r.Uint32(), r.IntN(50))
		}
		if i == size/3 {
			errors += `"note":"Zirkonia",`
		}
		batch = append(batch, sandtrail.Admitted{Execution: sandtrail.Execution{
			ID: sandtrail.NewID(at), UserID: fmt.Sprint("u", r.IntN(1000)), StrategyID: "s", Type: sandtrail.Validation,
			Success: i%6 > 0, ExecutionTime: r.IntN(5000), CreatedAt: at,
			Metadata: fmt.Appendf(nil, `{%s"run":{"status":"exited","exitCode":%d,"command":["python","main.py"],"cpuTime":%d,"sourceSha256":"%016x%016x"}}`,
				errors, i%6/5, r.IntN(100000), r.Uint64(), r.Uint64()),
		}})
	}
	return batch
}
