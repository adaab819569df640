// Package durable writes files that are there whole, and stay, or not at all,
// and opens files that strangers may have put in their place.
//
// A file is written aside, in the folder where it will be, under a name that is
// not looked for. It is synced, gets its name, and the folder is synced: until
// then a power failure could undo the name.
package durable

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Suffix ends the names of files that are written aside. One that is found
// belongs to a program that was killed, or still writes.
const Suffix = ".tmp"

// Folder is an open directory. What is written into it goes there, whatever its
// path comes to name.
type Folder struct{ root *os.Root }

// Open opens an existing directory. It must be closed.
func Open(dir string) (*Folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Folder{root}, nil
}

// Close gives the directory back.
func (d *Folder) Close() error { return d.root.Close() }

// File is a file that is being written aside. Create, Replace or Discard must
// end it.
type File struct {
	*os.File
	in   *Folder
	name string
	owns bool // the folder was opened for this file
	done bool // it has its own name, or none
}

// Begin makes a file aside, readable and writable for its owner alone.
func (d *Folder) Begin() (*File, error) {
	name := "." + rand.Text() + Suffix
	f, err := d.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	return &File{File: f, in: d, name: name}, nil
}

// Begin makes a file aside in a directory.
func Begin(dir string) (*File, error) {
	d, err := Open(dir)
	if err != nil {
		return nil, err
	}
	f, err := d.Begin()
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	f.owns = true
	return f, nil
}

// Replace gives the file a name in its folder, in place of whatever has it: a
// link or a pipe goes, what it leads to stays as it is. The file is durable
// under that name when Replace returns without error.
// A device is not replaced: that is an error.
func (f *File) Replace(name string) error {
	info, err := f.in.root.Lstat(name)
	if err = checkReplaceable(name, info, err); err != nil {
		return errors.Join(err, f.Discard())
	}
	return f.place(f.in.root.Rename, name)
}

// Create gives the file a name in its folder that nothing has; otherwise it
// fails with fs.ErrExist. The file is durable under that name when Create
// returns without error.
func (f *File) Create(name string) error { return f.place(f.in.root.Link, name) }

func (f *File) place(as func(from, to string) error, name string) error {
	written, err := f.Stat()
	// Windows gives no other name to a file that is open.
	err = errors.Join(err, f.Sync(), f.File.Close())
	if err == nil {
		err = f.isStill(written)
	}
	if err == nil {
		err = as(f.name, name)
	}
	if err == nil {
		err = f.in.Sync()
	}
	return errors.Join(err, f.Discard())
}

// isStill reports an error if the file was taken away from its name: then what
// stands there now is not ours.
func (f *File) isStill(written fs.FileInfo) error {
	named, err := f.in.root.Lstat(f.name)
	if err == nil && !os.SameFile(written, named) {
		err = fmt.Errorf("%s was replaced while it was written", f.Name())
	}
	return err
}

// Discard closes the file and removes it, unless it has a name of its own.
func (f *File) Discard() error {
	if f.done {
		return nil
	}
	f.done = true
	_ = f.File.Close() // it has been, or is not wanted
	err := f.in.root.Remove(f.name)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if f.owns {
		err = errors.Join(err, f.in.Close())
	}
	return err
}

// WriteFile replaces a file of the folder, for its owner alone: all of the
// content is there, and stays, or what was there before.
func (d *Folder) WriteFile(name string, content []byte) error {
	f, err := d.Begin()
	if err != nil {
		return err
	}
	return f.fill(content, name)
}

// WriteFile replaces a file, for its owner alone: all of the content is there,
// and stays, or what was there before.
func WriteFile(path string, content []byte) error {
	f, err := Begin(filepath.Dir(path))
	if err != nil {
		return err
	}
	return f.fill(content, filepath.Base(path))
}

func (f *File) fill(content []byte, name string) error {
	if _, err := f.Write(content); err != nil {
		return errors.Join(err, f.Discard())
	}
	return f.Replace(name)
}

// checkReplaceable keeps root from making a file of /dev/null.
func checkReplaceable(name string, info fs.FileInfo, err error) error {
	if err == nil && info.Mode()&fs.ModeDevice != 0 {
		return fmt.Errorf("%w: %s is a device", ErrNotRegular, name)
	}
	return nil
}

// Rename gives a synced file another name, durably, in place of what has it, if
// that is no device.
func Rename(from, to string) error {
	info, err := os.Lstat(to)
	if err := checkReplaceable(to, info, err); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	d, err := Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Sync makes the names in the folder durable.
func (d *Folder) Sync() error {
	if runtime.GOOS == "windows" {
		return nil // it has no such call; its file systems keep names in order
	}
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
