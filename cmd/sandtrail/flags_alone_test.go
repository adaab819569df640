package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail/internal/pgtest"
)

// What many calls begin with, or end with to see what is stored.
const (
	runs       = "exec --user ada --strategy momentum "
	onTerminal = runs + "--type TERMINAL "
	// undelivered leaves an execution in an outbox.
	undelivered = runs + "--server http://127.0.0.1:1 --deliver-wait 1ns --outbox box -- true; "
	// lost leaves an outbox with the trace of a run that has no recorder.
	lost = onTerminal + "--server http://127.0.0.1:1 --deliver-wait 1ns --outbox box --record-session --session-dir casts -- cp -r box lost; "
	// moved moves the files of a session away from where its record says they are.
	moved = onTerminal + "--record-session --session-dir casts -- echo hello; " + runs + "--record-file r.json -- mv casts moved; "

	// Files of the ledger: a checkpoint in c, after which the log goes on; an export in
	// e with its manifest in m; a key of another log in k, and one with two keys.
	kept          = "ledger checkpoint > c; record runs.ndjson; "
	exportedWhole = "export --to e --manifest m; "
	otherKey      = "ledger key --ledger-key k; "
	archivable    = otherKey + "record old.ndjson --retention 0; "
	// begunBefore leaves a part of an export, with an execution that is gone since.
	begunBefore = "export --to f; interrupted export --to e; users delete bob; " + runs + "-- cp f e.part; "
	showsExport = "; " + runs + "-- cat e"
	checked     = "verify --export e --manifest m --ledger-key k"
	rotated     = "ledger key --ledger-key k; ledger rotate --ledger-key k; "

	measured = "bench --db sqlite:new.db --executions 20 --users 2 --strategies 2 --rounds 1 --no-plain-table"
	filled   = "; list --db sqlite:new.db -o csv"
	listed   = "; list -o csv"
	showing  = "; show last -o json"
)

// alone are the flags of commands that need no seeded store, or change what they
// find. The calls, with ; between them, are made in a folder with aloneFiles and a
// copy of the seeded SQLite file; they must answer differently.
var alone = map[string]observation{
	"hold add --strategy":        {"hold add --user ada --reason case; hold list -o csv", "hold add --strategy momentum --reason case; hold list -o csv"},
	"hold add --user":            {"hold add --user bob --reason case; hold list -o csv", "hold add --user ada --reason case; hold list -o csv"},
	"hold add --reason":          {"hold add --user ada --reason case; hold list -o csv", "hold add --user ada --reason other; hold list -o csv"},
	"hold remove --strategy":     more("hold add --strategy momentum --reason case; hold remove", "--strategy momentum"),
	"hold remove --user":         more("hold add --user ada --reason case; hold remove", "--user ada"),
	"ledger rotate --lost":       more("ledger checkpoint; ledger rotate", "--lost"),
	"ledger rotate --ledger-key": more("ledger key --ledger-key key; ledger rotate", "--ledger-key key"),

	"ledger key --ledger-key":        {rotated + "ledger key", rotated + "ledger key --ledger-key k"},
	"ledger checkpoint --ledger-key": {rotated + "ledger checkpoint", rotated + "ledger checkpoint --ledger-key k"},
	"export --ledger-key":            {otherKey + "export --to e --manifest m; " + checked, otherKey + "export --to e --manifest m --ledger-key k; " + checked},
	"archive --ledger-key":           {archivable + "archive archived; verify --ledger-key k", archivable + "archive archived --ledger-key k; verify --ledger-key k"},
	"verify --ledger-key":            {exportedWhole + otherKey + "verify --export e --manifest m", exportedWhole + otherKey + "verify --export e --manifest m --ledger-key k"},
	"verify --checkpoint":            {kept + "verify", kept + "verify --checkpoint c"},
	"verify --since":                 {kept + "verify", kept + "verify --since c"},
	"verify --public-key":            {exportedWhole + otherKey + "ledger key; verify --export e --manifest m --ledger-key k", exportedWhole + otherKey + "ledger key; verify --export e --manifest m --ledger-key k --public-key {out}"},
	"verify --export":                {exportedWhole + "verify --manifest m --export runs.ndjson", exportedWhole + "verify --manifest m --export e"},
	"verify --manifest":              {exportedWhole + "verify --export e --manifest runs.ndjson", exportedWhole + "verify --export e --manifest m"},

	"outbox list --limit":        more(undelivered+undelivered+"outbox list --outbox box -o ndjson", "--limit 1"),
	"outbox list --outbox":       {undelivered + "outbox list --outbox other", undelivered + "outbox list --outbox box"},
	"outbox list --output":       more(undelivered+"outbox list --outbox box", "-o json"),
	"outbox flush --outbox":      {undelivered + "outbox flush --outbox other" + listed, undelivered + "outbox flush --outbox box" + listed},
	"outbox flush --retention":   more(undelivered+"outbox flush --outbox box", "--retention 1ms"),
	"outbox flush --wait":        more(undelivered+"outbox flush --outbox box", "--wait 0"),
	"outbox flush --session-dir": {lost + "outbox flush --outbox lost --session-dir none" + showing, lost + "outbox flush --outbox lost --session-dir casts" + showing},
	"outbox retry --outbox":      {undelivered + "outbox retry --outbox other" + listed, undelivered + "outbox retry --outbox box" + listed},
	"outbox retry --retention":   more(undelivered+"outbox retry --outbox box", "--retention 1ms"),
	"outbox retry --wait":        more(undelivered+"outbox retry --outbox box", "--wait 0"),
	"outbox retry --session-dir": {lost + "outbox retry --outbox lost --session-dir none" + showing, lost + "outbox retry --outbox lost --session-dir casts" + showing},
	"doctor --outbox":            {undelivered + "doctor --outbox other -o csv", undelivered + "doctor --outbox box -o csv"},
	"doctor --deep":              more("doctor --outbox box -o csv", "--deep"),
	"doctor --output":            more("doctor --outbox box", "-o csv"),

	"exec --user":            {runs + "-- true" + listed, "exec --strategy momentum --user bob -- true" + listed},
	"exec --strategy":        {runs + "-- true" + listed, "exec --user ada --strategy other -- true" + listed},
	"exec --type":            running("", "--type TERMINAL", "true"),
	"exec --source":          running("", "--source runs.ndjson", "true"),
	"exec --timeout":         running("", "--timeout 1ms", "sleep 0.2"),
	"exec --grace":           {runs + "--timeout 1s --grace 1m -- sh patient.sh" + showing, runs + "--timeout 1s --grace 1ms -- sh patient.sh" + showing},
	"exec --memory":          running("", "--memory 512", "true"),
	"exec --cpus":            running("", "--cpus 0.5", "true"),
	"exec --pids":            running("", "--pids 50", "true"),
	"exec --record-args":     running("", "--record-args", "echo word"),
	"exec --record-output":   running("", "--record-output 99", "echo word"),
	"exec --require-verdict": running("", "--require-verdict", "echo silent"),
	"exec --pass-env":        running("", "--pass-env SANDTRAIL_PASSED", "printenv SANDTRAIL_PASSED"),
	"exec --pass-fd":         running("", "--pass-fd 3", "cat /dev/fd/3"),
	"exec --record-fd":       running("", "--record-fd 3", "true"),
	"exec --record-file":     {runs + "-- true" + listed, runs + "--record-file r.json -- true" + listed},
	"exec --record-session":  running("--type TERMINAL --session-dir casts", "--record-session", "true"),
	"exec --record-input":    running("--type TERMINAL --session-dir casts --record-session", "--record-input", "true"),
	"exec --session-limit":   running("--type TERMINAL --session-dir casts --record-session", "--session-limit 1", "head -c 200000 /dev/zero"),
	"exec --session-dir":     {onTerminal + "--record-session --session-dir casts -- true" + showing, onTerminal + "--record-session --session-dir elsewhere -- true" + showing},
	"exec --outbox":          {runs + "--server http://127.0.0.1:1 --deliver-wait 1ns --outbox other -- true; outbox list --outbox box", undelivered + "outbox list --outbox box"},
	"exec --deliver-wait":    running("--outbox box", "--deliver-wait 1ns", "true"),
	"exec --retention":       {undelivered + runs + "--outbox box -- true" + listed, undelivered + runs + "--outbox box --retention 1ms -- true" + listed},

	"record --from-line":     {"record runs.ndjson" + listed, "record runs.ndjson --from-line 2" + listed},
	"record --import":        {"record runs.ndjson; record runs.ndjson" + listed, "record runs.ndjson; record runs.ndjson --import other" + listed},
	"record --create-owners": more("record foreign.ndjson", "--create-owners"),
	"record --retention":     more("record old.ndjson", "--retention 0"),
	"list --from-archive":    {"list -o csv", "list --from-archive archived -o csv"},
	"play --file":            more("play", "--file some.cast"),
	"play --speed":           more("play --file some.cast", "--speed 1000"),
	"play --idle-limit":      more("play --file some.cast", "--idle-limit 1s"),
	"play --session-dir":     more(moved+"play last", "--session-dir moved"),
	"export --to":            more("export", "--to file"),
	"export --resume":        {begunBefore + "export --to e" + showsExport, begunBefore + "export --to e --resume" + showsExport},
	"export --manifest":      more("export", "--manifest m"),
	"archive --older-than":   {"archive archived; list --from-archive archived -o csv", "archive archived --older-than 2999-01-01; list --from-archive archived -o csv"},

	"alert silence --for":    {"alert silence --for 0; alert silences -o csv", "alert silence --for 1h; alert silences -o csv"},
	"alert silence --reason": {"alert silence --for 1h; alert silences -o csv", "alert silence --for 1h --reason moving; alert silences -o csv"},
	"keys create --role":     {"keys create --role admin; keys list -o csv", "keys create --role ingest; keys list -o csv"},
	"keys create --user":     {"keys create --role read; keys list -o csv", "keys create --role read --user ada; keys list -o csv"},
	"keys create --name":     {"keys create --role read; keys list -o csv", "keys create --role read --name mine; keys list -o csv"},
	"keys create --expires":  {"keys create --role read; keys list -o csv", "keys create --role read --expires 1d; keys list -o csv"},
	"users add --email":      {"users add eve --email e@example.com; users list -o csv", "users add eve --email f@example.com; users list -o csv"},
	"users add --name":       {"users add eve --email e@example.com; users list -o csv", "users add eve --email e@example.com --name Eve; users list -o csv"},
	"strategies add --name":  {"strategies add new --name A; strategies list -o csv", "strategies add new --name B; strategies list -o csv"},
	"cleanup --dry-run":      {"cleanup --older-than 1m" + listed, "cleanup --older-than 1m --dry-run" + listed},
	"migrate --status":       more("migrate", "--status"),
	"migrate --dry-run":      more("migrate", "--dry-run"),
	"migrate --output":       more("migrate", "-o json"),
	"bench --executions":     {measured + filled, strings.Replace(measured, "20", "30", 1) + filled},
	"bench --users":          {measured + "; users list --db sqlite:new.db -o csv", strings.Replace(measured, "--users 2", "--users 3", 1) + "; users list --db sqlite:new.db -o csv"},
	"bench --strategies":     {measured + "; strategies list --db sqlite:new.db -o csv", strings.Replace(measured, "--strategies 2", "--strategies 3", 1) + "; strategies list --db sqlite:new.db -o csv"},
	"bench --days":           {measured + filled + " --until 2d", measured + " --days 1" + filled + " --until 2d"},
	"bench --seed":           {measured + filled, measured + " --seed 7" + filled},
	"bench --batch":          more(measured+" -o json", "--batch 7"),
	"bench --rounds":         {measured + " -o json", strings.Replace(measured, " 1 ", " 2 ", 1) + " -o json"},
	"bench --no-plain-table": {measured, strings.Replace(measured, " --no-plain-table", "", 1)},
	"bench --no-fill":        more(measured+"; "+measured, "--no-fill"),
	"bench --output":         more(measured, "-o json"),

	"prisma --addition":         more("prisma", "--addition"),
	"prisma --config":           more("prisma", "--config"),
	"prisma --prisma-schema":    more("prisma", "--prisma-schema whole.prisma"),
	"prisma --logs-in":          more("prisma", "--logs-in app"),
	"prisma --users-table":      more("prisma", "--users-table app_users"),
	"prisma --users-id":         more("prisma", "--users-id uid"),
	"prisma --users-email":      more("prisma", "--users-email mail"),
	"prisma --users-name":       more("prisma", "--users-name called"),
	"prisma --users-model":      more("prisma", "--users-model Account"),
	"prisma --users-field":      more("prisma", "--users-field uid"),
	"prisma --users-type":       more("prisma", "--users-type uuid"),
	"prisma --strategies-table": more("prisma", "--strategies-table plans"),
	"prisma --strategies-id":    more("prisma", "--strategies-id sid"),
	"prisma --strategies-name":  more("prisma", "--strategies-name called"),
	"prisma --strategies-model": more("prisma", "--strategies-model Plan"),
	"prisma --strategies-field": more("prisma", "--strategies-field sid"),
	"prisma --strategies-type":  more("prisma", "--strategies-type integer"),
}

// running is a run of a command with and without a flag, and its record.
func running(flags, flag, command string) observation {
	return observation{runs + flags + " -- " + command + showing, runs + flags + " " + flag + " -- " + command + showing}
}

// aloneFiles are the files beside the database.
var aloneFiles = map[string]string{
	"runs.ndjson":    strings.Repeat(`{"userId":"ada","strategyId":"momentum","executionType":"VALIDATION","success":true,"executionTime":1}`+"\n", 3),
	"old.ndjson":     `{"userId":"ada","strategyId":"momentum","executionType":"VALIDATION","success":true,"executionTime":1,"createdAt":"2020-01-01T00:00:00Z"}`,
	"foreign.ndjson": `{"userId":"eve","strategyId":"momentum","executionType":"VALIDATION","success":true,"executionTime":1,"user":{"id":"eve","email":"eve@example.com","name":null}}`,
	"whole.prisma":   "model Account {\n id Int @id\n email String\n runs Run[]\n}\nmodel Bot {\n id Int @id\n name String\n runs Run[]\n}\nmodel Run {\n userId Int\n strategyId Int\n executionType String\n success Boolean\n executionTime Int\n account Account @relation(fields: [userId], references: [id])\n bot Bot @relation(fields: [strategyId], references: [id])\n}\n",
	"patient.sh":     "trap 'sleep 3; exit 3' TERM\nwhile :; do sleep 0.01; done\n", // for longer than the default grace
	"some.cast":      "{\"version\":3,\"term\":{\"cols\":80,\"rows\":24}}\n[0.1,\"o\",\"a\"]\n[36000.0,\"o\",\"b\"]\n",
}

func writeAloneFiles(t *testing.T) {
	t.Helper()
	if err := os.Mkdir("archived", 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range aloneFiles {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// onPostgreSQL are the flags of migrate, on an empty database. On SQLite they are
// refused.
var onPostgreSQL = map[string]observation{
	"migrate --users-id":         more("migrate --dry-run", "--users-id uid"),
	"migrate --users-email":      more("migrate --dry-run", "--users-email mail"),
	"migrate --users-name":       more("migrate --dry-run", "--users-name called"),
	"migrate --users-table":      more("migrate --dry-run", "--users-table app_users"),
	"migrate --strategies-id":    more("migrate --dry-run", "--strategies-id sid"),
	"migrate --strategies-name":  more("migrate --dry-run", "--strategies-name called"),
	"migrate --strategies-table": more("migrate --dry-run", "--strategies-table plans"),
	"migrate --log-table":        more("migrate --adopt --dry-run", "--log-table runs"),
}

// adoption is an observation of a flag of migrate, and what is done before it.
type adoption struct {
	row, before, without, with string
	see                        string // a query whose answer belongs to it; "": none
}

// onAdopted are those that are about a table with executions, in the order in
// which they are given.
var onAdopted = []adoption{
	{"migrate --adopt", "", "migrate --dry-run", "migrate --dry-run --adopt", ""},
	{"migrate --extra-columns", "", "migrate --dry-run --adopt", "migrate --dry-run --adopt --extra-columns metadata", ""},
	{"migrate --drop-old", "migrate --adopt", "migrate --adopt", "migrate --adopt --drop-old", ""},
	{"migrate --partitions", "", "migrate", "migrate --partitions day", "SELECT coalesce(max(value #>> '{}'), 'auto') FROM sandtrail.settings WHERE name = 'partitions'"},
	{"migrate --repair", "DROP TABLE sandbox_execution_logs CASCADE", "migrate", "migrate --repair", ""},
}

// adoptable is a table that an application has kept its executions in.
const adoptable = `
	CREATE TABLE users (id text PRIMARY KEY, email text UNIQUE NOT NULL, name text);
	CREATE TABLE strategies (id text PRIMARY KEY, name text NOT NULL);
	CREATE TABLE sandbox_execution_logs (
		id text PRIMARY KEY, "userId" text NOT NULL REFERENCES users ON DELETE CASCADE, "strategyId" text NOT NULL REFERENCES strategies ON DELETE CASCADE,
		"executionType" text NOT NULL, success boolean NOT NULL, "executionTime" integer NOT NULL,
		"memoryUsed" integer, "cpuUsage" double precision, "timedOut" boolean NOT NULL DEFAULT false, "errorCount" integer NOT NULL DEFAULT 0,
		"warningCount" integer NOT NULL DEFAULT 0, "classesFound" text, metadata text, "createdAt" timestamp(3) NOT NULL DEFAULT now(), host text
	)`

// TestFlagsAlone makes the observations that need a store of their own.
func TestFlagsAlone(t *testing.T) {
	t.Setenv("SANDTRAIL_PASSED", "on")
	seeded := filepath.Join(t.TempDir(), "seeded.db")
	seedFlags(t, "sqlite:"+seeded)
	content, err := os.ReadFile(seeded)
	if err != nil {
		t.Fatal(err)
	}
	known, folders := map[string]string{}, &madeFolders{root: t.TempDir(), after: map[string]madeFolder{}}
	// steady is an answer that is the same each time: one that is not proves nothing.
	// Runs take too long to be made again for it.
	steady := func(t *testing.T, all string) string {
		if _, is := known[all]; !is {
			known[all] = calls(t, all, content, folders)
			if strings.Contains(all, "exec ") {
				return known[all]
			}
			if diff := cmp.Diff(known[all], calls(t, all, content, folders)); diff != "" {
				t.Errorf("%s has two answers:\n%s", all, diff)
			}
		}
		return known[all]
	}
	for row, o := range alone {
		t.Run(row, func(t *testing.T) {
			if without, with := steady(t, o.without), calls(t, o.with, content, folders); without == with {
				t.Errorf("dropped: %s and %s both answer\n%s", o.without, o.with, with)
			}
		})
	}
	empty := pgtest.New(t)
	for row, o := range onPostgreSQL {
		if without, with := answer(t, o.without, []string{"--db", empty}), answer(t, o.with, []string{"--db", empty}); without == with {
			t.Errorf("%s is dropped: sandtrail %s and sandtrail %s both answer\n%s", row, o.without, o.with, with)
		}
		if got := answer(t, o.with, []string{"--db", "sqlite:" + seeded}); !strings.HasPrefix(got, "2 ") || !strings.Contains(got, "are for PostgreSQL") {
			t.Errorf("%s on SQLite: %s", row, got)
		}
	}
}

// TestFlagsOfAdoption makes those with a table that has executions already.
func TestFlagsOfAdoption(t *testing.T) {
	url := pgtest.New(t)
	target := []string{"--db", url}
	execute := func(statements string) {
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		if _, err := conn.Exec(t.Context(), statements); err != nil {
			t.Fatal(err)
		}
	}
	observe := func(call, see string) (answered string) {
		if answered = answer(t, call, target); see == "" {
			return answered
		}
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		var seen string
		if err := conn.QueryRow(t.Context(), see).Scan(&seen); err != nil {
			t.Fatal(err)
		}
		return answered + seen
	}
	execute(adoptable)
	for _, o := range onAdopted {
		if strings.HasPrefix(o.before, "migrate") {
			command(t, 0, append(strings.Fields(o.before), target...)...)
		} else if o.before != "" {
			execute(o.before)
		}
		if without, with := observe(o.without, o.see), observe(o.with, o.see); without == with {
			t.Errorf("%s is dropped: sandtrail %s and sandtrail %s both answer\n%s", o.row, o.without, o.with, with)
		}
	}
}

// varying is what differs between two equal calls: keys and signatures, ids, numbers,
// measurements of runs that end at once, and the widths of columns.
var varying = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`st_[\w-]+|\+[0-9a-f]{8}\+\S+|(— \S+) \S+`), "$1 key"},
	{regexp.MustCompile(`[0-9a-f]{8,}[-0-9a-f]*|\d+(,\d{3})*(\.\d+)?`), "#"},
	{regexp.MustCompile(`("+(memoryUsed|cpuUsage|memoryPeakBytes|cgroupPeakBytes|processesPeak|cpuTime)"+):(null|#)`), "$1:?"},
	{regexp.MustCompile(`(true|false),#?,#?,#?,(true|false)`), "$1,?,?,?,$2"},
	{regexp.MustCompile(` +`), " "},
}

// chosenFigures are those that flags of bench choose, which varying would hide.
var chosenFigures = regexp.MustCompile(`"(batch|rounds)":\d+`)

// madeFolders are what runs have left in a folder, which many observations begin with.
type madeFolders struct {
	root  string
	after map[string]madeFolder // by the calls that made it
}

type madeFolder struct {
	calls          int
	path           string
	text, previous string // what they answered, and the last of them
}

// restore puts into the current folder what the first calls of a list have made
// before, as many as possible.
func (f *madeFolders) restore(t *testing.T, list []string) madeFolder {
	t.Helper()
	for n := len(list) - 1; n > 0; n-- {
		made, ok := f.after[strings.Join(list[:n], "; ")]
		if !ok {
			continue
		}
		if said, err := exec.Command("cp", "-a", made.path+"/.", ".").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
		return made
	}
	return madeFolder{}
}

func (f *madeFolders) keep(t *testing.T, list []string, made madeFolder) {
	t.Helper()
	made.path = filepath.Join(f.root, strconv.Itoa(len(f.after)))
	if said, err := exec.Command("cp", "-a", ".", made.path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	f.after[strings.Join(list, "; ")] = made
}

// calls is what several calls answer on a copy of a database, without what differs
// from one time to the next.
func calls(t *testing.T, all string, database []byte, folders *madeFolders) (text string) {
	t.Helper()
	t.Chdir(t.TempDir())
	writeAloneFiles(t)
	if err := os.WriteFile("copy.db", database, 0o600); err != nil {
		t.Fatal(err)
	}
	list := strings.Split(all, "; ")
	begun := folders.restore(t, list)
	text, previous := begun.text, begun.previous
	for i, call := range list[begun.calls:] {
		said, out := callOn(t, " --db sqlite:copy.db", call, previous)
		text, previous = text+said, out
		if n := begun.calls + i + 1; n < len(list) && strings.Contains(call, "exec ") && !strings.Contains(all, "--record-session") { // a session's record names its folder
			folders.keep(t, list[:n], madeFolder{calls: n, text: text, previous: previous})
		}
	}
	return steadied(text)
}

// callOn is what one call of a list answers on a store, and what it prints.
func callOn(t *testing.T, target, call, previous string) (said, out string) {
	t.Helper()
	name, rest, runsOne := strings.Cut(strings.ReplaceAll(call, "{out}", strings.TrimSpace(previous)), " -- ")
	name, file, toFile := strings.Cut(name, " > ")
	if command, _, _ := strings.Cut(name, " "); !slices.Contains(withoutStore, command) &&
		!strings.Contains(call, "--server") && !strings.Contains(call, "--db") && !strings.Contains(call, "--from-archive") {
		name += target
	}
	if runsOne {
		name += " -- " + rest
	}
	status, out, complaint := makeCall(t, strings.Fields(name))
	if toFile {
		if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return answered(status, out, complaint), out
}

// steadied is a text without what differs from one time to the next.
func steadied(text string) string {
	text = chosenFigures.ReplaceAllStringFunc(text, func(s string) string {
		return strings.Map(func(r rune) rune {
			if '0' <= r && r <= '9' {
				return 'a' + r - '0'
			}
			return r
		}, s)
	})
	for _, v := range varying {
		text = v.pattern.ReplaceAllString(text, v.with)
	}
	return text
}
