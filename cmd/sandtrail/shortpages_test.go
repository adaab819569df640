package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A page of a search for text may end before it is full: list goes on until it has
// as many executions as it was asked for, or there are no more.
func TestListGoesOnAfterShortPages(t *testing.T) {
	pages := map[string]struct {
		ids  []int
		next string
	}{"": {[]int{1}, "b"}, "b": {nil, "c"}, "c": {[]int{2, 3}, "d"}, "d": {[]int{4}, ""}}
	var asked []string
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/executions" {
			http.NotFound(w, r)
			return
		}
		q := r.URL.Query()
		asked = append(asked, q.Get("cursor")+" "+q.Get("limit")+" "+q.Get("text"))
		page := pages[q.Get("cursor")]
		var items []string
		for _, n := range page.ids {
			items = append(items, fmt.Sprintf(`{"id":"01936c1e-7000-7000-8000-%012d","userId":"u","strategyId":"s","executionType":"TERMINAL","success":true,"executionTime":1,"createdAt":"2026-11-30T12:00:00Z"}`, n))
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"items":[%s],"nextCursor":%q}`, strings.Join(items, ","), page.next)
	}))
	t.Cleanup(h.Close)
	for _, c := range []struct {
		limit string
		rows  int
		asked []string
	}{
		{"3", 3, []string{" 3 x", "b 2 x", "c 2 x"}},
		{"9", 4, []string{" 9 x", "b 8 x", "c 8 x", "d 6 x"}},
	} {
		asked = nil
		var out, errs bytes.Buffer
		status := run(t.Context(), []string{"list", "--text", "x", "--limit", c.limit, "-o", "csv", "--server", h.URL}, &deps{
			in: strings.NewReader(""), out: &out, err: &errs, now: time.Now, getenv: func(string) string { return "" },
			wait: func(context.Context, time.Duration) error { return nil },
		})
		if rows := strings.Count(out.String(), "\n") - 1; status != 0 || rows != c.rows {
			t.Errorf("--limit %s: status %d, %d rows, want %d\n%s%s", c.limit, status, rows, c.rows, out.String(), errs.String())
		}
		if diff := cmp.Diff(c.asked, asked); diff != "" {
			t.Errorf("--limit %s asked the server:\n%s", c.limit, diff)
		}
	}
}
