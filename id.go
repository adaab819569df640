package sandtrail

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// ID is the UUID of an execution and its idempotency key. The zero ID means
// "none yet".
type ID [16]byte

// NewID makes a UUIDv7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds,
// then randomness, so that ids sort roughly by time and a store can guess
// where an execution lies.
func NewID(now time.Time) ID {
	var id ID
	_, _ = rand.Read(id[:]) // crypto/rand.Read never fails
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli()))
	copy(id[:6], ms[2:])
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

// ParseID reads the canonical form, 8-4-4-4-12 hexadecimal digits in either
// case, of an id that an execution may be given.
func ParseID(s string) (ID, error) {
	id, err := readID(s)
	if err == nil && id.IsZero() {
		err = errBadID
	}
	return id, err
}

// readID is ParseID for ids of stored records: other clients of a database can
// write the one that is all zero, too.
func readID(s string) (ID, error) {
	var id ID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return ID{}, errBadID
	}
	digits := make([]byte, 0, 32)
	for _, part := range []string{s[:8], s[9:13], s[14:18], s[19:23], s[24:]} {
		digits = append(digits, part...)
	}
	if _, err := hex.Decode(id[:], digits); err != nil {
		return ID{}, errBadID
	}
	return id, nil
}

var errBadID = &Error{
	Code:   CodeInvalid,
	Fields: []FieldError{{"id", "must be a UUID such as 0192d3a4-7b1c-7def-8a90-1b2c3d4e5f60, not all zero"}},
}

// IsZero reports whether the id is absent.
func (id ID) IsZero() bool { return id == ID{} }

// String gives the canonical lower-case form.
func (id ID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], id[0:4])
	hex.Encode(b[9:13], id[4:6])
	hex.Encode(b[14:18], id[6:8])
	hex.Encode(b[19:23], id[8:10])
	hex.Encode(b[24:36], id[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

// Time returns the instant a UUIDv7 carries, and whether it is one.
func (id ID) Time() (time.Time, bool) {
	if id[6]>>4 != 7 {
		return time.Time{}, false
	}
	var ms [8]byte
	copy(ms[2:], id[:6])
	return time.UnixMilli(int64(binary.BigEndian.Uint64(ms[:]))).UTC(), true
}

// MarshalText is String.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads the canonical form as ParseID does, and the id of zeros, which
// other clients of a database can write.
func (id *ID) UnmarshalText(text []byte) error {
	parsed, err := readID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}
