//go:build unix

package cmdline

import (
	"errors"
	"syscall"
)

// What a file may be used for, as access(2) has it.
const (
	toWrite = 2
	toRead  = 4
)

// allowed reports whether this process may use a file so.
func allowed(path string, use uint32) bool { return syscall.Access(path, use) == nil }

// isNotDir reports whether a part of a path is no folder.
func isNotDir(err error) bool { return errors.Is(err, syscall.ENOTDIR) }
