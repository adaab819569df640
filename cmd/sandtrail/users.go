package main

import (
	"context"
	"errors"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/internal/human"
	"github.com/sandtrail/sandtrail/internal/table"
)

type usersCmd struct {
	Add    usersAddCmd    `cmd:"" help:"Add a user, or change one."`
	Import usersImportCmd `cmd:"" help:"Add or change the users of a file."`
	List   usersListCmd   `cmd:"" help:"List users in the order of their ids."`
	Show   usersShowCmd   `cmd:"" help:"Show a user."`
	Delete usersDeleteCmd `cmd:"" help:"Delete a user and their executions."`
}

type usersAddCmd struct {
	ID    string  `arg:"" help:"Id of the user in your application."`
	Email string  `required:"" placeholder:"ADDRESS" help:"E-mail address; no two users have the same."`
	Name  *string `placeholder:"NAME" help:"Name; without it a user who is there keeps theirs, and an empty one erases it."`
}

// Examples shows how it is used.
func (usersAddCmd) Examples() []string {
	return []string{`sandtrail users add ada --email ada@example.com --name "Ada Lovelace"`}
}

// Run stores the user.
func (c *usersAddCmd) Run(ctx context.Context, d *deps) error {
	u := sandtrail.User{ID: c.ID, Email: c.Email, Name: c.Name}
	if err := u.Validate(); err != nil {
		return err
	}
	store, err := d.store(ctx)
	if err != nil {
		return err
	}
	if u.Name, err = nameFor(ctx, store, u); err != nil {
		return err
	}
	if err := d.recordAct(ctx, "put user", u.ID); err != nil {
		return err
	}
	return store.PutUser(ctx, u)
}

// nameFor is the name to store: the one that was given, else the one that is
// stored.
func nameFor(ctx context.Context, store sandtrail.Owners, u sandtrail.User) (*string, error) {
	if u.Name != nil {
		if *u.Name == "" {
			return nil, nil
		}
		return u.Name, nil
	}
	stored, err := store.User(ctx, u.ID)
	if errors.Is(err, sandtrail.CodeNotFound) {
		return nil, nil
	}
	return stored.Name, err
}

// pageFlags select a page of users or strategies.
type pageFlags struct {
	Limit  int    `default:"50" help:"At most so many, up to 1000."`
	Cursor string `placeholder:"CURSOR" help:"Go on after the page that named this cursor."`
}

func (f pageFlags) query() (sandtrail.OwnerQuery, error) {
	if f.Limit < 1 || f.Limit > sandtrail.MaxLimit {
		return sandtrail.OwnerQuery{}, sandtrail.Errorf(sandtrail.CodeInvalid, "--limit: must be 1 to %d, got %d", sandtrail.MaxLimit, f.Limit)
	}
	return sandtrail.OwnerQuery{Limit: f.Limit, Cursor: f.Cursor}, nil
}

type usersListCmd struct {
	pageFlags
	output
}

// Examples shows how it is used.
func (usersListCmd) Examples() []string {
	return []string{"sandtrail users list", "sandtrail users list --limit 1000 -o csv > users.csv"}
}

// Run prints a page of users.
func (c *usersListCmd) Run(ctx context.Context, d *deps) error {
	q, err := c.query()
	if err != nil {
		return err
	}
	store, err := d.store(ctx)
	if err != nil {
		return err
	}
	page, err := store.Users(ctx, q)
	if err != nil {
		return err
	}
	return print(d, c.Output, owners(page, userColumns(), "No users yet: sandtrail users add ID --email ADDRESS"))
}

// owners is the finding of a page of users or strategies.
func owners[T any](page sandtrail.OwnerPage[T], columns []table.Column[T], empty string) finding[T] {
	f := finding[T]{whole: api.NewPage(page.Items, page.NextCursor), rows: page.Items, columns: columns, empty: empty}
	if page.NextCursor != "" {
		f.foot = "There are more: add --cursor " + human.Visible(page.NextCursor)
	}
	return f
}

func userColumns() []table.Column[sandtrail.User] {
	return []table.Column[sandtrail.User]{
		label("id", "ID", func(u sandtrail.User) string { return u.ID }),
		label("email", "E-MAIL", func(u sandtrail.User) string { return u.Email }),
		label("name", "NAME", func(u sandtrail.User) string {
			if u.Name == nil {
				return ""
			}
			return *u.Name
		}),
	}
}

type usersShowCmd struct {
	ID string `arg:"" help:"Id of the user."`
	output
}

// Examples shows how it is used.
func (usersShowCmd) Examples() []string {
	return []string{"sandtrail users show ada", "sandtrail users show ada -o json"}
}

// Run prints a user.
func (c *usersShowCmd) Run(ctx context.Context, d *deps) error {
	store, err := d.store(ctx)
	if err != nil {
		return err
	}
	u, err := store.User(ctx, c.ID)
	if err != nil {
		return err
	}
	return print(d, c.Output, one(u, userColumns()))
}

type usersDeleteCmd struct {
	ID string `arg:"" help:"Id of the user."`
}

// Examples shows how it is used.
func (usersDeleteCmd) Examples() []string { return []string{"sandtrail users delete ada"} }

// Run deletes a user and says how many executions went along.
func (c *usersDeleteCmd) Run(ctx context.Context, d *deps) error {
	store, err := d.store(ctx)
	if err != nil {
		return err
	}
	if err := d.recordAct(ctx, "delete user", c.ID); err != nil {
		return err
	}
	deleted, err := d.deletion(ctx, "Deleting", func(ctx context.Context) (int64, error) {
		stats, err := store.UserStats(ctx, c.ID)
		return stats.TotalExecutions, err
	}, func(ctx context.Context) (int64, error) { return store.DeleteUser(ctx, c.ID) })
	if err != nil {
		return err
	}
	d.maintain(ctx)
	return d.say("Deleted the user %s and %s.", human.Visible(c.ID), human.Plural(deleted, "execution"))
}
