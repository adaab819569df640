package ingest

import (
	"context"
	"strings"

	"github.com/sandtrail/sandtrail"
)

// Owners makes the users and strategies that executions name and that are not
// there yet.
type Owners struct {
	Store sandtrail.Store
	// Act is called before an owner with this id is made. Nothing is made where it
	// returns an error.
	Act func(ctx context.Context, act, id string) error

	known map[string]bool
}

// beside are the owners that reads and exports write into an execution.
type beside struct {
	User     *sandtrail.User     `json:"user"`
	Strategy *sandtrail.Strategy `json:"strategy"`
}

// ensure makes the owners of an execution from its own data. Where it has none, their
// ids are names and addresses.
func (o *Owners) ensure(ctx context.Context, e sandtrail.Execution, b beside) error {
	user, strategy := b.User, b.Strategy
	if user == nil || user.Email == "" {
		user = &sandtrail.User{ID: e.UserID, Email: e.UserID}
		if !strings.Contains(e.UserID, "@") {
			user.Email += "@users.invalid"
		}
	}
	if strategy == nil || strategy.Name == "" {
		strategy = &sandtrail.Strategy{ID: e.StrategyID, Name: e.StrategyID}
	}
	err := o.once(ctx, "user", user.ID, user.Validate, func() error {
		_, err := o.Store.User(ctx, user.ID)
		return err
	}, func() error { return o.Store.PutUser(ctx, *user) })
	if err != nil {
		return err
	}
	return o.once(ctx, "strategy", strategy.ID, strategy.Validate, func() error {
		_, err := o.Store.Strategy(ctx, strategy.ID)
		return err
	}, func() error { return o.Store.PutStrategy(ctx, *strategy) })
}

// once makes an owner, unless it is found.
func (o *Owners) once(ctx context.Context, noun, id string, check, find, put func() error) error {
	if o.known[noun+" "+id] {
		return nil
	}
	err := find()
	if sandtrail.CodeOf(err) == sandtrail.CodeNotFound {
		if err = check(); err == nil {
			err = o.Act(ctx, "put "+noun, id)
		}
		if err == nil {
			err = put()
		}
	}
	if err == nil {
		if o.known == nil {
			o.known = map[string]bool{}
		}
		o.known[noun+" "+id] = true
	}
	return err
}
