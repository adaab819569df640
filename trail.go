package sandtrail

import (
	"context"
	"time"
)

// Trail records executions in a store in one call each. It holds what the rules
// of the execution depend on: the clock, and how long executions are kept.
//
// A store that is a database also wants upkeep, which worker.Keep does.
type Trail struct {
	Store   Appender         // a database, or the client of a server
	Periods Periods          // an execution that is older than Keep is refused; zero: none is
	Now     func() time.Time // nil: time.Now
}

// Record stores executions, all or nothing. When it returns without error they are
// durable and visible to every reader. What breaks a rule is an *Error of
// CodeInvalid that names every broken one, as Admission.Admit words it.
func (t Trail) Record(ctx context.Context, drafts ...Draft) (Appended, error) {
	now := time.Now
	if t.Now != nil {
		now = t.Now
	}
	batch, err := t.Periods.Admission(now()).Admit(drafts...)
	if err != nil {
		return Appended{}, err
	}
	return t.Store.Append(ctx, batch)
}
