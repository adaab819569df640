package ledger

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/sandtrail/sandtrail/durable"
)

// maxKeyFile is room for a thousand keys, in bytes.
const maxKeyFile = 256 << 10

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
	text, err := durable.ReadNamed(path, maxKeyFile)
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
	if err := WriteKeys(path, k, (*durable.File).Create); err != nil && !errors.Is(err, fs.ErrExist) {
		return Keys{}, err
	}
	return LoadKeys(path)
}

// WriteKeys writes a key file whole, durably, for its owner alone. place puts
// the finished file in its place: (*durable.File).Create or Replace.
func WriteKeys(path string, k Keys, place func(f *durable.File, name string) error) error {
	text, err := k.MarshalText()
	if err != nil {
		return err
	}
	f, err := durable.Begin(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("write ledger key: %w", err)
	}
	if _, err = f.Write(text); err != nil {
		err = errors.Join(err, f.Discard())
	} else {
		err = place(f, filepath.Base(path))
	}
	if err != nil {
		return fmt.Errorf("write ledger key: %w", err)
	}
	return nil
}
