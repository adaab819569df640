package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
)

// executionArg names an execution.
type executionArg struct {
	ID string `arg:"" optional:"" help:"Id of the execution, its first digits (at least 8), or last for the newest."`
}

// find reads the execution that is named.
func (a executionArg) find(ctx context.Context, store sandtrail.Reader, now time.Time) (sandtrail.Execution, error) {
	switch a.ID {
	case "":
		return sandtrail.Execution{}, sandtrail.Errorf(sandtrail.CodeInvalid, "no execution is named: give its id, its first digits, or the word last")
	case "last":
		page, err := store.Executions(ctx, sandtrail.Query{Limit: 1}, now)
		if err == nil && len(page.Items) == 0 {
			err = sandtrail.Errorf(sandtrail.CodeNotFound, "there is no execution yet")
		}
		if err != nil {
			return sandtrail.Execution{}, err
		}
		return page.Items[0], nil
	}
	p, err := sandtrail.ParseIDPrefix(a.ID)
	if err != nil {
		return sandtrail.Execution{}, sandtrail.Errorf(sandtrail.CodeInvalid, "%q: %w, or the word last", a.ID, err)
	}
	if id, whole := p.Whole(); whole {
		return store.Execution(ctx, id)
	}
	return store.ExecutionByPrefix(ctx, p, "")
}

// idOf is the whole id of something of which all are listed, that its first
// digits name.
func idOf[T any](kind, named string, list func() ([]T, error), id func(T) sandtrail.ID) (sandtrail.ID, error) {
	p, err := sandtrail.ParseIDPrefix(named)
	if err != nil {
		return sandtrail.ID{}, err
	}
	if id, whole := p.Whole(); whole {
		return id, nil
	}
	all, err := list()
	if err != nil {
		return sandtrail.ID{}, err
	}
	all = slices.DeleteFunc(all, func(row T) bool { return !strings.HasPrefix(id(row).String(), p.String()) })
	switch len(all) {
	case 0:
		return sandtrail.ID{}, sandtrail.Errorf(sandtrail.CodeNotFound, "there is no %s %s", kind, p)
	case 1:
		return id(all[0]), nil
	}
	return sandtrail.ID{}, sandtrail.Errorf(sandtrail.CodeInvalid, "%s begins the ids of %d of them: give more digits, such as %s", p, len(all), id(all[0]))
}
