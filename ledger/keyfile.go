package ledger

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// LoadKeys reads a key file. One that others than its owner may read is
// refused.
func LoadKeys(path string) (Keys, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Keys{}, fmt.Errorf("ledger key: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return Keys{}, fmt.Errorf("ledger key: others may read %s (mode %04o); run chmod 600 on it", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return Keys{}, fmt.Errorf("ledger key: %w", err)
	}
	return ParseKeys(text)
}

// EnsureKeys reads a key file or, where there is none, makes a key for the
// origin and writes it, for its owner alone, durably before it returns. Of
// several processes that do so at once, all get the same key.
func EnsureKeys(path, origin string) (Keys, error) {
	if k, err := LoadKeys(path); !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	k, err := GenerateKeys(rand.Reader, origin)
	if err != nil {
		return Keys{}, err
	}
	if err := WriteKeys(path, k, os.Link); err != nil && !errors.Is(err, fs.ErrExist) {
		return Keys{}, err
	}
	return LoadKeys(path)
}

// WriteKeys writes a key file whole, durably, for its owner alone. place puts
// the finished file in its place: os.Link to create, os.Rename to replace.
func WriteKeys(path string, k Keys, place func(from, to string) error) error {
	text, err := k.MarshalText()
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, ".ledger-key-*") // made with mode 0600
	if err != nil {
		return fmt.Errorf("write ledger key: %w", err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.Write(text)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = place(tmp.Name(), path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("write ledger key: %w", err)
	}
	return nil
}

// syncDir makes a new name in the directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
