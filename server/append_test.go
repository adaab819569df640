package server_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/server"
)

func TestAppendForms(t *testing.T) {
	id := sandtrail.NewID(start)
	withID := record(fmt.Sprintf("id:%q", id))
	for _, test := range []struct {
		name, body           string
		header               []string
		accepted, duplicates int64
	}{
		{"one object", record(), nil, 1, 0},
		{"an array", "[" + record() + "," + record("success:false") + "]", nil, 2, 0},
		{"an array of one", "[" + record() + "]", nil, 1, 0},
		{"an empty array", "[]", nil, 0, 0},
		{"the same record twice", "[" + withID + "," + withID + "]", nil, 1, 1},
		{"NDJSON", record() + "\n\n" + record() + "\r\n" + record(), []string{"Content-Type", "application/x-ndjson"}, 3, 0},
		{"empty NDJSON", "\n", []string{"Content-Type", "application/x-ndjson"}, 0, 0},
		{"what curl -d sends", record(), []string{"Content-Type", "application/x-www-form-urlencoded"}, 1, 0},
		{"gzip", zip(record()), []string{"Content-Encoding", "gzip"}, 1, 0},
		{"zstd", zst(record()), []string{"Content-Encoding", "zstd"}, 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := newKit(t).owners()
			got := as[api.Appended](t, k.do(request{method: "POST", path: "/v1/executions", body: test.body, header: test.header}), 201)
			if got.Accepted != test.accepted || got.Duplicates != test.duplicates || int64(len(got.IDs)) != test.accepted+test.duplicates {
				t.Errorf("got %+v", got)
			}
			if n := k.count(); n != test.accepted {
				t.Errorf("%d stored, want %d", n, test.accepted)
			}
		})
	}
}

func TestAppendRefuses(t *testing.T) {
	long := record(`metadata:{"x":"` + strings.Repeat("x", 2000) + `"}`)
	ndjson := []string{"Content-Type", "application/x-ndjson"}
	for _, test := range []struct {
		name, body string
		header     []string
		code       sandtrail.Code
		places     []string
	}{
		{"an empty body", "", nil, sandtrail.CodeInvalid, nil},
		{"no JSON", "{", nil, sandtrail.CodeInvalid, []string{"body"}},
		{"a string", `"x"`, nil, sandtrail.CodeInvalid, []string{"body"}},
		{"two objects", record() + record(), nil, sandtrail.CodeInvalid, []string{"body"}},
		{"a torn array", "[" + record(), nil, sandtrail.CodeInvalid, nil},
		{"not UTF-8", "{\"userId\":\"\xff\"}", nil, sandtrail.CodeInvalid, []string{"body"}},
		{"an unknown field", record("foo:1"), nil, sandtrail.CodeInvalid, []string{"body.foo"}},
		{"a wrong type", record(`executionTime:"1"`), nil, sandtrail.CodeInvalid, []string{"body.executionTime"}},
		{"a broken rule", "[" + record() + "," + record("executionTime:-1") + "]", nil, sandtrail.CodeInvalid, []string{"body[1].executionTime"}},
		{"faults in several records", "[" + record("success:1") + "," + record("foo:1") + "]", nil, sandtrail.CodeInvalid, []string{"body[0].success", "body[1].foo"}},
		{"a fault in an array of one", "[" + record("executionTime:-1") + "]", nil, sandtrail.CodeInvalid, []string{"body[0].executionTime"}},
		{"an unknown user", record(`userId:"nobody"`), nil, sandtrail.CodeInvalid, []string{"body.userId"}},
		{"an unknown strategy in an array", "[" + record() + "," + record(`strategyId:"none"`) + "]", nil, sandtrail.CodeInvalid, []string{"body[1].strategyId"}},
		{"too large a body", "[" + long + "," + long + "]", nil, sandtrail.CodeTooLarge, nil},
		{"a body that unpacks to too much", zip("[" + long + "," + long + "]"), []string{"Content-Encoding", "gzip"}, sandtrail.CodeTooLarge, nil},
		{"too many records", "[" + strings.Repeat("{},", sandtrail.MaxBatch) + "{}]", nil, sandtrail.CodeTooLarge, nil},
		{"another type", "x", []string{"Content-Type", "text/csv"}, sandtrail.CodeInvalid, nil},
		{"another encoding", "x", []string{"Content-Encoding", "br"}, sandtrail.CodeInvalid, nil},
		{"no gzip", "x", []string{"Content-Encoding", "gzip"}, sandtrail.CodeInvalid, nil},
		{"no zstd", "x", []string{"Content-Encoding", "zstd"}, sandtrail.CodeInvalid, nil},
		{"too long a line", strings.Repeat("x", 5000), ndjson, sandtrail.CodeTooLarge, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := newKit(t, func(c *server.Config) {
				c.Limits.BodyBytes, c.Limits.LineBytes = 4000, 4000
				if test.name == "too many records" {
					c.Limits.BodyBytes = 1 << 20
				}
			}).owners()
			_, places := problem(t, k.do(request{method: "POST", path: "/v1/executions", body: test.body, header: test.header}), test.code)
			if diff := cmp.Diff(test.places, places); diff != "" {
				t.Errorf("places:\n%s", diff)
			}
			if n := k.count(); n != 0 {
				t.Errorf("%d records were stored of a request that was refused", n)
			}
		})
	}
}

func TestNDJSONStopsAtTheFaultyLine(t *testing.T) {
	const lines, faulty = 2500, 1700
	for _, test := range []struct {
		name, line, place string
		code              sandtrail.Code
	}{
		{"no JSON", "{", "", sandtrail.CodeInvalid},
		{"a broken rule", record("executionTime:-1"), ".executionTime", sandtrail.CodeInvalid},
		{"an unknown user", record(`userId:"nobody"`), ".userId", sandtrail.CodeInvalid},
		{"a conflict", record(`id:"0192d3a4-7b1c-7def-8a90-1b2c3d4e5f60"`), ".id", sandtrail.CodeConflict},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := newKit(t).owners()
			as[api.Appended](t, k.post("/v1/executions", record(`id:"0192d3a4-7b1c-7def-8a90-1b2c3d4e5f60"`, "success:false")), 201)
			body := repeat(lines, func(i int) string {
				if i+1 == faulty {
					return test.line
				}
				return record(fmt.Sprintf("executionTime:%d", i))
			})
			p, places := problem(t, k.do(request{
				method: "POST", path: "/v1/executions", body: body, header: []string{"Content-Type", "application/x-ndjson"},
			}), test.code)
			if p.Line == nil || *p.Line != faulty || *p.Accepted != faulty-1 || *p.Duplicates != 0 {
				t.Errorf("problem: %+v", p)
			}
			if diff := cmp.Diff([]string{fmt.Sprintf("body[%d]%s", faulty-1, test.place)}, places); diff != "" {
				t.Errorf("places:\n%s", diff)
			}
			if n := k.count(); n != faulty {
				t.Errorf("%d stored, want those before line %d and the one before", n, faulty)
			}
		})
	}
}

func TestLongNDJSONListsNoIDs(t *testing.T) {
	k := newKit(t).owners()
	got := as[api.Appended](t, k.do(request{
		method: "POST", path: "/v1/executions", header: []string{"Content-Type", "application/x-ndjson"},
		body: repeat(sandtrail.MaxBatch+1, func(int) string { return record() }),
	}), 201)
	if got.Accepted != sandtrail.MaxBatch+1 || got.IDs != nil {
		t.Errorf("accepted %d with %d ids, want all without ids", got.Accepted, len(got.IDs))
	}
}

// Concurrent callers share transactions; one whose record is refused, or
// which sends a duplicate, is answered for itself and fails no neighbour.
func TestGroupCommitAnswersEachForItself(t *testing.T) {
	k := newKit(t).owners()
	known := sandtrail.NewID(start)
	as[api.Appended](t, k.post("/v1/executions", record(fmt.Sprintf("id:%q", known))), 201)

	const callers = 96
	replies := make([]reply, callers)
	var group sync.WaitGroup
	for i := range callers {
		body := record(fmt.Sprintf("executionTime:%d", i))
		switch i % 4 {
		case 1:
			body = record(`userId:"nobody"`)
		case 2:
			body = record(fmt.Sprintf("id:%q", known))
		case 3:
			body = record(fmt.Sprintf("id:%q", known), "success:false")
		}
		group.Go(func() { replies[i] = k.post("/v1/executions", body) })
	}
	group.Wait()
	for i, r := range replies {
		switch i % 4 {
		case 0:
			if got := as[api.Appended](t, r, 201); got.Accepted != 1 || got.Duplicates != 0 {
				t.Errorf("a new record: %+v", got)
			}
		case 1:
			problem(t, r, sandtrail.CodeInvalid)
		case 2:
			if got := as[api.Appended](t, r, 201); got.Accepted != 0 || got.Duplicates != 1 || got.IDs[0] != known {
				t.Errorf("a duplicate: %+v", got)
			}
		case 3:
			problem(t, r, sandtrail.CodeConflict)
		}
	}
	if n := k.count(); n != 1+callers/4 {
		t.Errorf("%d stored, want %d", n, 1+callers/4)
	}
}

// failing is a store whose appends fail, after having been made or not.
type failing struct {
	sandtrail.Store
	after bool
	err   error
}

func (f *failing) Append(ctx context.Context, batch []sandtrail.Admitted) (sandtrail.Appended, error) {
	if f.after {
		if _, err := f.Store.Append(ctx, batch); err != nil {
			return sandtrail.Appended{}, err
		}
	}
	return sandtrail.Appended{}, f.err
}

func TestNothingIsAcknowledgedWithoutACommit(t *testing.T) {
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("stored %t", after), func(t *testing.T) {
			k := newKit(t, func(c *server.Config) {
				c.Store = &failing{Store: c.Store, after: after, err: sandtrail.Errorf(sandtrail.CodeUnavailable, "the disk is gone")}
			}).owners()
			r := k.post("/v1/executions", record())
			problem(t, r, sandtrail.CodeUnavailable)
			if r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "" {
				t.Errorf("status %d, Retry-After %q", r.status, r.header.Get("Retry-After"))
			}
		})
	}
}

// What a driver says of its connection is for the log of the server.
func TestNothingIsToldOfTheStoresWhereabouts(t *testing.T) {
	var said strings.Builder
	k := newKit(t, func(c *server.Config) {
		c.Log = slog.New(slog.NewTextHandler(&said, nil))
		c.Store = &failing{Store: c.Store, err: &sandtrail.Error{Code: sandtrail.CodeUnavailable, Message: "out of reach", Private: "dial 10.0.0.7 as user=owner"}}
	}).owners()
	r := k.post("/v1/executions", record())
	problem(t, r, sandtrail.CodeUnavailable)
	if strings.Contains(string(r.body), "10.0.0.7") || !strings.Contains(string(r.body), "out of reach") {
		t.Errorf("the caller is told %s", r.body)
	}
	if !strings.Contains(said.String(), "10.0.0.7") {
		t.Errorf("the log says %s", &said)
	}
}

func zip(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

func zst(s string) string {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return string(w.EncodeAll([]byte(s), nil))
}

// failingPages is a store that can be read for some pages only.
type failingPages struct {
	sandtrail.Store
	after int
}

func (f *failingPages) Executions(ctx context.Context, q sandtrail.Query, now time.Time) (sandtrail.Page, error) {
	if f.after--; f.after < 0 {
		return sandtrail.Page{}, sandtrail.Errorf(sandtrail.CodeUnavailable, "gone")
	}
	return f.Store.Executions(ctx, q, now)
}

// held is a store whose appends wait.
type held struct {
	sandtrail.Store
	let chan struct{}
}

func (h held) Append(ctx context.Context, batch []sandtrail.Admitted) (sandtrail.Appended, error) {
	select {
	case <-h.let:
		return h.Store.Append(ctx, batch)
	case <-ctx.Done():
		return sandtrail.Appended{}, ctx.Err()
	}
}

// Lines are read and checked while those before are stored: nothing is stored until
// the time, which each batch is checked by, is asked for a second one.
func TestNDJSONIsReadWhileItIsStored(t *testing.T) {
	var asked atomic.Int64
	let := make(chan struct{})
	k := newKit(t, func(c *server.Config) {
		c.Store = held{c.Store, let}
		c.Limits.RequestTime = 20 * time.Second
		c.Now = func() time.Time {
			if asked.Add(1) == 2 {
				close(let)
			}
			return start
		}
	}).owners()
	asked.Store(0)
	got := as[api.Appended](t, k.do(ndjson(repeat(2500, func(int) string { return record() }))), 201)
	if got.Accepted != 2500 || k.count() != 2500 {
		t.Errorf("accepted %d, stored %d", got.Accepted, k.count())
	}
}

// Wherever a batch ends, and with or without an end of the last line, each line is
// stored once.
func TestNDJSONOfEverySize(t *testing.T) {
	for _, test := range []struct {
		lines, bytes int
		end          string
	}{
		{1000, 0, "\n"}, {1001, 0, ""}, {2001, 0, "\n\n \n"}, {1001, 4500, ""},
	} {
		t.Run(fmt.Sprintf("%d lines of %d bytes, then %q", test.lines, test.bytes, test.end), func(t *testing.T) {
			k := newKit(t).owners()
			lines := make([]string, test.lines)
			for i := range lines {
				lines[i] = record(fmt.Sprintf("executionTime:%d", i), `metadata:{"text":"`+strings.Repeat("x", test.bytes)+`"}`)
			}
			got := as[api.Appended](t, k.do(ndjson(strings.Join(lines, "\n")+test.end)), 201)
			if got.Accepted != int64(test.lines) || k.count() != int64(test.lines) || len(got.IDs) != test.lines {
				t.Errorf("accepted %d, stored %d, %d ids", got.Accepted, k.count(), len(got.IDs))
			}
		})
	}
}
