package server_test

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/server"
)

// deed is a call about somebody's data. {user}, {execution}, {key} and
// {silence} stand for the ids of the data that it is about.
type deed struct {
	pattern string // as in the route table
	path    string // the pattern's if ""
	body    string
	needs   string // who may: i(ngest) r(ead) b(ound) a(uditor) A(dmin)
	// foreign is what a bound reader gets who asks for another user's data,
	// 0 where the call names no user.
	foreign int
}

func (d deed) pathOf() string {
	if d.path != "" {
		return d.path
	}
	_, path, _ := strings.Cut(d.pattern, " ")
	return path
}

// refused checks that a call was refused in the form that is its own.
func (d deed) refused(t *testing.T, got reply, code sandtrail.Code) {
	t.Helper()
	if d.pattern != "POST /v1/logs" {
		problem(t, got, code)
	} else if got.status != api.Status(code) || !bytes.Contains(got.body, []byte(`"message":`)) {
		t.Errorf("status %d, want %d with a google.rpc.Status: %s", got.status, api.Status(code), got.body)
	}
}

const everyone = "irbaA"

var deeds = []deed{
	{pattern: "POST /v1/executions", body: record(), needs: "iA"},
	{pattern: "POST /v1/logs", body: logRequest(logRecord()), needs: "iA"},
	{pattern: "GET /v1/executions", path: "/v1/executions?userId={user}", needs: "rbaA", foreign: 403},
	{pattern: "GET /v1/executions", needs: "rbaA"},
	{pattern: "GET /v1/executions/{id}", path: "/v1/executions/{execution}", needs: "rbaA", foreign: 404},
	{pattern: "GET /v1/executions/stream", path: "/v1/executions/stream?userId={user}", needs: "rbaA", foreign: 403},
	{pattern: "GET /v1/export", path: "/v1/export?userId={user}", needs: "rbaA", foreign: 403},
	{pattern: "GET /v1/export", path: "/v1/export?format=csv", needs: "rbaA"},
	{pattern: "GET /v1/strategies/{id}/stats", path: "/v1/strategies/s1/stats", needs: "raA"},
	{pattern: "GET /v1/strategies/{id}/health", path: "/v1/strategies/s1/health", needs: "raA"},
	{pattern: "GET /v1/users/{id}/stats", path: "/v1/users/{user}/stats", needs: "rbaA", foreign: 404},
	{pattern: "GET /v1/trends", path: "/v1/trends?userId={user}", needs: "rbaA", foreign: 403},
	{pattern: "GET /v1/trends", needs: "rbaA"},
	{pattern: "GET /v1/window", path: "/v1/window?userId={user}", needs: "rbaA", foreign: 403},
	{pattern: "GET /v1/window", needs: "rbaA"},
	{pattern: "GET /v1/ranking", path: "/v1/ranking?subject=user", needs: "raA"},
	{pattern: "GET /v1/alerts", needs: "raA"},
	{pattern: "GET /v1/alerts/history", needs: "raA"},
	{pattern: "GET /v1/alerts/silences", needs: "raA"},
	{pattern: "POST /v1/alerts/silences", body: `{"for":"1h"}`, needs: "A"},
	{pattern: "DELETE /v1/alerts/silences/{id}", path: "/v1/alerts/silences/{silence}", needs: "A"},
	{pattern: "GET /v1/users", needs: "rbaA"},
	{pattern: "GET /v1/users/{id}", path: "/v1/users/{user}", needs: "rbaA", foreign: 404},
	{pattern: "PUT /v1/users/{id}", path: "/v1/users/{user}", body: `{"email":"{user}.new@example.com"}`, needs: "A"},
	{pattern: "DELETE /v1/users/{id}", path: "/v1/users/{user}", needs: "A"},
	{pattern: "GET /v1/strategies", needs: "raA"},
	{pattern: "GET /v1/strategies/{id}", path: "/v1/strategies/s1", needs: "raA"},
	{pattern: "PUT /v1/strategies/{id}", path: "/v1/strategies/s1", body: `{"name":"New"}`, needs: "A"},
	{pattern: "DELETE /v1/strategies/{id}", path: "/v1/strategies/s1", needs: "A"},
	{pattern: "GET /v1/holds", needs: "raA"},
	{pattern: "PUT /v1/holds/{subject}/{id}", path: "/v1/holds/user/{user}", body: `{"reason":"case"}`, needs: "A"},
	{pattern: "DELETE /v1/holds/{subject}/{id}", path: "/v1/holds/user/{user}", needs: "A"},
	{pattern: "GET /v1/examination", needs: "aA"},
	{pattern: "GET /v1/retention", needs: "raA"},
	{pattern: "GET /v1/cleanup", path: "/v1/cleanup?olderThan=90d", needs: "raA"},
	{pattern: "POST /v1/cleanup", body: `{"olderThan":"90d"}`, needs: "A"},
	{pattern: "GET /v1/ledger/checkpoint", needs: "raA"},
	{pattern: "GET /v1/ledger/tile/{path...}", path: "/v1/ledger/tile/0/000.p/1", needs: "raA"},
	{pattern: "GET /v1/ledger/closed", needs: "raA"},
	{pattern: "GET /v1/ledger/closed/{at}/tile/{path...}", path: "/v1/ledger/closed/" + start.Format(time.RFC3339) + "/tile/0/000.p/1", needs: "raA"},
	{pattern: "GET /v1/ledger/removals", needs: "raA"},
	{pattern: "GET /v1/ledger/renames", needs: "raA"},
	{pattern: "GET /v1/export", path: "/v1/export?manifest=true", needs: "raA"},
	{pattern: "GET /v1/ledger/proof/{id}", path: "/v1/ledger/proof/{execution}", needs: "rbaA", foreign: 404},
	{pattern: "GET /v1/ledger/receipt/{id}", path: "/v1/ledger/receipt/{execution}", needs: "rbaA", foreign: 404},
	{pattern: "POST /v1/ledger/witness/add-checkpoint", body: "old 0\n\n" + emptyLog(), needs: everyone},
	{pattern: "GET /v1/keys", needs: "aA"},
	{pattern: "POST /v1/keys", body: `{"role":"read"}`, needs: "A"},
	{pattern: "DELETE /v1/keys/{id}", path: "/v1/keys/{key}", needs: "A"},
	{pattern: "GET /v1/access-log", needs: "aA"},
	{pattern: "GET /healthz", needs: everyone},
	{pattern: "GET /readyz", needs: everyone},
	{pattern: "GET /metrics", needs: everyone},
	{pattern: "GET /openapi.json", needs: everyone},
	{pattern: "GET /docs", needs: everyone},
}

func TestEveryRouteIsCovered(t *testing.T) {
	for _, pattern := range server.RoutePatterns() {
		if !slices.ContainsFunc(deeds, func(d deed) bool { return d.pattern == pattern }) {
			t.Errorf("no test says who may %s", pattern)
		}
	}
}

// Every call × every role × own and foreign data.
func TestRoles(t *testing.T) {
	roles := map[byte]struct {
		role auth.Role
		user string
	}{
		'i': {auth.RoleIngest, ""}, 'r': {auth.RoleRead, ""}, 'b': {auth.RoleRead, "u1"},
		'a': {auth.RoleAuditor, ""}, 'A': {auth.RoleAdmin, ""},
	}
	for letter, who := range roles {
		k := newKit(t).owners()
		secret := k.key(who.role, who.user)
		other, _ := auth.NewKey("other", auth.RoleRead, "", start)
		if err := k.store.CreateKey(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		silence := alert.Silence{ID: sandtrail.NewID(start), CreatedAt: start, Until: start.Add(time.Hour)}
		if err := k.store.CreateSilence(t.Context(), silence); err != nil {
			t.Fatal(err)
		}
		for i, d := range deeds {
			for _, user := range []string{"u1", "u2"} {
				k.owners() // those that a deed has deleted
				execution := k.put(user)
				if err := k.store.Maintain(t.Context(), start); err != nil { // seals it
					t.Fatal(err)
				}
				path := d.pathOf()
				fill := strings.NewReplacer("{user}", user, "{execution}", execution.String(),
					"{key}", other.ID.String(), "{silence}", silence.ID.String())
				path = fill.Replace(path)
				t.Run(fmt.Sprintf("%s%s/%d %s/%s", who.role, who.user, i, strings.Fields(d.pattern)[0], path), func(t *testing.T) {
					want, code := 0, sandtrail.CodeForbidden // 0: any success
					switch {
					case !strings.ContainsRune(d.needs, rune(letter)):
						want = http.StatusForbidden
					case letter == 'b' && user == "u2" && d.foreign != 0:
						want, code = d.foreign, api.CodeOfStatus(d.foreign)
					}
					got := k.doNoStream(request{method: strings.Fields(d.pattern)[0], path: path, body: fill.Replace(d.body), key: secret})
					switch {
					case want != 0:
						d.refused(t, got, code)
						if got.status != want {
							t.Errorf("status %d, want %d", got.status, want)
						}
					case got.status >= 300:
						t.Errorf("status %d: %s", got.status, got.body)
					case letter == 'b' && d.needs != everyone && mentions(got.body, "u2"):
						t.Errorf("a reader bound to u1 sees u2: %s", got.body)
					}
				})
			}
		}
	}
}

// mentions finds a user in an answer: in JSON, a CSV line, an address, but not
// in random bytes in base64 that happen to look like it.
func mentions(body []byte, user string) bool {
	for _, form := range []string{`"%s"`, ",%s,", "%s@"} {
		if bytes.Contains(body, fmt.Appendf(nil, form, user)) {
			return true
		}
	}
	return false
}

// put stores a record of the user and s1 and returns its id.
func (k *kit) put(user string) sandtrail.ID {
	k.t.Helper()
	id := sandtrail.NewID(start)
	_, err := k.store.Append(k.t.Context(), []sandtrail.Admitted{{Execution: sandtrail.Execution{
		ID: id, UserID: user, StrategyID: "s1", Type: sandtrail.Validation, ExecutionTime: 1, CreatedAt: start,
	}}})
	if err != nil {
		k.t.Fatal(err)
	}
	return id
}

func TestWithoutAKeyNothingIsSaid(t *testing.T) {
	k := newKit(t).owners()
	valid := k.key(auth.RoleAdmin, "")
	for _, d := range deeds {
		if d.needs == everyone {
			continue
		}
		method, path, _ := strings.Cut(d.pattern, " ")
		for name, header := range map[string][]string{
			"no key":         nil,
			"an unknown key": {"Authorization", "Bearer st_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
			"no secret":      {"Authorization", "Bearer"},
			"another scheme": {"Authorization", "Basic " + valid},
			"a torn key":     {"Authorization", "Bearer " + valid[:20]},
		} {
			got := k.do(request{method: method, path: path, body: d.body, header: header})
			d.refused(t, got, sandtrail.CodeUnauthorized)
			if got.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s with %s: no WWW-Authenticate", d.pattern, name)
			}
		}
	}
}

// A silence for a rule that does not exist would silence nothing: the server
// refuses it and lists its rules.
func TestSilencesNameARule(t *testing.T) {
	k := newKit(t)
	got := k.do(request{method: "POST", path: "/v1/alerts/silences", body: `{"rule":"nosuchrule","for":"1h"}`})
	if p, _ := problem(t, got, sandtrail.CodeInvalid); !strings.Contains(p.Detail, `"nosuchrule"`) || !strings.Contains(p.Detail, alert.DefaultRule().Name) {
		t.Errorf("the refusal does not name the rules: %s", got.body)
	}
	if kept, err := k.store.Silences(t.Context(), start); err != nil || len(kept) > 0 {
		t.Errorf("silences %v, %v; want none", kept, err)
	}
	if got := k.do(request{method: "POST", path: "/v1/alerts/silences", body: `{"rule":"` + alert.DefaultRule().Name + `","for":"1h"}`}); got.status != 201 {
		t.Errorf("a silence of a rule: status %d: %s", got.status, got.body)
	}
}
