package server_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/server"
)

// Every call that is documented has an example, which is what it does: made
// again, the call is answered in the same form.
func TestExamplesAreTrue(t *testing.T) {
	made := makeExamples(t)
	if *update {
		raw, err := json.MarshalIndent(made, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("examples.json", append(raw, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Log("examples.json is written: update the golden file of the API as well")
		return
	}
	shown := server.Examples()
	k := newKit(t)
	document := as[map[string]any](t, k.get("/openapi.json"), http.StatusOK)
	for path, methods := range document["paths"].(map[string]any) {
		for method, call := range methods.(map[string]any) {
			if call.(map[string]any)["x-codeSamples"] == nil {
				t.Errorf("%s %s has no example; go test ./server -run Examples -update makes it", strings.ToUpper(method), path)
			}
		}
	}
	for call, want := range shown {
		got, ok := made[call]
		if !ok {
			t.Errorf("%s: an example of nothing", call)
			continue
		}
		if got.Status != want.Status || got.Type != want.Type {
			t.Errorf("%s: %d %s, the example says %d %s", call, got.Status, got.Type, want.Status, want.Type)
		}
		if diff := cmp.Diff(form(want.Response), form(got.Response)); diff != "" {
			t.Errorf("%s: answered in another form than the example (-example +now)\n%s", call, diff)
		}
	}
}

// makeExamples makes each call once, as the first of the deeds says.
func makeExamples(t *testing.T) map[string]server.Example {
	t.Helper()
	k := newKit(t)
	secret := k.key(auth.RoleAdmin, "")
	other, _ := auth.NewKey("dashboard", auth.RoleRead, "", start)
	silence := alert.Silence{ID: sandtrail.NewID(start), CreatedAt: start, Until: start.Add(time.Hour)}
	if err := k.store.CreateKey(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if err := k.store.CreateSilence(t.Context(), silence); err != nil {
		t.Fatal(err)
	}
	made := map[string]server.Example{}
	for _, d := range deeds {
		method, pattern, _ := strings.Cut(strings.ReplaceAll(d.pattern, "...}", "}"), " ")
		call := method + " " + pattern
		if _, ok := made[call]; ok || !strings.HasPrefix(pattern, "/v1/") && pattern != "/healthz" {
			continue
		}
		k.owners()
		execution := k.put("u1")
		if err := k.store.Maintain(t.Context(), start); err != nil { // seals it
			t.Fatal(err)
		}
		fill := strings.NewReplacer("{user}", "u1", "{execution}", execution.String(), "{key}", other.ID.String(), "{silence}", silence.ID.String())
		e := server.Example{Path: fill.Replace(d.pathOf()), Body: asJSON(fill.Replace(d.body))}
		answer := k.doNoStream(request{method: method, path: e.Path, body: fill.Replace(d.body), key: secret})
		if answer.status >= 300 {
			t.Fatalf("%s: %d %s", call, answer.status, answer.body)
		}
		e.Status = answer.status
		e.Type, _, _ = mime.ParseMediaType(answer.header.Get("Content-Type"))
		if utf8.Valid(answer.body) {
			e.Response = asJSON(unsecret(answer.body))
		}
		made[call] = e
	}
	return made
}

// unsecret keeps keys, even of a test, out of what is shown.
func unsecret(body []byte) string {
	var answer struct{ Secret string }
	if json.Unmarshal(body, &answer) != nil || answer.Secret == "" {
		return string(body)
	}
	return strings.ReplaceAll(string(body), answer.Secret, "st_…")
}

// asJSON is a text as it is if it is JSON, or else as a JSON string.
func asJSON(text string) json.RawMessage {
	if text == "" {
		return nil
	}
	if json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	raw, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return raw
}

// form lists the members of a JSON value, with their kinds.
func form(raw json.RawMessage) []string {
	var value any
	if json.Unmarshal(raw, &value) != nil {
		return nil
	}
	found := map[string]bool{}
	list("", value, found)
	return slices.Sorted(maps.Keys(found))
}

func list(path string, value any, found map[string]bool) {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			list(path+"."+name, member, found)
		}
	case []any:
		for _, element := range v {
			list(path+"[]", element, found)
		}
	default:
		found[fmt.Sprintf("%s %T", path, value)] = true
	}
}
