package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/durable"
)

func (f *Flags) writesRecord() bool { return f.RecordFile != "" || f.RecordFD != 0 }

// handOver is where the record goes when that is no store. It is decided
// before the start, so that nothing the command does can change it.
type handOver struct {
	folder *durable.Folder // nil: to a descriptor, or nowhere
	name   string          // of the file in the folder
	fd     int             // 0: to no descriptor
}

// handOver looks whether the record can be written. A file is written once the
// command has ended, whole, in place of what has its name then.
func (f *Flags) handOver() (h handOver, err error) {
	h.fd = f.RecordFD
	if f.RecordFile == "" {
		return h, nil
	}
	h.name = filepath.Base(f.RecordFile)
	if h.folder, err = durable.Open(filepath.Dir(f.RecordFile)); err != nil {
		return h, sandtrail.Errorf(sandtrail.CodeInvalid, "--record-file: %w", err)
	}
	if err = h.folder.CheckTarget(h.name); errors.Is(err, durable.ErrNotRegular) {
		err = fmt.Errorf("%w; for a pipe or a device there is --record-fd", err)
	}
	if err == nil {
		err = tryToWrite(h.folder)
	}
	if err != nil {
		h.close()
		return h, sandtrail.Errorf(sandtrail.CodeInvalid, "--record-file: %w", err)
	}
	return h, nil
}

func tryToWrite(folder *durable.Folder) error {
	f, err := folder.Begin()
	if err != nil {
		return err
	}
	return f.Discard()
}

func (h handOver) close() {
	if h.folder != nil {
		h.folder.Close()
	}
}

// write hands over the record as one line of JSON. A reader of the descriptor
// that takes nothing is given up after the patience.
func (h handOver) write(draft sandtrail.Draft, patience time.Duration) error {
	raw, err := json.Marshal(draft)
	if err != nil {
		return fmt.Errorf("write the execution: %w", err)
	}
	raw = append(raw, '\n')
	if h.folder != nil {
		if err := h.folder.WriteFile(h.name, raw); err != nil {
			return fmt.Errorf("write the execution to %s: %w", h.name, err)
		}
		return nil
	}
	written := make(chan error, 1)
	go func() {
		to := os.NewFile(uintptr(h.fd), "--record-fd")
		_, err := to.Write(raw)
		written <- errors.Join(err, to.Close())
	}()
	select {
	case err = <-written:
	case <-time.After(patience):
		err = fmt.Errorf("--record-fd %d was not read for %s", h.fd, patience)
	}
	if err != nil {
		return fmt.Errorf("write the execution: %w", err)
	}
	return nil
}
