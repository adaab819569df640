package main

import (
	"cmp"
	"context"
	"io"
	"os"
	"path/filepath"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/postgres"
	"github.com/sandtrail/sandtrail/prisma"
)

// readPrisma completes options by the Prisma schema, if one is given. Flags go
// first.
func (c *migrateCmd) readPrisma(o *postgres.Options) error {
	if c.PrismaSchema == "" {
		return nil
	}
	files, err := schemaFiles(string(c.PrismaSchema))
	if err != nil {
		return err
	}
	a, err := prisma.Read(prisma.Chosen{Users: c.UsersTable, Strategies: c.StrategiesTable, Log: c.LogTable, Schema: string(c.PrismaSchema)}, files...)
	if err != nil {
		return err
	}
	o.Users, o.Strategies = declare(o.Users, a.Users), declare(o.Strategies, a.Strategies)
	if a.Log.Table != "" {
		o.Logs = postgres.LogTable{Table: a.Log.Table, Columns: a.Log.Columns, At: a.Log.At}
	}
	return nil
}

func declare(flags postgres.OwnerTable, f prisma.Found) postgres.OwnerTable {
	return postgres.OwnerTable{
		Table: f.Table, ID: cmp.Or(flags.ID, f.ID), Email: cmp.Or(flags.Email, f.Email), Name: cmp.Or(flags.Name, f.Name),
		Type: f.IDType, At: f.At,
	}
}

// schemaFiles reads a schema of one file, or all files of a folder.
func schemaFiles(path string) (files []prisma.File, err error) {
	names := []string{path}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		if names, err = filepath.Glob(filepath.Join(path, "*.prisma")); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		text, err := readSchema(name)
		if err != nil {
			return nil, &sandtrail.Error{Code: sandtrail.CodeInvalid, Message: "--prisma-schema: " + err.Error(), Err: err}
		}
		files = append(files, prisma.File{Name: name, Text: text})
	}
	return files, nil
}

// readSchema reads no more of a file than is needed to refuse it.
func readSchema(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, prisma.MaxSchema+1))
	return string(text), err
}

// tellDeclared tells where the database is as the schema says.
func (c *migrateCmd) tellDeclared(ctx context.Context, d *deps, database *postgres.Store) error {
	lines, err := database.Declared(ctx)
	if err != nil || c.Output != "table" {
		return err
	}
	mark := "  "
	if c.DryRun && !c.Adopt {
		mark = "-- "
	}
	for _, line := range lines {
		if err := d.say("%s%s", mark, line); err != nil {
			return err
		}
	}
	return nil
}
