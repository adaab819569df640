//go:build !linux

package runner

import "os"

// What a run asks of the system where it runs commands, which is on Linux.

func forwarded() []os.Signal { return nil }

var survived []os.Signal

func isOpen(int) bool { return false }
