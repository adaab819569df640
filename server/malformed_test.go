package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/server"
)

// described is the part of the OpenAPI document that says what calls take.
type described struct {
	Paths map[string]map[string]struct {
		Parameters []struct {
			Name, In string
			Schema   struct {
				Type, Format string
				Enum         []string
			}
		}
		RequestBody *struct {
			Content map[string]struct{}
		}
	}
}

func describedCalls(t *testing.T, k *kit) described {
	t.Helper()
	var doc described
	if err := json.Unmarshal(k.get("/openapi.json").body, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// Every route is described and every description has a route: what is made
// from the document covers all calls.
func TestTheDocumentIsComplete(t *testing.T) {
	var described []string
	for path, methods := range describedCalls(t, newKit(t)).Paths {
		for method := range methods {
			described = append(described, strings.ToUpper(method)+" "+path)
		}
	}
	undescribed := []string{"GET /readyz", "GET /metrics", "GET /openapi.json", "GET /docs"}
	for _, pattern := range server.RoutePatterns() {
		name := strings.Replace(pattern, "{path...}", "{path}", 1)
		if slices.Contains(described, name) == slices.Contains(undescribed, name) {
			t.Errorf("%s is not described", pattern)
		}
	}
	if routes := len(server.RoutePatterns()) - len(undescribed); len(described) != routes {
		t.Errorf("%d calls are described, %d routes want to be", len(described), routes)
	}
}

// Every call × every class of malformed input is refused with a problem that
// names the place, and does nothing.
func TestMalformedInput(t *testing.T) {
	k := newKit(t).owners()
	before := k.count()
	for path, methods := range describedCalls(t, k).Paths {
		for method, call := range methods {
			method = strings.ToUpper(method)
			var query []string // what is required
			for _, p := range call.Parameters {
				if p.In == "query" && p.Name == "subject" {
					query = append(query, "subject=user")
				}
			}
			good := strings.NewReplacer("{id}", sandtrail.NewID(start).String(), "{subject}", "user", "{path}", "0/000").Replace(path)
			for _, p := range call.Parameters {
				for _, value := range badValues(p.Schema.Type, p.Schema.Format, p.Schema.Enum) {
					address := good
					switch p.In {
					case "query":
						address += "?" + strings.Join(slices.DeleteFunc(append(slices.Clone(query), p.Name+"="+value), func(q string) bool {
							return strings.HasPrefix(q, p.Name+"=") && q != p.Name+"="+value
						}), "&")
					case "path":
						address = strings.Replace(strings.NewReplacer("{"+p.Name+"}", value).Replace(path), "{subject}", "user", 1)
						address = strings.Replace(address, "{id}", "u1", 1)
					default:
						continue
					}
					k.refuses(t, request{method: method, path: address}, p.Name)
				}
			}
			if call.RequestBody == nil {
				continue
			}
			for _, body := range []string{"{", "[1]", "7", `"x"`, `{"nobody":"knows this"}`, "{\"reason\":\"\xff\"}", "\x00"} {
				if path == "/v1/logs" && strings.Contains(body, "nobody") {
					continue // OTLP wants members that are not known to be ignored
				}
				k.refuses(t, request{method: method, path: good, body: body}, "")
			}
			k.refuses(t, request{method: method, path: good, body: "{}", header: []string{"Content-Type", "image/png"}}, "")
		}
	}
	if after := k.count(); after != before {
		t.Errorf("%d executions, then %d", before, after)
	}
}

// badValues are values that a parameter cannot take.
func badValues(kind, format string, enum []string) []string {
	switch {
	case len(enum) > 0:
		return []string{"nothing-of-the-kind"}
	case format == "uuid":
		return []string{"7", "00000000-0000-0000-0000-000000000000"}
	case format == "date-time":
		return []string{"yesterday", "2026-13-01T00:00:00Z"}
	case kind == "integer":
		return []string{"x", "1.5", "99999999999999999999"}
	case kind == "boolean":
		return []string{"perhaps"}
	}
	return nil
}

// refuses makes a call that has to be refused; name is the parameter that is
// at fault, "" for the body.
func (k *kit) refuses(t *testing.T, q request, name string) {
	t.Helper()
	got := k.do(q)
	what := fmt.Sprintf("%s %s %q", q.method, q.path, q.body)
	if got.status < 400 || got.status >= 500 {
		t.Errorf("%s: status %d: %s", what, got.status, got.body)
		return
	}
	if strings.HasPrefix(q.path, "/v1/logs") {
		return // another form, for which TestLogsThatCannotBeTaken is
	}
	var p struct{ Errors []struct{ Location string } }
	if err := json.Unmarshal(got.body, &p); err != nil || !strings.HasPrefix(got.header.Get("Content-Type"), "application/problem+json") {
		t.Errorf("%s: no problem: %s", what, got.body)
	}
	if name == "" || got.status == http.StatusNotFound {
		return
	}
	if !slices.ContainsFunc(p.Errors, func(e struct{ Location string }) bool { return strings.HasSuffix(e.Location, "."+name) }) {
		t.Errorf("%s: does not say where: %s", what, got.body)
	}
}
