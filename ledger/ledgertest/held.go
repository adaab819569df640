package ledgertest

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
)

// held is a user or a strategy that a hold is on.
type held struct {
	*operator
	subject sandtrail.Subject
	id      string // as it is called now
}

// hold places a hold on whatever user or strategy an execution has, does lawful
// things under it and ends it. Whatever was done, nothing held can be deleted.
func (o *operator) hold() {
	if o.FixedOwners { // there the store alone refuses, and nothing follows a rename
		return
	}
	h := &held{o, sandtrail.Users, o.pick().UserID}
	if o.random.IntN(2) == 0 {
		h.subject, h.id = sandtrail.Strategies, o.pick().StrategyID
	}
	check(o, o.Store.PutHold(o.Context(), sandtrail.Hold{
		Subject: h.subject, SubjectID: h.id, Reason: "case 7", CreatedBy: "cli", CreatedAt: o.now,
	}))
	h.refuses(h.id)
	for range 1 + o.random.IntN(3) {
		h.live()
		h.refuses(h.id)
	}
	if o.random.IntN(2) == 0 {
		o.clean()
	}
	check(o, o.Store.RemoveHold(o.Context(), h.subject, h.id))
}

// live does one random lawful thing under the hold.
func (h *held) live() {
	switch h.random.IntN(5) {
	case 0:
		h.rename()
	case 1:
		h.move()
	case 2:
		h.append(1 + h.random.IntN(20))
	case 3:
		before := h.now.Add(-time.Duration(40+h.random.IntN(20)) * 24 * time.Hour)
		_, err := h.Store.Cleanup(h.Context(), sandtrail.Before(before))
		check(h, err)
		h.keep(func(e sandtrail.Execution) bool { return h.owner(e) == h.id || !e.CreatedAt.Before(before) })
	case 4:
		if e := h.pick(); h.owner(e) != h.id {
			h.deleteOne(e)
		}
	}
	if h.random.IntN(2) == 0 {
		h.seal()
	}
}

func (h *held) rename() {
	if h.subject == sandtrail.Users {
		h.id = h.renameUser(h.id)
	} else {
		h.id = h.renameStrategy(h.id)
	}
}

// move gives the held executions to another owner and back. They are sealed
// before, since the ledger keeps what it saw first.
func (h *held) move() {
	h.seal()
	var ids []string
	for _, e := range h.records {
		if h.owner(e) == h.id {
			ids = append(ids, "'"+e.ID.String()+"'")
		}
	}
	other := string(h.subject) + "-0"
	if other == h.id {
		other = string(h.subject) + "-1"
	}
	_, column := h.names()
	move := "UPDATE sandbox_execution_logs SET " + column + " = '%s' WHERE id IN (" + strings.Join(ids, ", ") + ")"
	h.plain(fmt.Sprintf(move, other))
	h.refuses(other)
	if h.random.IntN(2) == 0 {
		h.seal()
		h.refuses(other)
	}
	h.plain(fmt.Sprintf(move, h.id))
}

// refuses tries to delete what is held, and the owner that the held executions
// have now.
func (h *held) refuses(owner string) {
	h.Helper()
	var one sandtrail.Execution
	for _, e := range h.records {
		if h.owner(e) == h.id {
			one = e
		}
	}
	table, column := h.names()
	for _, statement := range []string{
		fmt.Sprintf("DELETE FROM sandbox_execution_logs WHERE id = '%s'", one.ID),
		fmt.Sprintf("DELETE FROM sandbox_execution_logs WHERE %s = '%s'", column, owner),
		fmt.Sprintf("DELETE FROM %s WHERE id = '%s'", table, owner),
		fmt.Sprintf("DELETE FROM %s WHERE id = '%s'", table, h.id),
	} {
		if h.Plain(statement) == nil {
			h.Fatalf("the %s %s is held: %s: done", h.subject, h.id, statement)
		}
	}
	remove := h.Store.DeleteUser
	if h.subject == sandtrail.Strategies {
		remove = h.Store.DeleteStrategy
	}
	for _, id := range []string{owner, h.id} {
		if _, err := remove(h.Context(), id); !errors.Is(err, sandtrail.CodeHeld) {
			h.Fatalf("the %s %s is held: delete %s: %v, want CodeHeld", h.subject, h.id, id, err)
		}
	}
}

// names are the table of the subject and the column that names it.
func (h *held) names() (table, column string) {
	if h.subject == sandtrail.Users {
		return "users", "user_id"
	}
	return "strategies", "strategy_id"
}

func (h *held) owner(e sandtrail.Execution) string {
	if h.subject == sandtrail.Users {
		return e.UserID
	}
	return e.StrategyID
}
