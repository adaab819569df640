package outbox

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
)

// batch is one file that waits. Its name says all of this, so that what is to be
// done with a directory can be decided without opening its files.
type batch struct {
	file    string // its name now
	id      string // of the first record
	owner   string // ownerOf all its records, mixed, or early; "": the name does not tell
	records int
	bytes   int64

	tried time.Time // when a store would not take it last; zero: none was asked
	tries int       // how often, up to maxTries
}

// What stands in the place of an owner. Each of these batches is a group of its
// own.
const (
	mixed = "mixed" // its records are of several
	early = "early" // its time is ahead of the store's clock
)

// triedMark begins the names of batches that a store would not take yet. They
// come behind the others, the last tried last.
const triedMark = "~"

func newBatch(drafts []sandtrail.Draft, raw []byte) batch {
	w := batch{id: drafts[0].ID.String(), owner: ownerOf(drafts[0]), records: len(drafts), bytes: int64(len(raw))}
	if slices.ContainsFunc(drafts, func(d sandtrail.Draft) bool { return ownerOf(d) != w.owner }) {
		w.owner = mixed
	}
	return w
}

// ownerOf tells the records of a user and strategy apart from all others.
func ownerOf(d sandtrail.Draft) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q", d.UserID, d.StrategyID))
	return hex.EncodeToString(sum[:8])
}

// name is the name that the batch's file should have.
func (w batch) name() string {
	mark := ""
	if !w.tried.IsZero() {
		mark = fmt.Sprintf("%s%012x.%x-", triedMark, w.tried.UnixMilli(), w.tries)
	}
	return fmt.Sprintf("%s%s-%s-%dx%d%s", mark, w.id, w.owner, w.records, w.bytes, suffix)
}

const idLength = 36

// parseBatch is the inverse of name. It also takes the names that earlier
// versions gave; of others, reading the file decides.
func parseBatch(file string) (w batch, ok bool) {
	stem, ok := strings.CutSuffix(file, suffix)
	if !ok {
		return w, false
	}
	w = batch{file: file, records: 1}
	if marked, isTried := strings.CutPrefix(stem, triedMark); isTried {
		var mark string
		mark, stem, _ = strings.Cut(marked, "-")
		at, tries, _ := strings.Cut(mark, ".")
		ms, _ := strconv.ParseInt(at, 16, 64)
		n, _ := strconv.ParseInt(tries, 16, 64)
		w.tried, w.tries = time.UnixMilli(max(ms, 1)), int(min(max(n, 0), maxTries))
	}
	if len(stem) <= idLength {
		return w, true
	}
	parts := strings.Split(stem[idLength+1:], "-")
	if len(parts) == 2 {
		w.owner = parts[0]
	}
	w.id = stem[:idLength]
	records, bytes, _ := strings.Cut(parts[len(parts)-1], "x")
	if n, err := strconv.Atoi(records); err == nil {
		w.records = max(1, n)
	}
	n, _ := strconv.ParseInt(bytes, 10, 64)
	w.bytes = max(0, n)
	return w, true
}

// batches lists what waits, oldest first, and what was tried before behind the
// rest. Ids begin with their time, and so do names.
func (b *Outbox) batches() ([]batch, error) {
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		return nil, err
	}
	var found []batch
	for _, entry := range entries {
		if w, ok := parseBatch(entry.Name()); ok {
			found = append(found, w)
		}
	}
	return found, nil
}

// A batch that a store would not take is tried again after a pause that doubles
// with each try.
const (
	firstPause = 10 * time.Second
	lastPause  = time.Hour
	maxTries   = 9 // then the pause is the last
)

func (w batch) pause() time.Duration { return min(firstPause<<w.tries, lastPause) }

// group are the batches of one owner that wait: one of them, tried, speaks for
// all.
type group struct {
	batches []batch // oldest first
	last    batch   // that was tried last; zero: none was
	fresh   bool    // one came after that
}

// groups sorts batches by their owners. Those groups come first that hold
// something new, then those whose last try is longest ago.
func groups(waiting []batch) []*group {
	byOwner := map[string]*group{}
	var all []*group
	for _, w := range waiting {
		key := w.owner
		if key == "" || key == mixed || key == early {
			key = w.file
		}
		g := byOwner[key]
		if g == nil {
			g = &group{}
			byOwner[key] = g
			all = append(all, g)
		}
		g.batches = append(g.batches, w)
		g.fresh = g.fresh || w.tried.IsZero()
		if !w.tried.IsZero() && !w.tried.Before(g.last.tried) {
			g.last = w
		}
	}
	slices.SortStableFunc(all, func(a, b *group) int {
		if a.fresh != b.fresh {
			return map[bool]int{true: -1, false: 1}[a.fresh]
		}
		return a.last.tried.Compare(b.last.tried)
	})
	for _, g := range all {
		slices.SortStableFunc(g.batches, func(a, b batch) int { return strings.Compare(a.id, b.id) })
	}
	return all
}

// due reports whether it is time to try a group. A try that lies ahead was made
// by a clock that was set back since.
func (g *group) due(now time.Time) bool {
	return g.fresh || g.last.tried.After(now) || !now.Before(g.last.tried.Add(g.last.pause()))
}

func (g *group) records() (n int) {
	for _, w := range g.batches {
		n += w.records
	}
	return n
}
