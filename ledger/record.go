package ledger

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"time"

	"github.com/sandtrail/sandtrail"
)

// Fields are the fields of a record beside its id, by their JSON names, in
// the order of their encoding and of an entry's checks.
var fieldNames = [...]string{
	"userId", "strategyId", "executionType", "success", "executionTime",
	"memoryUsed", "cpuUsage", "timedOut", "errorCount", "warningCount",
	"classesFound", "metadata", "createdAt",
}

const (
	nFields       = len(fieldNames)
	metadataField = nFields - 2
)

// EncodeRecord gives the canonical encoding of an execution: the id, then every
// field in the order of docs/reference/record.md. Two records have the same
// encoding exactly when they say the same; blanks around the JSON of the
// metadata are not part of what it says. docs/integrity.md describes it and
// testdata/vectors.json holds examples.
func EncodeRecord(e sandtrail.Execution) []byte {
	b, _ := appendRecord(nil, &e)
	return b
}

// appendRecord also returns where each field ends.
func appendRecord(b []byte, e *sandtrail.Execution) (_ []byte, ends [nFields]int) {
	b = append(b, e.ID[:]...)
	field := 0
	end := func() { ends[field] = len(b); field++ }

	b = appendText(b, e.UserID)
	end()
	b = appendText(b, e.StrategyID)
	end()
	b = appendText(b, string(e.Type))
	end()
	b = appendBool(b, e.Success)
	end()
	b = binary.AppendVarint(b, int64(e.ExecutionTime))
	end()
	if b = appendBool(b, e.MemoryUsed != nil); e.MemoryUsed != nil {
		b = binary.AppendVarint(b, int64(*e.MemoryUsed))
	}
	end()
	if b = appendBool(b, e.CPUUsage != nil); e.CPUUsage != nil {
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(*e.CPUUsage))
	}
	end()
	b = appendBool(b, e.TimedOut)
	end()
	b = binary.AppendVarint(b, int64(e.ErrorCount))
	end()
	b = binary.AppendVarint(b, int64(e.WarningCount))
	end()
	if b = appendBool(b, e.Classes != nil); e.Classes != nil {
		b = binary.AppendUvarint(b, uint64(len(e.Classes)))
		for _, class := range e.Classes {
			b = appendText(b, class)
		}
	}
	end()
	hasMetadata := e.Metadata != nil && string(e.Metadata) != "null" // as package json reads a null
	if b = appendBool(b, hasMetadata); hasMetadata {
		b = appendCompact(b, e.Metadata)
	}
	end()
	b = binary.AppendVarint(b, e.CreatedAt.UnixMilli())
	end()
	return b, ends
}

// appendCompact appends JSON without the blanks between its tokens, as a text.
func appendCompact(b []byte, raw json.RawMessage) []byte {
	blanks, inString, escaped := 0, false, false
	isBlank := func(c byte) bool {
		switch {
		case inString:
			inString = escaped || c != '"'
			escaped = !escaped && c == '\\'
		case c == '"':
			inString = true
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			return true
		}
		return false
	}
	for _, c := range raw {
		if isBlank(c) {
			blanks++
		}
	}
	if blanks == 0 {
		return appendText(b, []byte(raw))
	}
	inString, escaped = false, false
	b = binary.AppendUvarint(b, uint64(len(raw)-blanks))
	for _, c := range raw {
		if !isBlank(c) {
			b = append(b, c)
		}
	}
	return b
}

func appendText[T string | []byte](b []byte, text T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

var errNotCanonical = errors.New("not a canonical record of this version")

// DecodeRecord is the inverse of EncodeRecord. Anything that EncodeRecord does
// not make is an error.
func DecodeRecord(b []byte) (sandtrail.Execution, error) {
	d := reader{rest: b}
	e := sandtrail.Execution{
		ID:            sandtrail.ID(d.take(16)),
		UserID:        d.text(),
		StrategyID:    d.text(),
		Type:          sandtrail.ExecutionType(d.text()),
		Success:       d.bool(),
		ExecutionTime: int(d.varint()),
	}
	if d.bool() {
		memory := int(d.varint())
		e.MemoryUsed = &memory
	}
	if d.bool() {
		cpu := math.Float64frombits(binary.BigEndian.Uint64(d.take(8)))
		e.CPUUsage = &cpu
	}
	e.TimedOut = d.bool()
	e.ErrorCount = int(d.varint())
	e.WarningCount = int(d.varint())
	if d.bool() {
		e.Classes = []string{}
		for n := d.count(1); n > 0; n-- {
			e.Classes = append(e.Classes, d.text())
		}
	}
	if d.bool() {
		e.Metadata = json.RawMessage(d.text())
	}
	e.CreatedAt = time.UnixMilli(d.varint()).UTC()
	if d.bad || len(d.rest) > 0 || !bytes.Equal(EncodeRecord(e), b) {
		return sandtrail.Execution{}, errNotCanonical
	}
	return e, nil
}

// reader reads an encoding; after a fault it yields zeros.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.bad, r.rest = true, nil
		return make([]byte, min(max(n, 0), 16))
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) skip(n int) {
	if n <= 0 {
		r.bad, r.rest = true, nil
		return
	}
	r.rest = r.rest[n:]
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	r.skip(n)
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	r.skip(n)
	return v
}

// count reads the number of elements that take at least size bytes each.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.rest)/size) {
		r.bad, r.rest = true, nil
		return 0
	}
	return int(n)
}

func (r *reader) text() string { return string(r.take(r.count(1))) }

func (r *reader) bool() bool {
	b := r.take(1)
	return b[0] == 1
}
