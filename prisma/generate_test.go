//go:build linux

package prisma_test

import (
	"strings"
	"testing"
)

// existing is the schema of an application before it moves in.
const existing = `generator client {
  provider = "prisma-client-js"
}

datasource db {
  provider = "postgresql"
}

model User {
  id    String @id @default(cuid())
  email String @unique
  name  String?
  plan  String @default("free")
  // more fields of User
  @@map("users")
}

model Strategy {
  id   String @id @default(cuid())
  name String
  // more fields of Strategy
  @@map("strategies")
}
`

// followed does to a schema what the comments of an addition ask for.
func followed(t testing.TB, schema, addition string) string {
	t.Helper()
	var model string
	for line := range strings.Lines(addition) {
		if after, ok := strings.CutPrefix(line, "// In the model "); ok {
			model, _, _ = strings.Cut(after, ",")
		} else if field, ok := strings.CutPrefix(line, "//   "); ok {
			place := "  // more fields of " + model + "\n"
			if !strings.Contains(schema, place) {
				t.Fatalf("the addition names a model %q", model)
			}
			schema = strings.Replace(schema, place, "  "+field, 1)
		}
	}
	return schema + "\n" + addition
}
