package outbox

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail/durable"
)

// asideAge is when the writer of a file aside must have been killed: writing
// takes milliseconds. One that was only stopped fails, and acknowledges nothing.
const asideAge = time.Hour

// files lists the files of a folder inside the outbox: those that are written
// aside, or the others.
func (b *Outbox) files(sub string, aside bool) (paths []string, err error) {
	entries, err := os.ReadDir(filepath.Join(b.dir, sub))
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), durable.Suffix) == aside {
			paths = append(paths, filepath.Join(b.dir, sub, entry.Name()))
		}
	}
	return paths, err
}

// removeAsides removes the files that killed writers left aside: they hold the
// text of records, and no delivery meets them.
func (b *Outbox) removeAsides() error {
	for _, sub := range folders {
		paths, err := b.files(sub, true)
		for _, path := range paths {
			err = errors.Join(err, b.removeAside(path))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *Outbox) removeAside(path string) error {
	info, err := os.Lstat(path)
	if err == nil && info.Mode().IsRegular() && b.now().Sub(info.ModTime()) > asideAge {
		err = os.Remove(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // it has its name by now, or is gone
	}
	return err
}
