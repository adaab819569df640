package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/client"
	"github.com/sandtrail/sandtrail/follow"
	"github.com/sandtrail/sandtrail/ingest"
	"github.com/sandtrail/sandtrail/internal/intake"
	"github.com/sandtrail/sandtrail/internal/recordcsv"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/ledger/publish"
	"github.com/sandtrail/sandtrail/notify"
	"github.com/sandtrail/sandtrail/outbox"
	"github.com/sandtrail/sandtrail/prisma"
	"github.com/sandtrail/sandtrail/s3"
)

// DamageEnv has TestDamagedFiles damage every byte in place of some of each file's:
// SANDTRAIL_TEST_DAMAGE=all.
const DamageEnv = "SANDTRAIL_TEST_DAMAGE"

// damageChildEnv names the file in which the process that reads says what it reads.
const damageChildEnv = "SANDTRAIL_TEST_DAMAGE_CHILD"

// damageMemory is how many bytes of address space may be taken beside those that
// the process has when it begins to read.
const damageMemory = 768 << 20

// damageAllocations is how many bytes one reading may take in all, those included
// that are free again before its end.
const damageAllocations = 1 << 30

// damageable is a kind of file that is read back, or of an answer.
type damageable struct {
	name   string // what errors name
	good   []byte
	sealed bool  // what is not as it was written is refused, or is what was written
	limit  int64 // how many bytes are read of it
	bombs  []string
	// read reads the file at a path, and says what was in it.
	read func(path string) (string, error)
}

// TestDamagedFiles reads files and answers with each byte changed, cut at each
// length, with long numbers in place of any, ten times as long as may be, and
// compressed to a thousandth. A process with little memory does so, and has to
// come to its end.
func TestDamagedFiles(t *testing.T) {
	if log := os.Getenv(damageChildEnv); log != "" {
		readDamaged(t, log)
		return
	}
	log := filepath.Join(t.TempDir(), "log")
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Minute)
	defer stop()
	child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestDamagedFiles$", "-test.timeout=9m")
	child.Env = append(os.Environ(), damageChildEnv+"="+log, "GORACE=atexit_sleep_ms=0")
	out, err := child.CombinedOutput()
	if err != nil {
		last, _ := os.ReadFile(log) // empty: it read nothing
		t.Fatalf("reading %s: %v\n%.4000s", last, err, out)
	}
}

func readDamaged(t *testing.T, log string) {
	kinds := damageables(t)
	racing := isRacing()
	if !racing { // the race detector takes many times the memory
		limitMemory(t)
	}
	for _, kind := range kinds {
		path := filepath.Join(t.TempDir(), kind.name)
		whole := kind.readAs(t, path, "whole", kind.good)
		if whole.err != nil {
			t.Fatalf("%s as it was written: %v", kind.name, whole.err)
		}
		kind.eachDamage(func(what string, content []byte) {
			if err := os.WriteFile(log, []byte(kind.name+" "+what), 0o600); err != nil {
				t.Fatal(err)
			}
			got := kind.readAs(t, path, what, content)
			switch {
			case got.err == nil && kind.sealed && got.said != whole.said:
				t.Errorf("%s, %s: it was read as %.200q and is %.200q", kind.name, what, got.said, whole.said)
			case got.err != nil && !strings.Contains(got.err.Error(), kind.name):
				t.Errorf("%s, %s: the error does not name it: %v", kind.name, what, got.err)
			}
		})
		if racing && kind.limit > 16<<20 {
			continue // it takes long
		}
		if got := kind.tooLong(t, path); got == nil && !slices.Contains(setAside, kind.name) || got != nil && !strings.Contains(got.Error(), kind.name) {
			t.Errorf("%s ten times as long as may be: %v", kind.name, got)
		}
	}
}

// setAside are files that are moved away, or written beside, when they are damaged,
// and answers of which the rest is not looked at.
var setAside = []string{waitingName, "answered", "checkpoint-000000000007.txt", "witness", "webhook"}

type whatWasRead struct {
	said string
	err  error
}

func (k damageable) readAs(t *testing.T, path, what string, content []byte) (r whatWasRead) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if fault := recover(); fault != nil {
			t.Fatalf("%s, %s: panic: %v\n%s", k.name, what, fault, debug.Stack())
		}
	}()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r.said, r.err = k.read(path)
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > damageAllocations {
		t.Errorf("%s, %s: it took %d bytes in all", k.name, what, took)
	}
	return r
}

// tooLong reads a file that ends in zeros, which take no room on the disk.
func (k damageable) tooLong(t *testing.T, path string) error {
	t.Helper()
	if err := errors.Join(os.WriteFile(path, k.good[:len(k.good)/2], 0o600), os.Truncate(path, 10*k.limit)); err != nil {
		t.Fatal(err)
	}
	_, err := k.read(path)
	return errors.Join(err, os.Remove(path))
}

// eachDamage calls a function with damaged forms of the content.
func (k damageable) eachDamage(use func(what string, content []byte)) {
	n := len(k.good)
	step := max(1, n/16)
	switch {
	case os.Getenv(DamageEnv) != "":
		step = 1
	case isRacing():
		step = max(1, n/4)
	}
	for i := 0; i < n; i += step {
		flipped := slices.Clone(k.good)
		flipped[i] ^= 1 << (i % 8)
		use(fmt.Sprintf("bit %d of byte %d changed", i%8, i), flipped)
		if i%2 == 0 {
			use(fmt.Sprintf("cut to %d bytes", i), k.good[:i])
		}
		long := slices.Concat(k.good[:i], bytes.Repeat([]byte{0xff}, 8), []byte{0x01}, k.good[min(n, i+9):])
		use(fmt.Sprintf("the greatest number at byte %d", i), long)
	}
	use("nothing", nil)
	if isRacing() {
		return // the race detector has nothing to find in what takes long
	}
	use("itself ten times", bytes.Repeat(k.good, 10))
	for _, bomb := range slices.Concat(k.bombs, []string{
		strings.Repeat("[", 1<<20), strings.Repeat(`{"a":`, 1<<18), strings.Repeat("\n", 4<<20), strings.Repeat("0 ", 2<<20), strings.Repeat(`"`, 2<<20),
	}) {
		use(fmt.Sprintf("%.12q and so on", bomb), []byte(bomb))
	}
}

// isRacing reports whether the tests were compiled with the race detector.
func isRacing() bool {
	about, _ := debug.ReadBuildInfo()
	return about != nil && slices.ContainsFunc(about.Settings, func(s debug.BuildSetting) bool { return s.Key == "-race" && s.Value == "true" })
}

func limitMemory(t *testing.T) {
	t.Helper()
	runtime.GC()
	debug.SetMemoryLimit(damageMemory / 2) // what may go goes
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	kilobytes, err := strconv.ParseUint(string(regexp.MustCompile(`VmSize:\s*(\d+) kB`).FindSubmatch(status)[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	most := kilobytes<<10 + damageMemory
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: most, Max: most}); err != nil {
		t.Fatal(err)
	}
}

func damageables(t *testing.T) []damageable {
	a := newAudited(t, 12)
	dir := t.TempDir()
	signed := a.ok("", "ledger", "checkpoint") // makes the key
	keys, err := ledger.LoadKeys(a.path + ".ledger-key")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"receipt.json": readFile(t, a.receipt(keys)), "checkpoint.txt": []byte(signed)} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a.ok("", "export", "--to", filepath.Join(dir, "x.ndjson"), "--manifest", filepath.Join(dir, "x.manifest"))
	archive := filepath.Join(dir, "archive")
	if err := os.Mkdir(archive, 0o700); err != nil {
		t.Fatal(err)
	}
	a.ok("", "archive", archive, "--older-than", "2999-01-01")
	all := append(damagedForVerify(a, dir), damagedArchives(a, archive)...)
	all = append(all, damagedInputs(t, a, dir)...)
	return append(all, damagedAnswers(t, a, dir)...)
}

// told runs a command and makes an error of what it said where it failed.
func (a *audited) told(args ...string) (string, error) {
	var out, errs bytes.Buffer
	status := run(a.Context(), append(args, "--db", "sqlite:"+a.path), &deps{
		in: strings.NewReader(""), out: &out, err: &errs, now: time.Now, getenv: func(string) string { return "" },
		wait: func(context.Context, time.Duration) error { return nil },
	})
	if status != 0 {
		return "", errors.New(out.String() + errs.String())
	}
	return out.String(), nil
}

// finding is told, of commands whose findings name what was found and not the file,
// which the caller has named.
func (a *audited) finding(path string, args ...string) (string, error) {
	out, err := a.told(args...)
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return out, err
}

func damagedForVerify(a *audited, dir string) []damageable {
	in := func(name string) string { return filepath.Join(dir, name) }
	read := func(name string) []byte { return readFile(a.T, in(name)) }
	return []damageable{
		{"receipt.json", read("receipt.json"), true, maxReceipt, []string{`{"proof":[` + strings.Repeat(`"",`, 2<<20)}, func(path string) (string, error) {
			return a.finding(path, "verify", "--receipt", path, "-o", "json")
		}},
		{"checkpoint.txt", read("checkpoint.txt"), true, maxSigned, nil, func(path string) (string, error) {
			return a.finding(path, "verify", "--receipt", in("receipt.json"), "--checkpoint", path)
		}},
		{"since.txt", read("checkpoint.txt"), true, maxSigned, nil, func(path string) (string, error) {
			return a.finding(path, "verify", "--since", path, "-o", "json")
		}},
		{"x.manifest", read("x.manifest"), true, maxSigned, nil, func(path string) (string, error) {
			return a.finding(path, "verify", "--export", in("x.ndjson"), "--manifest", path)
		}},
		{"x.ndjson", read("x.ndjson"), true, maxExported, []string{strings.Repeat("{}\n", 1<<16)}, func(path string) (string, error) {
			return a.finding(path, "verify", "--export", path, "--manifest", in("x.manifest"))
		}},
	}
}

func damagedArchives(a *audited, dir string) []damageable {
	paths, err := filepath.Glob(filepath.Join(dir, "*.parquet"))
	if err != nil || len(paths) != 1 {
		a.Fatalf("%v, %v", paths, err)
	}
	name, manifestName := filepath.Base(paths[0]), filepath.Base(paths[0])+".manifest"
	list := func(path string) (string, error) {
		return a.told("list", "--from-archive", filepath.Dir(path), "-o", "json")
	}
	file, manifest := readFile(a.T, filepath.Join(dir, name)), readFile(a.T, filepath.Join(dir, manifestName))
	beside := func(name string, content []byte) func(string) (string, error) {
		return func(path string) (string, error) {
			if err := os.WriteFile(filepath.Join(filepath.Dir(path), name), content, 0o600); err != nil {
				return "", err
			}
			return list(path)
		}
	}
	return []damageable{
		{name, file, true, 10 << 20, nil, beside(manifestName, manifest)},
		{name, file, false, 10 << 20, nil, list}, // without a manifest: the checksums of the pages are all there is
		{manifestName, manifest, false, maxSigned, nil, beside(name, file)},
	}
}

// damagedInputs are files that are read in, or back by the program that wrote them.
func damagedInputs(t *testing.T, a *audited, dir string) []damageable {
	cast := `{"version":3,"term":{"cols":80,"rows":24},"timestamp":1504467315}` + "\n" + strings.Repeat(`[0.000001,"o","hello"]`+"\n", 20)
	rules := `[{"name":"r","metric":"failureRate","window":"1h","threshold":30,"minSample":10}]`
	lines := strings.Repeat(`{"userId":"ada","strategyId":"s","executionType":"VALIDATION","success":true,"executionTime":7}`+"\n", 10)
	keys, err := ledger.EnsureKeys(filepath.Join(dir, "key"), "example.com/audit")
	if err != nil {
		t.Fatal(err)
	}
	key, err := keys.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	certificate, certificateKey := selfSigned(t, 1)
	return []damageable{
		{"session.cast", []byte(cast), false, 10 << 20, []string{`{"version":3,"term":{"cols":80,"rows":24}}` + "\n[" + strings.Repeat(`[],`, 300_000)}, func(path string) (string, error) {
			return a.finding(path, "play", "--file", path)
		}},
		{"rules.json", []byte(rules), false, maxRules, []string{"[" + strings.Repeat("{},", 300_000)}, func(path string) (string, error) {
			rules, err := (&serveCmd{Rules: inFile(path)}).rules()
			return fmt.Sprint(rules), err
		}},
		{"ledger.key", key, false, 1 << 20, nil, func(path string) (string, error) {
			keys, err := ledger.LoadKeys(path)
			if err != nil {
				return "", fmt.Errorf("%s: %w", path, err)
			}
			return fmt.Sprint(keys.Public()), nil
		}},
		{"records.ndjson", []byte(lines), false, ingest.MaxRowBytes, nil, readIn},
		{"records.gz", gzipped(t, []byte(lines)), false, ingest.MaxRowBytes, []string{string(gzipped(t, make([]byte, 64<<20)))}, readIn},
		{"records.zst", zstandard(t, []byte(lines)), false, ingest.MaxRowBytes, []string{string(zstandard(t, make([]byte, 64<<20)))}, readIn},
		{"records.csv", []byte("userId,strategyId,executionType\n" + strings.Repeat("ada,s,VALIDATION\n", 9)), false, ingest.MaxRowBytes, []string{"userId\n\"" + strings.Repeat("x", 10*ingest.MaxRowBytes)}, readIn},
		{"x.ndjson.part", []byte(a.ok("", "export")), false, maxExported, nil, func(path string) (string, error) {
			return scanned(path, "ndjson")
		}},
		{"x.csv.part", []byte(a.ok("", "export", "--format", "csv")), false, maxExported, []string{strings.Join(recordcsv.Header(), ",") + "\n\"" + strings.Repeat("x", 2*maxExported)}, func(path string) (string, error) {
			return scanned(path, "csv")
		}},
		{"app.prisma", []byte(damagedSchema), false, prisma.MaxSchema, []string{strings.Repeat("model A {\n", 200_000), strings.Repeat("@@map(\"", 200_000)}, func(path string) (string, error) {
			files, err := schemaFiles(path)
			if err != nil {
				return "", err
			}
			_, err = prisma.Read(prisma.Chosen{Schema: path}, files...)
			if err != nil {
				err = fmt.Errorf("%s: %w", path, err)
			}
			return "", err
		}},
		{"served.crt", certificate, false, maxPEM, nil, pair(certificateKey, true)},
		{"served.key", certificateKey, false, maxPEM, nil, pair(certificate, false)},
		interruptedExport(a, dir), waitingBatch(t), refusedFile(t), trace(t),
		{"checkpoint-000000000007.txt", []byte("example.com/audit\n7\n…\n\nsignature\n"), false, 1 << 20, nil, func(path string) (string, error) {
			return "", publish.Directory{Path: filepath.Dir(path)}.Publish(context.Background(), publish.Checkpoint{
				Size: 7, Signed: "example.com/audit\n7\n…\n\nsignature\n", Confirm: func(_ context.Context, signed []byte) error {
					_, err := ledger.Verifiers{}.Open(signed)
					return err
				},
			})
		}},
	}
}

// damagedSchema is a schema of Prisma.
const damagedSchema = `datasource db {
  provider = "postgresql"
}

model User {
  id    String @id
  email String @unique
  logs  SandboxExecutionLog[]
}

model Strategy {
  id   String @id
  logs SandboxExecutionLog[]
}

model SandboxExecutionLog {
  id         String   @id @default(uuid())
  userId     String   @map("user_id")
  user       User     @relation(fields: [userId], references: [id])
  strategyId String   @map("strategy_id")
  strategy   Strategy @relation(fields: [strategyId], references: [id])

  @@map("sandbox_execution_logs")
}
`

// pair reads a certificate or its key as serve does, with the other beside it.
func pair(other []byte, certificate bool) func(string) (string, error) {
	return func(path string) (string, error) {
		beside := path + ".other"
		if err := os.WriteFile(beside, other, 0o600); err != nil {
			return "", err
		}
		files := certificateFiles{certificate: path, key: beside}
		if !certificate {
			files = certificateFiles{certificate: beside, key: path}
		}
		_, err := files.get(nil)
		return "", err
	}
}

// interruptedExport is what an export was begun with, as --resume reads it.
func interruptedExport(a *audited, dir string) damageable {
	to := filepath.Join(dir, "interrupted.ndjson")
	c := exportCmd{Format: "ndjson", To: outFile(to)}
	f, _, err := c.createFile(&deps{now: time.Now, getenv: func(string) string { return "" }})
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		a.Fatal(err)
	}
	return damageable{"interrupted.ndjson.part.json", readFile(a.T, begunOf(to)), true, maxBegun, nil, func(path string) (string, error) {
		whole, err := os.Create(strings.TrimSuffix(path, ".json"))
		if err == nil {
			err = whole.Close()
		}
		if err != nil {
			return "", err
		}
		c := exportCmd{Format: "ndjson", To: outFile(strings.TrimSuffix(path, ".part.json"))}
		f, at, err := c.resumeFile(&deps{now: time.Now, getenv: func(string) string { return "" }})
		if err != nil {
			return "", fmt.Errorf("%s: %w", path, err)
		}
		return at.String(), f.Close()
	}}
}

// trace is what a recorder that was killed has left.
func trace(t *testing.T) damageable {
	box, err := outbox.Open(filepath.Join(t.TempDir(), "outbox"), outbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	begun, err := box.Begin(sandtrail.Draft{UserID: "ada", StrategyID: "s", Type: sandtrail.Terminal})
	if err != nil {
		t.Fatal(err)
	}
	name := begun.ID().String() + ".records"
	good := readFile(t, filepath.Join(box.Dir(), "started", name))
	if err := box.End(begun); err != nil {
		t.Fatal(err)
	}
	setAside = append(setAside, name)
	return damageable{name, good, false, 1 << 20, nil, func(path string) (string, error) {
		box, err := outboxed(path)
		if err == nil {
			err = in(path, "started")
		}
		if err != nil {
			return "", err
		}
		_, err = box.Sweep(func(begun sandtrail.Draft, _ time.Duration) sandtrail.Draft { return begun })
		return "", errors.Join(err, os.RemoveAll(box.Dir()))
	}}
}

// readIn reads executions as record does.
func readIn(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	err = eachRecord(ingest.CSV(f, ingest.ExecutionColumns()))
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return "", err
}

func eachRecord(from io.Reader) error {
	reader, err := intake.New(from)
	for err == nil {
		var r intake.Record
		if r, err = reader.Next(); err == nil {
			var d sandtrail.Draft
			_ = d.UnmarshalJSON(r.JSON) // its memory is what matters
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return err
}

// scanned reads what an interrupted export has written.
func scanned(path, format string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	w, err := scans[format](&exportFile{File: f})
	return fmt.Sprint(w.records), err
}

// waitingName is the name of a batch that waits in an outbox.
const waitingName = "01936c1e-7000-7000-8000-000000000001.records"

func outboxed(path string) (*outbox.Outbox, error) {
	return outbox.Open(filepath.Join(filepath.Dir(path), "outbox"), outbox.Options{})
}

// in moves a file into a folder of the outbox.
func in(path string, folder ...string) error {
	to := filepath.Join(append([]string{filepath.Dir(path), "outbox"}, folder...)...)
	return os.Rename(path, filepath.Join(to, filepath.Base(path)))
}

// waitingBatch is a batch in an outbox.
func waitingBatch(t *testing.T) damageable {
	box, err := outbox.Open(filepath.Join(t.TempDir(), "outbox"), outbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	success, ms := true, 7
	draft := sandtrail.Draft{UserID: "ada", StrategyID: "s", Type: sandtrail.Terminal, Success: &success, ExecutionTime: &ms}
	if _, err := box.Put(draft, draft); err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(box.Dir(), "*.records"))
	if err != nil || len(paths) != 1 {
		t.Fatal(paths, err)
	}
	return damageable{waitingName, readFile(t, paths[0]), false, outbox.DefaultMaxBytes, nil, func(path string) (string, error) {
		box, err := outboxed(path)
		if err == nil {
			err = in(path)
		}
		if err != nil {
			return "", err
		}
		drafts, _, err := box.Waiting(0)
		return fmt.Sprint(len(drafts)), err
	}}
}

// refusedFile is an execution that an outbox has set aside.
func refusedFile(t *testing.T) damageable {
	good := `{"reason":"no such user","record":{"id":"01936c1e-7000-7000-8000-000000000001","userId":"ada","strategyId":"s","executionType":"TERMINAL","success":true,"executionTime":7}}`
	return damageable{"refused.json", []byte(good), false, 10 << 20, nil, func(path string) (string, error) {
		box, err := outboxed(path)
		if err == nil {
			err = in(path, "refused")
		}
		if err != nil {
			return "", err
		}
		_, err = box.Retry()
		return "", errors.Join(err, os.RemoveAll(filepath.Join(filepath.Dir(path), "outbox")))
	}}
}

// damagedAnswers are what servers and buckets answer.
func damagedAnswers(t *testing.T, a *audited, dir string) []damageable {
	var path string // of the file that is the answer
	headers := http.Header{}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name := range headers {
			w.Header().Set(name, headers.Get(name))
		}
		if status := headers.Get("X-Status"); status != "" {
			code, _ := strconv.Atoi(status)
			w.WriteHeader(code)
		}
		f, err := os.Open(path)
		if err != nil {
			return
		}
		defer f.Close()
		_, _ = io.Copy(w, f) // the caller may have left
	}))
	t.Cleanup(h.Close)
	c, err := client.New(client.Options{URL: h.URL, Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	bucket, err := s3.Open("s3://audit", func(name string) string {
		return map[string]string{"AWS_ENDPOINT_URL_S3": h.URL, "AWS_ACCESS_KEY_ID": "KEY", "AWS_SECRET_ACCESS_KEY": "secret"}[name]
	}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	answer := func(name, good string, limit int64, bombs []string, read func(context.Context) (any, error), header ...string) damageable {
		return damageable{name, []byte(good), false, limit, bombs, func(at string) (string, error) {
			path, headers = at, http.Header{}
			for i := 0; i < len(header); i += 2 {
				headers.Set(header[i], header[i+1])
			}
			got, err := read(t.Context())
			return fmt.Sprint(got), err
		}}
	}
	id := sandtrail.NewID(time.Now())
	record := strings.TrimSpace(strings.Split(a.ok("", "export"), "\n")[0])
	page := `{"items":[` + record + `],"nextCursor":null}`
	manifest, err := os.ReadFile(filepath.Join(dir, "x.manifest"))
	if err != nil {
		t.Fatal(err)
	}
	sealed := record + "\n" + `{"manifest":` + strconv.Quote(string(manifest)) + "}\n"
	ignore := func([]byte) error { return nil }
	pages := []string{`{"items":[` + strings.Repeat("{},", 2<<20), `{"items":[{"classesFound":[` + strings.Repeat(`"",`, 4<<20)}
	executions := func(ctx context.Context) (any, error) {
		return c.Executions(ctx, sandtrail.Query{Limit: 50}, time.Now())
	}
	return []damageable{
		answer("executions", page, 128<<20, pages, executions),
		answer("executions", string(gzipped(t, []byte(page))), 1<<20, []string{string(gzipped(t, bytes.Repeat([]byte(" "), 129<<20)))}, executions, "Content-Encoding", "gzip"),
		answer("removals", `{"items":[],"nextCursor":null}`, 1<<20, pages, func(ctx context.Context) (any, error) {
			n := 0
			for _, err := range c.Removals(ctx) {
				if err != nil {
					return n, err
				}
				n++
			}
			return n, nil
		}),
		answer("receipt", "{}", 8<<20, nil, func(ctx context.Context) (any, error) { return c.Receipt(ctx, id) }),
		answer("export", record+"\n", 16<<20, nil, func(ctx context.Context) (any, error) {
			return nil, c.Export(ctx, sandtrail.Filter{}, func([]sandtrail.Execution) error { return nil })
		}),
		answer("export", sealed, 16<<20, nil, func(ctx context.Context) (any, error) { return c.ExportSealed(ctx, sandtrail.Filter{}, ignore) }),
		answer("stream", "id: 1\ndata: "+record+"\n\n", 16<<20, nil, func(ctx context.Context) (any, error) {
			err := c.Stream(ctx, sandtrail.Filter{}, "", func(follow.Followed) error { return io.EOF })
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return nil, err
		}),
		answer("answered", `{"status":500,"detail":"no"}`, 1<<20, []string{`{"errors":[` + strings.Repeat("{},", 4<<20)}, func(ctx context.Context) (any, error) {
			_, err := c.Execution(ctx, id)
			if err == nil {
				return nil, errors.New("answered: an error was no error")
			}
			return nil, nil
		}, "X-Status", "500", "Content-Type", "application/problem+json"),
		answer("list", "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>", 16<<20, []string{
			"<ListBucketResult>" + strings.Repeat("<Contents><Key/></Contents>", 1<<17), strings.Repeat("<a>", 1<<17),
		}, func(ctx context.Context) (any, error) { return bucket.List(ctx, "") }),
		answer("witness", "— x AAAA\n", 1<<20, nil, func(ctx context.Context) (any, error) {
			err := publish.Witness{URL: h.URL}.Publish(ctx, publish.Checkpoint{Proof: func(context.Context, int64) ([]byte, error) { return nil, nil }})
			return nil, err
		}),
		answer("webhook", "ok", 1<<20, nil, func(ctx context.Context) (any, error) {
			return nil, notify.Webhook{URL: h.URL, Now: time.Now}.Notify(ctx, notify.Notice{})
		}),
	}
}

func gzipped(t *testing.T, content []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(content); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstandard(t *testing.T, content []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(content, nil)
}
