package server_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/server"
)

// HTTP reads what files have: a byte order mark is no part of the first record.
func TestByteOrderMark(t *testing.T) {
	const mark = "\ufeff"
	k := newKit(t).owners()
	for name, q := range map[string]request{
		"an object": posted(mark + record()),
		"an array":  posted(mark + "[" + record() + "]"),
		"lines":     ndjson(mark + record() + "\n"),
	} {
		if got := as[api.Appended](t, k.do(q), 201); got.Accepted != 1 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// Faults are listed to a hundred and counted, however many elements have them.
func TestProblemsOfABatchAreCounted(t *testing.T) {
	k := newKit(t).owners()
	p, places := problem(t, k.post("/v1/executions", "["+strings.Repeat("0,", sandtrail.MaxBatch-1)+"0]"), sandtrail.CodeInvalid)
	if len(places) != sandtrail.MaxFaults || p.More != sandtrail.MaxBatch-sandtrail.MaxFaults {
		t.Errorf("%d places and %d more", len(places), p.More)
	}
	if places[0] != "body[0]" || !strings.Contains(p.Detail, "and 9900 more") {
		t.Errorf("%s: …%s", places[0], p.Detail[len(p.Detail)-40:])
	}
}

// A body that is larger than what is kept in memory comes whole out of its file, and
// nothing of it is left there.
func TestLargeBodiesAreKeptAside(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	k := newKit(t, func(c *server.Config) { c.Limits.BodyBytes = 32 << 20 }).owners()
	const records = 150 // more than one caller may have in memory
	long := record(`metadata:{"x":"` + strings.Repeat("x", 60<<10) + `"}`)
	got := as[api.Appended](t, k.post("/v1/executions", "["+strings.Repeat(long+",", records-1)+long+"]"), 201)
	if got.Accepted != records || k.count() != records {
		t.Errorf("%d accepted, %d stored", got.Accepted, k.count())
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
	got = as[api.Appended](t, k.do(ndjson(repeat(records, func(int) string { return long }))), 201)
	if got.Accepted != records || k.count() != 2*records {
		t.Errorf("lines: %d accepted, %d stored", got.Accepted, k.count())
	}
}

// A request for logs that cannot be read to its end stores nothing, also where its
// beginning would fill a transaction.
func TestLogsAreReadBeforeAPartIsStored(t *testing.T) {
	k := newKit(t).owners()
	shared := strings.Replace(logRecord(), `"timeUnixNano":"1795521600000000000",`, "", 1)
	body := `{"resourceLogs":[{"resource":` + shared + `,"scopeLogs":[{"logRecords":[` + strings.Repeat("{},", sandtrail.MaxBatch+1) + `{"body":7}]}]}]}`
	if got := k.post("/v1/logs", body); got.status != 400 {
		t.Errorf("status %d: %s", got.status, got.body)
	}
	if n := k.count(); n != 0 {
		t.Errorf("%d executions were stored", n)
	}
}

// leaving notes when an append is told that its caller has gone.
type leaving struct {
	sandtrail.Store
	began, ended chan struct{}
}

func (l leaving) Append(ctx context.Context, _ []sandtrail.Admitted) (sandtrail.Appended, error) {
	close(l.began)
	<-ctx.Done()
	close(l.ended)
	return sandtrail.Appended{}, ctx.Err()
}

// The work for a caller ends when the caller leaves. (A small batch shares its
// transaction with others, which none of them may end.)
func TestACallerThatLeavesEndsTheWork(t *testing.T) {
	l := leaving{began: make(chan struct{}), ended: make(chan struct{})}
	k := newKit(t, func(c *server.Config) { l.Store, c.Store = c.Store, l }).owners()
	ctx, leave := context.WithCancel(t.Context())
	body := "[" + strings.Repeat(record()+",", 300) + record() + "]"
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, k.url+"/v1/executions", io.NopCloser(bytes.NewReader([]byte(body))))
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		if response, err := k.http.Do(r); err == nil {
			response.Body.Close()
		}
	}()
	<-l.began
	leave()
	<-l.ended
	<-answered
}
