//go:build linux

package main

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
)

// outcome is what the campaign knows of a record.
type outcome byte

const (
	sent    outcome = 's' // it may be in the store, once, or not
	stored  outcome = 'a' // acknowledged: it must be there, once
	refused outcome = 'r' // it must not be there
)

// expected is what the store must say of a record.
type expected struct {
	outcome
	by   string // the kind of client
	time int    // its executionTime; -1: measured by a recorder
}

// oracle knows what was sent and what became of it. It keeps a file of it, a line
// for each change, written before a record is sent and after it is acknowledged.
type oracle struct {
	mu    sync.Mutex
	file  *os.File
	lines *bufio.Writer
	all   map[string]expected // by id, a run by its token
	acked int
}

func newOracle(path string) (*oracle, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return &oracle{file: f, lines: bufio.NewWriterSize(f, 256), all: map[string]expected{}}, nil
}

func (o *oracle) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.file.Close()
}

// sends notes that a record is about to be sent.
func (o *oracle) sends(by, key string, executionTime int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all[key] = expected{sent, by, executionTime}
	o.note(sent, key)
}

// becomes notes what became of records.
func (o *oracle) becomes(what outcome, keys ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, key := range keys {
		e := o.all[key]
		if e.outcome == sent {
			e.outcome = what
			o.all[key] = e
			if what == stored {
				o.acked++
			}
		}
		o.note(what, key)
	}
}

// note writes a line, held by the oracle's lock.
func (o *oracle) note(what outcome, key string) {
	fmt.Fprintf(o.lines, "%c %s\n", what, key)
	_ = o.lines.Flush() // the file is for people; the map decides
}

// acknowledged is how many records were.
func (o *oracle) acknowledged() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.acked
}

// row is a record as the store has it.
type row struct {
	key  string
	time int
}

// judge compares the store with what it must hold, and names each difference.
func (o *oracle) judge(rows []row) (losses []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	count := make(map[string]int, len(rows))
	for _, r := range rows {
		count[r.key]++
		e, known := o.all[r.key]
		switch {
		case !known:
			losses = append(losses, r.key+": is stored and was never sent")
		case e.outcome == refused:
			losses = append(losses, fmt.Sprintf("%s by %s: is stored and was refused", r.key, e.by))
		case count[r.key] > 1:
			losses = append(losses, fmt.Sprintf("%s by %s: is stored %d times", r.key, e.by, count[r.key]))
		case e.time >= 0 && e.time != r.time:
			losses = append(losses, fmt.Sprintf("%s by %s: its executionTime is %d and was %d", r.key, e.by, r.time, e.time))
		}
	}
	for key, e := range o.all {
		if e.outcome == stored && count[key] == 0 {
			losses = append(losses, fmt.Sprintf("%s by %s: was acknowledged and is not stored", key, e.by))
		}
	}
	slices.SortFunc(losses, strings.Compare)
	return losses
}
