//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
)

func outboxFaults() []fault {
	return []fault{
		{name: "outbox poisoned", promise: "what is not as it was written is set aside and counted; the rest is delivered", do: poison},
		{name: "two servers deliver one outbox", promise: "each is delivered once", do: func(ctx context.Context, c *campaign, rng *rand.Rand) error {
			var second victim
			limited, stop := context.WithTimeout(ctx, time.Second+upTo(rng, 2*time.Second))
			defer stop()
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				c.spoolAway(limited, c.servers[0], &second)
			}()
			for i := 0; limited.Err() == nil; i++ {
				for _, dir := range []string{c.spool, c.outbox} {
					_, _, _ = call(ctx, c.sandtrail("", "outbox", "flush", "--server", "http://"+c.servers[i%2].address, "--outbox", dir)) // compared later
				}
			}
			<-ended
			return nil
		}},
	}
}

// poison puts files into both outboxes that no outbox has written so.
func poison(ctx context.Context, c *campaign, rng *rand.Rand) error {
	for _, dir := range []string{c.spool, c.outbox} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		entry := func(owner string) string {
			return filepath.Join(dir, sandtrail.NewID(time.Now()).String()+"-"+owner+"-1x200.records")
		}
		files := map[string]string{
			entry("0000000000000000"):        strings.Repeat("garbage\n", rng.IntN(1000)),
			entry("ffffffffffffffff"):        "",
			entry("0123456789abcdef"):        "0123456789abcdef {\"userId\":\"ada\"}\n",
			filepath.Join(dir, "notes.txt"):  "a stranger's",
			filepath.Join(dir, "x.records"):  "a stranger's",
			filepath.Join(dir, "~1.records"): "a stranger's",
			filepath.Join(dir, "old.tmp"):    "a piece",
		}
		for name, content := range files {
			if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
				return err
			}
		}
		// Part of an entry that waits, as a crash of another program might leave it.
		waiting, _ := filepath.Glob(filepath.Join(dir, "*.records")) // a valid pattern
		for _, name := range waiting {
			content, err := os.ReadFile(name)
			if _, ours := files[name]; err == nil && !ours && len(content) > 10 {
				if err := os.WriteFile(entry("00000000000000ff"), content[:rng.IntN(len(content))], 0o600); err != nil {
					return err
				}
				break
			}
		}
		c.poisoned++
	}
	pause(ctx, upTo(rng, time.Second))
	return nil
}

// unpoison takes away what poison has left, once it was seen to harm nothing.
func (c *campaign) unpoison() error {
	for _, dir := range []string{c.spool, c.outbox} {
		aside, _ := filepath.Glob(filepath.Join(dir, "damaged", "*")) // a valid pattern
		for _, name := range append(aside, filepath.Join(dir, "notes.txt"), filepath.Join(dir, "x.records"), filepath.Join(dir, "~1.records"), filepath.Join(dir, "old.tmp")) {
			if err := os.RemoveAll(name); err != nil {
				return fmt.Errorf("clear an outbox: %w", err)
			}
		}
	}
	c.poisoned = 0
	return nil
}
