package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// Declared tells, one thing a line, where the database is as the application's
// schema says (Options.Users.At and so on). Where it is otherwise the error is
// of CodeInvalid and names both. Nothing is changed.
func (s *Store) Declared(ctx context.Context) (lines []string, err error) {
	ctx = database.WithOwnLimits(ctx)
	options := s.options
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		l, remembered, err := options.destination(ctx, tx)
		if err != nil {
			return err
		}
		lines = l.declared(options, remembered)
		return nil
	})
	return lines, wrap("compare with the schema", err)
}

func (l *layout) declared(o Options, remembered bool) (lines []string) {
	for _, c := range []struct {
		what  string
		owner owner
		at    string
	}{{"users", l.Users, o.Users.At}, {"strategies", l.Strategies, o.Strategies.At}} {
		if c.at != "" {
			lines = append(lines, fmt.Sprintf("%s are table %s, key %s (%s), as %s says", c.what, c.owner.qualified(), quote(c.owner.ID), c.owner.Type, c.at))
		}
	}
	logs := l.sql("{logs}")
	switch {
	case o.Logs.At == "":
	case l.old != nil:
		lines = append(lines, fmt.Sprintf("executions are table %s, as %s says", l.old.table(), o.Logs.At))
	case bare(o.Logs.Table) == logsTable:
		lines = append(lines, fmt.Sprintf("executions are table %s, as %s says", logs, o.Logs.At))
	case remembered:
		lines = append(lines, fmt.Sprintf("%s is not as the database: executions are table %s, and the model's table is %s; sandtrail prisma --addition prints the model",
			o.Logs.At, logs, quoteTable(o.Logs.Table)))
	}
	return lines
}

// contradicts tells that the database is otherwise than a schema says.
func contradicts(at, format string, args ...any) error {
	return sandtrail.Errorf(sandtrail.CodeInvalid, "%s contradicts the database: %s", at, fmt.Sprintf(format, args...))
}

// agreeType refuses a key of another type than was said.
func (o owner) agreeType(t OwnerTable) error {
	if t.Type == "" || t.Type == o.keyType() {
		return nil
	}
	return contradicts(t.At, "column %q of table %s is %s, and the model's key is %s", o.ID, o.qualified(), o.Type, t.Type)
}

// agree refuses an old table of executions that is otherwise than the schema
// says. A schema that has our names of columns already is as it will be.
func (o *oldLogs) agree(said LogTable) error {
	if said.At == "" {
		return nil
	}
	for _, ours := range logColumns {
		name := said.Columns[ours]
		if name != "" && name != ours && !slices.ContainsFunc(o.columns, func(c oldColumn) bool { return c.name == name }) {
			return contradicts(said.At, "table %s has no column %s", o.table(), quote(name))
		}
	}
	return nil
}

// agreeOwner refuses an owner that is another than the old table's foreign key
// names.
func (o *oldLogs) agreeOwner(ours string, found owner, said OwnerTable) error {
	if o == nil || said.At == "" || o.owners[ours] == nil {
		return nil
	}
	if named := *o.owners[ours]; named.Table != found.Schema+"."+found.Table || named.ID != found.ID {
		return contradicts(said.At, "the foreign key of %s refers to table %s, column %s; the model is table %s, column %s",
			o.table(), quoteTable(named.Table), quote(named.ID), found.qualified(), quote(found.ID))
	}
	return nil
}
