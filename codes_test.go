package sandtrail_test

import (
	"go/ast"
	"go/token"
	"maps"
	"slices"
	"strings"
	"testing"
)

// passing are the errors whose callers are to repeat the call, and when it will
// succeed: by itself, or once the operator has mended the store or the server.
// Anything that stays as it is has another code, else callers repeat for ever.
var passing = map[string]string{
	`%s: the answer was cut short: %v`:                                                                      "the server answers again",
	`the server cannot be reached: %v`:                                                                      "it can be reached again",
	`the body stopped coming; send it again`:                                                                "it is sent again",
	`the server is stopping; send the request again`:                                                        "another runs",
	`the server has %d %s, as many as it serves; try again in a second`:                                     "it has fewer",
	`the server cannot keep the body aside until all of it has come; send smaller ones, or try again later`: "the disk has room, or bodies go into memory",
	`the answer took too long; ask for less, or try again later`:                                            "the store is less busy",
	`the request was cancelled`:                                                                             "it is made again",
	`%s: %w`:                                                                                                "the bucket answers again",
	`%s`:                                                                                                    "the bucket is less busy",
	`the witness %s learns of checkpoints faster than we can prove; it is tried again`:                   "it rests",
	`record the session: %w; mend it, or run without the recording`:                                      "the disk is mended",
	`there is no database %s: name another with --db or SANDTRAIL_DB, or make it with sandtrail migrate`: "it is made",
	`others held a lock on `: "they have let go",
	`session %d of user %s (%q), %s, has held a lock on %s since %s; if nobody needs it, end it with SELECT pg_terminate_backend(%[1]d)`: "it has let go",
	`a cleanup has not finished; migrate again`:                                                                "it has finished",
	`the database has no Sandtrail tables yet: migrate it`:                                                     "it is migrated",
	`the database has migration %d, which this version of Sandtrail does not know; use a newer one`:            "the newer one runs",
	`the table %s is gone, and its records with it, as after prisma migrate reset: repair it, `:                "it is repaired",
	`no upkeep is done where the database may only be read, as on a standby: give the URL of the primary`:      "it is promoted, or the URL changed",
	`the database's setting %s (%s) does not let this be done: `:                                               "the server is less busy, or the setting is changed",
	`a standby server cannot be followed: give the URL of the primary`:                                         "it is promoted, or the URL changed",
	`the database was restored from a dump, which upkeep has to look at before it can be followed: migrate it`: "upkeep has looked at it",
	`the file has no tables of Sandtrail: name another with --db or SANDTRAIL_DB, or run sandtrail migrate`:    "it is migrated",
	`: the database file may only be read here; check its permissions and those of its directory`:              "it may be written",
	`: the database is kept locked by another process`:                                                         "that has let go",
	`the disk is full; make room and repeat`:                                                                   "there is room",
	`the disk reports an error; check it and the file system`:                                                  "it is mended",
	`the database file cannot be opened; check its permissions and those of its directory`:                     "it may be opened",
	`the database file cannot be written; check its permissions and those of its directory`:                    "it may be written",
	`the file is not an SQLite database; give another path`:                                                    "the file is in its place",
	`the database file is damaged; restore a backup`:                                                           "it is restored",
	`more than %d executions have other owners than they were sealed with, and no rename that was known at the start accounts for that; verify again once no user or strategy is being renamed`: "the renames are in the log",
	`the database lacks %d migrations; migrate it`:                                                   "it is migrated",
	`the roll-ups are those of an older Sandtrail; migrate the database`:                             "it is migrated",
	`the database lacks %s, as after a tool has rebuilt a table: `:                                   "it is repaired",
	`there is no such database file`:                                                                 "it is in its place",
	`the database file cannot be opened or made`:                                                     "its directory is mended",
	`the database file has vanished; restore it and restart`:                                         "it is restored",
	`the database file has been replaced by another since it was opened; restart to use the new one`: "the server is started anew",
}

// TestUnavailablePasses finds every error that is coded as unavailable and
// expects a row above that says when the call succeeds.
func TestUnavailablePasses(t *testing.T) {
	missing := maps.Clone(passing)
	for _, s := range program(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			if text, ok := s.unavailable(n); ok && strings.Trim(text, ": ") != "" {
				if passing[text] == "" {
					t.Errorf("%v: %q is coded as unavailable: when will the call succeed?", s.files.Position(n.Pos()), text)
				}
				delete(missing, text)
			}
			return true
		})
	}
	for _, text := range slices.Sorted(maps.Keys(missing)) {
		t.Errorf("nothing says %q any more", text)
	}
}

// unavailable is the message of an error that n makes, if it is coded so.
func (s source) unavailable(n ast.Node) (message string, ok bool) {
	var parts []ast.Expr
	switch n := n.(type) {
	case *ast.CallExpr:
		switch {
		case nameOf(n.Fun) == "unavailable":
			ok = true
		case len(n.Args) > 0 && nameOf(n.Args[0]) == "CodeUnavailable":
			ok = nameOf(n.Fun) != "With"
		}
		parts = n.Args
	case *ast.CompositeLit:
		for _, e := range n.Elts {
			pair, isPair := e.(*ast.KeyValueExpr)
			if !isPair {
				continue
			}
			ok = ok || nameOf(pair.Key) == "Code" && nameOf(pair.Value) == "CodeUnavailable"
			if nameOf(pair.Key) == "Message" {
				parts = append(parts, pair.Value)
			}
		}
	}
	for _, part := range parts {
		s.texts(part, func(_ token.Position, text string) {
			if message == "" {
				message = text
			}
		})
	}
	return message, ok
}
