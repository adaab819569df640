// Package bench measures a store: it fills it with realistic executions and
// asks it every question, next to the same work done in plain SQL on a plain
// table with the same indexes and foreign keys, on the same machine.
package bench

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/sample"
)

// Options say how much to measure. Zero fields take the default beside them.
type Options struct {
	Executions int    // 100,000
	Users      int    // 1,000
	Strategies int    // 500
	Days       int    // 30; the executions are spread over these last days
	Batch      int    // 1,000 executions in a transaction
	Rounds     int    // 200 times each question, fewer of slow ones
	Seed       uint64 // 0; the same seed makes the same executions
	// NoFill asks about the executions that are there, at the time of the
	// newest, and about the owners that have most. Of the options above only
	// Rounds counts then.
	NoFill bool
}

func (o Options) withDefaults() Options {
	o.Executions = cmp.Or(o.Executions, 100_000)
	o.Users = cmp.Or(o.Users, 1000)
	o.Strategies = cmp.Or(o.Strategies, 500)
	o.Days = cmp.Or(o.Days, 30)
	o.Batch = cmp.Or(o.Batch, 1000)
	o.Rounds = cmp.Or(o.Rounds, 200)
	return o
}

// Plain is the engine without Sandtrail: a table of its own, made like the
// one of executions but without triggers and partitions, or, for sizes that do
// not fit twice, Sandtrail's.
type Plain interface {
	// HasTable reports whether there is a table beside Sandtrail's.
	HasTable() bool
	// Append stores executions in that table in one transaction, the fastest
	// way the engine has.
	Append(ctx context.Context, batch []sandtrail.Execution) error
	// Analyze brings the planner's statistics up to date, for both tables.
	Analyze(ctx context.Context) error
	// Query runs a statement written with ?1 for its parameter and reads
	// every row of the answer. {logs} in it is the plain table, or
	// Sandtrail's where there is none.
	Query(ctx context.Context, sql string, arg any) error
	// Sizes tells what takes how many bytes, Sandtrail's parts and the plain
	// table, after pending work is done.
	Sizes(ctx context.Context) ([]Size, error)
	// Close removes the plain table.
	Close(ctx context.Context) error
}

// Size is the disk space of one part of a database.
type Size struct {
	Part  string `json:"part"`
	Bytes int64  `json:"bytes"`
}

// Report is what a run of the bench found.
type Report struct {
	Executions int        `json:"executions"`
	Days       int        `json:"days"`
	Batch      int        `json:"batch"`
	Ingest     *Ingest    `json:"ingest"` // null: nothing was stored
	Questions  []Question `json:"questions"`
	Sizes      []Size     `json:"sizes"`
}

// Ingest compares how fast executions are stored, in executions per second.
type Ingest struct {
	Sandtrail float64  `json:"sandtrail"` // until all of it is folded and sealed, too
	Append    float64  `json:"append"`    // of the appends, beside which that is done
	Plain     *float64 `json:"plain"`     // null: there was no plain table
}

// Question compares how long one question takes.
type Question struct {
	Name      string `json:"name"`
	Sandtrail Timing `json:"sandtrail"`
	Plain     Timing `json:"plain"`
}

// Timing is a distribution of durations, in milliseconds.
type Timing struct {
	Rounds int     `json:"rounds"`
	First  float64 `json:"first"`
	Median float64 `json:"median"`
	P99    float64 `json:"p99"`
}

// Progress is called now and then with how much of the named step is done.
type Progress func(step string, done, total int)

// Run fills an empty, migrated database and its plain counterpart, unless told
// not to, and asks. The database is not emptied afterwards.
func Run(ctx context.Context, db database.Database, plain Plain, now time.Time, opts Options, progress Progress) (Report, error) {
	opts = opts.withDefaults()
	var report Report
	var about subjects
	var err error
	if opts.NoFill {
		report, about, err = survey(ctx, db)
	} else {
		report, about, err = fill(ctx, db, plain, now, opts, progress)
	}
	if err != nil {
		return report, err
	}
	if report.Questions, err = ask(ctx, db, plain, about, opts, progress); err != nil {
		return report, err
	}
	report.Sizes, err = plain.Sizes(ctx)
	return report, err
}

// subjects are what the questions are about.
type subjects struct {
	now               time.Time
	last              sandtrail.Execution
	users, strategies []string // busy ones first
}

// survey finds out what can be asked of a database in use.
func survey(ctx context.Context, db database.Database) (report Report, about subjects, err error) {
	page, err := db.Executions(ctx, sandtrail.Query{Limit: 1}, time.Time{})
	if err != nil {
		return report, about, err
	}
	if len(page.Items) == 0 {
		return report, about, sandtrail.Errorf(sandtrail.CodeInvalid, "the database has no executions to ask about")
	}
	about.last = page.Items[0]
	about.now = about.last.CreatedAt.Add(time.Millisecond)
	all, err := db.WindowStats(ctx, sandtrail.Window{})
	if err != nil {
		return report, about, err
	}
	report.Executions = int(all.Total)
	if about.users, err = busiest(ctx, db, sandtrail.Users, about.now); err != nil {
		return report, about, err
	}
	about.strategies, err = busiest(ctx, db, sandtrail.Strategies, about.now)
	return report, about, err
}

// busiest are the owners that have had most executions in the last 30 days.
func busiest(ctx context.Context, db database.Database, subject sandtrail.Subject, now time.Time) ([]string, error) {
	ranks, err := db.Ranking(ctx, sandtrail.RankQuery{Subject: subject, Since: now.AddDate(0, 0, -30), Until: now, Limit: sandtrail.MaxLimit})
	ids := make([]string, len(ranks))
	for i, r := range ranks {
		ids[i] = r.ID
	}
	return ids, err
}

// fill stores a sample both ways.
func fill(ctx context.Context, db database.Database, plain Plain, now time.Time, opts Options, progress Progress) (Report, subjects, error) {
	population := sample.New(sample.Options{
		Seed: opts.Seed, Executions: opts.Executions, Users: opts.Users, Strategies: opts.Strategies,
		Since: now.Add(-time.Duration(opts.Days) * 24 * time.Hour), Until: now,
	})
	report := Report{Executions: opts.Executions, Days: opts.Days, Batch: opts.Batch}
	about := subjects{now: now}
	if err := putOwners(ctx, db, population); err != nil {
		return report, about, err
	}
	for _, u := range population.Users() {
		about.users = append(about.users, u.ID)
	}
	for _, s := range population.Strategies() {
		about.strategies = append(about.strategies, s.ID)
	}
	var err error
	if report.Ingest, about.last, err = ingest(ctx, db, plain, population, now, opts, progress); err != nil {
		return report, about, fmt.Errorf("ingest: %w", err)
	}
	if err := plain.Analyze(ctx); err != nil {
		return report, about, fmt.Errorf("analyze: %w", err)
	}
	return report, about, nil
}

func putOwners(ctx context.Context, db database.Database, population *sample.Sample) error {
	for _, u := range population.Users() {
		if err := db.PutUser(ctx, u); err != nil {
			return fmt.Errorf("put user: %w", err)
		}
	}
	for _, s := range population.Strategies() {
		if err := db.PutStrategy(ctx, s); err != nil {
			return fmt.Errorf("put strategy: %w", err)
		}
	}
	return nil
}

// turn is how many executions one side stores before the other side does.
const turn = 50_000

func ingest(ctx context.Context, db database.Database, plain Plain, population *sample.Sample, now time.Time, opts Options, progress Progress) (*Ingest, sandtrail.Execution, error) {
	var total, appends, plainly time.Duration
	var last sandtrail.Execution
	done := 0
	for batches, err := range turns(population.Admit(opts.Batch)) {
		if err != nil {
			return nil, last, err
		}
		if err := timed(&total, func() error { return appendAndMaintain(ctx, db, batches, now, &appends) }); err != nil {
			return nil, last, err
		}
		for _, batch := range batches {
			executions := make([]sandtrail.Execution, len(batch))
			for i, a := range batch {
				executions[i] = a.Execution
			}
			if plain.HasTable() {
				if err := timed(&plainly, func() error { return plain.Append(ctx, executions) }); err != nil {
					return nil, last, fmt.Errorf("plain: %w", err)
				}
			}
			done, last = done+len(batch), executions[len(batch)-1]
		}
		progress("ingest", done, opts.Executions)
	}
	perSecond := func(d time.Duration) float64 { return float64(done) / d.Seconds() }
	found := &Ingest{Sandtrail: perSecond(total), Append: perSecond(appends)}
	if plainly > 0 {
		rate := perSecond(plainly)
		found.Plain = &rate
	}
	return found, last, nil
}

// turns collects batches until they make a turn.
func turns(batches iter.Seq2[[]sandtrail.Admitted, error]) iter.Seq2[[][]sandtrail.Admitted, error] {
	return func(yield func([][]sandtrail.Admitted, error) bool) {
		var collected [][]sandtrail.Admitted
		size := 0
		for batch, err := range batches {
			if err != nil {
				yield(nil, err)
				return
			}
			collected, size = append(collected, batch), size+len(batch)
			if size >= turn {
				if !yield(collected, nil) {
					return
				}
				collected, size = nil, 0
			}
		}
		if size > 0 {
			yield(collected, nil)
		}
	}
}

// upkeepAfter is after how many executions there is upkeep, about as many as
// arrive in the second between two rounds of a server.
const upkeepAfter = 20_000

// appendAndMaintain stores batches while upkeep goes on beside, as in a
// server, and waits until nothing is left to be folded and sealed.
func appendAndMaintain(ctx context.Context, db database.Database, batches [][]sandtrail.Admitted, now time.Time, appends *time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	due, upkeep := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		for range due {
			if err := db.Maintain(ctx, now); err != nil {
				upkeep <- err
				return
			}
		}
		upkeep <- db.Maintain(ctx, now)
	}()
	err := timed(appends, func() error {
		pending := 0
		for _, batch := range batches {
			if _, err := db.Append(ctx, batch); err != nil {
				cancel()
				return err
			}
			if pending += len(batch); pending >= upkeepAfter {
				pending = 0
				select {
				case due <- struct{}{}:
				default: // it is still at the last round
				}
			}
		}
		return nil
	})
	close(due)
	return cmp.Or(err, <-upkeep)
}

func timed(total *time.Duration, work func() error) error {
	start := time.Now()
	err := work()
	*total += time.Since(start)
	return err
}

// ask puts every question to Sandtrail, and then the same ones in plain SQL: in
// turns, each scan of a whole table would leave Sandtrail cold caches, which is
// not how a dashboard is asked.
func ask(ctx context.Context, db database.Database, plain Plain, about subjects, opts Options, progress Progress) ([]Question, error) {
	list := questions(about.now, about.last)
	answers := make([]Question, len(list))
	for i, q := range list {
		answers[i].Name = q.name
		var err error
		answers[i].Sandtrail, err = about.measure(opts.Rounds, func(user, strategy string) error { return q.ours(ctx, db, user, strategy) })
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q.name, err)
		}
		progress("questions", i+1, len(list))
	}
	for i, q := range list {
		var err error
		answers[i].Plain, err = about.measure(opts.Rounds, func(user, strategy string) error { return q.ask(ctx, plain, user, strategy) })
		if err != nil {
			return nil, fmt.Errorf("%s in plain SQL: %w", q.name, err)
		}
		progress("questions in plain SQL", i+1, len(list))
	}
	return answers, nil
}

// measure asks up to rounds times, going round the owners.
func (s subjects) measure(rounds int, ask func(user, strategy string) error) (Timing, error) {
	var took []time.Duration
	var spent time.Duration
	for round := 0; round < rounds && (round < minRounds || spent < enough); round++ {
		owner := round*round + 1 // busy ones more often than the others
		var one time.Duration
		err := timed(&one, func() error {
			return ask(s.users[owner%len(s.users)], s.strategies[owner%len(s.strategies)])
		})
		if err != nil {
			return Timing{}, err
		}
		took, spent = append(took, one), spent+one
	}
	return timing(took), nil
}

// A question is asked less often when asking takes long.
const (
	minRounds = 3
	enough    = 5 * time.Second
)

func timing(durations []time.Duration) Timing {
	ms := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
	first := durations[0]
	slices.Sort(durations)
	return Timing{Rounds: len(durations), First: ms(first), Median: ms(durations[len(durations)/2]), P99: ms(durations[(len(durations)*99+99)/100-1])}
}
