package outbox

import "time"

// CloseDrops makes drops final, as a program does that is killed right after.
func CloseDrops(path string) error {
	_, err := closeDrops(path)
	return err
}

// SetPatience bounds the wait for a lock.
func (b *Outbox) SetPatience(d time.Duration) { b.patience = d }
