//go:build !linux

package systemd

import (
	"errors"
	"time"
)

// StartScope answers errors.ErrUnsupported: systemd runs on Linux alone.
func StartScope(string, string, int, time.Duration) error { return errors.ErrUnsupported }
