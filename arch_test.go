package sandtrail_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/token"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const modulePath = "github.com/sandtrail/sandtrail"

// edge is one allowed import: from a package below the module's path ("." is
// the root, the domain) to another of ours, or to a module of somebody else.
type edge struct{ from, to, why string }

// domain are the packages beside the root that every other may import. They import the
// root and the standard library alone.
var domain = []string{"alert", "auth", "database", "follow", "remedy"}

// Beside the standard library, nothing else is imported outside of tests.
// docs/architecture.md tells the idea behind this table.
var edges = []edge{
	{"rollup", ".", "folds the domain's records into its statistics"},
	{"rollup", "github.com/DataDog/sketches-go", "the sketch's mapping from values to bins"},
	{"derive", ".", "its check is one of the domain's"},
	{"derive", "rollup", "merges changes into stored roll-ups, and compares these"},
	{"ledger", ".", "hashes the domain's records"},
	{"ledger", "durable", "writes the key file"},
	{"ledger", "internal/bounded", "reads exports line by line"},
	{"ledger", "golang.org/x/mod", "the RFC 6962 hash tree and signed notes"},

	{"sqlite", ".", "implements the store's contracts"},
	{"sqlite", "derive", "gives it the SQL"},
	{"sqlite", "internal/sqlstore", "runs its SQL"},
	{"sqlite", "rollup", "keeps and answers from the roll-ups"},
	{"sqlite", "ledger", "keeps the ledger's leaves"},
	{"sqlite", "internal/human", "the file's size in an examination"},
	{"sqlite", "internal/ownerkey", "spells owners' keys as their columns do"},
	{"sqlite", "modernc.org/sqlite", "the database"},
	{"postgres", ".", "implements the store's contracts"},
	{"postgres", "derive", "gives it the SQL"},
	{"postgres", "internal/sqlstore", "runs its SQL"},
	{"postgres", "rollup", "keeps and answers from the roll-ups"},
	{"postgres", "ledger", "keeps the ledger's leaves"},
	{"postgres", "internal/ownerkey", "spells owners' keys as their columns do"},
	{"postgres", "github.com/jackc/pgx/v5", "the database's native protocol"},
	{"ledger/ledgertest", ".", "the stores it works on"},
	{"ledger/ledgertest", "ledger", "what must be found"},
	{"ledger/ledgertest", "github.com/google/go-cmp", "shows how two states differ"},
	{"storetest", ".", "the contracts it holds stores to"},
	{"storetest", "ledger", "verifies what other clients wrote"},
	{"storetest", "github.com/google/go-cmp", "shows how two answers differ"},
	{"internal/sqlstore", ".", "implements the store's contracts"},
	{"internal/sqlstore", "ledger", "keeps what witnesses saw, and renames"},
	{"internal/recordcsv", ".", "writes the domain's executions"},
	{"ingest", "internal/recordcsv", "reads the columns that exports have"},
	{"server", "internal/recordcsv", "exports CSV"},
	{"cmd/sandtrail", "internal/recordcsv", "exports and lists CSV"},
	{"storetest", "internal/recordcsv", "writes every execution that a store may return"},
	{"internal/table", "internal/recordcsv", "keeps CSV cells from being run as formulas"},
	{"internal/sample", ".", "makes drafts that look real, for tests and measurements"},
	{"internal/parquetfile", ".", "its faults are the domain's"},
	{"internal/parquetfile", "github.com/klauspost/compress", "the pages are compressed with zstd"},
	{"internal/bounded", ".", "its faults are the domain's"},
	{"internal/intake", ".", "its faults are the domain's"},
	{"internal/intake", "github.com/klauspost/compress", "files compressed with gzip or zstd"},
	{"internal/table", "internal/human", "shows what would change a terminal"},
	{"internal/table", "github.com/jedib0t/go-pretty/v6", "lines up columns"},
	{"internal/tracing", ".", "its faults are the domain's"},
	{"internal/tracing", "go.opentelemetry.io/otel", "attributes of the resource"},
	{"internal/tracing", "go.opentelemetry.io/otel/trace", "what records spans"},
	{"internal/tracing", "go.opentelemetry.io/otel/sdk", "samples spans and gathers them in batches"},
	{"internal/tracing", "go.opentelemetry.io/otel/exporters/otlp/otlptrace", "turns spans into messages"},
	{"internal/tracing", "go.opentelemetry.io/proto/otlp", "the messages of the protocol"},
	{"internal/tracing", "google.golang.org/protobuf", "encodes them"},
	{"internal/pgtest", "github.com/jackc/pgx/v5", "creates the databases it lends"},
	{"internal/pgtest", "internal/testneed", "ends tests that have no server"},
	{"internal/nodetest", "internal/testneed", "ends tests that have no npm"},
	{"internal/torture", ".", "the records that it sends"},
	{"internal/torture", "client", "loads servers and follows them"},
	{"internal/torture", "outbox", "looks whether anything waits"},
	{"internal/torture", "internal/pgtest", "finds PostgreSQL's programs"},
	{"internal/torture", "github.com/jackc/pgx/v5", "an application's plain SQL and COPY"},
	{"internal/torture", "modernc.org/sqlite", "the same on SQLite"},
	{"internal/torture", "golang.org/x/sys", "mounts the disk that is filled"},
	{"internal/crosscheck", "golang.org/x/tools", "loads packages as another system has them"},

	{"recorder", ".", "what it measures becomes a draft"},
	{"recorder", "durable", "opens files that the command may have exchanged"},
	{"recorder", "asciicast", "records terminal sessions"},
	{"recorder", "internal/pty", "runs sessions on pseudo-terminals"},
	{"recorder/systemd", "github.com/godbus/dbus/v5", "asks systemd for a cgroup"},
	{"recorder", "golang.org/x/sys", "process groups, subreaper, rusage"},
	{"recorder", "golang.org/x/term", "makes the terminal around a session raw"},
	{"internal/cmdline", ".", "reads durations as the domain writes them"},
	{"runner", ".", "what it records are drafts"},
	{"runner", "api", "the exit status of an error"},
	{"runner", "client", "tells an address of a server from one that is none"},
	{"runner", "durable", "writes the record to a file in place of a store"},
	{"runner", "internal/cmdline", "durations, files and folders as flags"},
	{"runner", "internal/human", "shows what would change a terminal"},
	{"runner", "outbox", "keeps records until the store has them"},
	{"runner", "recorder", "runs and measures the command"},
	{"runner", "golang.org/x/sys", "keeps the command away from descriptors that are not its"},
	{"cmd/sandtrail-exec", ".", "hands a server over as where records go"},
	{"cmd/sandtrail-exec", "client", "delivers to a server"},
	{"cmd/sandtrail-exec", "internal/cmdline", "flags, without the parser of the large program"},
	{"cmd/sandtrail-exec", "runner", "all that it does"},
	{"cmd/sandtrail-exec", "golang.org/x/term", "tells whether it is used from a terminal"},
	{"internal/filelock", "golang.org/x/sys", "the locks of Windows"},
	{"internal/pty", "golang.org/x/sys", "the calls that make pseudo-terminals"},
	{"outbox", "internal/filelock", "its processes take turns"},
	{"cmd/sandtrail", "internal/filelock", "one export writes a file"},
	{"outbox", ".", "what it keeps are drafts"},
	{"outbox", "internal/backoff", "waits between deliveries"},
	{"outbox", "durable", "its files are there whole, and stay"},
	{"archive", ".", "what it keeps are executions"},
	{"archive", "database", "reads databases, and removes what is archived"},
	{"archive", "ledger", "signs manifests"},
	{"archive", "durable", "its files are there whole, and stay"},
	{"archive", "s3", "keeps them in buckets"},
	{"archive", "internal/bounded", "reads manifests and buckets up to a limit"},
	{"archive", "internal/parquetfile", "reads what it wrote"},
	{"archive", "github.com/parquet-go/parquet-go", "writes Parquet files"},
	{"cmd/sandtrail", "archive", "what archive and retention write, and list reads"},
	{"ingest", ".", "what it stores are executions"},
	{"ingest", "internal/bounded", "reads rows of CSV up to a limit"},
	{"ingest", "internal/intake", "reads executions from JSON"},
	{"cmd/sandtrail", "ingest", "what the commands store and import from files"},
	{"examples", ".", "names strategies"},
	{"api", ".", "the domain's errors and answers as they travel"},
	{"otlp", ".", "what it reads becomes a draft"},
	{"otlp", "internal/intake", "takes JSON apart"},
	{"otlp", "go.opentelemetry.io/proto/otlp", "the messages of the protocol"},
	{"otlp", "google.golang.org/protobuf", "decodes them"},
	{"client", ".", "implements the store's contracts over HTTP"},
	{"client", "api", "reads what the server writes"},
	{"client", "internal/bounded", "reads answers up to a limit"},
	{"client", "ledger", "hands out proofs"},
	{"client", "internal/backoff", "waits between attempts"},
	{"notify", ".", "what it sends are verdicts"},
	{"notify", "internal/delivery", "posts to webhooks, and keeps secrets out of errors"},
	{"ledger/publish", ".", "its errors"},
	{"ledger/publish", "durable", "keeps checkpoints in files"},
	{"ledger/publish", "ledger", "knows the error for a checkpoint that the log contradicts"},
	{"ledger/publish", "internal/delivery", "posts to witnesses, and keeps secrets out of errors"},
	{"worker", "ledger/publish", "the job that publishes checkpoints"},
	{"cmd/sandtrail", "ledger/publish", "where checkpoints go"},
	{"s3", ".", "its errors"},
	{"s3", "internal/bounded", "reads answers up to a limit"},
	{"s3", "github.com/aws/aws-sdk-go-v2", "signs requests"},
	{"worker", ".", "works on any store"},
	{"worker", "notify", "the alert loop sends what it finds"},

	{"server", ".", "serves any store"},
	{"server", "ledger", "publishes checkpoints, tiles, proofs, receipts and manifests"},
	{"server", "api", "writes what the client reads"},
	{"server", "internal/intake", "reads executions as the command line does"},
	{"server", "otlp", "reads OpenTelemetry's log records"},
	{"server", "golang.org/x/sync", "runs the server's loops together"},
	{"server", "golang.org/x/time", "rate limits by key"},
	{"server", "github.com/danielgtaylor/huma/v2", "typed calls, OpenAPI, problem documents"},
	{"server", "github.com/klauspost/compress", "zstd request bodies"},
	{"server", "github.com/prometheus/client_golang", "the metrics page"},
	{"server", "go.opentelemetry.io/otel", "the header that names a trace, and attributes of spans"},
	{"server", "go.opentelemetry.io/otel/trace", "spans of requests and commits"},
	{"web", ".", "shows any store"},
	{"web", "api", "asks the API in its reader's name"},
	{"web", "internal/human", "figures, and text that hides"},
	{"web", "outbox", "shows administrators what waits there"},
	{"web", "golang.org/x/time", "bounds what refusals write into the access log"},
	{"web", "golang.org/x/sync", "asks the store several questions of a page at once"},
	{"prisma", ".", "its errors"},

	{"bench", ".", "measures any store"},
	{"bench", "internal/sample", "the executions it fills stores with"},
	{"bench", "github.com/jackc/pgx/v5", "plain SQL on PostgreSQL, to compare with"},
	{"bench", "modernc.org/sqlite", "plain SQL on SQLite, to compare with"},

	{"cmd/sandtrail", ".", "main wires everything; nothing imports it"},
	{"cmd/sandtrail", "durable", "writes archives, exports and records to files"},
	{"cmd/sandtrail", "bench", "what the command measures"},
	{"cmd/sandtrail", "server", "what serve serves"},
	{"cmd/sandtrail", "web", "the page it serves beside the API"},
	{"cmd/sandtrail", "worker", "the jobs it runs beside them"},
	{"cmd/sandtrail", "notify", "where its alerts go"},
	{"cmd/sandtrail", "github.com/prometheus/client_golang", "how the jobs do, on the metrics page"},
	{"cmd/sandtrail", "ledger", "verifies, signs checkpoints, keeps the key file"},
	{"cmd/sandtrail", "sqlite", "one of the two databases"},
	{"cmd/sandtrail", "postgres", "one of the two databases"},
	{"cmd/sandtrail", "api", "prints the shapes of the HTTP answers as JSON"},
	{"cmd/sandtrail", "examples", "what the demo runs"},
	{"cmd/sandtrail", "runner", "exec, and the outbox that it shares with the other commands"},
	{"cmd/sandtrail", "recorder", "the demo runs and measures commands"},
	{"cmd/sandtrail", "recorder/systemd", "gives both a cgroup where systemd has one"},
	{"cmd/sandtrail", "internal/cmdline", "durations, files and folders as flags"},
	{"cmd/sandtrail", "asciicast", "play replays sessions"},
	{"cmd/sandtrail", "s3", "archives in buckets"},
	{"cmd/sandtrail", "outbox", "exec keeps records until the store has them"},
	{"cmd/sandtrail", "client", "works with a running server"},
	{"cmd/sandtrail", "prisma", "prints the Prisma schema"},
	{"cmd/sandtrail", "internal/tracing", "sends the spans of serve"},
	{"cmd/sandtrail", "internal/human", "figures in tables"},
	{"cmd/sandtrail", "internal/bounded", "reads files up to a limit"},
	{"cmd/sandtrail", "internal/intake", "reads files of records"},
	{"cmd/sandtrail", "internal/table", "tables and CSV"},
	{"cmd/sandtrail", "github.com/alecthomas/kong", "commands and flags"},
	{"cmd/sandtrail", "github.com/jedib0t/go-pretty/v6", "names of colours"},
	{"cmd/sandtrail", "golang.org/x/term", "tells whether it talks to a terminal"},
}

func TestImportsStayInTheirRooms(t *testing.T) {
	allowed := map[edge]bool{}
	for _, e := range edges {
		if e.why == "" {
			t.Errorf("%s → %s is allowed without a reason", e.from, e.to)
		}
		allowed[edge{e.from, e.to, ""}] = true
	}
	for _, part := range domain {
		allowed[edge{part, ".", ""}] = true
	}
	allowed[edge{"alert", "database", ""}] = true  // a check of doctor
	allowed[edge{"database", "remedy", ""}] = true // an unknown owner has to be added
	for _, found := range imports(t) {
		ofDomain := slices.Contains(domain, found.to) && found.from != "." && !slices.Contains(domain, found.from)
		if !ofDomain && !allowed[found] {
			t.Errorf("%s imports %s: not an allowed edge; read docs/architecture.md, then move the code or add the edge with its reason to arch_test.go",
				found.from, found.to)
		}
	}
}

// TestRootIsSmall bounds the exported names that a user of the root has to know. The
// constants of a typed family, such as those of Code, count as their type.
func TestRootIsSmall(t *testing.T) {
	const most = 90
	var names []string
	for _, s := range program(t) {
		if s.room != "." {
			continue
		}
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.IsExported() {
					names = append(names, d.Name.Name)
				}
			case *ast.GenDecl:
				names = append(names, exported(d)...)
			}
		}
	}
	if len(names) > most {
		t.Errorf("the root has %d exported names, at most %d: put what few packages use where it is used: %v", len(names), most, names)
	}
}

// exported lists the exported types, variables and constants without a type of ours.
func exported(d *ast.GenDecl) (names []string) {
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if spec.Name.IsExported() {
				names = append(names, spec.Name.Name)
			}
		case *ast.ValueSpec:
			for _, name := range spec.Names {
				if family, ok := spec.Type.(*ast.Ident); name.IsExported() && !(ok && d.Tok == token.CONST && family.IsExported()) {
					names = append(names, name.Name)
				}
			}
		}
	}
	return names
}

// TestEveryRoomIsDescribed keeps the table in docs/architecture.md complete.
func TestEveryRoomIsDescribed(t *testing.T) {
	page, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "list", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		room := roomOf(strings.TrimSpace(line))
		if room == "." {
			continue
		}
		if !strings.Contains(string(page), "`"+room+"`") {
			t.Errorf("docs/architecture.md does not say what `%s` is for", room)
		}
	}
}

// TestTheSmallProgramStaysSmall wants none of what made the large program
// large, or what costs a start of its own.
func TestTheSmallProgramStaysSmall(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "./cmd/sandtrail-exec").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for _, path := range strings.Fields(string(out)) {
		_, module, found := strings.Cut(path, "/")
		known := strings.HasPrefix(path, modulePath) || strings.HasPrefix(path, "golang.org/x/") || strings.HasPrefix(path, "vendor/")
		if found && strings.Contains(strings.TrimSuffix(path, module), ".") && !known {
			t.Errorf("it links %s", path)
		}
		if slices.Contains([]string{"regexp", "text/template", "time/tzdata", "database/sql", modulePath + "/sqlite", modulePath + "/postgres", modulePath + "/server"}, path) {
			t.Errorf("it links %s", path)
		}
	}
}

// TestTheBinaryKnowsEveryTimeZone wants the zones inside the binary: the
// machines it runs on often have none, and a zone asked for must not depend
// on the machine.
func TestTheBinaryKnowsEveryTimeZone(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "./cmd/sandtrail").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	if !slices.Contains(strings.Fields(string(out)), "time/tzdata") {
		t.Error("cmd/sandtrail does not import time/tzdata")
	}
}

// imports lists the edges that exist, without their reasons.
func imports(t *testing.T) []edge {
	t.Helper()
	type listed struct {
		ImportPath string
		Standard   bool
		Imports    []string
		Module     *struct {
			Path string
			Main bool
		}
	}
	out, err := exec.Command("go", "list", "-deps", "-json=ImportPath,Standard,Imports,Module", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	room := map[string]string{} // import path → name in the table, absent for the standard library
	var ours []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		switch {
		case p.Standard || p.Module == nil:
		case p.Module.Main:
			room[p.ImportPath] = roomOf(p.ImportPath)
			ours = append(ours, p)
		default:
			room[p.ImportPath] = p.Module.Path
		}
	}
	var found []edge
	for _, p := range ours {
		for _, path := range p.Imports {
			if to, ok := room[path]; ok {
				found = append(found, edge{from: room[p.ImportPath], to: to})
			}
		}
	}
	return found
}

func roomOf(importPath string) string {
	if importPath == modulePath {
		return "."
	}
	return strings.TrimPrefix(importPath, modulePath+"/")
}
