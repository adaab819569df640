package database

import (
	"fmt"
	"strings"

	"github.com/sandtrail/sandtrail"
)

// MaxNamed is how many executions an ambiguous prefix is told to be that of:
// what a store has to look for.
const MaxNamed = 4

// Only returns the one execution of a prefix that was found, CodeNotFound if there is none.
// Of several it is CodeInvalid, and says which.
func Only(p sandtrail.IDPrefix, found []sandtrail.Execution) (sandtrail.Execution, error) {
	switch len(found) {
	case 0:
		return sandtrail.Execution{}, sandtrail.Errorf(sandtrail.CodeNotFound, "there is no execution %s", p)
	case 1:
		return found[0], nil
	}
	ids := make([]string, 0, MaxNamed)
	for _, e := range found[:min(len(found), MaxNamed)] {
		ids = append(ids, e.ID.String())
	}
	if len(found) >= MaxNamed {
		ids = append(ids, "…")
	}
	return sandtrail.Execution{}, &sandtrail.Error{Code: sandtrail.CodeInvalid, Fields: []sandtrail.FieldError{{
		Path:    "id",
		Message: fmt.Sprintf("%s begins the ids of several executions: give more digits of %s", p, strings.Join(ids, ", ")),
	}}}
}
