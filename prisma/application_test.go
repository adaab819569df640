package prisma_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/prisma"
)

// TestRead reads back what this package prints.
func TestRead(t *testing.T) {
	for name, options := range map[string]prisma.Options{"default": {}, "elsewhere": elsewhere} {
		text, err := prisma.Schema(options)
		if err != nil {
			t.Fatal(err)
		}
		a, err := read(t, prisma.Chosen{}, text)
		if err != nil {
			t.Fatal(err)
		}
		again, err := prisma.Schema(prisma.Options{Schema: options.Schema, Users: a.Users.Owner, Strategies: a.Strategies.Owner})
		if diff := cmp.Diff(text, again); diff != "" || err != nil {
			t.Errorf("%s: %v (-printed +read):\n%s", name, err, diff)
		}
	}
}

// TestReadUnfamiliar reads a schema that names everything otherwise and uses
// what Prisma's language has beside models.
func TestReadUnfamiliar(t *testing.T) {
	const unfamiliar = `
/* Prisma's comments
   of many lines */
generator client { provider = "prisma-client-js"
  previewFeatures = ["views", "driverAdapters"] }
datasource db {
  provider = "postgresql" // ours
  url      = env("DATABASE_URL")
  schemas  = ["app", "log"]
}
enum Kind { VALIDATION
  TERMINAL @map("TERM") }
/// Who runs things
model Account {
  uid   BigInt @id @default(autoincrement()) @map("account_id")
  email String @unique @map(name: "e-mail")
  point Unsupported("circle")?
  runs  RunLog[]
  boss  Account? @relation("b", fields: [bossId],
     references: [uid])
  bossId BigInt?
  staff Account[] @relation("b")
  @@schema("app")
}
view Seen { n Int }
model Bot { key String @unique @db.Uuid
  pk1 Int
  pk2 Int
  name String @map("title")
  runs RunLog[]
  @@id([pk1, pk2])
  @@schema("app") }
model RunLog {
  id String @id @default(dbgenerated("gen_random_uuid()")) @db.Uuid
  userId BigInt @map("who")
  botKey String @map("bot") @db.Uuid
  executionType Kind
  success Boolean @default(false)
  executionTime Int
  account Account @relation(fields: [userId], references: [uid], onDelete: Cascade)
  bot Bot @relation(references: [key], fields: [botKey])
  @@index([userId(sort: Desc), id], map: "x")
  @@map("run log")
  @@schema("log")
}
`
	a, err := read(t, prisma.Chosen{}, unfamiliar)
	if want := "strategies is not clear (Account (schema.prisma:14), Bot (schema.prisma:26))"; err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("got %+v, %v; want that the %s", a, err, want)
	}
	a, err = read(t, prisma.Chosen{Strategies: "app.Bot"}, unfamiliar)
	want := prisma.Application{
		Users:      prisma.Found{At: "schema.prisma:14", Owner: prisma.Owner{Model: "Account", Field: "uid", Table: "app.Account", ID: "account_id", Email: "e-mail", IDType: "bigint"}},
		Strategies: prisma.Found{At: "schema.prisma:26", Owner: prisma.Owner{Model: "Bot", Field: "key", Table: "app.Bot", ID: "key", Name: "title", IDType: "uuid"}},
		Log: prisma.Log{At: "schema.prisma:33", Model: "RunLog", Table: "log.run log", Columns: map[string]string{
			"id": "id", "user_id": "who", "strategy_id": "bot", "execution_type": "executionType", "success": "success", "execution_time": "executionTime",
		}},
	}
	if diff := cmp.Diff(want, a); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// TestReadRefuses says where a schema is wrong, or what can be meant.
func TestReadRefuses(t *testing.T) {
	owners := "model User {\nid String @id\nemail String\n}\nmodel Strategy {\nid String @id\nname String\n}\n"
	for _, test := range []struct{ name, text, want string }{
		{"an open block", "model User {\n  id String @id\n", `schema.prisma:3: here must be "}", got ""`},
		{"an open text", "model User {\n  id String @map(\"x)\n}", `schema.prisma:2: here must be a word of Prisma's language, got "\"x)"`},
		{"an open comment", "model User {\n\n/* }", "schema.prisma:3: here must be a word"},
		{"no type", "model User {\n  id\n}", `schema.prisma:2: here must be the type of field id, got "\n"`},
		{"lists without end", "model User {\n  id String @x(" + strings.Repeat("[", 1000), "schema.prisma:2: more than 16 lists"},
		{"another database", "datasource db {\n provider = \"mysql\"\n}\n" + owners, "schema.prisma:1: the schema is of mysql"},
		{"no models", "", "the schema has no model of users"},
		{"a key of a type that cannot be", strings.Replace(owners, "id String", "id Decimal", 1), "schema.prisma:2: the key id is Decimal"},
		{"a key of two fields", "model User {\n a Int\n b Int\n email String\n@@id([a, b])\n}", "the schema has no model of users whose key (@id) is one field"},
		{
			"users of another name", strings.Replace(owners, "User", "Account", 1),
			"which model holds the users is not clear (Account (schema.prisma:1), Strategy (schema.prisma:5)): name its table, with the other options as before " +
				"[{migrate  [{prisma-schema prisma/schema.prisma} {users-table Account}] } {migrate  [{prisma-schema prisma/schema.prisma} {users-table Strategy}] }]",
		},
		{
			"two logs", owners + "model A {\nexecutionType String\nsuccess Boolean\nexecutionTime Int\n}\nmodel B {\nexecution_type String\nsuccess Boolean\nexecution_time Int\n@@map(\"b's\")\n}\n",
			"{log-table b's}",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := read(t, prisma.Chosen{}, test.text)
			var e *sandtrail.Error
			if !errors.As(err, &e) || e.Code != sandtrail.CodeInvalid || !strings.Contains(fmt.Sprint(e.Message, " ", e.Remedies), test.want) {
				t.Errorf("got %v\nwant invalid with %s", err, test.want)
			}
		})
	}
}
