package outbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/filelock"
)

// A batch's file is one line per record, each behind the beginning of its
// SHA-256, and a last line that says how many there are. A torn file lacks it.
const (
	sumDigits = 16
	endMark   = "end"
)

var errDamaged = errors.New("the bytes are not those that were written")

func encode(drafts []sandtrail.Draft) ([]byte, error) {
	var buf bytes.Buffer
	for _, d := range drafts {
		raw, err := json.Marshal(d)
		if err != nil {
			return nil, err
		}
		writeLine(&buf, raw)
	}
	writeLine(&buf, fmt.Appendf(nil, "%s %d", endMark, len(drafts)))
	return buf.Bytes(), nil
}

func writeLine(buf *bytes.Buffer, content []byte) {
	buf.WriteString(checksum(content))
	buf.WriteByte(' ')
	buf.Write(content)
	buf.WriteByte('\n')
}

func checksum(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])[:sumDigits]
}

// decode is the inverse of encode; anything else is errDamaged.
func decode(raw []byte) (drafts []sandtrail.Draft, err error) {
	for len(raw) > 0 {
		line, rest, ok := bytes.Cut(raw, []byte("\n"))
		sum, content, spaced := bytes.Cut(line, []byte(" "))
		if !ok || !spaced || string(sum) != checksum(content) {
			return nil, errDamaged
		}
		if len(rest) == 0 {
			if string(content) != fmt.Sprintf("%s %d", endMark, len(drafts)) {
				return nil, errDamaged
			}
			return drafts, nil
		}
		var d sandtrail.Draft
		if err := json.Unmarshal(content, &d); err != nil || d.ID.IsZero() {
			return nil, errDamaged
		}
		drafts, raw = append(drafts, d), rest
	}
	return nil, errDamaged
}

// lockPatience is how long a lock is waited for that others hold for
// milliseconds: one that is held longer is held by a process that was stopped,
// or that means harm.
const lockPatience = 10 * time.Second

// soon takes a lock, and waits for it for as long as the outbox has patience.
func (b *Outbox) soon(f *os.File) error {
	deadline := time.Now().Add(b.patience)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := filelock.TryLock(f)
		if !errors.Is(err, filelock.ErrLocked) {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w: %s was not to be had for %s", err, f.Name(), b.patience)
		}
		<-time.After(pause)
	}
}

// lock takes the lock that the file stands for, with Outbox.soon or
// filelock.TryLock.
func lock(path string, take func(*os.File) error) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := take(f); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}
