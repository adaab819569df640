package server

import (
	"bytes"
	"errors"
	"io"
	"os"

	"github.com/sandtrail/sandtrail"
)

// spoolFree is what a spool keeps in memory without asking.
const spoolFree = 16 << 10

// spool keeps what has come of a body until all of it has: a little in memory,
// more where the budget of memory has room, the rest in a file that has no name.
type spool struct {
	server *Server
	who    string
	memory []byte
	taken  int64 // of the memory's budget
	file   *os.File
	onDisk int64 // bytes of the file, taken of the disk's budget
}

func (s *Server) newSpool(who string) *spool { return &spool{server: s, who: who} }

// size is how many bytes there are.
func (p *spool) size() int64 { return int64(len(p.memory)) + p.onDisk }

// Write adds bytes. The error is for the caller of the server.
func (p *spool) Write(b []byte) (int, error) {
	if p.file == nil && p.roomFor(len(b)) {
		p.memory = append(p.memory, b...)
		return len(b), nil
	}
	if err := p.server.disk.try(p.who, int64(len(b))); err != nil {
		return 0, err
	}
	p.onDisk += int64(len(b))
	if p.file == nil {
		var err error
		if p.file, err = os.CreateTemp("", "sandtrail-body-*"); err != nil {
			return 0, noSpool(err)
		}
		_ = os.Remove(p.file.Name()) // where open files keep their names, free does it
	}
	if n, err := p.file.Write(b); err != nil {
		return n, noSpool(err)
	}
	return len(b), nil
}

func noSpool(err error) error {
	return &sandtrail.Error{
		Code: sandtrail.CodeUnavailable, Message: "the server cannot keep the body aside until all of it has come; send smaller ones, or try again later",
		Private: err.Error() + " (the folder is TMPDIR's)", Err: err,
	}
}

// roomFor reports whether memory may hold so many bytes more.
func (p *spool) roomFor(more int) bool {
	need := int64(len(p.memory)+more) - spoolFree - p.taken
	if need <= 0 {
		return true
	}
	step := max(need, 64<<10)
	if p.server.spooled.try(p.who, step) != nil {
		return false
	}
	p.taken += step
	return true
}

// open reads what is there from the beginning.
func (p *spool) open() (io.Reader, error) {
	if p.file == nil {
		return bytes.NewReader(p.memory), nil
	}
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return io.MultiReader(bytes.NewReader(p.memory), p.file), nil
}

// empty forgets what is there, so that the next batch can be kept.
func (p *spool) empty() error {
	p.memory = p.memory[:0]
	if p.file == nil {
		return nil
	}
	p.server.disk.give(p.who, p.onDisk)
	p.onDisk = 0
	_, err := p.file.Seek(0, io.SeekStart)
	return errors.Join(err, p.file.Truncate(0))
}

// free gives everything back.
func (p *spool) free() {
	p.memory = nil
	p.server.spooled.give(p.who, p.taken)
	p.server.disk.give(p.who, p.onDisk)
	p.taken, p.onDisk = 0, 0
	if p.file != nil {
		_ = p.file.Close()
		_ = os.Remove(p.file.Name()) // gone already, but on Windows
		p.file = nil
	}
}
