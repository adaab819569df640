//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// disk is a file system of the campaign's own, in memory, where that is allowed.
type disk struct {
	dir     string
	mounted error // why there is none of its own; nil: there is
}

func newDisk(dir string, mebibytes int) (*disk, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=755", mebibytes))
	return &disk{dir, err}, nil
}

// boxesSize is that of the file system of the outboxes, in MiB.
const boxesSize = 16

// fill fills the disk to its last byte.
func (d *disk) fill() error {
	f, err := os.Create(filepath.Join(d.dir, "filling"))
	if err != nil {
		return err
	}
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := f.Write(block); errors.Is(err, unix.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (d *disk) empty() error {
	err := os.Remove(filepath.Join(d.dir, "filling"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// readOnly has nothing written any more, or again.
func (d *disk) readOnly(yes bool) error {
	flags := uintptr(unix.MS_REMOUNT)
	if yes {
		flags |= unix.MS_RDONLY
	}
	return unix.Mount("tmpfs", d.dir, "tmpfs", flags, "")
}

func (d *disk) remove() error {
	if d.mounted == nil {
		if err := unix.Unmount(d.dir, unix.MNT_DETACH); err != nil {
			return err
		}
	}
	return os.RemoveAll(d.dir)
}

// tryMount says whether file systems may be mounted here.
func (c *campaign) tryMount() error {
	d, err := newDisk(filepath.Join(c.dir, "try"), 1)
	if err != nil {
		return err
	}
	return errors.Join(d.mounted, d.remove())
}
