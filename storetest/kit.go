package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// noon is when tests take place: no store reads the clock.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// kit is a store under test beside the model that does the same.
type kit struct {
	*testing.T
	ctx   context.Context
	db    database.Database
	model *Model
	now   time.Time
}

func newKit(t *testing.T, open func(*testing.T) database.Database) *kit {
	return &kit{T: t, ctx: t.Context(), db: open(t), model: NewModel(), now: noon}
}

// both asks the store and the model the same and compares their answers.
func both[T any](k *kit, what string, ask func(sandtrail.Store) (T, error)) (T, error) {
	k.Helper()
	want, wantErr := ask(k.model)
	got, gotErr := ask(k.db)
	if diff := cmp.Diff(complaint(wantErr), complaint(gotErr)); diff != "" {
		k.Fatalf("%s: error (-model +store)\n%s\nmodel: %v\nstore: %v", what, diff, wantErr, gotErr)
	}
	if gotErr != nil {
		return got, gotErr
	}
	if diff := difference(want, got); diff != "" {
		k.Fatalf("%s (-model +store)\n%s", what, diff)
	}
	return got, nil
}

// difference is "" for the same answer. What is equal to the bit needs no walk
// through all options for each of thousands of fields.
func difference[T any](want, got T) string {
	if reflect.DeepEqual(want, got) {
		return ""
	}
	return cmp.Diff(want, got, sameAnswer...)
}

// must is both for what has to succeed.
func must[T any](k *kit, what string, ask func(sandtrail.Store) (T, error)) T {
	k.Helper()
	answer, err := both(k, what, ask)
	if err != nil {
		k.Fatalf("%s: %v", what, err)
	}
	return answer
}

// complaint is what two errors have to agree in.
func complaint(err error) []string {
	if err == nil {
		return nil
	}
	said := []string{string(sandtrail.CodeOf(err))}
	var coded *sandtrail.Error
	if errors.As(err, &coded) {
		for _, f := range coded.Fields {
			said = append(said, f.Path)
		}
	}
	return said
}

var sameAnswer = cmp.Options{
	cmp.Comparer(func(a, b sandtrail.ID) bool { return a == b }), // as a whole, not byte by byte
	cmp.Comparer(func(a, b float64) bool { return a == b || math.Abs(a-b) <= 1e-9*math.Max(math.Abs(a), math.Abs(b)) }),
	emptyIsNil[sandtrail.Execution](), emptyIsNil[sandtrail.Rank](), emptyIsNil[sandtrail.TrendBucket](),
	// A server says who places a hold, and when.
	cmpopts.IgnoreFields(sandtrail.Hold{}, "CreatedBy", "CreatedAt"), emptyIsNil[sandtrail.Hold](),
	emptyIsNil[sandtrail.User](), emptyIsNil[sandtrail.Strategy](), storedIfSaid, emptyIsNil[sandtrail.ID](),
}

// storedIfSaid lets Appended.Stored be nil, as it does not travel from a
// server; Follower wants it of databases.
var storedIfSaid = cmp.FilterValues(func(a, b []bool) bool { return a == nil || b == nil },
	cmp.Comparer(func(_, _ []bool) bool { return true }))

func emptyIsNil[T any]() cmp.Option {
	return cmp.FilterValues(func(a, b []T) bool { return len(a) == 0 && len(b) == 0 },
		cmp.Comparer(func(_, _ []T) bool { return true }))
}

// putUsers creates users with these ids.
func (k *kit) putUsers(ids ...string) {
	k.Helper()
	for _, id := range ids {
		k.putUser(sandtrail.User{ID: id, Email: id + "@example.com"})
	}
}

func (k *kit) putUser(u sandtrail.User) {
	k.Helper()
	must(k, "put user "+u.ID, func(s sandtrail.Store) (any, error) { return nil, s.PutUser(k.ctx, u) })
}

// putStrategies creates strategies with these ids.
func (k *kit) putStrategies(ids ...string) {
	k.Helper()
	for _, id := range ids {
		k.putStrategy(sandtrail.Strategy{ID: id, Name: "Strategy " + id})
	}
}

func (k *kit) putStrategy(s sandtrail.Strategy) {
	k.Helper()
	must(k, "put strategy "+s.ID, func(store sandtrail.Store) (any, error) { return nil, store.PutStrategy(k.ctx, s) })
}

// draft is a plain success; change it as a test needs.
func draft(user, strategy string, at time.Time, change ...func(*sandtrail.Draft)) sandtrail.Draft {
	d := sandtrail.Draft{
		ID: sandtrail.NewID(at), UserID: user, StrategyID: strategy, Type: sandtrail.Validation,
		Success: new(true), ExecutionTime: new(100), CreatedAt: at,
	}
	for _, f := range change {
		f(&d)
	}
	return d
}

func failed(d *sandtrail.Draft) { d.Success = new(false) }

func timedOut(d *sandtrail.Draft) { d.Success, d.TimedOut = new(false), true }

// admit applies the rules, for records of any age.
func (k *kit) admit(drafts ...sandtrail.Draft) []sandtrail.Admitted {
	k.Helper()
	batch, err := sandtrail.Admission{Now: k.now, Retention: -1}.Admit(drafts...)
	if err != nil {
		k.Fatal(err)
	}
	return batch
}

// append adds drafts to the store and the model.
func (k *kit) append(drafts ...sandtrail.Draft) sandtrail.Appended {
	k.Helper()
	return k.appendBatch(k.admit(drafts...))
}

func (k *kit) appendBatch(batch []sandtrail.Admitted) sandtrail.Appended {
	k.Helper()
	return must(k, fmt.Sprintf("append %d records", len(batch)), func(s sandtrail.Store) (sandtrail.Appended, error) {
		return s.Append(k.ctx, batch)
	})
}

// refuse appends drafts that have to be refused with a code.
func (k *kit) refuse(code sandtrail.Code, drafts ...sandtrail.Draft) {
	k.Helper()
	batch := k.admit(drafts...)
	_, err := both(k, "append what is wrong", func(s sandtrail.Store) (sandtrail.Appended, error) {
		return s.Append(k.ctx, batch)
	})
	if sandtrail.CodeOf(err) != code {
		k.Fatalf("append what is wrong: got %v, want code %s", err, code)
	}
}

// walk reads all pages of a query and compares each.
func (k *kit) walk(q sandtrail.Query) []sandtrail.Execution {
	k.Helper()
	var all []sandtrail.Execution
	for {
		page := must(k, fmt.Sprintf("page of %+v", q), func(s sandtrail.Store) (sandtrail.Page, error) {
			return s.Executions(k.ctx, q, k.now)
		})
		all = append(all, page.Items...)
		if q.Cursor = page.NextCursor; q.Cursor == "" {
			return all
		}
	}
}

// sound lets doctor examine the database thoroughly.
func (k *kit) sound() {
	k.Helper()
	checks, err := k.db.Doctor(k.ctx, database.Deep, k.now)
	if err != nil {
		k.Fatalf("doctor: %v", err)
	}
	for _, c := range checks {
		if !c.OK {
			k.Errorf("doctor: %s: %s (%s)", c.Name, c.Detail, c.Fix)
		}
	}
}
