// Package ledgertest is the hostile operator: it does to a real store, in
// plain SQL, what a ledger must find, and expects the right finding for each.
package ledgertest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/ledger"
)

// Database is a store with a ledger.
type Database interface {
	database.Database
	database.ArchivedCleaner
	database.LedgerKeeper
	ledger.Log
}

// Opener makes an empty store to work on.
type Opener func(t *testing.T) Target

// Target is an empty store to work on.
type Target struct {
	Store Database
	URL   string // of its database
	// Plain runs statements in one transaction, as any other client of the
	// database does.
	Plain func(statements ...string) error
	// Act does in order what an application does; nil: Plain does it.
	Act func(t testing.TB, acts ...Act)
	// Behind runs statements in one transaction in which no trigger fires.
	Behind func(t testing.TB, statements ...string)
	// Tables is what the names of the ledger's tables begin with.
	Tables string
	// IDs is the table of ids beside the records, "" if there is none.
	IDs string
	// FixedOwners have ids that cannot change.
	FixedOwners bool
}

// operator works on a target. What it does lawfully is random.
type operator struct {
	*testing.T
	Target
	random    *mathrand.Rand
	service   ledger.Service
	now       time.Time
	users     int
	records   []sandtrail.Execution // stored
	published [][]byte              // checkpoints kept outside
	copies    int                   // of tables
	renames   int                   // of users and strategies
	changed   string                // field of a record that is not as it was
}

func newOperator(t *testing.T, target Target, seed uint64) *operator {
	keys, err := ledger.GenerateKeys(rand.Reader, "example.com/audit")
	check(t, err)
	if target.Act == nil {
		target.Act = func(t testing.TB, acts ...Act) {
			var statements []string
			for _, a := range acts {
				statements = append(statements, a.sql())
			}
			check(t, target.Plain(statements...))
		}
	}
	return &operator{
		T: t, Target: target, random: mathrand.New(mathrand.NewPCG(seed, 1)),
		service: ledger.Service{Log: target.Store, Keys: keys},
		now:     time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC),
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// record makes a record of one of the users.
func (o *operator) record() sandtrail.Execution {
	at := o.now.Add(-time.Duration(o.random.IntN(60*24*60)) * time.Minute)
	e := sandtrail.Execution{
		ID: sandtrail.NewID(at), UserID: fmt.Sprint("user-", o.random.IntN(o.users)), StrategyID: fmt.Sprint("strategy-", o.random.IntN(3)),
		Type: sandtrail.Validation, Success: o.random.IntN(2) == 0, ExecutionTime: o.random.IntN(60_000), CreatedAt: at,
	}
	if o.random.IntN(2) == 0 {
		memory, cpu := o.random.IntN(4096), o.random.Float64()*100
		e.MemoryUsed, e.CPUUsage = &memory, &cpu
		e.Classes = []string{"Alpha", "Beta"}[:o.random.IntN(3)]
		e.Metadata = fmt.Appendf(nil, `{"run":{"command":"<a & b>","exitCode":%d}}`, o.random.IntN(256))
	}
	return e
}

func (o *operator) addUser() {
	id := fmt.Sprint("user-", o.users)
	check(o, o.Store.PutUser(o.Context(), sandtrail.User{ID: id, Email: id + "@example.com"}))
	o.users++
}

func (o *operator) append(n int) {
	batch := make([]sandtrail.Admitted, n)
	for i := range batch {
		batch[i].Execution = o.record()
		o.records = append(o.records, batch[i].Execution)
	}
	_, err := o.Store.Append(o.Context(), batch)
	check(o, err)
}

// keep forgets the records that are gone.
func (o *operator) keep(stays func(sandtrail.Execution) bool) {
	var left []sandtrail.Execution
	for _, e := range o.records {
		if stays(e) {
			left = append(left, e)
		}
	}
	o.records = left
}

// live does one random lawful thing.
func (o *operator) live() {
	switch o.random.IntN(12) {
	case 0: // a client deletes one
		o.deleteOne(o.pick())
	case 1: // a client deletes a user, and the records follow
		id := fmt.Sprint("user-", o.users-1)
		o.Act(o, Act{DeleteUser: id})
		o.replaceUser(id)
	case 2:
		id := fmt.Sprint("user-", o.users-1)
		_, err := o.Store.DeleteUser(o.Context(), id)
		check(o, err)
		o.replaceUser(id)
	case 3:
		before := o.now.Add(-time.Duration(40+o.random.IntN(20)) * 24 * time.Hour)
		_, err := o.Store.Cleanup(o.Context(), sandtrail.Before(before))
		check(o, err)
		o.keep(func(e sandtrail.Execution) bool { return !e.CreatedAt.Before(before) })
	case 4: // a client writes one, and one that it takes back
		e, gone := o.record(), o.record()
		o.Act(o, Act{Create: &e}, Act{Create: &gone}, Act{Delete: gone.ID.String()})
		o.records = append(o.records, stored(e))
	case 5: // one goes and comes back otherwise, under the same id
		e := o.pick()
		o.deleteOne(e)
		e.ExecutionTime++
		o.Act(o, Act{Create: &e})
		o.records = append(o.records, stored(e))
	case 6: // a client deletes many of one user
		user, limit := fmt.Sprint("user-", o.random.IntN(o.users)), o.random.IntN(20_000)
		o.Act(o, Act{DeleteMany: user, Below: limit})
		o.keep(func(e sandtrail.Execution) bool { return e.UserID != user || e.ExecutionTime >= limit })
	case 7: // a client deletes a strategy, and the records follow
		id := fmt.Sprint("strategy-", o.random.IntN(strategies))
		o.Act(o, Act{DeleteStrategy: id})
		o.keep(func(e sandtrail.Execution) bool { return e.StrategyID != id })
		o.putStrategy(id)
	case 8: // a client renames a user; another gets the id
		o.renameUser(fmt.Sprint("user-", o.random.IntN(o.users)))
	case 9: // a client renames any user or strategy
		if e := o.pick(); o.random.IntN(2) == 0 {
			o.renameUser(e.UserID)
		} else {
			o.renameStrategy(e.StrategyID)
		}
	case 10: // an auditor holds executions of a user, and ends the hold
		o.hold()
	}
	o.append(max(1+o.random.IntN(40), fewest-len(o.records)))
	if o.random.IntN(3) > 0 {
		o.seal()
	}
}

// fewest is how many records there are after something lawful, at least.
const fewest = 60

func (o *operator) deleteOne(e sandtrail.Execution) {
	o.Act(o, Act{Delete: e.ID.String()})
	o.keep(func(other sandtrail.Execution) bool { return other.ID != e.ID })
}

// replaceUser makes another of the last user, who was deleted.
func (o *operator) replaceUser(id string) {
	o.users--
	o.keep(func(e sandtrail.Execution) bool { return e.UserID != id })
	o.addUser()
}

// renameUser gives a user a new id, which it returns, and the former id to a new
// user.
func (o *operator) renameUser(id string) string {
	if o.FixedOwners {
		return id
	}
	o.renames++
	renamed := fmt.Sprint("renamed-", o.renames)
	o.Act(o, Act{RenameUser: id, To: renamed})
	check(o, o.Store.PutUser(o.Context(), sandtrail.User{ID: id, Email: id + "@example.com"}))
	for i := range o.records {
		if o.records[i].UserID == id {
			o.records[i].UserID = renamed
		}
	}
	return renamed
}

// renameStrategy is renameUser for strategies.
func (o *operator) renameStrategy(id string) string {
	if o.FixedOwners {
		return id
	}
	o.renames++
	renamed := fmt.Sprint("renamed-", o.renames)
	o.Act(o, Act{RenameStrategy: id, To: renamed})
	o.putStrategy(id)
	for i := range o.records {
		if o.records[i].StrategyID == id {
			o.records[i].StrategyID = renamed
		}
	}
	return renamed
}

func (o *operator) plain(statements ...string) {
	o.Helper()
	check(o, o.Plain(statements...))
}

func (o *operator) pick() sandtrail.Execution { return o.records[o.random.IntN(len(o.records))] }

func (o *operator) seal() { check(o, o.Store.Maintain(o.Context(), o.now)) }

// publish seals, and keeps a checkpoint outside.
func (o *operator) publish() {
	o.seal()
	signed, err := o.service.Checkpoint(o.Context(), o.now)
	check(o, err)
	o.published = append(o.published, signed)
}

func (o *operator) verify(outside ...[]byte) (ledger.Summary, []ledger.Finding) {
	o.Helper()
	var findings []ledger.Finding
	sum, err := ledger.VerifyLog(o.Context(), o.Store, ledger.Verification{
		Trusted: o.service.Keys.Verifiers,
		Outside: outside,
		Report:  func(f ledger.Finding) { findings = append(findings, f) },
	})
	check(o, err)
	return sum, findings
}

func (o *operator) clean() {
	o.Helper()
	sum, findings := o.verify(o.published...)
	if len(findings) > 0 {
		o.Fatalf("false alarm: %+v", findings)
	}
	if sum.Intact+sum.Unsealed != int64(len(o.records)) {
		o.Fatalf("%d records are intact and %d unsealed, of %d", sum.Intact, sum.Unsealed, len(o.records))
	}
}

// Act is one thing that an application does.
type Act struct {
	Create         *sandtrail.Execution // stored says which fields count
	Delete         string               // the id of an execution
	DeleteUser     string               // by id; the executions follow
	DeleteStrategy string
	DeleteMany     string // a user, whose executions go that took
	Below          int    // less time than this
	RenameUser     string // by id, to another id, with another address
	RenameStrategy string // by id, to another id
	To             string // the other id
}

func (a Act) sql() string {
	switch {
	case a.Create != nil:
		return insert(*a.Create)
	case a.Delete != "":
		return fmt.Sprintf(`DELETE FROM sandbox_execution_logs WHERE id = '%s'`, a.Delete)
	case a.DeleteUser != "":
		return fmt.Sprintf(`DELETE FROM users WHERE id = '%s'`, a.DeleteUser)
	case a.DeleteStrategy != "":
		return fmt.Sprintf(`DELETE FROM strategies WHERE id = '%s'`, a.DeleteStrategy)
	case a.RenameUser != "":
		return fmt.Sprintf(`UPDATE users SET id = '%[1]s', email = '%[1]s@example.com' WHERE id = '%[2]s'`, a.To, a.RenameUser)
	case a.RenameStrategy != "":
		return fmt.Sprintf(`UPDATE strategies SET id = '%s' WHERE id = '%s'`, a.To, a.RenameStrategy)
	default:
		return fmt.Sprintf(`DELETE FROM sandbox_execution_logs WHERE (user_id = '%s' AND execution_time < %d)`, a.DeleteMany, a.Below)
	}
}

// insert is a statement that writes some fields of a record; stored is the
// record that it makes.
func insert(e sandtrail.Execution) string {
	return fmt.Sprintf(`INSERT INTO sandbox_execution_logs (id, user_id, strategy_id, execution_type, success, execution_time, created_at)
		VALUES ('%s', '%s', '%s', 'TERMINAL', %t, %d, '%s')`,
		e.ID, e.UserID, e.StrategyID, e.Success, e.ExecutionTime, e.CreatedAt.Format("2006-01-02 15:04:05.000"))
}

func stored(e sandtrail.Execution) sandtrail.Execution {
	return sandtrail.Execution{
		ID: e.ID, UserID: e.UserID, StrategyID: e.StrategyID, Type: sandtrail.Terminal,
		Success: e.Success, ExecutionTime: e.ExecutionTime, CreatedAt: e.CreatedAt,
	}
}

const strategies = 3

func (o *operator) putStrategy(id string) {
	check(o, o.Store.PutStrategy(o.Context(), sandtrail.Strategy{ID: id, Name: "S"}))
}

// begin fills the store.
func (o *operator) begin() {
	for i := range strategies {
		o.addUser()
		o.putStrategy(fmt.Sprint("strategy-", i))
	}
	o.append(120)
}

// Lawful does some lawful things at random, n times, and expects no finding,
// whatever is sealed and what is not yet.
func Lawful(t *testing.T, open Opener, n int) {
	campaign(t, open, n, (*operator).begin, func(o *operator) {
		for range 8 {
			o.live()
			if o.random.IntN(2) == 0 {
				o.clean()
			}
			if o.random.IntN(4) == 0 {
				o.publish()
			}
		}
		o.publish()
		o.clean()
		o.lists()
		o.exports()
		o.receipts()
	})
}

// lists are read in parts, which give every removal and rename once.
func (o *operator) lists() {
	o.Helper()
	walk(o, o.service.Removals, func(r ledger.StoredRemoval) int64 { return r.Leaf })
	walk(o, o.service.Renames, func(r ledger.StoredRename) int64 { return r.Leaf })
}

func walk[T any](o *operator, list func(context.Context, ledger.Range) ([]T, error), index func(T) int64) {
	o.Helper()
	all, err := list(o.Context(), ledger.Range{})
	check(o, err)
	for _, size := range []int{1, 2, len(all) + 1} {
		got := all[:0:0]
		for next := (ledger.Range{Limit: size}); ; next.From = index(got[len(got)-1]) + 1 {
			part, err := list(o.Context(), next)
			check(o, err)
			if len(part) == 0 {
				break
			}
			got = append(got, part...)
		}
		if diff := cmp.Diff(all, got); diff != "" {
			o.Errorf("in parts of %d:\n%s", size, diff)
		}
	}
}

// exports are checked without the store, every record against its leaf.
func (o *operator) exports() {
	o.Helper()
	refs, err := o.service.LeafRefs(o.Context(), o.records)
	check(o, err)
	var file []byte
	for i := range o.records {
		page, err := o.Store.Execution(o.Context(), o.records[i].ID)
		check(o, err)
		file, err = ledger.AppendExported(file, page, refs[i])
		check(o, err)
	}
	m := ledger.Manifest{Format: "ndjson", Records: int64(len(o.records)), SHA256: sha256.Sum256(file)}
	sum, err := ledger.VerifyExport(bytes.NewReader(file), m, func(f ledger.Finding) { o.Errorf("export: %+v", f) })
	check(o, err)
	if sum.Intact != m.Records {
		o.Errorf("of %d exported records %d are intact", m.Records, sum.Intact)
	}
}

// receipts are checked without the store, and refused for what is gone.
func (o *operator) receipts() {
	o.Helper()
	e := o.pick()
	receipt, err := o.receipt(e.ID)
	check(o, err)
	raw, err := json.Marshal(receipt)
	check(o, err)
	if _, _, err := ledger.VerifyReceipt(raw, o.service.Keys.Verifiers); err != nil {
		o.Error(err)
	}
	if receipt.Record.ExecutionTime != e.ExecutionTime {
		o.Errorf("the receipt is for another record: %+v", receipt.Record)
	}
	o.deleteOne(e)
	if _, err := o.receipt(e.ID); !errors.Is(err, sandtrail.CodeNotFound) {
		o.Errorf("receipt for a removed record: %v, want CodeNotFound", err)
	}
}

// receipt is that of a record as the store has it now.
func (o *operator) receipt(id sandtrail.ID) (ledger.Receipt, error) {
	e, err := o.Store.Execution(o.Context(), id)
	if err != nil {
		return ledger.Receipt{}, err
	}
	return o.service.Receipt(o.Context(), e, o.now)
}
