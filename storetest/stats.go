package storetest

import (
	"fmt"
	"math"
	"time"

	"github.com/sandtrail/sandtrail"
)

func (k *kit) statistics(userID, strategyID string) {
	k.Helper()
	both(k, "user statistics", func(s sandtrail.Store) (any, error) { return s.UserStats(k.ctx, userID) })
	both(k, "strategy statistics", func(s sandtrail.Store) (any, error) { return s.StrategyStats(k.ctx, strategyID) })
	for _, last := range []int{1, 2, 100} {
		both(k, "strategy health", func(s sandtrail.Store) (any, error) { return s.StrategyHealth(k.ctx, strategyID, last) })
	}
}

// statsOverNothing has no rates, averages or percentiles, not zeros.
func statsOverNothing(k *kit) {
	k.putUsers("u")
	k.putStrategies("s", "t")
	k.statistics("u", "s")
	nothing := must(k, "strategy", func(s sandtrail.Store) (sandtrail.StrategyStats, error) { return s.StrategyStats(k.ctx, "s") })
	if nothing.SuccessRate != nil || nothing.Avg.ExecutionTime != nil || nothing.Percentiles.ExecutionTime.P50 != nil {
		k.Errorf("statistics over nothing: %+v", nothing)
	}
	must(k, "window", func(s sandtrail.Store) (any, error) { return s.WindowStats(k.ctx, sandtrail.Window{}) })
	must(k, "ranking", func(s sandtrail.Store) (any, error) {
		return s.Ranking(k.ctx, sandtrail.RankQuery{Subject: sandtrail.Strategies})
	})
	// Executions, but nothing measured.
	k.append(draft("u", "s", noon), draft("u", "s", noon.Add(-time.Hour), timedOut))
	k.statistics("u", "s")
	k.statistics("u", "t")
	k.statistics("nobody", "nothing")
}

// statsOfMany compares every statistic over a mixture.
func statsOfMany(k *kit) {
	k.seed()
	k.append(
		draft("u0", "s0", noon, func(d *sandtrail.Draft) { d.CPUUsage, d.MemoryUsed = new(0.1), new(0) }),
		draft("u0", "s0", noon, func(d *sandtrail.Draft) { d.CPUUsage, d.MemoryUsed = new(250.75), new(4096) }),
		draft("u0", "s0", noon, failed, metadata(`{"errors":[{"message":"a"},{"message":"b"}],"warnings":[{"message":"c"}]}`)),
		draft("u0", "s0", noon, func(d *sandtrail.Draft) { d.ExecutionTime = new(sandtrail.MaxInt) }),
		draft("u0", "s0", noon, func(d *sandtrail.Draft) { d.ExecutionTime = new(sandtrail.MaxInt) }),
	)
	for i := range 3 {
		k.statistics(fmt.Sprintf("u%d", i), fmt.Sprintf("s%d", i%2))
	}
	for _, w := range []sandtrail.Window{
		{},
		{Since: noon},
		{Until: noon},
		{Since: noon.Add(-time.Hour), Until: noon.Add(time.Minute)},
		{UserID: "u0"},
		{StrategyID: "s1"},
		{UserID: "u1", StrategyID: "s1"},
		{UserID: "nobody"},
		{Since: noon.Add(-200 * time.Hour), Until: noon.Add(-3 * time.Hour), StrategyID: "s0"},
		{Since: noon, Until: noon.Add(-time.Hour)},
		{Since: noon, Until: noon},
	} {
		must(k, fmt.Sprintf("window %+v", w), func(s sandtrail.Store) (any, error) { return s.WindowStats(k.ctx, w) })
	}
	k.sound()
}

// percentilesOfMany allows an error of 1 % where there are more different
// values than a store need keep apart.
func percentilesOfMany(k *kit) {
	k.putUsers("few", "many")
	k.putStrategies("few", "many")
	var drafts []sandtrail.Draft
	for i := range 3000 {
		at := noon.Add(-time.Duration(i) * time.Minute)
		drafts = append(drafts,
			draft("few", "few", at, func(d *sandtrail.Draft) { d.ExecutionTime = new(i * i % 97) }),
			draft("many", "many", at, func(d *sandtrail.Draft) { d.ExecutionTime = new(1000 + i*i%7919) }))
	}
	k.append(drafts...)
	if err := k.db.Maintain(k.ctx, k.now); err != nil {
		k.Fatal(err)
	}
	k.statistics("few", "few")
	want, err := k.model.StrategyStats(k.ctx, "many")
	if err != nil {
		k.Fatal(err)
	}
	got, err := k.db.StrategyStats(k.ctx, "many")
	if err != nil {
		k.Fatal(err)
	}
	for name, q := range map[string][2]*float64{
		"p50": {want.Percentiles.ExecutionTime.P50, got.Percentiles.ExecutionTime.P50},
		"p95": {want.Percentiles.ExecutionTime.P95, got.Percentiles.ExecutionTime.P95},
		"p99": {want.Percentiles.ExecutionTime.P99, got.Percentiles.ExecutionTime.P99},
	} {
		if q[1] == nil || math.Abs(*q[0]-*q[1]) > 0.01**q[0] {
			k.Errorf("%s is %v, want %v within 1 %%", name, q[1], *q[0])
		}
	}
}

// ranking orders subjects, ties by id.
func ranking(k *kit) {
	k.seed()
	k.putStrategies("idle")
	k.append(draft("u2", "s1", noon, failed), draft("u2", "s1", noon, failed))
	for _, subject := range []sandtrail.Subject{sandtrail.Users, sandtrail.Strategies, "", "nothing"} {
		for _, order := range []sandtrail.RankOrder{"", sandtrail.MostExecutions, sandtrail.MostFailures, "nothing"} {
			for _, limit := range []int{0, 1, 2, 100, -1, sandtrail.MaxLimit + 1} {
				q := sandtrail.RankQuery{Subject: subject, Order: order, Limit: limit}
				both(k, fmt.Sprintf("%+v", q), func(s sandtrail.Store) (any, error) { return s.Ranking(k.ctx, q) })
				q.Since, q.Until = noon.Add(-100*time.Hour), noon
				both(k, fmt.Sprintf("%+v", q), func(s sandtrail.Store) (any, error) { return s.Ranking(k.ctx, q) })
			}
		}
	}
}
