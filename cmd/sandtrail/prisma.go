package main

import (
	"cmp"
	"fmt"

	"github.com/sandtrail/sandtrail/internal/cmdline"
	"github.com/sandtrail/sandtrail/prisma"
)

type prismaCmd struct {
	Addition     bool           `xor:"part" help:"Print only what an existing schema lacks."`
	Config       bool           `xor:"part" help:"Print the lines of prisma.config.ts that keep Prisma Migrate away from the table."`
	PrismaSchema cmdline.InPath `placeholder:"FILE" help:"Take the models of users and strategies, and their keys, from this Prisma schema (a file, or a folder of them)."`
	LogsIn       string         `placeholder:"SCHEMA" help:"PostgreSQL schema of the table of executions (default public)."`
	ownerTables
	UsersModel      string `group:"tables" placeholder:"MODEL" help:"Prisma's model of users (default User)."`
	UsersField      string `group:"tables" placeholder:"FIELD" help:"Its id field (default id)."`
	UsersType       string `group:"tables" placeholder:"TYPE" help:"Type of its key: text, uuid, smallint, integer or bigint (default text)."`
	StrategiesModel string `group:"tables" placeholder:"MODEL" help:"Prisma's model of strategies (default Strategy)."`
	StrategiesField string `group:"tables" placeholder:"FIELD" help:"Its id field (default id)."`
	StrategiesType  string `group:"tables" placeholder:"TYPE" help:"Type of its key: text, uuid, smallint, integer or bigint (default text)."`
}

// Examples shows how it is used.
func (prismaCmd) Examples() []string {
	return []string{
		"sandtrail prisma > prisma/schema.prisma",
		"sandtrail prisma --addition --prisma-schema prisma/schema.prisma",
		"sandtrail prisma --config",
	}
}

// Run prints the schema.
func (c *prismaCmd) Run(d *deps) error {
	write := prisma.Schema
	switch {
	case c.Addition:
		write = prisma.Addition
	case c.Config:
		write = prisma.Config
	}
	options, err := c.options()
	if err != nil {
		return err
	}
	schema, err := write(options)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(d.out, schema)
	return err
}

// options are what the flags say, before what the Prisma schema says.
func (c *prismaCmd) options() (prisma.Options, error) {
	o := prisma.Options{
		Schema: c.LogsIn,
		Users: prisma.Owner{
			Model: c.UsersModel, Field: c.UsersField, IDType: c.UsersType,
			Table: c.UsersTable, ID: c.UsersID, Email: c.UsersEmail, Name: c.UsersName,
		},
		Strategies: prisma.Owner{
			Model: c.StrategiesModel, Field: c.StrategiesField, IDType: c.StrategiesType,
			Table: c.StrategiesTable, ID: c.StrategiesID, Name: c.StrategiesName,
		},
	}
	if c.PrismaSchema == "" {
		return o, nil
	}
	files, err := schemaFiles(string(c.PrismaSchema))
	if err != nil {
		return o, err
	}
	found, err := prisma.Read(prisma.Chosen{Users: c.UsersTable, Strategies: c.StrategiesTable, Schema: string(c.PrismaSchema)}, files...)
	o.Users, o.Strategies = completed(o.Users, found.Users.Owner), completed(o.Strategies, found.Strategies.Owner)
	return o, err
}

func completed(flags, found prisma.Owner) prisma.Owner {
	return prisma.Owner{
		Model: cmp.Or(flags.Model, found.Model), Field: cmp.Or(flags.Field, found.Field), IDType: cmp.Or(flags.IDType, found.IDType),
		Table: cmp.Or(flags.Table, found.Table), ID: cmp.Or(flags.ID, found.ID), Email: cmp.Or(flags.Email, found.Email), Name: cmp.Or(flags.Name, found.Name),
	}
}
