//go:build linux

package prisma_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/pgtest"
)

// data is what the application passes to create.
type data map[string]any

func (f fixture) data(i int, age time.Duration, more data) data {
	d := data{
		"userId": "user-id", "strategyId": "strategy-id", "executionType": "VALIDATION",
		"success": i%2 == 0, "executionTime": 1000 + i, "createdAt": f.now.Add(-age).Format(time.RFC3339Nano),
	}
	for name, value := range more {
		d[name] = value
	}
	return d
}

// count is what Prisma answers to writes of many rows.
type count struct{ Count int }

const day = 24 * time.Hour

// createThroughPrisma writes rows in all ways that Prisma has, some of them
// in weeks for which nobody prepared a partition.
func (f fixture) createThroughPrisma(t *testing.T) {
	t.Helper()
	f.app.do(t, "createUser", data{"id": "prisma-user", "email": "grace@example.com", "name": "Grace"})
	f.app.do(t, "createStrategy", data{"id": "prisma-strategy", "name": "Written by Prisma"})

	created := get[row](t, f.app, "create", data{
		"userId": "prisma-user", "strategyId": "prisma-strategy", "executionType": "TERMINAL", "success": true, "executionTime": 1,
	})
	f.sameRecord(t, created)
	old := get[row](t, f.app, "create", f.data(1, 120*day, data{"id": "0F8FAD5B-D9CB-469F-A165-70867728950E", "metadata": `{ "spaced": 1.50 }`}))
	f.sameRecord(t, old)

	var many []data
	for i := range 300 {
		many = append(many, f.data(i, time.Duration(i)*7*time.Hour+35*time.Minute, data{
			"userId": "prisma-user", "cpuUsage": 0.5 * float64(i), "memoryUsed": nil, "classesFound": "A,B", "timedOut": i%4 == 1,
		}))
		many = append(many, f.data(i, 100*day+time.Duration(i)*day, nil))
	}
	if got := get[count](t, f.app, "createMany", many).Count; got != len(many) {
		t.Errorf("createMany wrote %d rows of %d", got, len(many))
	}
}

// sameRecord compares one record read by its id from both sides.
func (f fixture) sameRecord(t *testing.T, r row) {
	t.Helper()
	id, err := sandtrail.ParseID(r.ID)
	check(t, err)
	e, err := f.store.Execution(t.Context(), id)
	check(t, err)
	e.User, e.Strategy = nil, nil
	same(t, "record "+r.ID, fromSandtrail(e), r)
	same(t, "record found by "+r.ID, fromSandtrail(e), get[row](t, f.app, "find", r.ID))
}

// updateThroughPrisma changes rows by id, and by the key that the table has.
func (f fixture) updateThroughPrisma(t *testing.T) {
	t.Helper()
	const id = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
	record := f.data(0, 3*time.Hour, data{"id": id})

	f.sameRecord(t, get[row](t, f.app, "create", record))
	f.sameRecord(t, get[row](t, f.app, "update", id, data{"errorCount": 3, "success": false}))
	// Into another week, hence another partition.
	f.sameRecord(t, get[row](t, f.app, "update", id, data{"createdAt": f.now.Add(-50 * day).Format(time.RFC3339Nano)}))

	upserts := []string{"upsertIncluding", "upsertSelecting", "upsertByKey"}
	if pgtest.OnCitus() { // they would set the user
		upserts = nil
	}
	for i, upsert := range upserts {
		inserted := f.data(i, time.Duration(4+i)*time.Hour, data{"id": sandtrail.NewID(f.now).String()})
		f.app.do(t, upsert, inserted)
		inserted["warningCount"] = 5
		f.app.do(t, upsert, inserted)
		changed := get[row](t, f.app, "find", inserted["id"])
		if changed.WarningCount != 5 {
			t.Errorf("%s left warningCount at %d", upsert, changed.WarningCount)
		}
		f.sameRecord(t, changed)
	}
	f.refusals(t, record)

	skipping := []data{f.data(0, 3*time.Hour, data{"id": sandtrail.NewID(f.now).String()})}
	for _, want := range []int{1, 0} {
		if got := get[count](t, f.app, "createManySkipping", skipping).Count; got != want {
			t.Errorf("createMany with skipDuplicates wrote %d rows, want %d", got, want)
		}
	}
	f.app.do(t, "delete", skipping[0]["id"])

	// A record that Prisma wrote is a duplicate when Sandtrail gets it again.
	again := f.rows(t, sandtrail.Filter{UserID: "prisma-user", Type: sandtrail.Terminal})[0]
	draft := sandtrail.Draft{
		UserID: again.UserID, StrategyID: again.StrategyID, Type: sandtrail.Terminal,
		Success: &again.Success, ExecutionTime: &again.ExecutionTime, CreatedAt: again.CreatedAt,
	}
	check(t, draft.ID.UnmarshalText([]byte(again.ID)))
	if appended := f.append(t, draft); appended.Duplicates != 1 {
		t.Errorf("a record that Prisma wrote, appended again: %+v; want a duplicate", appended)
	}
}

// refusals are what docs/prisma.md promises to fail, with the code by which an
// application recognises it.
func (f fixture) refusals(t *testing.T, stored data) {
	t.Helper()
	plainUpsert := "ON CONFLICT"
	if pgtest.OnCitus() {
		plainUpsert = "modifying the partition value" // it would set the user
	}
	for name, test := range map[string]struct {
		call string
		data any
		want string
	}{
		"an id taken at another time": {"create", f.data(1, 30*day, data{"id": stored["id"]}), "P2002"},
		"the same, skipping":          {"createManySkipping", []data{f.data(1, 30*day, data{"id": stored["id"]})}, "P2002"},
		"a user who does not exist":   {"create", f.data(1, time.Hour, data{"userId": "nobody"}), "P2003"},
		"another type of execution":   {"create", f.data(1, time.Hour, data{"executionType": "OTHER"}), "execution_type_check"},
		"a plain upsert by id":        {"upsertPlain", stored, plainUpsert},
	} {
		if test.want == "P2002" && pgtest.OnCitus() { // found when it is reconciled
			continue
		}
		if got := f.app.ask(t, test.call, test.data); !strings.Contains(got.Error, test.want) {
			t.Errorf("%s: got %q; want an error with %s", name, got.Error, test.want)
		}
	}
}

// deleteThroughPrisma removes rows as the example application does: the clean-up, a
// selection, and the cascades of a strategy and of a user.
func (f fixture) deleteThroughPrisma(t *testing.T) {
	t.Helper()
	old, err := f.store.CountBefore(t.Context(), sandtrail.Before(f.now.Add(-90*day)))
	check(t, err)
	if old == 0 {
		t.Fatal("nothing is older than 90 days")
	}
	want := []string{"Deleted " + strconv.FormatInt(old, 10) + " old sandbox execution logs"}
	same(t, "clean-up", want, f.app.do(t, "cleanupOldSandboxLogs").Logged)
	f.compare(t)

	f.app.do(t, "deleteMany", data{"success": false, "createdAt": data{"gte": f.now.Add(-day).Format(time.RFC3339Nano)}})
	f.compare(t)
	f.app.do(t, "deleteStrategy", "other-strategy")
	check(t, f.store.PutStrategy(t.Context(), sandtrail.Strategy{ID: "other-strategy", Name: "Anew"}))
	f.compare(t)
	f.app.do(t, "deleteUser", "prisma-user")
	if left := f.rows(t, sandtrail.Filter{UserID: "prisma-user"}); len(left) > 0 {
		t.Errorf("%d executions outlived their user", len(left))
	}
}
