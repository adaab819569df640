package main

import (
	"context"
	"io"
	"os"
	"strings"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/human"
)

// ownersFile names what users and strategies are read from.
type ownersFile struct {
	File input `arg:"" optional:"" default:"-" help:"File to read, - for standard input: JSON objects, one a line (NDJSON), or CSV with a head line, as list writes both."`
}

func (f ownersFile) open(d *deps) (io.ReadCloser, error) {
	if f.File == "-" {
		return io.NopCloser(d.in), nil
	}
	file, err := os.Open(string(f.File))
	return file, invalid(err)
}

type usersImportCmd struct{ ownersFile }

// Examples shows how it is used.
func (usersImportCmd) Examples() []string {
	return []string{"sandtrail users import users.csv", "sandtrail users list --limit 1000 -o ndjson | sandtrail users import --db sqlite:other.db"}
}

// Run adds the users, or changes those who are there.
func (c *usersImportCmd) Run(ctx context.Context, d *deps) error {
	return importOwners(ctx, d, c.ownersFile, "user", ownerCSV("id", "email", "name"),
		func(store sandtrail.Store, u sandtrail.User) error {
			if err := u.Validate(); err != nil {
				return err
			}
			if err := d.recordAct(ctx, "put user", u.ID); err != nil {
				return err
			}
			return store.PutUser(ctx, u)
		})
}

type strategiesImportCmd struct{ ownersFile }

// Examples shows how it is used.
func (strategiesImportCmd) Examples() []string {
	return []string{"sandtrail strategies import strategies.csv", "sandtrail strategies list --limit 1000 -o csv | sandtrail strategies import --db sqlite:other.db"}
}

// Run adds the strategies, or changes those that are there.
func (c *strategiesImportCmd) Run(ctx context.Context, d *deps) error {
	return importOwners(ctx, d, c.ownersFile, "strategy", ownerCSV("id", "name"),
		func(store sandtrail.Store, s sandtrail.Strategy) error {
			if err := s.Validate(); err != nil {
				return err
			}
			if err := d.recordAct(ctx, "put strategy", s.ID); err != nil {
				return err
			}
			return store.PutStrategy(ctx, s)
		})
}

// importOwners stores each object of a file. What stands before a fault is
// stored.
func importOwners[T any](ctx context.Context, d *deps, f ownersFile, noun string, columns map[string]csvColumn, put func(sandtrail.Store, T) error) error {
	in, err := f.open(d)
	if err != nil {
		return err
	}
	defer in.Close()
	store, err := d.store(ctx)
	if err != nil {
		return err
	}
	n := int64(0)
	err = eachObject(interruptible(ctx, in), columns, func(row T) error {
		if err := put(store, row); err != nil {
			return err
		}
		n++
		return nil
	})
	said := human.Plural(n, noun)
	if noun == "strategy" && n != 1 {
		said = human.Count(n) + " strategies"
	}
	if err != nil {
		d.warn("%s stored; nothing of what follows is", said)
		return err
	}
	return d.say("Stored %s.", said)
}

// ownerMaker makes the users and strategies that records name and that are not
// there yet.
type ownerMaker struct {
	store sandtrail.Store
	deps  *deps
	known map[string]bool
}

// ensure makes the owners of a record: as it tells of them, or else with its
// ids for names, and an address that reaches nobody.
func (o *ownerMaker) ensure(ctx context.Context, draft sandtrail.Draft, user *sandtrail.User, strategy *sandtrail.Strategy) error {
	if user == nil || user.Email == "" {
		user = &sandtrail.User{ID: draft.UserID, Email: draft.UserID}
		if !strings.Contains(draft.UserID, "@") {
			user.Email += "@users.invalid"
		}
	}
	if strategy == nil || strategy.Name == "" {
		strategy = &sandtrail.Strategy{ID: draft.StrategyID, Name: draft.StrategyID}
	}
	err := o.once("user "+user.ID, func() error {
		_, err := o.store.User(ctx, user.ID)
		if sandtrail.CodeOf(err) != sandtrail.CodeNotFound {
			return err
		}
		if err := user.Validate(); err != nil {
			return err
		}
		if err := o.deps.recordAct(ctx, "put user", user.ID); err != nil {
			return err
		}
		return o.store.PutUser(ctx, *user)
	})
	if err != nil {
		return err
	}
	return o.once("strategy "+strategy.ID, func() error {
		_, err := o.store.Strategy(ctx, strategy.ID)
		if sandtrail.CodeOf(err) != sandtrail.CodeNotFound {
			return err
		}
		if err := strategy.Validate(); err != nil {
			return err
		}
		if err := o.deps.recordAct(ctx, "put strategy", strategy.ID); err != nil {
			return err
		}
		return o.store.PutStrategy(ctx, *strategy)
	})
}

func (o *ownerMaker) once(what string, do func() error) error {
	if o.known[what] {
		return nil
	}
	err := do()
	o.known[what] = err == nil
	return err
}
