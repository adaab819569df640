package prisma_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/prisma"
)

var update = flag.Bool("update", false, "write the golden files")

// elsewhere is an application that named everything its own way.
var elsewhere = prisma.Options{
	Schema:     "audit",
	Users:      prisma.Owner{Model: "Account", Field: "uid", Table: "app.Account", ID: "account_id", Email: "mail", Name: "full_name", IDType: "uuid"},
	Strategies: prisma.Owner{Model: "Bot", Table: "app.Bot"},
}

func TestOutput(t *testing.T) {
	outputs := map[string]func(prisma.Options) (string, error){
		"schema": prisma.Schema, "addition": prisma.Addition, "config": prisma.Config,
	}
	for kind, output := range outputs {
		for name, options := range map[string]prisma.Options{"default": {}, "elsewhere": elsewhere} {
			t.Run(kind+"/"+name, func(t *testing.T) {
				got, err := output(options)
				if err != nil {
					t.Fatal(err)
				}
				golden(t, kind+"_"+name, got)
			})
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); go test -update writes it anew:\n%s", path, diff)
	}
}

func TestNamesThatPrismaCannotSpellAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		options prisma.Options
		path    string
	}{
		"model with a blank": {prisma.Options{Users: prisma.Owner{Model: "App User"}}, "users.model"},
		"field with a digit": {prisma.Options{Strategies: prisma.Owner{Field: "1d"}}, "strategies.field"},
		"another type of id": {prisma.Options{Users: prisma.Owner{IDType: "json"}}, "users.idType"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := prisma.Schema(test.options)
			var e *sandtrail.Error
			if !errors.As(err, &e) || e.Code != sandtrail.CodeInvalid || len(e.Fields) != 1 || e.Fields[0].Path != test.path {
				t.Errorf("got %v; want invalid %s", err, test.path)
			}
		})
	}
}
