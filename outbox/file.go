package outbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sandtrail/sandtrail"
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
