package prisma_test

// This file uses no other test file: scripts/fuzz compiles it alone, without
// the stores that the other tests start.

import (
	"os"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail/prisma"
)

func read(t *testing.T, chosen prisma.Chosen, text string) (prisma.Application, error) {
	t.Helper()
	chosen.Schema = "prisma/schema.prisma"
	return prisma.Read(chosen, prisma.File{Name: "schema.prisma", Text: text})
}

// FuzzPrismaSchema reads anything without a panic. What is refused names the
// file, and what is taken reads the same again behind a comment.
func FuzzPrismaSchema(f *testing.F) {
	for _, name := range []string{"golden/schema_elsewhere", "reference/model.prisma"} {
		text, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("model A { id Int @id(map: \"x\", [f(1), [a, b]]) }\n/* */ enum E { A }")
	line := regexp.MustCompile(`schema.prisma:[0-9]+`)
	f.Fuzz(func(t *testing.T, text string) {
		a, err := read(t, prisma.Chosen{}, text)
		again, errAgain := read(t, prisma.Chosen{}, "// a comment\n"+text)
		if (err == nil) != (errAgain == nil) {
			t.Fatalf("%v, and behind a comment %v", err, errAgain)
		}
		if err != nil {
			return
		}
		for _, at := range []*string{&a.Users.At, &a.Strategies.At, &a.Log.At, &again.Users.At, &again.Strategies.At, &again.Log.At} {
			*at = line.ReplaceAllString(*at, "")
		}
		if diff := cmp.Diff(a, again); diff != "" {
			t.Error(diff)
		}
	})
}
