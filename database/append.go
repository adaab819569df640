package database

import (
	"errors"
	"fmt"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/remedy"
)

// Merge decides what an append does, given what is stored under the batch's
// ids: which executions are new, in batch order, and how many are retries. An
// execution whose id is stored, or stands earlier in the batch, with different
// content makes the whole batch fail with an *Error of CodeConflict that
// names its place.
func Merge(batch []sandtrail.Admitted, stored map[sandtrail.ID]sandtrail.Execution) (fresh []sandtrail.Execution, duplicates int, err error) {
	fresh = make([]sandtrail.Execution, 0, len(batch))
	seen := make(map[sandtrail.ID]int, len(batch)) // places in fresh
	var p sandtrail.Faults
	for i, a := range batch {
		other, known := stored[a.Execution.ID]
		if at, twice := seen[a.Execution.ID]; twice && !known {
			other, known = fresh[at], true
		}
		switch {
		case !known:
			seen[a.Execution.ID] = len(fresh)
			fresh = append(fresh, a.Execution)
		case a.SameContent(other):
			duplicates++
		default:
			path := "id"
			if len(batch) > 1 {
				path = fmt.Sprintf("[%d].id", i)
			}
			p.Addf(path, "%s is already taken by an execution with different content", a.Execution.ID)
		}
	}
	var conflict *sandtrail.Error
	if errors.As(p.Err("conflicting execution"), &conflict) {
		conflict.Code = sandtrail.CodeConflict
		return nil, 0, conflict
	}
	return fresh, duplicates, nil
}

// UnknownOwners is the error of an append whose records name users or
// strategies that do not exist: which, for which record, and to add each once.
func UnknownOwners(batch []sandtrail.Admitted, noUser, noStrategy map[string]bool, cause error) error {
	var p sandtrail.Faults
	var remedies []sandtrail.Remedy
	for i, a := range batch {
		prefix := ""
		if len(batch) > 1 {
			prefix = fmt.Sprintf("[%d].", i)
		}
		if id := a.Execution.UserID; noUser[id] {
			p.Addf(prefix+"userId", "there is no user %q; add it first", id)
			remedies = append(remedies, sandtrail.Remedy{Act: remedy.AddUser, Value: id})
		}
		if id := a.Execution.StrategyID; noStrategy[id] {
			p.Addf(prefix+"strategyId", "there is no strategy %q; add it first", id)
			remedies = append(remedies, sandtrail.Remedy{Act: remedy.AddStrategy, Value: id})
		}
	}
	var e *sandtrail.Error
	if !errors.As(p.Err("invalid execution"), &e) {
		e = &sandtrail.Error{Code: sandtrail.CodeInvalid, Message: "invalid execution"}
	}
	e.Err = cause
	return e.With(remedies[:min(len(remedies), sandtrail.MaxFaults)]...)
}

// NewAppended describes the append of a batch of which Merge found fresh to
// be new.
func NewAppended(batch []sandtrail.Admitted, fresh []sandtrail.Execution) sandtrail.Appended {
	done := sandtrail.Appended{
		Accepted: len(fresh), Duplicates: len(batch) - len(fresh),
		IDs: make([]sandtrail.ID, len(batch)), Stored: make([]bool, len(batch)),
	}
	for i, a := range batch {
		done.IDs[i] = a.Execution.ID
		// fresh keeps the order of the batch, and a duplicate within the
		// batch comes after its original.
		if len(fresh) > 0 && fresh[0].ID == a.Execution.ID {
			done.Stored[i], fresh = true, fresh[1:]
		}
	}
	return done
}

// Held is the error of a removal that holds refuse: which, if they are known,
// who placed them and why.
func Held(cause error, holds ...sandtrail.Hold) error {
	message := "a legal hold keeps these executions"
	for i, h := range holds {
		if i == 0 {
			message += ": "
		} else {
			message += ", and "
		}
		message += fmt.Sprintf("%s %q is held since %s by %s, for %q",
			h.Subject, h.SubjectID, h.CreatedAt.Format(time.DateOnly), h.CreatedBy, h.Reason)
	}
	return &sandtrail.Error{
		Code: sandtrail.CodeHeld, Err: cause,
		Message: message + "; nothing was removed. The person who placed the hold can end it once its reason is gone",
	}
}
