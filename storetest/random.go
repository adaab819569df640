package storetest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"github.com/sandtrail/sandtrail"
)

// SeedEnv names the variable that repeats a run of random operations.
const SeedEnv = "SANDTRAIL_TEST_SEED"

const randomSteps = 200

// campaign is a run of random operations on the store and the model.
type campaign struct {
	*kit
	*rand.Rand
	drafts  []sandtrail.Draft // appended or tried, for retries
	cleaned time.Time         // the newest cleanup: trends ask behind it
}

// randomOperations does the same random things to the store and the model
// and compares every answer.
func randomOperations(k *kit) {
	seed := rand.Uint64()
	if given := os.Getenv(SeedEnv); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			k.Fatalf("%s: %v", SeedEnv, err)
		}
	}
	k.Logf("repeat with %s=%d", SeedEnv, seed)
	c := &campaign{kit: k, Rand: rand.New(rand.NewPCG(seed, 0)), cleaned: noon.Add(-60 * 24 * time.Hour)}
	for i := range 4 {
		c.putUsers(c.user(i))
		c.putStrategies(c.strategy(i))
	}
	for range randomSteps {
		c.step()
		c.now = c.now.Add(time.Duration(c.IntN(3600)) * time.Second)
	}
	c.walk(sandtrail.Query{Limit: 1000})
	c.owners()
	for i := range 6 {
		c.statistics(c.user(i), c.strategy(i))
	}
	c.sound()
}

func (c *campaign) step() {
	steps := []struct {
		weight int
		do     func()
	}{
		{30, c.appendSome},
		{4, c.putOwner},
		{2, c.deleteOwner},
		{2, c.cleanUp},
		{2, c.placeHold},
		{2, c.releaseHold},
		{4, c.maintain},
		{10, c.list},
		{8, func() { c.statistics(c.anyUser(), c.anyStrategy()) }},
		{8, c.trend},
		{6, c.window},
		{4, c.rank},
		{2, c.one},
	}
	total := 0
	for _, s := range steps {
		total += s.weight
	}
	n := c.IntN(total)
	for _, s := range steps {
		if n -= s.weight; n < 0 {
			s.do()
			return
		}
	}
}

func (c *campaign) user(i int) string { return []string{"u", "U", "ü", "u'", "u%", "nobody"}[i] }

func (c *campaign) strategy(i int) string { return []string{"s", "S", "ß", "s,", "s_", "nothing"}[i] }
func (c *campaign) anyUser() string       { return c.user(c.IntN(6)) }
func (c *campaign) anyStrategy() string   { return c.strategy(c.IntN(6)) }

func (c *campaign) chance(percent int) bool { return c.IntN(100) < percent }

func maybe[T any](c *campaign, percent int, value T) *T {
	if c.chance(percent) {
		return &value
	}
	return nil
}

// time is an instant of the last 40 days, often one that others share.
func (c *campaign) time() time.Time {
	at := c.now.Add(-time.Duration(c.Int64N(int64(40 * 24 * time.Hour))))
	switch c.IntN(4) {
	case 0:
		return at.Truncate(24 * time.Hour)
	case 1:
		return at.Truncate(6 * time.Hour).Add(-time.Millisecond)
	}
	return at
}

// owner is an index of owners, rarely one that may not be there.
func (c *campaign) owner() int {
	if c.chance(1) {
		return 4 + c.IntN(2)
	}
	return c.IntN(4)
}

func (c *campaign) draft() sandtrail.Draft {
	d := draft(c.user(c.owner()), c.strategy(c.owner()), c.time())
	for i := range d.ID { // repeatable, and in another order than the times
		d.ID[i] = byte(c.Uint32())
	}
	d.Success = new(c.chance(70))
	d.TimedOut = !*d.Success && c.chance(30)
	d.ExecutionTime = new(c.IntN(60) * c.IntN(2) * 50)
	d.MemoryUsed, d.CPUUsage = maybe(c, 70, c.IntN(500)), maybe(c, 70, float64(c.IntN(20000))/100)
	d.ErrorCount, d.WarningCount = maybe(c, 30, c.IntN(5)), maybe(c, 30, c.IntN(5))
	if c.chance(20) {
		d.Type = sandtrail.Terminal
	}
	if c.chance(40) {
		d.Classes = [][]string{{}, {"A"}, {"Größe", "B"}}[c.IntN(3)]
	}
	if c.chance(40) {
		metadata(fmt.Sprintf(`{"errors":[{"message":"Fehler %d"}],"n":%d}`, c.IntN(9), c.Int64()))(&d)
	}
	return d
}

func (c *campaign) appendSome() {
	drafts := make([]sandtrail.Draft, 1+c.IntN(12))
	for i := range drafts {
		drafts[i] = c.draft()
		if len(c.drafts) > 0 && c.chance(20) {
			drafts[i] = c.retry(c.drafts[c.IntN(len(c.drafts))])
		} else if i > 0 && c.chance(5) {
			drafts[i] = c.retry(drafts[i-1])
		}
	}
	c.drafts = append(c.drafts, drafts...)
	batch := c.admit(drafts...)
	_, _ = both(c.kit, "append", func(s sandtrail.Store) (sandtrail.Appended, error) { return s.Append(c.ctx, batch) })
}

// retry is a record again, rarely a little different.
func (c *campaign) retry(d sandtrail.Draft) sandtrail.Draft {
	switch {
	case c.chance(30):
		d.CreatedAt = time.Time{}
	case c.chance(3):
		d.ExecutionTime = new(*d.ExecutionTime + 1)
	case c.chance(3):
		d.CreatedAt = c.time()
	}
	return d
}

func (c *campaign) putOwner() {
	i := c.IntN(5)
	if c.chance(50) {
		c.putStrategy(sandtrail.Strategy{ID: c.strategy(i), Name: fmt.Sprintf("named at step %v", c.now)})
		return
	}
	u := sandtrail.User{ID: c.user(i), Email: fmt.Sprintf("%d@example.com", c.IntN(8)), Name: maybe(c, 50, "Name")}
	_, _ = both(c.kit, "put user", func(s sandtrail.Store) (any, error) { return nil, s.PutUser(c.ctx, u) })
}

func (c *campaign) deleteOwner() {
	if c.chance(50) {
		id := c.anyStrategy()
		_, _ = both(c.kit, "delete strategy", func(s sandtrail.Store) (int64, error) { return s.DeleteStrategy(c.ctx, id) })
		return
	}
	id := c.anyUser()
	_, _ = both(c.kit, "delete user", func(s sandtrail.Store) (int64, error) { return s.DeleteUser(c.ctx, id) })
}

func (c *campaign) cleanUp() {
	before := c.now.Add(-time.Duration(20+c.IntN(30)) * 24 * time.Hour).Add(-time.Duration(c.IntN(1e9)))
	cut := sandtrail.Before(before)
	if c.chance(50) {
		cut.Types = map[sandtrail.ExecutionType]time.Time{sandtrail.Terminal: before.Add(time.Duration(c.IntN(40)-20) * 24 * time.Hour)}
	}
	if c.chance(50) {
		cut.Strategies = map[string]time.Time{c.anyStrategy(): before.Add(time.Duration(c.IntN(40)-20) * 24 * time.Hour), c.anyStrategy(): {}}
	}
	c.kit.cleanUp(cut)
	if last := cut.Latest(); last.After(c.cleaned) {
		c.cleaned = last
	}
}

func (c *campaign) placeHold() {
	h := sandtrail.Hold{Subject: sandtrail.Users, SubjectID: c.anyUser(), Reason: "ß", CreatedBy: "c", CreatedAt: sandtrail.Millisecond(c.now)}
	if c.chance(30) {
		h.Subject, h.SubjectID = sandtrail.Strategies, c.anyStrategy()
	}
	_, _ = both(c.kit, "hold", func(s sandtrail.Store) (any, error) { return nil, s.PutHold(c.ctx, h) })
}

// releaseHold ends holds more often than they begin, so that most records
// are free.
func (c *campaign) releaseHold() {
	for _, h := range must(c.kit, "holds", func(s sandtrail.Store) ([]sandtrail.Hold, error) { return s.Holds(c.ctx) }) {
		if c.chance(70) {
			must(c.kit, "release", func(s sandtrail.Store) (any, error) { return nil, s.RemoveHold(c.ctx, h.Subject, h.SubjectID) })
		}
	}
}

func (c *campaign) maintain() {
	if err := c.db.Maintain(c.ctx, c.now); err != nil {
		c.Fatalf("maintain: %v", err)
	}
}

func (c *campaign) list() {
	f := sandtrail.Filter{Success: maybe(c, 30, c.chance(50)), TimedOut: maybe(c, 20, c.chance(50))}
	if c.chance(40) {
		f.UserID = c.anyUser()
	}
	if c.chance(40) {
		f.StrategyID = c.anyStrategy()
	}
	if c.chance(20) {
		f.Type = sandtrail.Validation
	}
	if c.chance(30) {
		f.Since = c.time()
	}
	if c.chance(30) {
		f.Until = c.time()
	}
	if c.chance(20) {
		f.Within = time.Duration(1+c.IntN(1000)) * time.Hour
	}
	if c.chance(10) {
		f.Text = "FEHLER 3"
	}
	q := sandtrail.Query{Filter: f, Limit: 1 + c.IntN(20)}
	for range 4 {
		page, err := both(c.kit, fmt.Sprintf("%+v", q), func(s sandtrail.Store) (sandtrail.Page, error) {
			return s.Executions(c.ctx, q, c.now)
		})
		if q.Cursor = page.NextCursor; err != nil || q.Cursor == "" {
			return
		}
	}
}

func (c *campaign) trend() {
	zones := []string{"UTC", "Europe/Paris", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Chatham"}
	loc, err := sandtrail.ParseLocation(zones[c.IntN(len(zones))])
	if err != nil {
		c.Fatal(err)
	}
	q := sandtrail.TrendQuery{Since: c.time(), Location: loc}
	q.Until = q.Since.Add(time.Duration(1 + c.Int64N(int64(20*24*time.Hour))))
	if q.Since.Before(c.cleaned) {
		q.Since = c.cleaned
	}
	if c.chance(30) {
		q.Bucket = sandtrail.Hour
	}
	if c.chance(30) {
		q.UserID = c.anyUser()
	}
	if c.chance(30) {
		q.StrategyID = c.anyStrategy()
	}
	_, _ = both(c.kit, fmt.Sprintf("%+v", q), func(s sandtrail.Store) (any, error) { return s.Trends(c.ctx, q) })
}

func (c *campaign) window() {
	var w sandtrail.Window
	if c.chance(70) {
		w.Since = c.time()
	}
	if c.chance(50) {
		w.Until = c.time()
	}
	if c.chance(30) {
		w.UserID = c.anyUser()
	}
	if c.chance(30) {
		w.StrategyID = c.anyStrategy()
	}
	must(c.kit, fmt.Sprintf("%+v", w), func(s sandtrail.Store) (any, error) { return s.WindowStats(c.ctx, w) })
}

func (c *campaign) rank() {
	q := sandtrail.RankQuery{
		Subject: []sandtrail.Subject{sandtrail.Users, sandtrail.Strategies}[c.IntN(2)],
		Order:   []sandtrail.RankOrder{sandtrail.MostExecutions, sandtrail.MostFailures}[c.IntN(2)],
		Limit:   1 + c.IntN(6),
	}
	if c.chance(70) {
		q.Since = c.time()
	}
	must(c.kit, fmt.Sprintf("%+v", q), func(s sandtrail.Store) (any, error) { return s.Ranking(c.ctx, q) })
}

func (c *campaign) one() {
	id := sandtrail.NewID(c.now)
	if len(c.drafts) > 0 {
		id = c.drafts[c.IntN(len(c.drafts))].ID
	}
	_, _ = both(c.kit, "execution", func(s sandtrail.Store) (any, error) { return s.Execution(c.ctx, id) })
}
