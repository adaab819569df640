//go:build linux

package prisma_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail/internal/nodetest"
)

// tenants is a process that runs Prisma's schema engine and clients for many
// applications.
type tenants struct {
	calls   *json.Encoder
	answers *bufio.Scanner
}

// tenant is one of them, by its database.
type tenant struct {
	*tenants
	url string
}

func startTenants(t testing.TB) *tenants {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", "testdata/app/engine/applications.mjs")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	check(t, err)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait() // the test's context ends it
	})
	p := &tenants{calls: json.NewEncoder(in), answers: bufio.NewScanner(out)}
	p.answers.Buffer(nil, 64<<20)
	return p
}

// call asks the process and decodes its result.
func (p *tenants) call(t testing.TB, call string, params map[string]any, result any) {
	t.Helper()
	params["call"] = call
	check(t, p.calls.Encode(params))
	if !p.answers.Scan() {
		t.Fatalf("%s: no answer: %v", call, p.answers.Err())
	}
	var answer struct {
		Result json.RawMessage
		Error  string
	}
	check(t, json.Unmarshal(p.answers.Bytes(), &answer))
	if answer.Error != "" {
		t.Fatalf("%s: %s", call, answer.Error)
	}
	check(t, json.Unmarshal(answer.Result, result))
}

// packages are those of its version of Prisma.
func (a application) packages(t testing.TB) string {
	t.Helper()
	folder := "app"
	if a.prisma != "" {
		folder = "prisma" + a.prisma
	}
	source, err := filepath.Abs(filepath.Join("testdata", folder))
	check(t, err)
	nodetest.Install(t, source)
	return filepath.Join(source, "node_modules")
}

// generate makes the client of a schema in a folder.
func (e tenant) generate(t testing.TB, version, dir, schema string) {
	t.Helper()
	if version != "" {
		generateOld(t, version, dir, schema)
		return
	}
	e.call(t, "generate", map[string]any{"dir": dir, "schema": schema}, &struct{}{})
}

// generateOld makes a client of Prisma 6 or 5 that needs no native engine.
func generateOld(t testing.TB, version, dir, schema string) {
	t.Helper()
	option := map[string]string{"6": `engineType = "client"`, "5": `previewFeatures = ["driverAdapters"]`}[version]
	write(t, dir, "schema.prisma", strings.NewReplacer(
		`"prisma-client-js"`, "\"prisma-client-js\"\n  output = \"client\"\n  "+option,
		`"postgresql"`, "\"postgresql\"\n  url = \"postgres://\"",
	).Replace(schema))
	t.Setenv("PRISMA_QUERY_ENGINE_LIBRARY", "/bin/true") // it is copied, not run
	run(t, filepath.Dir(dir), "prisma", "generate", "--schema", dir+"/schema.prisma")
	write(t, dir, "index.js", `module.exports = require("./client/index.js")`)
	if version == "5" { // its WebAssembly is made for Cloudflare
		write(t, dir, "index.js", `module.exports = require("./client/wasm.js")`)
		write(t, dir, "client/wasm-worker-loader.mjs", `import { readFileSync } from "node:fs";
export default { default: new WebAssembly.Module(readFileSync(new URL("query_engine_bg.wasm", import.meta.url))) };
`)
	}
}

// queries are the answers to the example application's queries, with converted values in
// the form that adoption gives them.
func (e tenant) queries(t testing.TB, a application, dir string, now time.Time, names map[string]string) any {
	t.Helper()
	var answers any
	e.call(t, "queries", map[string]any{
		"dir": dir, "url": e.url, "options": a.session(), "user": a.id(1), "strategy": a.id(1), "now": now.UnixMilli(), "names": names,
	}, &answers)
	if a.log && len(answers.(map[string]any)["failures"].([]any)) == 0 {
		t.Error("the queries find no failures")
	}
	return converted(answers)
}

// attempts are the calls that depend on the table's keys and types, by what each
// comes to.
func (e tenant) attempts(t testing.TB, a application, dir string) (came map[string]string) {
	t.Helper()
	e.call(t, "attempts", map[string]any{
		"dir": dir, "url": e.url, "options": a.session(), "user": a.id(1), "strategy": a.id(1), "table": a.table(),
	}, &came)
	return came
}

// converted brings values that adoption converts into one form.
func converted(value any) any {
	switch value := value.(type) {
	case []any:
		for i := range value {
			value[i] = converted(value[i])
		}
	case map[string]any:
		delete(value, "runnerHost") // the model that is printed lacks it
		for name, v := range value {
			value[name] = converted(v)
		}
		if list, ok := value["classesFound"].([]any); ok {
			value["classesFound"] = strings.Trim(strings.ReplaceAll(fmt.Sprint(list), " ", ","), "[]")
		}
		if number, ok := value["avg_memory"].(float64); ok { // of a column of floats
			value["avg_memory"] = fmt.Sprint(number)
		}
		if text, ok := value["metadata"].(string); ok {
			var object any
			_ = json.Unmarshal([]byte(text), &object) // nil where it is no JSON
			value["metadata"] = object
		}
	}
	return value
}

func files(schema string) []map[string]string {
	return []map[string]string{{"path": "schema.prisma", "content": schema}}
}

func filters(external []string) map[string]any {
	if external == nil {
		external = []string{}
	}
	return map[string]any{"externalTables": external, "externalEnums": []string{}}
}

// push is prisma db push.
func (e tenant) push(t testing.TB, schema string) {
	t.Helper()
	var pushed struct{ ExecutedSteps int }
	e.engine(t, "schemaPush", map[string]any{"force": false, "schema": map[string]any{"files": files(schema)}, "filters": filters(nil)}, &pushed)
	if pushed.ExecutedSteps == 0 {
		t.Fatal("nothing was pushed")
	}
}

func (e tenant) engine(t testing.TB, method string, params map[string]any, result any) {
	t.Helper()
	e.call(t, "engine", map[string]any{"url": e.url, "method": method, "params": params}, result)
}

// noDrift compares the database with a schema, as prisma migrate does.
func (e tenant) noDrift(t testing.TB, schema string, external ...string) {
	t.Helper()
	var diff struct {
		ExitCode int
		Stdout   string
	}
	e.engine(t, "diff", map[string]any{
		"from": map[string]any{"tag": "schemaDatasource", "files": files(schema), "configDir": "."}, "to": map[string]any{"tag": "schemaDatamodel", "files": files(schema)},
		"script": false, "exitCode": true, "shadowDatabaseUrl": nil, "filters": filters(external),
	}, &diff)
	if diff.ExitCode != 0 {
		t.Errorf("drift:\n%s", diff.Stdout)
	}
}
