package storetest

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// Costs checks that sums of costs are exact to the last digit, after appends,
// cleanups, and updates and removals by other clients. open also returns how another client of the
// database runs statements.
func Costs(t *testing.T, open func(t *testing.T) (database.Database, func(statements ...string) error)) {
	var plain func(...string) error
	k := newKit(t, func(t *testing.T) (db database.Database) {
		db, plain = open(t)
		return db
	})
	b := &bill{kit: k, Rand: rand.New(rand.NewPCG(16, 0)), plain: plain, since: noon.Truncate(24*time.Hour).AddDate(0, 0, -30)}
	k.putUsers("u0", "u1", "u2")
	k.putStrategies("s0", "s1")
	b.compare("nothing")
	for i := range 4 {
		b.append()
		b.compare(fmt.Sprint("appended ", i))
		b.do(fmt.Sprintf("UPDATE sandbox_execution_logs SET cpu_usage = 0.005 + %d, execution_time = execution_time / 2 + 7, memory_used = 3 WHERE warning_count = %d", i, i))
		b.do(fmt.Sprintf("UPDATE sandbox_execution_logs SET cpu_usage = NULL, memory_used = NULL, user_id = 'u0' WHERE warning_count = %d", 4+i))
		b.do(fmt.Sprintf("DELETE FROM sandbox_execution_logs WHERE warning_count = %d", 8+i))
		b.compare(fmt.Sprint("changed ", i))
		if i%2 == 0 {
			b.check("maintain", k.db.Maintain(k.ctx, k.now))
			b.compare(fmt.Sprint("maintained ", i))
		}
		b.cleanUp(b.since.AddDate(0, 0, 5*i+5))
		b.compare(fmt.Sprint("cleaned up ", i))
	}
	b.examine()
}

// examine wants doctor to find the database sound, and to count the usages that
// are left out.
func (b *bill) examine() {
	b.Helper()
	left := 0
	for _, e := range b.rows() {
		if e.CPUUsage != nil && *e.CPUUsage > 1e6 {
			left++
		}
	}
	checks, err := b.db.Doctor(b.ctx, database.Deep, b.now)
	b.check("doctor", err)
	want := fmt.Sprintf("%d with a cpuUsage above 1000000 %%", left)
	for _, c := range checks {
		if !c.OK {
			b.Errorf("doctor: %s: %s", c.Name, c.Detail)
		}
		if c.Name == "values" && (left == 0 || !strings.Contains(c.Detail, want)) {
			b.Errorf("doctor says %q, want %q", c.Detail, want)
		}
	}
}

// bill is what executions cost, added up from the executions themselves.
type bill struct {
	*kit
	*rand.Rand
	plain   func(...string) error
	since   time.Time
	retired []sandtrail.Execution // removed by cleanup: trends count them
}

func (b *bill) check(what string, err error) {
	b.Helper()
	if err != nil {
		b.Fatalf("%s: %v", what, err)
	}
}

func (b *bill) do(statement string) {
	b.Helper()
	b.check(statement, b.plain(statement))
}

func (b *bill) append() {
	b.Helper()
	drafts := make([]sandtrail.Draft, 60)
	foreign := map[int]*float64{} // which admission refuses, and other writers store
	for i := range drafts {
		at := b.since.Add(time.Duration(b.Int64N(int64(30 * 24 * time.Hour))))
		drafts[i] = draft(fmt.Sprint("u", b.IntN(3)), fmt.Sprint("s", b.IntN(2)), at, func(d *sandtrail.Draft) {
			d.ExecutionTime = pick(b, 0, 1, b.IntN(5000), b.IntN(5000), sandtrail.MaxInt)
			d.WarningCount = new(b.IntN(20))
			if b.IntN(4) > 0 {
				d.CPUUsage = pick(b, 0, 0.01, 99.99, float64(b.IntN(40000))/100, 100*b.Float64(), sandtrail.MaxCPUUsage, sandtrail.MaxCPUUsage+1, math.MaxFloat64)
			}
			if cpu := d.CPUUsage; cpu != nil && *cpu > sandtrail.MaxCPUUsage {
				foreign[i], d.CPUUsage = cpu, nil
			}
			if b.IntN(4) > 0 {
				d.MemoryUsed = pick(b, 0, 1, b.IntN(4096), sandtrail.MaxInt)
			}
		})
	}
	batch, err := sandtrail.Admission{Now: b.now, Retention: -1}.Admit(drafts...)
	b.check("admit", err)
	for i, cpu := range foreign {
		batch[i].Execution.CPUUsage = cpu
	}
	_, err = b.db.Append(b.ctx, batch)
	b.check("append", err)
}

func pick[T any](b *bill, values ...T) *T { return &values[b.IntN(len(values))] }

func (b *bill) cleanUp(before time.Time) {
	b.Helper()
	for _, e := range b.rows() {
		if e.CreatedAt.Before(before) {
			b.retired = append(b.retired, e)
		}
	}
	_, err := b.db.Cleanup(b.ctx, sandtrail.Before(before))
	b.check("clean up", err)
}

func (b *bill) rows() (all []sandtrail.Execution) {
	b.Helper()
	for q := (sandtrail.Query{Limit: sandtrail.MaxLimit}); ; {
		page, err := b.db.Executions(b.ctx, q, b.now)
		b.check("list", err)
		all = append(all, page.Items...)
		if q.Cursor = page.NextCursor; q.Cursor == "" {
			return all
		}
	}
}

// account is what a subject's executions cost.
type account struct {
	Sum      sandtrail.Costs
	Measured sandtrail.Measured
}

func accountOf(found []sandtrail.Execution) account {
	costs, measured := costsOf(found)
	return account{costs, measured}
}

func (b *bill) compare(when string) {
	b.Helper()
	rows := b.rows()
	for _, id := range []string{"u0", "u1", "u2"} {
		stats, err := b.db.UserStats(b.ctx, id)
		b.check("user statistics", err)
		b.equal(when+": user "+id, accountOf(only(rows, id, "")), account{stats.Sum, stats.Measured})
		b.trend(when, sandtrail.TrendQuery{UserID: id}, rows)
	}
	for _, id := range []string{"s0", "s1"} {
		stats, err := b.db.StrategyStats(b.ctx, id)
		b.check("strategy statistics", err)
		b.equal(when+": strategy "+id, accountOf(only(rows, "", id)), account{stats.Sum.Costs, stats.Measured})
		b.trend(when, sandtrail.TrendQuery{StrategyID: id}, rows)
	}
	b.trend(when, sandtrail.TrendQuery{}, rows)
}

func (b *bill) trend(when string, q sandtrail.TrendQuery, rows []sandtrail.Execution) {
	b.Helper()
	q.Since, q.Until = b.since, b.now
	trend, err := b.db.Trends(b.ctx, q)
	b.check("trends", err)
	byDay := map[string][]sandtrail.Execution{}
	for _, list := range [][]sandtrail.Execution{rows, b.retired} {
		for _, e := range only(list, q.UserID, q.StrategyID) {
			day := e.CreatedAt.Format(time.DateOnly)
			byDay[day] = append(byDay[day], e)
		}
	}
	for _, bucket := range trend {
		b.equal(fmt.Sprintf("%s: %s of %q%q", when, bucket.Date, q.UserID, q.StrategyID),
			accountOf(byDay[bucket.Date]), account{bucket.Sum, bucket.Measured})
	}
}

func only(list []sandtrail.Execution, userID, strategyID string) (found []sandtrail.Execution) {
	for _, e := range list {
		if (userID == "" || e.UserID == userID) && (strategyID == "" || e.StrategyID == strategyID) {
			found = append(found, e)
		}
	}
	return found
}

func (b *bill) equal(what string, want, got account) {
	b.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		b.Fatalf("%s (-executions +statistics)\n%s", what, diff)
	}
}

// costsOf adds up numbers of any size.
func costsOf(found []sandtrail.Execution) (costs sandtrail.Costs, n sandtrail.Measured) {
	var cpu, memory big.Int
	for _, e := range found {
		if u := e.CPUUsage; u != nil && *u <= 1e6 {
			n.CPUUsage++
			cpu.Add(&cpu, big.NewInt(int64(math.Round(*u*float64(e.ExecutionTime)*10))))
		}
		if m := e.MemoryUsed; m != nil {
			n.MemoryUsed++
			memory.Add(&memory, new(big.Int).Mul(big.NewInt(int64(*m)), big.NewInt(int64(e.ExecutionTime))))
		}
	}
	if n.CPUUsage > 0 {
		micros, _ := cpu.Float64()
		costs.CPUSeconds = new(micros / 1e6)
	}
	if n.MemoryUsed > 0 {
		millis, _ := memory.Float64()
		costs.MemoryMiBSeconds = new(millis / 1e3)
	}
	return costs, n
}

// CountsOldRollupsAnew migrates a database whose roll-ups the version before costs
// wrote. Of user u and strategy s it holds, at noon of 2026-11-24, executions of
// 1,000 ms at 50 % and 10 MiB and of 7,000 ms at 100 % and 70 MiB. Retention removed
// one of 2,000 ms, and one of 3,000 ms at 150 % and 30 MiB, which is pending.
func CountsOldRollupsAnew(t *testing.T, db database.Database) {
	k := newKit(t, func(*testing.T) database.Database { return db })
	b := &bill{kit: k, since: noon.Truncate(24 * time.Hour)}
	if _, err := db.UserStats(k.ctx, "u"); sandtrail.CodeOf(err) != sandtrail.CodeUnavailable {
		k.Errorf("before the migration: %v, want an error that asks for it", err)
	}
	_, err := db.Migrate(k.ctx, noon)
	b.check("migrate", err)
	for _, when := range []string{"migrated", "maintained"} {
		stats, err := db.UserStats(k.ctx, "u")
		b.check("user statistics", err)
		b.equal(when, account{sandtrail.Costs{CPUSeconds: new(7.5), MemoryMiBSeconds: new(500.0)}, sandtrail.Measured{CPUUsage: 2, MemoryUsed: 2}},
			account{stats.Sum, stats.Measured})
		trend, err := db.Trends(k.ctx, sandtrail.TrendQuery{UserID: "u", Since: b.since, Until: noon.Add(time.Hour)})
		b.check("trends", err)
		day := trend[0]
		b.equal(when, account{sandtrail.Costs{CPUSeconds: new(12.0), MemoryMiBSeconds: new(590.0)}, sandtrail.Measured{CPUUsage: 3, MemoryUsed: 3}},
			account{day.Sum, day.Measured})
		if stats.TotalExecutions != 2 || day.Total != 4 || *day.AvgMemory != 32.5 {
			k.Errorf("%s: %+v, %+v; want 2 stored, and 4 of 32.5 MiB counted by the trend", when, stats, day)
		}
		b.check("maintain", db.Maintain(k.ctx, k.now))
	}
	checks, err := db.Doctor(k.ctx, database.Deep, k.now)
	b.check("doctor", err)
	for _, c := range checks {
		if c.Name == "roll-ups" && !c.OK {
			k.Error(c.Detail)
		}
	}
}
