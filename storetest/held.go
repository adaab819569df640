package storetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// HoldsBind checks that holds bind executions whatever other clients of the
// database do to them and their owners in plain SQL. open also returns how such
// a client runs statements, in one transaction.
func HoldsBind(t *testing.T, open func(t *testing.T) (database.Database, func(statements ...string) error)) {
	for _, way := range waysPast {
		for _, subject := range []sandtrail.Subject{sandtrail.Users, sandtrail.Strategies} {
			if way.only != "" && way.only != subject {
				continue
			}
			t.Run(way.name+" of a "+string(subject), func(t *testing.T) {
				var plain func(...string) error
				k := newKit(t, func(t *testing.T) (db database.Database) {
					db, plain = open(t)
					return db
				})
				b := &bound{k, subject, plain}
				b.passBy(way)
			})
		}
	}
}

// wayPast is something that others do lawfully to what is held: {table} is the
// owners' and {owner} the column that names them. Afterwards the held
// executions are those of an owner.
type wayPast struct {
	name  string
	only  sandtrail.Subject // "": users and strategies
	does  []string
	owner string
	held  string // what the hold is listed on then
}

const (
	rename   = "UPDATE {table} SET id = 'renamed' WHERE id = 'held'"
	moveAll  = "UPDATE sandbox_execution_logs SET {owner} = 'free' WHERE {owner} = 'held'"
	moveBack = "UPDATE sandbox_execution_logs SET {owner} = 'held' WHERE {owner} = 'free' AND execution_time = 7"
)

var waysPast = []wayPast{
	{name: "nothing", owner: "held", held: "held"},
	{name: "renaming", does: []string{rename}, owner: "renamed", held: "renamed"},
	{name: "renaming twice", does: []string{rename, "UPDATE {table} SET id = 'again' WHERE id = 'renamed'"}, owner: "again", held: "again"},
	{name: "moving all executions", does: []string{moveAll}, owner: "free", held: "held"},
	{name: "moving and renaming", does: []string{moveAll, rename}, owner: "free", held: "renamed"},
	{name: "renaming and moving", does: []string{rename, "UPDATE sandbox_execution_logs SET {owner} = 'free' WHERE {owner} = 'renamed'"}, owner: "free", held: "renamed"},
	{name: "moving there and back", does: []string{moveAll, moveBack}, owner: "held", held: "held"},
	{name: "moving and renaming the other", does: []string{moveAll, "UPDATE {table} SET id = 'else' WHERE id = 'free'"}, owner: "else", held: "held"},
	{name: "moving in time", does: []string{"UPDATE sandbox_execution_logs SET created_at = '2026-01-05 12:00:00.000' WHERE {owner} = 'held'"}, owner: "held", held: "held"},
	{name: "moving in time and to another owner", does: []string{
		"UPDATE sandbox_execution_logs SET created_at = '2026-01-05 12:00:00.000', {owner} = 'free' WHERE {owner} = 'held'",
	}, owner: "free", held: "held"},
}

// bound is a hold to be passed by.
type bound struct {
	*kit
	subject sandtrail.Subject
	plain   func(...string) error
}

// sql runs a statement about the subject.
func (b *bound) sql(statement string) error {
	table, owner := "users", "user_id"
	if b.subject == sandtrail.Strategies {
		table, owner = "strategies", "strategy_id"
	}
	return b.plain(strings.NewReplacer("{table}", table, "{owner}", owner).Replace(statement))
}

func (b *bound) passBy(way wayPast) {
	b.putUsers("held", "free", "other")
	b.putStrategies("held", "free", "other")
	of := func(id string) (user, strategy string) {
		if b.subject == sandtrail.Users {
			return id, "other"
		}
		return "other", id
	}
	marked := func(d *sandtrail.Draft) { d.ExecutionTime = new(7) }
	for _, at := range []time.Time{noon, noon.AddDate(0, 0, -30)} {
		user, strategy := of("held")
		b.append(draft(user, strategy, at, marked), draft(user, strategy, at, marked))
		user, strategy = of("free")
		b.append(draft(user, strategy, at))
	}
	b.check("maintain", b.db.Maintain(b.ctx, b.now))
	b.check("hold", b.db.PutHold(b.ctx, sandtrail.Hold{Subject: b.subject, SubjectID: "held", Reason: "Fall 7", CreatedBy: "cli", CreatedAt: noon}))
	for _, statement := range way.does {
		b.check(statement, b.sql(statement))
	}
	b.isKept(way)
	b.check("maintain", b.db.Maintain(b.ctx, b.now))
	b.isKept(way)
	b.keepsOnlyThat()
	b.check("release", b.db.RemoveHold(b.ctx, b.subject, way.held))
	if deleted, err := b.deleteOwner(way.owner); err != nil || deleted < 4 {
		b.Errorf("delete what is not held any more: %d, %v; want 4 at least", deleted, err)
	}
	b.sound()
}

// isKept tries every way to remove what is held.
func (b *bound) isKept(way wayPast) {
	b.Helper()
	for _, statement := range []string{
		fmt.Sprintf("DELETE FROM sandbox_execution_logs WHERE {owner} = '%s'", way.owner),
		"DELETE FROM sandbox_execution_logs WHERE execution_time = 7",
		"DELETE FROM sandbox_execution_logs",
		fmt.Sprintf("DELETE FROM {table} WHERE id = '%s'", way.owner),
		fmt.Sprintf("DELETE FROM {table} WHERE id = '%s'", way.held),
		"UPDATE sandbox_execution_logs SET id = '0192a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b' WHERE CAST(id AS text) = " +
			"(SELECT min(CAST(id AS text)) FROM sandbox_execution_logs WHERE execution_time = 7)",
	} {
		if b.sql(statement) == nil {
			b.Errorf("%s: done", statement)
		}
	}
	for _, owner := range []string{way.owner, way.held} {
		if _, err := b.deleteOwner(owner); !errors.Is(err, sandtrail.CodeHeld) {
			b.Errorf("delete %s: %v, want ErrHeld", owner, err)
		}
	}
	holds, err := b.db.Holds(b.ctx)
	if err != nil || len(holds) != 1 || holds[0].SubjectID != way.held || holds[0].Subject != b.subject {
		b.Errorf("holds are %+v, %v; want one on %q", holds, err, way.held)
	}
	all := sandtrail.Before(noon.Add(time.Hour))
	if n, err := b.db.HeldBefore(b.ctx, all); err != nil || n != 4 {
		b.Errorf("%d are held, %v; want 4", n, err)
	}
}

// keepsOnlyThat cleans up everything else.
func (b *bound) keepsOnlyThat() {
	b.Helper()
	all := sandtrail.Before(noon.Add(time.Hour))
	if n, err := b.db.Cleanup(b.ctx, all); err != nil || n != 2 {
		b.Errorf("cleaned up %d, %v; want the 2 that are free", n, err)
	}
	page, err := b.db.Executions(b.ctx, sandtrail.Query{}, b.now)
	if err != nil || len(page.Items) != 4 {
		b.Errorf("%d are left, %v; want the 4 that are held", len(page.Items), err)
	}
}

func (b *bound) deleteOwner(id string) (int64, error) {
	if b.subject == sandtrail.Users {
		return b.db.DeleteUser(b.ctx, id)
	}
	return b.db.DeleteStrategy(b.ctx, id)
}

func (b *bound) check(what string, err error) {
	b.Helper()
	if err != nil {
		b.Fatalf("%s: %v", what, err)
	}
}
