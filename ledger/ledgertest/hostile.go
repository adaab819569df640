package ledgertest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/ledger"
)

// expectation is what should be found: kinds by the record's id, or by "" for
// the log as a whole.
type expectation map[string]ledger.FindingKind

// attack does something unlawful. undo makes it undone again.
type attack struct {
	name string
	do   func(o *operator) (want expectation, undo func())
	// unseen attacks are only found with a checkpoint from outside.
	unseen bool
}

// Hostile does each unlawful thing n times, lawful things in between, and
// expects it to be found and named, and nothing else.
func Hostile(t *testing.T, open Opener, n int) {
	begin := func(o *operator) {
		o.begin()
		o.plain(`DELETE FROM sandbox_execution_logs WHERE execution_time < 12000`) // so that there are removals
		o.keep(func(e sandtrail.Execution) bool { return e.ExecutionTime >= 12_000 })
	}
	campaign(t, open, n, begin, func(o *operator) {
		for _, i := range o.random.Perm(len(attacks)) {
			o.live()
			o.publish()
			o.clean()
			a := attacks[i]
			want, undo := a.do(o)
			if a.unseen {
				o.mustFind(a.name+", without a checkpoint from outside", expectation{}, nil)
			}
			o.mustFind(a.name, want, o.published)
			undo()
		}
		o.clean()
	})
}

func (o *operator) mustFind(what string, want expectation, outside [][]byte) {
	o.Helper()
	_, findings := o.verify(outside...)
	got := expectation{}
	for _, f := range findings {
		got[f.ID] = f.Kind
		if o.changed != "" && len(f.Fields) > 0 && !slices.Equal(f.Fields, []string{o.changed}) {
			o.Errorf("%s: %s was changed, and found is %+v", what, o.changed, f)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		o.Fatalf("%s:\nfound %v\nwant  %v\n%+v", what, got, want, findings)
	}
}

var attacks = []attack{
	{name: "change a field", do: func(o *operator) (expectation, func()) {
		e := o.pick()
		c := changes[o.random.IntN(len(changes))]
		backup := o.backup("sandbox_execution_logs")
		o.Behind(o, fmt.Sprintf(`UPDATE sandbox_execution_logs SET %s WHERE id = '%s'`, c.set, e.ID))
		o.changed = c.field
		return expectation{e.ID.String(): ledger.Altered}, func() { backup(); o.changed = "" }
	}},
	{name: "swap two records", do: func(o *operator) (expectation, func()) {
		i := o.random.IntN(len(o.records) - 1)
		a, b := o.records[i].ID, o.records[i+1].ID
		backup := o.backup("sandbox_execution_logs")
		spare := sandtrail.NewID(o.now)
		for _, move := range [][2]sandtrail.ID{{a, spare}, {b, a}, {spare, b}} {
			o.Behind(o, fmt.Sprintf(`UPDATE sandbox_execution_logs SET id = '%s' WHERE id = '%s'`, move[1], move[0]))
		}
		return expectation{a.String(): ledger.Altered, b.String(): ledger.Altered}, backup
	}},
	{name: "delete one", do: func(o *operator) (expectation, func()) {
		e := o.pick()
		backup := o.backup("sandbox_execution_logs")
		o.Behind(o, fmt.Sprintf(`DELETE FROM sandbox_execution_logs WHERE id = '%s'`, e.ID))
		return expectation{e.ID.String(): ledger.Missing}, backup
	}},
	{name: "delete a range", do: func(o *operator) (expectation, func()) {
		backup := o.backup("sandbox_execution_logs")
		want := expectation{}
		var ids []string
		for _, e := range o.records[len(o.records)/2:][:5] {
			want[e.ID.String()] = ledger.Missing
			ids = append(ids, "'"+e.ID.String()+"'")
		}
		o.Behind(o, `DELETE FROM sandbox_execution_logs WHERE id IN (`+strings.Join(ids, ", ")+`)`)
		return want, backup
	}},
	{name: "insert one", do: func(o *operator) (expectation, func()) {
		e := o.record()
		o.Behind(o, insert(e))
		return expectation{e.ID.String(): ledger.Inserted}, func() {
			o.Behind(o, fmt.Sprintf(`DELETE FROM sandbox_execution_logs WHERE id = '%s'`, e.ID))
		}
	}},
	{name: "put back a removed one", do: func(o *operator) (expectation, func()) {
		e := o.pick()
		o.deleteOne(e)
		o.seal()
		o.Behind(o, insert(e))
		return expectation{e.ID.String(): ledger.Inserted}, func() {
			o.Behind(o, fmt.Sprintf(`DELETE FROM sandbox_execution_logs WHERE id = '%s'`, e.ID))
		}
	}},
	{name: "make room for one by sealing another twice", do: func(o *operator) (expectation, func()) {
		e, extra := o.pick(), o.record()
		backup := o.backup(o.everything()...)
		o.sealAgain(e)
		o.Behind(o, insert(extra))
		return expectation{e.ID.String(): ledger.Missing, extra.ID.String(): ledger.Inserted}, backup
	}},
	{name: "seal one twice", do: func(o *operator) (expectation, func()) {
		e := o.pick()
		backup := o.backup(o.everything()...)
		o.sealAgain(e)
		return expectation{e.ID.String(): ledger.Missing}, backup
	}},
	{name: "store something else under the id of one that is gone", do: func(o *operator) (expectation, func()) {
		e := o.pick()
		backup := o.backup(o.everything()...)
		o.Behind(o, fmt.Sprintf(`DELETE FROM sandbox_execution_logs WHERE id = '%s'`, e.ID))
		e.ExecutionTime++
		kind := ledger.Altered
		if _, err := o.Store.Append(o.Context(), []sandtrail.Admitted{{Execution: e}}); errors.Is(err, sandtrail.CodeConflict) {
			kind = ledger.Missing
		} else {
			check(o, err)
		}
		o.seal()
		return expectation{e.ID.String(): kind}, backup
	}},
	{name: "give one to a user who was renamed", do: func(o *operator) (expectation, func()) {
		former := o.pick().UserID
		renamed := o.renameUser(former)
		e := o.record()
		e.UserID = former
		_, err := o.Store.Append(o.Context(), []sandtrail.Admitted{{Execution: e}})
		check(o, err)
		o.records = append(o.records, e)
		return o.give(e, renamed)
	}},
	{name: "give one back to the id that its user had before, which another has now", do: func(o *operator) (expectation, func()) {
		e := o.pick()
		o.renameUser(e.UserID)
		return o.give(e, e.UserID)
	}},
	{name: "give one to a user who had the id of its user for a while", do: func(o *operator) (expectation, func()) {
		e := o.pick()
		former := e.UserID
		o.renameUser(former)
		o.publish()
		o.Act(o, Act{RenameUser: former, To: "passing"}, Act{RenameUser: "passing", To: former}) // the one who got the id
		return o.give(e, o.renameUser(former))
	}},
	{name: "delete a rename", do: func(o *operator) (expectation, func()) {
		renamed := o.renameUser(o.pick().UserID)
		o.publish()
		want := expectation{"": ledger.Missing}
		for _, e := range o.records {
			if e.UserID == renamed {
				want[e.ID.String()] = ledger.Altered
			}
		}
		backup := o.backup(o.Tables + "renames")
		o.Behind(o, fmt.Sprintf(`DELETE FROM %[1]srenames WHERE leaf = (SELECT max(leaf) FROM %[1]srenames)`, o.Tables))
		return want, backup
	}},
	{name: "edit a rename", do: func(o *operator) (expectation, func()) {
		renamed := o.renameUser(o.pick().UserID)
		o.renameUser(renamed)
		o.publish()
		want := expectation{"": ledger.Altered}
		for _, e := range o.records {
			if e.UserID == fmt.Sprint("renamed-", o.renames) {
				want[e.ID.String()] = ledger.Altered
			}
		}
		backup := o.backup(o.Tables + "renames")
		o.Behind(o, fmt.Sprintf(`UPDATE %[1]srenames SET opening = (SELECT opening FROM %[1]srenames WHERE leaf = (SELECT max(leaf) - 1 FROM %[1]srenames))
			WHERE leaf = (SELECT max(leaf) FROM %[1]srenames)`, o.Tables))
		return want, backup
	}},
	{name: "edit a removal", do: func(o *operator) (expectation, func()) {
		e := o.pick()
		o.deleteOne(e)
		o.publish()
		backup := o.backup(o.Tables + "removals")
		o.Behind(o, fmt.Sprintf(`UPDATE %[1]sremovals SET data = (SELECT data FROM %[1]sremovals WHERE leaf = (SELECT min(leaf) FROM %[1]sremovals))
			WHERE leaf = (SELECT max(leaf) FROM %[1]sremovals)`, o.Tables))
		return expectation{"": ledger.Altered, e.ID.String(): ledger.Missing}, backup
	}},
	{name: "delete a removal", do: func(o *operator) (expectation, func()) {
		e := o.pick()
		o.deleteOne(e)
		o.publish()
		backup := o.backup(o.Tables + "removals")
		o.Behind(o, fmt.Sprintf(`DELETE FROM %[1]sremovals WHERE leaf = (SELECT max(leaf) FROM %[1]sremovals)`, o.Tables))
		return expectation{"": ledger.Missing, e.ID.String(): ledger.Missing}, backup
	}},
	{name: "forge a checkpoint", do: func(o *operator) (expectation, func()) {
		forger, err := ledger.GenerateKeys(rand.Reader, "example.com/audit")
		check(o, err)
		signed, err := forger.Sign(7, ledger.Hash{})
		check(o, err)
		backup := o.backup(o.Tables + "checkpoints")
		check(o, o.Store.PutCheckpoint(o.Context(), 7, o.now, signed))
		return expectation{"": ledger.BadSignature}, backup
	}},
	{name: "set the database back", unseen: true, do: func(o *operator) (expectation, func()) {
		back := o.backup(o.everything()...)
		o.append(3)
		o.publish()
		forward := o.backup(o.everything()...)
		back()
		return expectation{"": ledger.Truncated}, forward
	}},
	{name: "set the database back and go on", unseen: true, do: func(o *operator) (expectation, func()) {
		back := o.backup(o.everything()...)
		o.append(3)
		o.publish()
		forward, records := o.backup(o.everything()...), slices.Clone(o.records)
		back()
		o.append(3)
		o.seal()
		o.records = records
		return expectation{"": ledger.Forked}, forward
	}},
	{name: "cut the tail of the log", do: func(o *operator) (expectation, func()) {
		o.append(int(ledger.BlockLeaves - o.size()%ledger.BlockLeaves)) // so that a whole block can be cut
		o.seal()
		o.append(1)
		o.publish()
		backup := o.backup(o.everything()...)
		o.Behind(o, fmt.Sprintf(`DELETE FROM %[1]stiles WHERE level = 0 AND n = (SELECT max(n) FROM %[1]spages)`, o.Tables),
			fmt.Sprintf(`DELETE FROM %[1]spages WHERE n = (SELECT max(n) FROM %[1]spages)`, o.Tables))
		return expectation{"": ledger.Truncated, o.records[len(o.records)-1].ID.String(): ledger.Inserted}, backup
	}},
}

// give gives a sealed record to another user.
func (o *operator) give(e sandtrail.Execution, user string) (expectation, func()) {
	o.publish()
	backup := o.backup("sandbox_execution_logs")
	o.Behind(o, fmt.Sprintf(`UPDATE sandbox_execution_logs SET user_id = '%s' WHERE id = '%s'`, user, e.ID))
	o.changed = "userId"
	return expectation{e.ID.String(): ledger.Altered}, func() { backup(); o.changed = "" }
}

// sealAgain removes a record past the triggers and lets it come back as it was.
func (o *operator) sealAgain(e sandtrail.Execution) {
	o.copies++
	copied := fmt.Sprint("copy_", o.copies)
	behind := []string{
		fmt.Sprintf(`CREATE TABLE %s AS SELECT * FROM sandbox_execution_logs WHERE id = '%s'`, copied, e.ID),
		fmt.Sprintf(`DELETE FROM sandbox_execution_logs WHERE id = '%s'`, e.ID),
	}
	if o.IDs != "" {
		behind = append(behind, fmt.Sprintf(`DELETE FROM %s WHERE id = '%s'`, o.IDs, e.ID))
	}
	o.Behind(o, behind...)
	o.plain(`INSERT INTO sandbox_execution_logs SELECT * FROM ` + copied)
	o.seal()
}

// change is an assignment that changes one field of a record.
type change struct{ field, set string }

var changes = []change{
	{"userId", "user_id = CASE user_id WHEN 'user-0' THEN 'user-1' ELSE 'user-0' END"},
	{"strategyId", "strategy_id = CASE strategy_id WHEN 'strategy-0' THEN 'strategy-1' ELSE 'strategy-0' END"},
	{"executionType", "execution_type = CASE execution_type WHEN 'TERMINAL' THEN 'VALIDATION' ELSE 'TERMINAL' END"},
	{"success", "success = NOT success"},
	{"executionTime", "execution_time = execution_time + 1"},
	{"memoryUsed", "memory_used = coalesce(memory_used, 0) + 1"},
	{"cpuUsage", "cpu_usage = 1234.5"},
	{"errorCount", "error_count = error_count + 1"},
	{"warningCount", "warning_count = warning_count + 1"},
	{"classesFound", "classes_found = 'Gamma'"},
	{"metadata", `metadata = '{"x":1}'`},
	{"createdAt", "created_at = '2026-10-28 03:04:05.678'"},
	{"timedOut", "timed_out = NOT timed_out"},
}

func (o *operator) size() (size int64) {
	check(o, o.Store.Inspect(o.Context(), 0, func(s ledger.Snapshot) (err error) {
		size, err = s.Size(o.Context())
		return err
	}))
	return size
}

// everything is what the database holds of records and ledger.
func (o *operator) everything() []string {
	return []string{
		"sandbox_execution_logs", o.Tables + "tiles", o.Tables + "pages", o.Tables + "removals", o.Tables + "renames", o.Tables + "checkpoints",
	}
}

// backup copies tables, and returns what puts the copies back.
func (o *operator) backup(tables ...string) (restore func()) {
	var back []string
	for _, table := range tables {
		o.copies++
		copied := fmt.Sprint("copy_", o.copies)
		o.Behind(o, fmt.Sprintf(`CREATE TABLE %s AS SELECT * FROM %s`, copied, table))
		back = append(back, `DELETE FROM `+table, fmt.Sprintf(`INSERT INTO %s SELECT * FROM %s`, table, copied))
	}
	return func() { o.Behind(o, back...) }
}
