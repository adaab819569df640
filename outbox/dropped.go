package outbox

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/durable"
	"github.com/sandtrail/sandtrail/internal/filelock"
)

// Reason is why records were dropped.
type Reason string

// The reasons.
const (
	Full   Reason = "full"   // the outbox was
	TooOld Reason = "tooOld" // they had waited longer than they may
)

// drops are the records of one user, strategy and type that were dropped for
// one reason and are not accounted for yet.
type drops struct {
	ID         sandtrail.ID            `json:"id"` // of the record that accounts for them
	UserID     string                  `json:"userId"`
	StrategyID string                  `json:"strategyId"`
	Type       sandtrail.ExecutionType `json:"executionType"`
	Reason     Reason                  `json:"reason"`
	Count      int                     `json:"count"`
	Since      time.Time               `json:"since"` // createdAt of the first
	Until      time.Time               `json:"until"` // and of the last
}

// closed is the suffix of drops that are final.
const closed = ".closed"

// Drop counts records that are given up, so that AccountForDrops can tell of
// them. What it counts is durable when it returns.
func (b *Outbox) Drop(why Reason, drafts ...sandtrail.Draft) error {
	h, err := b.hold(b.lockTimeout)
	if err != nil {
		return fmt.Errorf("count dropped records: %w", err)
	}
	defer h.release()
	for _, d := range drafts {
		if err := errors.Join(h.add(0, 1), b.countDrop(why, d)); err != nil {
			return fmt.Errorf("count dropped records: %w", err)
		}
	}
	return nil
}

func (b *Outbox) countDrop(why Reason, d sandtrail.Draft) error {
	if d.CreatedAt.IsZero() {
		d.CreatedAt = b.now()
	}
	at := sandtrail.Millisecond(d.CreatedAt)
	key := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q", d.UserID, d.StrategyID, d.Type, why))
	path := filepath.Join(b.dir, droppedDir, fmt.Sprintf("%x.json", key[:12]))
	sum, err := readDrops(path)
	if errors.Is(err, fs.ErrNotExist) {
		sum, err = drops{
			ID: sandtrail.NewID(b.now()), UserID: d.UserID, StrategyID: d.StrategyID, Type: d.Type, Reason: why, Since: at, Until: at,
		}, nil
	}
	if err != nil {
		return err
	}
	sum.Count++
	if at.Before(sum.Since) {
		sum.Since = at
	}
	if at.After(sum.Until) {
		sum.Until = at
	}
	raw, err := json.Marshal(sum)
	if err != nil {
		return err
	}
	return durable.WriteFile(path, raw)
}

func readDrops(path string) (sum drops, err error) {
	raw, err := durable.ReadFile(path, maxRecordBytes)
	if err != nil {
		return sum, err
	}
	return sum, json.Unmarshal(raw, &sum)
}

// AccountForDrops puts a record into the outbox, whatever its bound, for each
// user, strategy and type of which records were dropped: a run that failed
// with an error that says how many and why. It returns how many were dropped.
func (b *Outbox) AccountForDrops() (n int, err error) {
	h, err := b.hold(b.lockTimeout)
	if err != nil {
		return 0, fmt.Errorf("account for dropped records: %w", err)
	}
	defer h.release()
	paths, err := b.files(droppedDir, false)
	for _, path := range paths {
		var counted int
		if counted, err = h.accountFor(path); err != nil {
			break
		}
		n += counted
	}
	if err != nil {
		return n, fmt.Errorf("account for dropped records: %w", err)
	}
	return n, nil
}

// countDropped is how many dropped records are not accounted for.
func (b *Outbox) countDropped() (n int, err error) {
	paths, err := b.files(droppedDir, false)
	for _, path := range paths {
		sum, err := readDrops(path)
		switch {
		case errors.Is(err, fs.ErrNotExist): // accounted for meanwhile
		case err != nil:
			return n, err
		}
		n += sum.Count
	}
	return n, err
}

// closeDrops makes drops final, under a name that no others have or get: those
// of one who was killed before the account are not written over.
func closeDrops(path string) (final string, err error) {
	if strings.HasSuffix(path, closed) {
		return path, nil
	}
	sum, err := readDrops(path)
	if err != nil {
		return "", err
	}
	final = filepath.Join(filepath.Dir(path), sum.ID.String()+closed)
	return final, durable.Rename(path, final)
}

// accountFor makes drops final, then a record of them, and forgets them.
// Killed in between it does the same again, with the same id.
func (h *held) accountFor(path string) (int, error) {
	path, err := closeDrops(path)
	if err != nil {
		return 0, err
	}
	sum, err := readDrops(path)
	if err != nil {
		return 0, err
	}
	d, err := sum.draft()
	if err != nil {
		return 0, err
	}
	raw, err := encode([]sandtrail.Draft{d})
	if err != nil {
		return 0, err
	}
	w := newBatch([]sandtrail.Draft{d}, raw)
	if err := h.counting(w.bytes, func() error { return h.writeFile(w, raw) }); err != nil {
		return 0, err
	}
	if err := os.Remove(path); err != nil {
		return 0, err
	}
	return sum.Count, h.add(0, -sum.Count)
}

// draft is the record that accounts for drops.
func (s drops) draft() (sandtrail.Draft, error) {
	why := map[Reason]string{Full: "the outbox was full", TooOld: "they had waited too long"}[s.Reason]
	metadata, err := sandtrail.EncodeJSON(map[string]any{
		"errors": []map[string]string{{
			"severity": "error", "code": "dropped",
			"message": fmt.Sprintf("%d records from %s to %s were dropped: %s", s.Count, s.Since.Format(time.RFC3339), s.Until.Format(time.RFC3339), why),
		}},
		"dropped": map[string]any{"count": s.Count, "since": s.Since, "until": s.Until, "reason": s.Reason},
	})
	return sandtrail.Draft{
		ID: s.ID, UserID: s.UserID, StrategyID: s.StrategyID, Type: s.Type,
		Success: new(bool), ExecutionTime: new(int), Metadata: metadata, CreatedAt: s.Until,
	}, err
}

// Expire drops the batches that have waited since before a time and returns
// how many records they held. While another process flushes it does nothing.
func (b *Outbox) Expire(before time.Time) (n int, err error) {
	flushing, err := b.lock(flushName, 0)
	if errors.Is(err, filelock.ErrLocked) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("expire outbox: %w", err)
	}
	defer flushing.Close()
	waiting, err := b.batches()
	for _, w := range waiting {
		if err != nil {
			break
		}
		var dropped int
		dropped, err = b.expire(w, before)
		n += dropped
	}
	if err != nil {
		return n, fmt.Errorf("expire outbox: %w", err)
	}
	return n, nil
}

func (b *Outbox) expire(w batch, before time.Time) (int, error) {
	info, err := os.Stat(filepath.Join(b.dir, w.file))
	if err != nil || !info.ModTime().Before(before) {
		return 0, err
	}
	drafts, err := b.read(w)
	if errors.Is(err, errDamaged) {
		return 0, nil // the next flush sets it aside
	}
	if err != nil {
		return 0, err
	}
	if err := b.Drop(TooOld, drafts...); err != nil {
		return 0, err
	}
	return len(drafts), b.remove(w)
}
