package main

import (
	"fmt"

	"github.com/sandtrail/sandtrail/prisma"
)

type prismaCmd struct {
	Addition bool   `xor:"part" help:"Print only what an existing schema lacks."`
	Config   bool   `xor:"part" help:"Print the lines of prisma.config.ts that keep Prisma Migrate away from the table."`
	LogsIn   string `placeholder:"SCHEMA" help:"PostgreSQL schema of the table of executions (default public)."`
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
		"sandtrail prisma --addition >> prisma/schema.prisma",
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
	schema, err := write(prisma.Options{
		Schema: c.LogsIn,
		Users: prisma.Owner{
			Model: c.UsersModel, Field: c.UsersField, IDType: c.UsersType,
			Table: c.UsersTable, ID: c.UsersID, Email: c.UsersEmail, Name: c.UsersName,
		},
		Strategies: prisma.Owner{
			Model: c.StrategiesModel, Field: c.StrategiesField, IDType: c.StrategiesType,
			Table: c.StrategiesTable, ID: c.StrategiesID, Name: c.StrategiesName,
		},
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(d.out, schema)
	return err
}
