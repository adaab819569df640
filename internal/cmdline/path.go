package cmdline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// InFile is a file to read. It is looked at when the flag is read, and not opened.
type InFile string

// UnmarshalText reads a flag.
func (f *InFile) UnmarshalText(text []byte) error {
	path := atHome(string(text))
	*f = InFile(path)
	return Readable(path)
}

// Input is a file to read, or - for standard input.
type Input string

// UnmarshalText reads an argument.
func (f *Input) UnmarshalText(text []byte) error {
	*f = Input(text)
	if *f == "-" {
		return nil
	}
	return (*InFile)(f).UnmarshalText(text)
}

// InPath is a file to read, or a folder of files.
type InPath string

// UnmarshalText reads a flag.
func (f *InPath) UnmarshalText(text []byte) error {
	*f = InPath(atHome(string(text)))
	_, err := look(string(*f), "file or folder")
	return err
}

// OutFile is a file to write, in a folder that is there.
type OutFile string

// UnmarshalText reads a flag.
func (f *OutFile) UnmarshalText(text []byte) error {
	path := atHome(string(text))
	*f = OutFile(path)
	return Writable(path)
}

// Folder is a folder that is there.
type Folder string

// UnmarshalText reads a flag.
func (f *Folder) UnmarshalText(text []byte) error {
	path := atHome(string(text))
	*f = Folder(path)
	return IsFolder(path)
}

// atHome gives a path that begins with ~ its home, as shells do only at the start of a
// word.
func atHome(path string) string {
	rest, ok := strings.CutPrefix(path, "~/")
	home, err := os.UserHomeDir()
	if !ok || err != nil {
		return path
	}
	return filepath.Join(home, rest)
}

// Readable says why a file cannot be read, and what to do.
func Readable(path string) error {
	info, err := look(path, "file")
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a folder: name a file", path)
	}
	return err
}

// IsFolder says why a path is no folder to read or to write in, and what to do.
func IsFolder(path string) error {
	info, err := look(path, "folder")
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is a file: name a folder", path)
	}
	return err
}

// Writable says why a file cannot be written, and what to do. The file need not be
// there.
func Writable(path string) error {
	folder := filepath.Dir(path)
	if err := IsFolder(folder); err != nil {
		return err
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return fmt.Errorf("%s is a folder: name a file", path)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s cannot be written: %w: name another file", path, reason(err))
	case !allowed(folder, toWrite):
		return fmt.Errorf("nothing may be written into the folder %s: allow it, or name another", folder)
	}
	return nil
}

// CanBeMade says why a folder is not there and cannot be made, and what to do.
func CanBeMade(path string) error {
	for at := path; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		switch {
		case err == nil && !info.IsDir():
			return fmt.Errorf("%s is a file: name a folder", at)
		case err == nil, at == filepath.Dir(at):
			return nil
		case !errors.Is(err, fs.ErrNotExist) && !isNotDir(err):
			return fmt.Errorf("%s cannot be read: %w: name another folder", at, reason(err))
		}
	}
}

// look finds what is at a path and may be read.
func look(path, kind string) (fs.FileInfo, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no %s %s: check the name, or make it first", kind, path)
	case err != nil:
		return nil, fmt.Errorf("%s cannot be read: %w: name another %s", path, reason(err), kind)
	case !allowed(path, toRead):
		return nil, fmt.Errorf("%s may not be read: allow it, as with chmod, or name another %s", path, kind)
	}
	return info, nil
}

// reason leaves out the call and the path.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
