package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/remedy"
)

// roundTrip reads every kind of value back as it was written, byte for byte.
func roundTrip(k *kit) {
	k.putUser(sandtrail.User{ID: "ü,'\"%\\", Email: "o'hara+\"q\"@exämple.com", Name: new("Łukasz, \"the\" 100 % \\")})
	k.putStrategy(sandtrail.Strategy{ID: "戦略", Name: "a,b;'--\"\\%_"})
	for name, change := range map[string]func(*sandtrail.Draft){
		"plain":               func(*sandtrail.Draft) {},
		"failed":              failed,
		"timed out":           timedOut,
		"terminal":            func(d *sandtrail.Draft) { d.Type = sandtrail.Terminal },
		"zero memory and CPU": func(d *sandtrail.Draft) { d.MemoryUsed, d.CPUUsage = new(0), new(0.0) },
		"fractional CPU":      func(d *sandtrail.Draft) { d.CPUUsage = new(133.70000000000002) },
		"largest numbers": func(d *sandtrail.Draft) {
			d.ExecutionTime, d.MemoryUsed = new(sandtrail.MaxInt), new(sandtrail.MaxInt)
			d.ErrorCount, d.WarningCount = new(sandtrail.MaxInt), new(sandtrail.MaxInt)
			d.CPUUsage = new(float64(sandtrail.MaxCPUUsage))
		},
		"no classes":     func(d *sandtrail.Draft) { d.Classes = []string{} },
		"classes":        func(d *sandtrail.Draft) { d.Classes = []string{"Zoë", "Bar Baz", "It's"} },
		"empty metadata": metadata(`{}`),
		"large integers": metadata(`{"n":12345678901234567890123,"f":1.10,"e":1E+2,"z":-0}`),
		"escapes":        metadata(`{"a":"\u00e9\ud83d\ude00 \"\\ \n","b":"é😀","order":{"z":1,"a":2}}`),
		"findings": metadata(`{"errors":[{"severity":"error","message":"bad \u0001","line":3},{"message":"x"}],` +
			`"warnings":[{"message":"100 % 'sure', \"really\""}]}`),
		"metadata of the greatest size": metadata(`{"text":"` + strings.Repeat("x", sandtrail.MaxMetadataBytes-11) + `"}`),
		"first day of year 1":           func(d *sandtrail.Draft) { d.CreatedAt = time.Date(1, 1, 1, 0, 0, 0, 1e6, time.UTC) },
		"before 1970":                   func(d *sandtrail.Draft) { d.CreatedAt = time.Date(1969, 12, 31, 23, 59, 59, 999e6, time.UTC) },
		"finer than milliseconds":       func(d *sandtrail.Draft) { d.CreatedAt = noon.Add(-123456789 * time.Nanosecond) },
		"another zone": func(d *sandtrail.Draft) {
			d.CreatedAt = noon.Add(-time.Hour).In(time.FixedZone("", 5*3600+1800))
		},
		"an id that is not a UUIDv7": func(d *sandtrail.Draft) { d.ID = sandtrail.ID{0xff, 15: 1} },
	} {
		d := draft("ü,'\"%\\", "戦略", noon, change)
		k.append(d)
		id := d.ID
		got := must(k, name, func(s sandtrail.Store) (sandtrail.Execution, error) { return s.Execution(k.ctx, id) })
		if _, offset := got.CreatedAt.Zone(); offset != 0 {
			k.Errorf("%s: createdAt is not in UTC: %v", name, got.CreatedAt)
		}
		// Seen by Merge, it is still the same record.
		k.append(d)
	}
	k.walk(sandtrail.Query{Limit: 7})
	k.sound()
}

func metadata(text string) func(*sandtrail.Draft) {
	return func(d *sandtrail.Draft) { d.Metadata = json.RawMessage(text) }
}

// idempotent stores a record once in whatever form it comes again.
func idempotent(k *kit) {
	k.putUsers("u", "v")
	k.putStrategies("s", "t")
	rich := func(d *sandtrail.Draft) {
		d.MemoryUsed, d.CPUUsage, d.Classes = new(12), new(34.5), []string{"A", "B"}
		d.Metadata = json.RawMessage(`{"a":1,"b":[true,null]}`)
	}
	original := draft("u", "s", noon.Add(-time.Hour), rich)
	k.append(original)

	again := func(name string, code sandtrail.Code, change func(*sandtrail.Draft)) {
		k.Run(name, func(t *testing.T) {
			inner := *k
			inner.T = t
			d := original
			change(&d)
			if code != "" {
				inner.refuse(code, d)
				return
			}
			if done := inner.append(d); done.Accepted != 0 || done.Duplicates != 1 {
				t.Errorf("got %+v, want one duplicate", done)
			}
		})
	}
	again("the same", "", func(*sandtrail.Draft) {})
	again("without createdAt", "", func(d *sandtrail.Draft) { d.CreatedAt = time.Time{} })
	again("finer than a millisecond", "", func(d *sandtrail.Draft) { d.CreatedAt = d.CreatedAt.Add(999 * time.Microsecond) })
	again("metadata in another order", "", metadata(` { "b" : [true, null], "a" : 1 } `))

	const conflict = sandtrail.CodeConflict
	again("another user", conflict, func(d *sandtrail.Draft) { d.UserID = "v" })
	again("another strategy", conflict, func(d *sandtrail.Draft) { d.StrategyID = "t" })
	again("another type", conflict, func(d *sandtrail.Draft) { d.Type = sandtrail.Terminal })
	again("another result", conflict, failed)
	again("another duration", conflict, func(d *sandtrail.Draft) { d.ExecutionTime = new(101) })
	again("memory not measured", conflict, func(d *sandtrail.Draft) { d.MemoryUsed = nil })
	again("another CPU usage", conflict, func(d *sandtrail.Draft) { d.CPUUsage = new(34.6) })
	again("another error count", conflict, func(d *sandtrail.Draft) { d.ErrorCount = new(1) })
	again("other classes", conflict, func(d *sandtrail.Draft) { d.Classes = []string{"A"} })
	again("no classes", conflict, func(d *sandtrail.Draft) { d.Classes = nil })
	again("other metadata", conflict, metadata(`{"a":1,"b":[true,false]}`))
	again("no metadata", conflict, func(d *sandtrail.Draft) { d.Metadata = nil })
	again("a millisecond later", conflict, func(d *sandtrail.Draft) { d.CreatedAt = d.CreatedAt.Add(time.Millisecond) })
	again("a user who does not exist", conflict, func(d *sandtrail.Draft) { d.UserID = "nobody" })

	// Within one batch, beside new ones, in every mixture.
	fresh, other := draft("v", "t", noon), draft("u", "t", noon)
	untimed := fresh
	untimed.CreatedAt = time.Time{}
	done := k.append(fresh, original, untimed, other, fresh)
	if want := []bool{true, false, false, true, false}; !cmp.Equal(want, done.Stored, storedIfSaid) || done.Accepted != 2 {
		k.Errorf("got %+v, want stored %v", done, want)
	}
	// A copy without time first does not make the stored one a conflict.
	untimed = original
	untimed.CreatedAt = time.Time{}
	k.append(untimed, original)
	changed := other
	changed.ExecutionTime = new(7)
	k.refuse(conflict, draft("u", "s", noon), changed)
	k.refuse(conflict, draft("u", "s", noon), original, func() sandtrail.Draft {
		d := draft("u", "s", noon)
		d.ID = original.ID
		return d
	}())
	twice := draft("u", "s", noon)
	differently := twice
	differently.TimedOut, differently.Success = true, new(false)
	k.refuse(conflict, twice, differently)
	k.walk(sandtrail.Query{})
	k.sound()
}

// idempotentAcrossWeeks retries a record when its time, were it taken again,
// would fall into another week: stores that partition by time must still find
// the first.
func idempotentAcrossWeeks(k *kit) {
	k.putUsers("u")
	k.putStrategies("s")
	sunday := time.Date(2026, 11, 22, 23, 59, 59, 999e6, time.UTC)
	first := draft("u", "s", time.Time{})
	first.ID, k.now = sandtrail.NewID(sunday), sunday
	k.append(first)
	for _, later := range []time.Duration{time.Millisecond, time.Hour, 8 * 24 * time.Hour, 400 * 24 * time.Hour} {
		k.now = sunday.Add(later)
		if done := k.append(first); done.Duplicates != 1 {
			k.Errorf("a retry %v later: got %+v, want a duplicate", later, done)
		}
		moved := first
		moved.CreatedAt = k.now
		k.refuse(sandtrail.CodeConflict, moved)
	}
	k.now = sunday // nothing has kept the store since
	k.walk(sandtrail.Query{})
	k.sound()
}

// together calls f from n goroutines at once and returns when all are done.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}

// sameRecordConcurrently lets many callers append one record at once: one of
// them stores it.
func sameRecordConcurrently(k *kit) {
	k.putUsers("u")
	k.putStrategies("s")
	const callers = 16
	for round := range 5 {
		d := draft("u", "s", noon.Add(-time.Duration(round)*time.Hour))
		timed, untimed := d, d
		untimed.CreatedAt = time.Time{}
		var done [callers]sandtrail.Appended
		var errs [callers]error
		batches := [2][]sandtrail.Admitted{k.admit(timed), k.admit(untimed)}
		if round%2 == 1 {
			batches[1] = batches[0]
		}
		together(callers, func(i int) { done[i], errs[i] = k.db.Append(k.ctx, batches[i%2]) })
		accepted := 0
		for i := range callers {
			// A timed copy that loses to an untimed one differs in its time.
			if errs[i] != nil && (i%2 == 1 || sandtrail.CodeOf(errs[i]) != sandtrail.CodeConflict) {
				k.Fatalf("caller %d: %v", i, errs[i])
			}
			accepted += done[i].Accepted
		}
		if accepted != 1 {
			k.Fatalf("%d callers stored the record, want 1", accepted)
		}
	}
	if page, err := k.db.Executions(k.ctx, sandtrail.Query{}, k.now); err != nil || len(page.Items) != 5 {
		k.Fatalf("got %d records, %v; want 5", len(page.Items), err)
	}
	k.sound()
}

// contradictingRecordsConcurrently lets many callers claim one id for
// different records: exactly one wins, the others are told.
func contradictingRecordsConcurrently(k *kit) {
	k.putUsers("u")
	k.putStrategies("s")
	const callers = 16
	d := draft("u", "s", noon)
	var batches [callers][]sandtrail.Admitted
	for i := range callers {
		mine := d
		mine.ExecutionTime = new(i)
		mine.CreatedAt = noon.Add(-time.Duration(i) * 24 * time.Hour)
		batches[i] = k.admit(mine, draft("u", "s", noon))
	}
	var errs [callers]error
	together(callers, func(i int) { _, errs[i] = k.db.Append(k.ctx, batches[i]) })
	winners := 0
	for i, err := range errs {
		if err == nil {
			winners++
			must(k, "the winner", func(s sandtrail.Store) (any, error) {
				_, err := s.Append(k.ctx, batches[i])
				return nil, err
			})
		} else if sandtrail.CodeOf(err) != sandtrail.CodeConflict {
			k.Errorf("caller %d: %v", i, err)
		}
	}
	if winners != 1 {
		k.Errorf("%d callers won, want 1", winners)
	}
	k.walk(sandtrail.Query{})
	k.sound()
}

// concurrentWriters lets goroutines append their own and each other's records
// while others change owners and read.
func concurrentWriters(k *kit) {
	k.putUsers("u0", "u1", "u2")
	k.putStrategies("s0", "s1")
	const writers, batchesEach, batchSize = 8, 10, 20
	var batches [writers * batchesEach][]sandtrail.Admitted
	for i := range batches {
		var drafts []sandtrail.Draft
		for j := range batchSize {
			at := noon.Add(-time.Duration(i*batchSize+j) * time.Minute)
			drafts = append(drafts, draft(fmt.Sprintf("u%d", j%3), fmt.Sprintf("s%d", i%2), at))
		}
		batches[i] = k.admit(drafts...)
	}
	var mu sync.Mutex
	accepted := 0
	together(writers, func(w int) {
		for i := range batchesEach {
			// Each batch is sent by two writers.
			for _, n := range []int{w*batchesEach + i, (w*batchesEach + i + batchesEach) % len(batches)} {
				done, err := k.db.Append(k.ctx, batches[n])
				if err != nil {
					k.Errorf("writer %d, batch %d: %v", w, n, err)
					return
				}
				mu.Lock()
				accepted += done.Accepted
				mu.Unlock()
			}
			if err := k.db.PutUser(k.ctx, sandtrail.User{ID: "u0", Email: "u0@example.com"}); err != nil {
				k.Errorf("put user: %v", err)
			}
			if _, err := k.db.WindowStats(k.ctx, sandtrail.Window{}); err != nil {
				k.Errorf("window: %v", err)
			}
			if err := k.db.Maintain(k.ctx, k.now); err != nil {
				k.Errorf("maintain: %v", err)
			}
		}
	})
	if want := len(batches) * batchSize; accepted != want {
		k.Errorf("%d records accepted, want %d", accepted, want)
	}
	for _, batch := range batches {
		if _, err := k.model.Append(k.ctx, batch); err != nil {
			k.Fatal(err)
		}
	}
	k.walk(sandtrail.Query{Limit: 1000})
	k.sound()
}

// refused names who is unknown and where, and stores nothing of the batch.
func refused(k *kit) {
	k.putUsers("u")
	k.putStrategies("s")
	good := draft("u", "s", noon)
	const invalid = sandtrail.CodeInvalid
	k.refuse(invalid, draft("nobody", "s", noon))
	k.refuse(invalid, draft("u", "nothing", noon))
	k.refuse(invalid, draft("nobody", "nothing", noon))
	k.refuse(invalid, good, draft("nobody", "s", noon), good, draft("U", "s ", noon))
	batch := k.admit(good, draft("nobody", "s", noon))
	_, err := k.db.Append(k.ctx, batch)
	for _, want := range []string{"[1].userId", `"nobody"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			k.Errorf("the error does not mention %s: %v", want, err)
		}
	}
	var refused *sandtrail.Error
	if !errors.As(err, &refused) || !cmp.Equal(refused.Remedies, []sandtrail.Remedy{{Act: remedy.AddUser, Value: "nobody"}}) {
		k.Errorf("the error does not offer to add the user: %+v", refused)
	}
	if all := k.walk(sandtrail.Query{}); len(all) != 0 {
		k.Errorf("%d records of refused batches are stored", len(all))
	}
	if done := k.append(); done.Accepted != 0 {
		k.Errorf("an empty batch: %+v", done)
	}
}

// maxBatch takes a batch of the greatest size and no larger one.
func maxBatch(k *kit) {
	k.putUsers("u")
	k.putStrategies("s")
	drafts := make([]sandtrail.Draft, sandtrail.MaxBatch+1)
	for i := range drafts {
		drafts[i] = draft("u", "s", noon.Add(-time.Duration(i)*time.Second))
	}
	k.refuse(sandtrail.CodeTooLarge, drafts...)
	k.append(drafts[:sandtrail.MaxBatch]...)
	k.append(drafts[:sandtrail.MaxBatch]...)
	stored := drafts[sandtrail.MaxBatch/2]
	for i := range drafts {
		drafts[i] = draft("u", "s", noon.Add(-time.Duration(i)*time.Second))
	}
	drafts[sandtrail.MaxBatch/2] = stored
	k.append(drafts[:sandtrail.MaxBatch]...)
	must(k, "count", func(s sandtrail.Store) (int64, error) {
		return s.CountBefore(k.ctx, sandtrail.Before(noon.Add(time.Hour)))
	})
}

// allOrNothing puts the fault at every place of a batch that spans several
// statements.
func allOrNothing(k *kit) {
	k.putUsers("u")
	k.putStrategies("s")
	const size = 230
	for _, bad := range []int{0, 1, 49, 50, 99, 100, size - 1} {
		drafts := make([]sandtrail.Draft, size)
		for i := range drafts {
			drafts[i] = draft("u", "s", noon.Add(-time.Duration(i)*24*time.Hour))
		}
		drafts[bad].UserID = "nobody"
		k.refuse(sandtrail.CodeInvalid, drafts...)
	}
	if all := k.walk(sandtrail.Query{}); len(all) != 0 {
		k.Errorf("%d records of refused batches are stored", len(all))
	}
	k.sound()
}
