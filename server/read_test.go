package server_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/internal/recordcsv"
	"github.com/sandtrail/sandtrail/server"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The description is a promise: a change of it is a change of the API.
func TestOpenAPIIsAsPublished(t *testing.T) {
	const golden = "testdata/openapi.json"
	k := newKit(t, func(c *server.Config) { c.Version = "test" })
	got := k.get("/openapi.json").body
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("/openapi.json differs from %s; if that is meant: go test ./server -run OpenAPI -update, and note it in CHANGELOG.md\n%s",
			golden, cmp.Diff(string(want), string(got)))
	}
}

func TestDocsShowEveryCallAndLoadNothing(t *testing.T) {
	k := newKit(t)
	page := string(k.get("/docs").body)
	for _, pattern := range server.RoutePatterns() {
		if _, path, _ := strings.Cut(pattern, " "); strings.HasPrefix(path, "/v1/") && !strings.Contains(page, strings.ReplaceAll(path, "...}", "}")) {
			t.Errorf("/docs does not show %s", pattern)
		}
	}
	for _, outside := range []string{"http://", "https://", "<script", "src="} {
		if strings.Contains(page, outside) {
			t.Errorf("/docs has %q", outside)
		}
	}
}

func TestPagesWalkEverything(t *testing.T) {
	k := newKit(t).owners()
	for range 7 {
		k.put("u1") // all at the same time
	}
	for _, limit := range []int{1, 2, 7, 50} {
		seen, cursor := map[sandtrail.ID]int{}, ""
		for {
			page := as[api.Page[sandtrail.Execution]](t, k.get(fmt.Sprintf("/v1/executions?userId=u1&limit=%d&cursor=%s", limit, cursor)), 200)
			for _, e := range page.Items {
				seen[e.ID]++
			}
			if cursor = page.Next(); cursor == "" {
				break
			}
		}
		if len(seen) != 7 {
			t.Errorf("limit %d: %v", limit, seen)
		}
	}
}

func TestSingleRecordsHaveETags(t *testing.T) {
	k := newKit(t).owners()
	path := "/v1/executions/" + k.put("u1").String()
	first := k.get(path)
	tag := first.header.Get("ETag")
	as[sandtrail.Execution](t, first, 200)
	if got := k.do(request{method: "GET", path: path, header: []string{"If-None-Match", tag}}); got.status != http.StatusNotModified || len(got.body) != 0 {
		t.Errorf("status %d with %d bytes, want 304 with none", got.status, len(got.body))
	}
	if err := k.store.PutUser(t.Context(), sandtrail.User{ID: "u1", Email: "changed@example.com"}); err != nil {
		t.Fatal(err)
	}
	if got := k.do(request{method: "GET", path: path, header: []string{"If-None-Match", tag}}); got.status != 200 {
		t.Errorf("status %d after the user beside it changed, want 200", got.status)
	}
}

func TestExport(t *testing.T) {
	k := newKit(t).owners()
	formula := `=HYPERLINK("http://evil.example")`
	if err := k.store.PutStrategy(t.Context(), sandtrail.Strategy{ID: "s1", Name: formula}); err != nil {
		t.Fatal(err)
	}
	as[api.Appended](t, k.do(request{
		method: "POST", path: "/v1/executions", header: []string{"Content-Type", "application/x-ndjson"},
		body: repeat(2500, func(i int) string { return record(fmt.Sprintf("executionTime:%d", i), `classesFound:["A","B"]`) }),
	}), 201)

	lines := bytes.Split(bytes.TrimSpace(k.get("/v1/export").body), []byte("\n"))
	if len(lines) != 2500 {
		t.Fatalf("%d lines of NDJSON", len(lines))
	}
	var e sandtrail.Execution
	if err := json.Unmarshal(lines[0], &e); err != nil || e.Strategy.Name != formula {
		t.Errorf("first line %s: %v", lines[0], err)
	}

	rows, err := csv.NewReader(bytes.NewReader(k.get("/v1/export?format=csv&minTime=2000").body)).ReadAll()
	if err != nil || len(rows) != 1+500 {
		t.Fatalf("%d rows of CSV: %v", len(rows), err)
	}
	if diff := cmp.Diff(recordcsv.Header(), rows[0]); diff != "" {
		t.Error(diff)
	}
	if got := rows[1][len(rows[1])-1]; got != "'"+formula {
		t.Errorf("a cell that would run as a formula: %q", got)
	}
}

// A store that fails in the middle must not look like the end.
func TestExportThatFailsIsCutShort(t *testing.T) {
	k := newKit(t).owners()
	as[api.Appended](t, k.do(request{
		method: "POST", path: "/v1/executions", header: []string{"Content-Type", "application/x-ndjson"},
		body: repeat(1500, func(int) string { return record() }),
	}), 201)
	broken := newKit(t, func(c *server.Config) { c.Store = &failingPages{Store: k.store, after: 1} })
	response, err := broken.http.Get(broken.url + "/v1/export")
	if err == nil {
		defer response.Body.Close()
		_, err = new(bytes.Buffer).ReadFrom(response.Body)
	}
	if err == nil {
		t.Error("the export ended as if it were whole")
	}
}

// TestExportGoesOn cuts an export anywhere and goes on as docs/integrity.md
// says: with until, and without what came whole.
func TestExportGoesOn(t *testing.T) {
	k := newKit(t).owners()
	as[api.Appended](t, k.do(request{
		method: "POST", path: "/v1/executions", header: []string{"Content-Type", "application/x-ndjson"},
		body: repeat(1500, func(i int) string { // many of a millisecond
			return record(fmt.Sprintf("createdAt:%q", start.Add(-time.Duration(i/7)*time.Millisecond).Format(time.RFC3339Nano)))
		}),
	}), 201)
	whole := k.get("/v1/export?userId=u1").body
	for cut := 1; cut < len(whole); cut += len(whole) / 41 {
		response, err := k.http.Get(k.url + "/v1/export?userId=u1")
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, cut)
		_, err = io.ReadFull(response.Body, got)
		if err := errors.Join(err, response.Body.Close()); err != nil {
			t.Fatal(err)
		}
		got = got[:1+bytes.LastIndexByte(got, '\n')]
		had, until := map[string]bool{}, ""
		for line := range bytes.Lines(got) {
			var last sandtrail.Execution
			if err := json.Unmarshal(line, &last); err != nil {
				t.Fatal(err)
			}
			had[last.ID.String()], until = true, "&until="+last.CreatedAt.Add(time.Millisecond).Format(time.RFC3339Nano)
		}
		for line := range bytes.Lines(k.get("/v1/export?userId=u1" + until).body) {
			var next sandtrail.Execution
			if err := json.Unmarshal(line, &next); err != nil {
				t.Fatal(err)
			}
			if !had[next.ID.String()] {
				got = append(got, line...)
			}
		}
		if !bytes.Equal(got, whole) {
			t.Fatalf("cut at %d of %d bytes, it goes on to be another:\n%s", cut, len(whole), cmp.Diff(string(whole), string(got)))
		}
	}
}

func TestMalformedQueries(t *testing.T) {
	k := newKit(t).owners()
	for _, id := range []string{"0192d3a4-7b1c-7def-8a90-000000000001", "0192d3a4-7b1c-7def-8a90-000000000002"} {
		as[api.Appended](t, k.post("/v1/executions", record(`"id":"`+id+`"`)), http.StatusCreated)
	}
	for path, places := range map[string][]string{
		"/v1/executions?limit=0":         {"query.limit"},
		"/v1/executions?limit=1001":      {"query.limit"},
		"/v1/executions?limit=x":         {"query.limit"},
		"/v1/executions?cursor=x":        {"query.cursor"},
		"/v1/executions?success=maybe":   {"query.success"},
		"/v1/executions?since=yesterday": {"query.since"},
		"/v1/executions?within=1":        {"query.within"},
		"/v1/executions?within=0":        {"query.within"},
		"/v1/executions?executionType=x": {"query.executionType"},
		"/v1/executions?userID=u1":       {"query.userID"},
		"/v1/executions?since=2026-11-24T00:00:00Z&until=2026-11-23T00:00:00Z": {"query.until"},
		"/v1/executions/x":                            {"path.id"},
		"/v1/executions/0192d3a4":                     {"path.id"},
		"/v1/strategies/s1/health?last=0":             {"query.last"},
		"/v1/trends?days=0":                           {"query.days"},
		"/v1/trends?tz=Mars/Olympus":                  {"query.tz"},
		"/v1/trends?bucket=week":                      {"query.bucket"},
		"/v1/users?limit=-1":                          {"query.limit"},
		"/v1/ranking?subject=day":                     {"query.subject"},
		"/v1/export?format=xml":                       {"query.format"},
		"/v1/cleanup":                                 nil,
		"/v1/cleanup?olderThan=x":                     {"query.olderThan"},
		"/v1/cleanup?olderThan=1d&types[x]=1d":        {"query.types.x"},
		"/v1/cleanup?olderThan=1d&strategies[s]=soon": {"query.strategies.s"},
		"/v1/access-log?cursor=x":                     {"query.cursor"},
		"/v1/executions/stream?success=maybe":         {"query.success"},
	} {
		_, got := problem(t, k.get(path), sandtrail.CodeInvalid)
		if diff := cmp.Diff(places, got); diff != "" {
			t.Errorf("%s:\n%s", path, diff)
		}
	}
}

func TestMalformedBodies(t *testing.T) {
	k := newKit(t).owners()
	for _, test := range []struct {
		method, path, body string
		places             []string
	}{
		{"PUT", "/v1/users/u1", `{`, []string{"body"}},
		{"PUT", "/v1/users/u1", `{}`, []string{"body"}},
		{"PUT", "/v1/users/u1", `{"email":"x"}`, []string{"body.email"}},
		{"PUT", "/v1/users/u1", `{"email":"a@b","foo":1}`, []string{"body.foo"}},
		{"PUT", "/v1/users/u1", `{"id":"u2","email":"a@b"}`, []string{"body.id"}},
		{"PUT", "/v1/users/u%00", `{"email":"x"}`, []string{"path.id", "body.email"}},
		{"PUT", "/v1/strategies/s%00", `{"name":"s"}`, []string{"path.id"}},
		{"PUT", "/v1/strategies/s1", `{"name":""}`, []string{"body.name"}},
		{"PUT", "/v1/strategies/s1", `{"name":1}`, []string{"body.name"}},
		{"POST", "/v1/cleanup", `{"olderThan":"x"}`, []string{"body.olderThan"}},
		{"POST", "/v1/cleanup", `{"olderThan":"90d","before":"2026-01-01T00:00:00Z"}`, nil},
		{"POST", "/v1/cleanup", `{"olderThan":"90d","types":{"TERMINAL":"1y"},"strategies":{"":"1d"}}`, []string{"body.types.TERMINAL"}},
		{"POST", "/v1/cleanup", `{"olderThan":"90d","strategies":{"":"1d"}}`, []string{"body.strategies."}},
		{"POST", "/v1/keys", `{"role":"owner"}`, []string{"body.role"}},
		{"POST", "/v1/keys", `{"role":"admin","userId":"u1"}`, []string{"body.userId"}},
		{"POST", "/v1/keys", `{"role":"admin","expiresIn":"soon"}`, []string{"body.expiresIn"}},
		{"POST", "/v1/keys", `{"role":"admin","expiresIn":"0"}`, []string{"body.expiresAt"}},
		{"DELETE", "/v1/keys/x", "", []string{"path.id"}},
	} {
		_, got := problem(t, k.do(request{method: test.method, path: test.path, body: test.body}), sandtrail.CodeInvalid)
		if diff := cmp.Diff(test.places, got); diff != "" {
			t.Errorf("%s %s %s:\n%s", test.method, test.path, test.body, diff)
		}
	}
}

// A cleanup goes by the server's periods unless it brings its own.
func TestCleanupByPeriods(t *testing.T) {
	k := newKit(t, func(c *server.Config) { c.Retention.Strategies = map[string]time.Duration{"s2": 0} }).owners()
	created := `"createdAt":"` + start.Add(-2*time.Hour).Format(time.RFC3339) + `"`
	for _, strategy := range []string{"s1", "s2"} {
		as[api.Appended](t, k.post("/v1/executions", record(created, `"strategyId":"`+strategy+`"`)), http.StatusCreated)
	}
	for _, test := range []struct {
		query, body string
		want        int64
	}{
		{"olderThan=1h", `{"olderThan":"1h"}`, 1},
		{"olderThan=1h", `{"olderThan":"1h"}`, 0},
		{"olderThan=1h&types[VALIDATION]=3h", `{"olderThan":"1h","types":{"VALIDATION":"3h"}}`, 0},
		{"olderThan=1h&strategies[s1]=0", `{"olderThan":"1h","strategies":{"s1":"0"}}`, 1},
	} {
		counted := as[api.Count](t, k.get("/v1/cleanup?"+test.query), http.StatusOK)
		deleted := as[api.CleanedUp](t, k.post("/v1/cleanup", test.body), http.StatusOK)
		if counted.Count != test.want || deleted.Deleted != test.want {
			t.Errorf("%s: %d, %d, want %d", test.body, counted.Count, deleted.Deleted, test.want)
		}
	}
}

func TestRetentionIsShown(t *testing.T) {
	k := newKit(t, func(c *server.Config) {
		c.Retention.Types = map[sandtrail.ExecutionType]time.Duration{sandtrail.Terminal: 365 * 24 * time.Hour}
		c.Retention.Strategies = map[string]time.Duration{"s1": 0, "s2": 36 * time.Hour}
	})
	want := api.Retention{Keep: "90d", Types: map[string]string{"TERMINAL": "365d"}, Strategies: map[string]string{"s1": "0", "s2": "36h"}}
	if diff := cmp.Diff(want, as[api.Retention](t, k.get("/v1/retention"), http.StatusOK)); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsNotThere(t *testing.T) {
	k := newKit(t)
	for _, path := range []string{
		"/v1/nothing", "/nothing", "/v1/executions/" + sandtrail.NewID(start).String(), "/v1/users/nobody",
		"/v1/users/nobody/stats", "/v1/strategies/none/stats", "/v1/strategies/none/health",
	} {
		problem(t, k.get(path), sandtrail.CodeNotFound)
	}
	got := k.do(request{method: "PATCH", path: "/v1/users/u1"})
	problem(t, got, sandtrail.CodeInvalid)
	if got.status != http.StatusMethodNotAllowed || got.header.Get("Allow") != "GET, PUT, DELETE" {
		t.Errorf("status %d, Allow %q", got.status, got.header.Get("Allow"))
	}
}

func TestIDsOfAnyText(t *testing.T) {
	k := newKit(t)
	for _, id := range []string{"a/b", "ü ?#%", "a+b", "..a"} {
		path := "/v1/users/" + url.PathEscape(id)
		as[sandtrail.User](t, k.do(request{method: "PUT", path: path, body: fmt.Sprintf(`{"email":%q}`, url.QueryEscape(id)+"@example.com")}), 200)
		if got := as[sandtrail.User](t, k.get(path), 200); got.ID != id {
			t.Errorf("id %q came back as %q", id, got.ID)
		}
	}
}

func TestAnswersAreCompressed(t *testing.T) {
	k := newKit(t)
	for _, encoding := range []string{"gzip", "zstd"} {
		got := k.do(request{method: "GET", path: "/openapi.json", header: []string{"Accept-Encoding", encoding}})
		if got.header.Get("Content-Encoding") != encoding {
			t.Errorf("asked for %s, got %q", encoding, got.header.Get("Content-Encoding"))
		}
	}
}
