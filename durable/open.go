package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// ErrNotPrivate is the error of folders to which others may write.
var ErrNotPrivate = errors.New("the folder is not this user's alone")

// ErrNotRegular is the error of what only looks like a file: a link, a pipe, a
// device, a directory.
var ErrNotRegular = errors.New("not a regular file")

// MakePrivate makes a directory that only this user may enter, with those above
// it, and checks one that is there: to another user's, or one that others may
// write to, it says ErrNotPrivate.
func MakePrivate(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return CheckPrivate(dir)
}

// CheckPrivate says ErrNotPrivate to a directory that is another user's, or that
// others may write to.
func CheckPrivate(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	return checkPrivate(dir, info)
}

// OpenRegular opens a file that others may have put there: a link as the last
// part of the path, or what is no file, is refused with ErrNotRegular. It never
// waits. The flags are those of os.OpenFile, without O_CREATE.
func OpenRegular(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, flags|openFlags|noFollow, 0)
	if isLink(err) {
		return nil, fmt.Errorf("%w: %s is a link", ErrNotRegular, path)
	}
	return regular(f, err)
}

// OpenNamed is OpenRegular for a path that the user gave: a link is followed.
func OpenNamed(path string) (*os.File, error) {
	return regular(os.OpenFile(path, os.O_RDONLY|openFlags, 0))
}

func regular(f *os.File, err error) (*os.File, error) {
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w: %s", ErrNotRegular, f.Name())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// ReadFile reads a file as OpenRegular opens it, if it holds at most limit
// bytes.
func ReadFile(path string, limit int64) ([]byte, error) {
	return readAll(path, limit, func() (*os.File, error) { return OpenRegular(path, os.O_RDONLY) })
}

// ReadNamed is ReadFile for a path that the user gave: a link is followed, and a
// pipe read to its end.
func ReadNamed(path string, limit int64) ([]byte, error) {
	return readAll(path, limit, func() (*os.File, error) { return os.Open(path) })
}

func readAll(path string, limit int64, open func() (*os.File, error)) ([]byte, error) {
	f, err := open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(content)) > limit {
		return nil, fmt.Errorf("%w: %s holds more than %d bytes", ErrTooLarge, path, limit)
	}
	return content, err
}

// ErrTooLarge is the error of files that hold more than is read of any.
var ErrTooLarge = errors.New("file too large")

// CheckTarget refuses a name of the folder that leads elsewhere or is no file:
// a link, a pipe, a device, a directory. A name that nothing has is good.
func (d *Folder) CheckTarget(name string) error {
	info, err := d.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%w: %s", ErrNotRegular, name)
	}
	return nil
}
