package main

import (
	"context"
	"io"
	"os"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/ingest"
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
	return importOwners(ctx, d, c.ownersFile, "user", ingest.TextColumns("id", "email", "name"),
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
	return importOwners(ctx, d, c.ownersFile, "strategy", ingest.TextColumns("id", "name"),
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
func importOwners[T any](ctx context.Context, d *deps, f ownersFile, noun string, columns ingest.Columns, put func(sandtrail.Store, T) error) error {
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
	err = ingest.EachObject(ctx, in, columns, func(row T) error {
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
