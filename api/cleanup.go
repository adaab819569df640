package api

import (
	"fmt"
	"time"

	"github.com/sandtrail/sandtrail"
)

// Cleanup asks for a removal of old records: either OlderThan or Before, and
// what is different for types and strategies.
type Cleanup struct {
	OlderThan  string            `json:"olderThan,omitempty" doc:"A length of time back from now." example:"90d"`
	Before     *time.Time        `json:"before,omitempty" doc:"Executions with an earlier createdAt go."`
	Types      map[string]string `json:"types,omitempty" doc:"Other ages for execution types: a length of time, a time, or 0 for none. Where both a type's and a strategy's age apply the longer counts. Without types and strategies those count that the server was started with."`
	Strategies map[string]string `json:"strategies,omitempty" doc:"Likewise for strategies, by their ids."`
}

// NewCleanup asks for the removal of what is old by a cutoff.
func NewCleanup(c sandtrail.Cutoff) Cleanup {
	ask := Cleanup{Before: &c.Before}
	for t, before := range c.Types {
		set(&ask.Types, string(t), before)
	}
	for id, before := range c.Strategies {
		set(&ask.Strategies, id, before)
	}
	return ask
}

func set(ages *map[string]string, of string, before time.Time) {
	if *ages == nil {
		*ages = map[string]string{}
	}
	(*ages)[of] = forNone
	if !before.IsZero() {
		(*ages)[of] = before.Format(time.RFC3339Nano)
	}
}

// forNone is the age of executions that are never old.
const forNone = "0"

// Cutoff is what is asked for, of a server with periods of its own.
func (c Cleanup) Cutoff(periods sandtrail.Periods, now time.Time) (sandtrail.Cutoff, error) {
	if (c.OlderThan == "") == (c.Before == nil) {
		return sandtrail.Cutoff{}, sandtrail.Errorf(sandtrail.CodeInvalid, `give either olderThan, such as "90d", or before`)
	}
	cut := periods.Cutoff(now)
	if len(c.Types)+len(c.Strategies) > 0 {
		cut = sandtrail.Cutoff{Types: map[sandtrail.ExecutionType]time.Time{}, Strategies: map[string]time.Time{}}
	}
	var wrong []sandtrail.FieldError
	check := func(path string, err error) {
		if err != nil {
			wrong = append(wrong, sandtrail.FieldError{Path: path, Message: err.Error()})
		}
	}
	var err error
	for t, age := range c.Types {
		cut.Types[sandtrail.ExecutionType(t)], err = born(age, now)
		check("types."+t, err)
	}
	for id, age := range c.Strategies {
		cut.Strategies[id], err = born(age, now)
		check("strategies."+id, err)
	}
	if c.Before != nil {
		cut.Before = *c.Before
	} else {
		age, err := sandtrail.ParseDuration(c.OlderThan)
		check("olderThan", err)
		cut.Before = sandtrail.Millisecond(now.Add(-age))
	}
	if len(wrong) > 0 {
		return cut, &sandtrail.Error{Code: sandtrail.CodeInvalid, Message: "invalid cleanup", Fields: wrong}
	}
	return cut, cut.Validate()
}

// born is the time before which something of an age was created.
func born(age string, now time.Time) (time.Time, error) {
	if age == forNone {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, age); err == nil {
		return t, nil
	}
	d, err := sandtrail.ParseDuration(age)
	if err != nil {
		return time.Time{}, fmt.Errorf("must be a length of time such as 90d, a time such as 2026-11-24T09:30:00Z, or 0, got %q", age)
	}
	return sandtrail.Millisecond(now.Add(-d)), nil
}

// Retention is how long executions are kept.
type Retention struct {
	Keep       string            `json:"keep" doc:"All that have no period of their own; 0 is for ever. New executions may not be older." example:"90d"`
	Types      map[string]string `json:"types" doc:"By execution type. Where a type and a strategy both have a period the longer counts."`
	Strategies map[string]string `json:"strategies" doc:"By the id of the strategy."`
}

// NewRetention describes periods.
func NewRetention(p sandtrail.Periods) Retention {
	r := Retention{Keep: age(p.Keep), Types: map[string]string{}, Strategies: map[string]string{}}
	for t, keep := range p.Types {
		r.Types[string(t)] = age(keep)
	}
	for id, keep := range p.Strategies {
		r.Strategies[id] = age(keep)
	}
	return r
}

// age is the inverse of how periods are read.
func age(keep time.Duration) string {
	if keep == 0 {
		return forNone
	}
	return sandtrail.FormatDuration(keep)
}
