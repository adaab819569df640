package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/storetest"
)

// TestForeignValuesThroughEveryDoor writes by plain SQL whatever the tables
// take. Every page, every call of the API that reads, the stream and every
// reading command must answer.
func TestForeignValuesThroughEveryDoor(t *testing.T) {
	for name, open := range map[string]func(*testing.T) (string, storetest.ForeignWriter){
		"SQLite": foreignSQLite, "PostgreSQL": foreignPostgres,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database, writer := open(t)
			for _, statement := range storetest.ForeignTables {
				if err := writer.Exec(statement); err != nil {
					t.Fatal(err)
				}
			}
			command(t, 0, "migrate", "--db", database)
			d := &doors{T: t, key: filepath.Join(t.TempDir(), "key"), orphans: writer.Orphans}
			d.url = serveProgram(t, database, d.key, "--retention", "0")
			stream := d.stream("/v1/executions/stream")
			d.rows = storetest.WriteForeign(t, writer)
			d.followed(stream)
			d.calls()
			d.pages()
			d.commands("--db", database)
			d.commands("--server", d.url)
			d.get("/readyz")
		})
	}
}

func foreignSQLite(t *testing.T) (string, storetest.ForeignWriter) {
	path := filepath.Join(t.TempDir(), "foreign.db")
	other, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	other.SetMaxOpenConns(1)
	return "sqlite:" + path, storetest.ForeignSQLite(func(statement string) error {
		_, err := other.ExecContext(t.Context(), statement)
		return err
	})
}

func foreignPostgres(t *testing.T) (string, storetest.ForeignWriter) {
	database := pgtest.New(t)
	other, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close(context.Background()) })
	return database, storetest.ForeignPostgres(func(statement string) error {
		_, err := other.Exec(t.Context(), statement)
		return err
	})
}

// serveProgram starts the program as a server. When the test ends it must still
// run, and must not have complained of a panic.
func serveProgram(t *testing.T, database, key string, flags ...string) (address string) {
	t.Helper()
	cmd := sandtrailCommand(t, database, append([]string{
		"serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--ledger-key", key,
	}, flags...)...)
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	addresses, logged := make(chan string, 1), make(chan []string, 1)
	go func() {
		var all []string
		for lines := bufio.NewScanner(said); lines.Scan(); {
			all = append(all, lines.Text())
			var line struct{ Address string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Address != "" {
				addresses <- "http://" + line.Address
			}
		}
		logged <- all
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		overdue := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		defer overdue.Stop()
		all := <-logged
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server ended with %v:\n%.5000s", err, strings.Join(all, "\n"))
		}
		for _, line := range all {
			if strings.Contains(line, "panic") || strings.Contains(line, `"level":"ERROR"`) {
				t.Errorf("the server said %.2000s", line)
			}
		}
	})
	select {
	case address := <-addresses:
		return address
	case all := <-logged:
		logged <- all
		t.Fatalf("the server did not start: %s", all)
	case <-time.After(time.Minute):
		t.Fatal("the server did not start within a minute")
	}
	return ""
}

// doors are the ways to what a database has.
type doors struct {
	*testing.T
	url  string
	key  string // signs the checkpoints of the server and of the command line
	rows int
	ids  []string
	// orphans says that there are rows without an owner.
	orphans bool
}

// perAnswer is how long an answer may take.
const perAnswer = 20 * time.Second

// get asks, and expects an answer of a status in time.
func (d *doors) get(path string, want ...int) []byte {
	d.Helper()
	ctx, cancel := context.WithTimeout(d.Context(), perAnswer)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+path, nil)
	if err != nil {
		d.Fatalf("GET %s: %v", path, err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		d.Errorf("GET %.300s: %v", path, err)
		return nil
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		d.Errorf("GET %.300s: %v after %d bytes", path, err, len(body))
	}
	if !slices.Contains(append(want, http.StatusOK), response.StatusCode) {
		d.Errorf("GET %.300s: status %d: %s", path, response.StatusCode, said(body))
	}
	return body
}

// said is the text of an answer, without what surrounds that of a page.
func said(body []byte) string {
	if _, main, page := strings.Cut(string(body), "<main"); page {
		body = []byte(main)
	}
	return fmt.Sprintf("%.1000s", body)
}

// stream begins to follow. The header of the answer must come at once, though
// there is nothing to tell.
func (d *doors) stream(path string) io.ReadCloser {
	d.Helper()
	r, err := http.NewRequestWithContext(d.Context(), http.MethodGet, d.url+path, nil)
	if err != nil {
		d.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{ResponseHeaderTimeout: perAnswer, DisableKeepAlives: true}}
	response, err := client.Do(r)
	if err != nil {
		d.Fatalf("GET %s: %v", path, err)
	}
	if response.StatusCode != http.StatusOK {
		d.Fatalf("GET %s: status %d", path, response.StatusCode)
	}
	return response.Body
}

// followed reads a stream until it has told of every row, each in the time of an
// answer.
func (d *doors) followed(stream io.ReadCloser) {
	d.Helper()
	defer stream.Close()
	patience := time.AfterFunc(perAnswer, func() { stream.Close() })
	defer patience.Stop()
	met := 0
	lines := bufio.NewReader(stream)
	for met < d.rows {
		line, err := lines.ReadString('\n')
		if err != nil {
			d.Fatalf("the stream told of %d rows of %d: %v", met, d.rows, err)
		}
		if strings.HasPrefix(line, "data: ") {
			met++
			patience.Reset(perAnswer)
		}
	}
}

// required are parameters that calls cannot do without.
var required = map[string][]string{
	"/v1/ranking": {"subject=user", "subject=strategy"},
	"/v1/trends":  {"days=1", "days=365&tz=Europe/Paris", "days=2&bucket=hour"},
	"/v1/export":  {"format=ndjson", "format=csv"},
	"/v1/window":  {"", "since=2026-11-24T11:00:00Z"},
	"/v1/cleanup": {"olderThan=90d"},
}

// calls makes every call of the API that reads, of every row and owner.
func (d *doors) calls() {
	d.Helper()
	for cursor := ""; ; {
		var page struct {
			Items      []struct{ ID string }
			NextCursor string
		}
		if err := json.Unmarshal(d.get("/v1/executions?limit=7&cursor="+url.QueryEscape(cursor)), &page); err != nil {
			d.Fatal(err)
		}
		for _, item := range page.Items {
			d.ids = append(d.ids, item.ID)
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	if len(d.ids) != d.rows {
		d.Errorf("lists met %d rows of %d", len(d.ids), d.rows)
	}
	var document struct {
		Paths map[string]map[string]struct{}
	}
	if err := json.Unmarshal(d.get("/openapi.json"), &document); err != nil {
		d.Fatal(err)
	}
	for path, methods := range document.Paths {
		if _, reads := methods["get"]; !reads || path == "/v1/executions/stream" {
			continue
		}
		for _, query := range append(required[path], "")[:max(1, len(required[path]))] {
			for _, value := range d.valuesOf(path) {
				// What is not sealed yet has no proof; a path cannot name an empty key.
				d.get(strings.Replace(path, "{id}", url.PathEscape(value), 1)+"?"+query, http.StatusNotFound)
			}
		}
	}
	if n := bytes.Count(d.get("/v1/export?format=ndjson"), []byte("\n")); n != d.rows {
		d.Errorf("an export has %d rows of %d", n, d.rows)
	}
	d.get("/v1/examination?deep=true")
	d.get("/metrics")
}

// valuesOf are what a path may name.
func (d *doors) valuesOf(path string) []string {
	switch {
	case !strings.Contains(path, "{id}"):
		return []string{""}
	case strings.Contains(path, "/users/"), strings.Contains(path, "/strategies/"):
		return append(storetest.ForeignKeys(), storetest.OrphanKey)
	}
	return d.ids
}

var link = regexp.MustCompile(`href="(/[^"#]*)`)

// pages follows the links of the pages, beginning with those of all rows and
// owners. Of the addresses that differ in their parameters alone it asks a few.
func (d *doors) pages() {
	d.Helper()
	next := []string{"/", "/executions", "/strategies", "/users", "/alerts", "/checkpoint", "/admin", "/admin/keys", "/admin/access-log", "/admin/examination"}
	for i, id := range d.ids {
		next = append(next, "/executions/"+id)
		if i%5 == 0 { // the API was asked for those of all
			next = append(next, "/executions/"+id+"/receipt", "/executions/"+id+"/proof", "/executions/"+id+"/session")
		}
	}
	for _, key := range append(storetest.ForeignKeys(), storetest.OrphanKey) {
		next = append(next, "/users/"+url.PathEscape(key), "/strategies/"+url.PathEscape(key),
			"/executions?userId="+url.QueryEscape(key), "/executions?strategyId="+url.QueryEscape(key))
	}
	asked, alike := map[string]bool{}, map[string]int{}
	for len(next) > 0 {
		address := next[0]
		path, _, _ := strings.Cut(address, "?")
		if next = next[1:]; asked[address] || alike[path] > 8 || path == "/live" {
			continue
		}
		asked[address], alike[path] = true, alike[path]+1
		for _, found := range link.FindAllSubmatch(d.get(address, http.StatusNotFound), -1) {
			next = append(next, html.UnescapeString(string(found[1])))
		}
	}
	d.Logf("%d pages of %d rows", len(asked), d.rows)
	d.stream("/live").Close()
}

// commands runs the commands that read. Those that are asked for a row or an
// owner must tell of it; an address has no room for an empty key.
func (d *doors) commands(where ...string) {
	d.Helper()
	for _, args := range [][]string{
		{"list", "--limit", "1000"},
		{"failures", "--within", "9999d"},
		{"trends"},
		{"trends", "--days", "365"},
		{"users", "list"},
		{"strategies", "list"},
		{"alert", "check"},
		{"alert", "history"},
		{"hold", "list"},
		{"keys", "list"},
		{"cleanup", "--dry-run"},
		{"export"},
		{"export", "--format", "csv"},
		{"export", "--format", "parquet"},
		{"export", "--format", "ocsf"},
	} {
		d.command(where, 0, args...)
	}
	d.command(where, map[bool]int{true: statusFinding}[d.orphans], "doctor", "--deep", "--outbox", d.TempDir())
	if where[0] == "--db" {
		d.command(where, 0, "ledger", "checkpoint", "--ledger-key", d.key)
		d.command(where, 0, "verify", "--ledger-key", d.key)
	}
	for _, id := range d.ids {
		d.command(where, 0, "show", id)
	}
	for _, key := range storetest.ForeignKeys() {
		asFlag, asArgument := 0, 0
		if key == "" { // a flag without a value is refused, and so is a path of the API without one
			asFlag = statusUsage
			if where[0] == "--server" {
				asArgument = statusUsage
			}
		}
		for _, args := range [][]string{{"stats", "--user=" + key}, {"stats", "--strategy=" + key}, {"health", "--strategy=" + key}, {"list", "--user=" + key}} {
			d.command(where, asFlag, args...)
		}
		for _, owners := range []string{"users", "strategies"} {
			d.command(where, asArgument, owners, "show", "--", key)
		}
	}
	d.command(where, 0, "list", "--user="+storetest.OrphanKey)
}

func (d *doors) command(where []string, want int, args ...string) {
	d.Helper()
	ctx, cancel := context.WithTimeout(d.Context(), perAnswer)
	defer cancel()
	var out, complaint bytes.Buffer
	if status := run(ctx, slices.Concat(args[:1], where, args[1:]), bare(&out, &complaint)); status != want {
		d.Errorf("sandtrail %.300q %s: status %d, want %d, %v: %.1000s\n%.3000s", args, where[0], status, want, ctx.Err(), &complaint, &out)
	}
}
