//go:build linux

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

func hostileFaults() []fault {
	const bounded = "memory stays bounded, /healthz answers, others are served"
	return []fault{
		{name: "bodies that grow", promise: bounded, do: func(ctx context.Context, c *campaign, rng *rand.Rand) error {
			var senders sync.WaitGroup
			defer senders.Wait()
			for range 3 {
				which, server := rng.IntN(len(bombs)), c.servers[rng.IntN(2)]
				for range bombs[which].parallel {
					senders.Go(func() { c.bomb(ctx, server, which) })
				}
			}
			return nil
		}},
		{name: "bodies that do not come", promise: bounded, do: stalled},
		{name: "unknown keys", promise: bounded, do: func(ctx context.Context, c *campaign, rng *rand.Rand) error {
			for range 200 {
				if err := c.askUnknown(ctx, c.servers[rng.IntN(2)], rng.Int64()); err != nil {
					return err
				}
			}
			return nil
		}},
	}
}

// bombBody is a small body that becomes a large one.
type bombBody struct {
	path, contentType, head, part, tail string
	size, parallel                      int
}

var bombs = []bombBody{
	{"/v1/executions", "application/json", "[", "0,", "0]", 8 << 20, 2},
	{"/v1/executions", "application/json", "[", "0,", "0]", 63 << 20, 2},
	{"/v1/logs", "application/json", `{"resourceLogs":[{"scopeLogs":[{"logRecords":[`, "{},", "{}]}]}]}", 4 << 20, 2},
	{"/v1/logs", "application/x-protobuf", "", "\x0a\x04\x12\x02\x12\x00", "", 4 << 20, 2},
	{"/v1/executions", "application/json", "", " ", "", 63 << 20, 8},
	{"/v1/executions", "application/x-ndjson", "", " \n", "", 4 << 20, 3},
	{"/v1/executions", "application/x-ndjson", "", "x", "", 63 << 20, 4},
	{"/v1/executions", "application/json", `[{"metadata":{"a":`, "[", "0", 30 << 20, 2},
	{"/v1/executions", "application/json", `[{"classesFound":[`, `"",`, `""]}]`, 60 << 20, 2},
	{"/v1/executions", "application/json", "[", "{},", "{}]", 30 << 10, 6},
}

// pack compresses a body.
func (b bombBody) pack() []byte {
	var packed bytes.Buffer
	w, _ := gzip.NewWriterLevel(&packed, gzip.BestSpeed) // a valid level
	chunk := strings.Repeat(b.part, max(1, 1<<16/len(b.part)))
	_, _ = io.WriteString(w, b.head) // a bytes.Buffer takes everything
	for written := 0; written < b.size; written += len(chunk) {
		_, _ = io.WriteString(w, chunk)
	}
	_, _ = io.WriteString(w, b.tail)
	_ = w.Close()
	return packed.Bytes()
}

// packed are the compressed bodies, which are made once.
var packed = sync.OnceValue(func() (all [][]byte) {
	for _, b := range bombs {
		all = append(all, b.pack())
	}
	return all
})

// annoy sends a body that grows every second or two, while other things break.
func (c *campaign) annoy(load context.Context, rng *rand.Rand) {
	for load.Err() == nil {
		c.bomb(load, c.servers[rng.IntN(2)], rng.IntN(len(bombs)))
		pause(load, time.Second+upTo(rng, time.Second))
	}
}

// bomb sends a body, of which nothing may be taken.
func (c *campaign) bomb(ctx context.Context, s *server, which int) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url()+bombs[which].path, bytes.NewReader(packed()[which]))
	if err != nil {
		c.found("%v", err)
		return
	}
	request.Header.Set("Content-Type", bombs[which].contentType)
	request.Header.Set("Content-Encoding", "gzip")
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return // another fault may have cut it off
	}
	defer response.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(response.Body, 300)) // what there is of it
	if response.StatusCode >= 300 {
		c.told("hostile", fmt.Errorf("status %d: %s", response.StatusCode, said))
	}
}

// askUnknown asks with a key that does not exist. No answer need come.
func (c *campaign) askUnknown(ctx context.Context, s *server, key int64) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url()+"/v1/executions", nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", fmt.Sprintf("Bearer st_%043d", key))
	if response, err := http.DefaultTransport.RoundTrip(request); err == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20))
		response.Body.Close()
	}
	return nil
}

// stalled opens connections that send a byte of a body now and then.
func stalled(ctx context.Context, c *campaign, rng *rand.Rand) error {
	s := c.servers[rng.IntN(2)]
	var conns []net.Conn
	defer func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}()
	paths := []string{"/v1/executions", "/v1/ledger/witness/add-checkpoint", "/v1/logs"}
	for i := range 1100 {
		conn, err := net.DialTimeout("tcp", s.address, time.Second)
		if err != nil {
			break // the server takes no more
		}
		conns = append(conns, conn)
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{", paths[i%len(paths)])
	}
	for range 1 + rng.IntN(4) {
		pause(ctx, 500*time.Millisecond)
		for _, conn := range conns {
			_ = conn.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
			_, _ = io.WriteString(conn, " ") // it may be closed
		}
	}
	return nil
}
