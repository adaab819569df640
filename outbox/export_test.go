package outbox

import (
	"os"
	"path/filepath"
	"time"

	"github.com/sandtrail/sandtrail"
)

// CloseDrops makes drops final, as a program does that is killed right after.
func CloseDrops(path string) error {
	_, err := closeDrops(path)
	return err
}

// SetLockTimeout bounds the wait for a lock.
func (b *Outbox) SetLockTimeout(d time.Duration) { b.lockTimeout = d }

// Fill keeps each record in a file of its own, without waiting for the disk.
func (b *Outbox) Fill(drafts []sandtrail.Draft) error {
	h, err := b.hold(b.lockTimeout)
	if err != nil {
		return err
	}
	defer h.release()
	for i := range drafts {
		raw, err := encode(drafts[i : i+1])
		if err != nil {
			return err
		}
		err = h.counting(int64(len(raw)), func() error {
			return os.WriteFile(filepath.Join(b.dir, newBatch(drafts[i:i+1], raw).name()), raw, 0o600)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Counted is what the outbox believes to hold.
func (b *Outbox) Counted() (bytes int64, dropped int, err error) {
	h, err := b.hold(b.lockTimeout)
	if err != nil {
		return 0, 0, err
	}
	defer h.release()
	return h.bytes, h.tally.dropped, nil
}
