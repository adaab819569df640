// Package intake reads execution records from files and pipes: one JSON
// object, an array of them, or one object per line (NDJSON), plain or
// compressed with gzip or zstd. It holds one record in memory at a time.
package intake

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/sandtrail/sandtrail"
)

// MaxRecordBytes is the largest record, as JSON, that New reads.
const MaxRecordBytes = 1 << 20

// maxDepth bounds the nesting of a record: what metadata may have and the levels
// around it.
const maxDepth = sandtrail.MaxNesting + 8

// maxWindow bounds the memory that decompression takes.
const maxWindow = 64 << 20

// Form is how records are written.
type Form int

// The forms.
const (
	Lines  Form = iota // one JSON object per line
	Values             // JSON objects, each over several lines
	Array              // one JSON array
)

// Record is one JSON value of the input: an object, or in an Array whatever
// its element is.
type Record struct {
	Line  int    // where it begins, from 1
	Index int    // its place among the records, from 0
	JSON  []byte // valid until the next call
}

// Reader hands out records.
type Reader struct {
	r     *bufio.Reader
	max   int // bytes of a record
	form  Form
	line  int // lines that have been begun (Lines) or ended (other forms)
	at    int // line of the record or fault that was found last
	index int
	buf   []byte
	open  bool // inside the brackets of an array
	ended bool
}

// New looks at the beginning of the input to tell its compression and form.
func New(r io.Reader) (*Reader, error) {
	plain, err := decompress(bufio.NewReaderSize(r, 64<<10))
	if err != nil {
		return nil, err
	}
	reader := &Reader{r: plain, max: MaxRecordBytes}
	reader.SkipMark()
	return reader, reader.detect()
}

// Open is New for Lines or an Array that is not compressed. A record has
// recordBytes of JSON at most.
func Open(r io.Reader, form Form, recordBytes int) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, 16<<10), form: form, max: recordBytes}
}

// First is the first character of the input that is no blank, unread; io.EOF
// when there is none.
func (r *Reader) First() (byte, error) { return r.skipBlanks() }

// Rest reads what is left as one record.
func (r *Reader) Rest() ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r.r, int64(r.max)+1))
	if err != nil {
		return nil, unreadable(err)
	}
	if len(raw) > r.max {
		return nil, r.tooLong()
	}
	return raw, checkDepth(raw)
}

// SkipMark skips the byte order mark that some programs begin a file with.
func (r *Reader) SkipMark() {
	if mark, _ := r.r.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		_, _ = r.r.Discard(3) // peeked at just now
	}
}

func decompress(r *bufio.Reader) (*bufio.Reader, error) {
	magic, _ := r.Peek(4) // what cannot be read now is met again by the first record
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, unreadable(err)
		}
		return bufio.NewReaderSize(z, 64<<10), nil
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, unreadable(err)
		}
		return bufio.NewReaderSize(z, 64<<10), nil
	}
	return r, nil
}

func unreadable(err error) error {
	var known *sandtrail.Error
	if errors.As(err, &known) {
		return err // the source has said what is wrong
	}
	return sandtrail.Errorf(sandtrail.CodeInvalid, "the input cannot be read: %w", err)
}

// Form tells how the records are written.
func (r *Reader) Form() Form { return r.form }

// Line is the line, from 1, of what Next returned last: of the fault, or
// where the object that is at fault begins.
func (r *Reader) Line() int { return max(r.at, 1) }

// detect skips blanks and looks at the first character, and at the first
// line where that does not decide.
func (r *Reader) detect() error {
	first, err := r.skipBlanks()
	switch {
	case err == io.EOF:
		return nil
	case err != nil:
		return err
	case first == '[':
		r.form = Array
		return nil
	case first != '{':
		return nil
	}
	before := r.line
	line, err := r.readLine()
	if err != nil && err != io.EOF {
		// A line that is too long is met again: whatever it is, it is refused.
		return err
	}
	if !json.Valid(line) && unfinished(line) {
		r.form = Values
	}
	r.line = before
	r.r = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(bytes.Clone(line)), r.r), 64<<10)
	return nil
}

// unfinished reports whether a line could be the beginning of an object that
// goes on in the next.
func unfinished(line []byte) bool {
	var syntax *json.SyntaxError
	var v json.RawMessage
	err := json.NewDecoder(bytes.NewReader(line)).Decode(&v)
	return !errors.As(err, &syntax) && errors.Is(err, io.ErrUnexpectedEOF)
}

// Next returns the next record; io.EOF after the last. Faults of the input
// are *sandtrail.Errors of CodeInvalid or CodeTooLarge; Line says where.
func (r *Reader) Next() (Record, error) {
	if r.ended {
		return Record{}, io.EOF
	}
	raw, err := r.next()
	if err != nil {
		r.ended = true
		return Record{}, err
	}
	r.index++
	return Record{Line: r.at, Index: r.index - 1, JSON: raw}, nil
}

func (r *Reader) next() ([]byte, error) {
	if r.form == Lines {
		return r.nextLine()
	}
	if r.form == Array {
		if err := r.nextElement(); err != nil {
			r.at = r.line + 1
			return nil, err
		}
	}
	return r.nextValue()
}

func (r *Reader) nextLine() ([]byte, error) {
	for {
		line, err := r.readLine()
		r.at = r.line
		if len(line) == 0 && err != nil {
			return nil, err
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			return line, checkDepth(line)
		}
	}
}

// readLine returns a line with its end; the last one need not have one.
func (r *Reader) readLine() ([]byte, error) {
	r.buf = r.buf[:0]
	for {
		part, err := r.r.ReadSlice('\n')
		if len(r.buf) == 0 && len(part) > 0 {
			r.line++
		}
		if len(r.buf)+len(part) > r.max+len("\r\n") {
			return nil, r.tooLong()
		}
		r.buf = append(r.buf, part...)
		switch {
		case err == nil, err == io.EOF && len(r.buf) > 0:
			return r.buf, nil
		case err == io.EOF:
			return nil, io.EOF
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, unreadable(err)
		}
	}
}

func (r *Reader) tooLong() error {
	return sandtrail.Errorf(sandtrail.CodeTooLarge, "an execution may have %d bytes of JSON; this one has more", r.max)
}

func tooDeep() error {
	return sandtrail.Errorf(sandtrail.CodeInvalid, "metadata may have %d objects and arrays in each other; this one has more", sandtrail.MaxNesting)
}

// checkDepth refuses a value that nests too deeply.
func checkDepth(raw []byte) error {
	if bytes.Count(raw, []byte("["))+bytes.Count(raw, []byte("{")) <= maxDepth {
		return nil // as nearly all do
	}
	var scan scanner
	for _, c := range raw {
		if scan.closes(c); scan.depth > maxDepth {
			return tooDeep()
		}
	}
	return nil
}

func notJSON(format string, args ...any) error {
	return sandtrail.Errorf(sandtrail.CodeInvalid, "not valid JSON: "+format, args...)
}

// skipBlanks returns the next character that is not blank, unread.
func (r *Reader) skipBlanks() (byte, error) {
	for skipped := 0; ; skipped++ {
		if skipped > r.max {
			return 0, sandtrail.Errorf(sandtrail.CodeTooLarge, "between two executions may be %d blanks; here are more", r.max)
		}
		c, err := r.r.ReadByte()
		if err == io.EOF {
			return 0, io.EOF
		}
		if err != nil {
			return 0, unreadable(err)
		}
		switch c {
		case '\n':
			r.line++
		case ' ', '\t', '\r':
		default:
			return c, r.r.UnreadByte()
		}
	}
}

// nextValue reads the next object of an array or a sequence.
func (r *Reader) nextValue() ([]byte, error) {
	c, err := r.skipBlanks()
	r.at = r.line + 1
	switch {
	case err == io.EOF && r.form == Array:
		return nil, notJSON("the array has no end")
	case err != nil:
		return nil, err
	case c != '{' && r.form == Values:
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "must be a JSON object, got %q", c)
	}
	if strings.IndexByte(`{["`, c) < 0 {
		return r.word()
	}
	return r.value()
}

// word reads a number, true, false, null, or what is none of them.
func (r *Reader) word() ([]byte, error) {
	r.buf = r.buf[:0]
	for {
		c, err := r.r.ReadByte()
		switch {
		case err == io.EOF:
			return r.buf, nil
		case err != nil:
			return nil, unreadable(err)
		case strings.IndexByte(",]} \t\r\n", c) >= 0 && len(r.buf) > 0:
			return r.buf, r.r.UnreadByte()
		case len(r.buf) >= r.max:
			return nil, r.tooLong()
		}
		r.buf = append(r.buf, c)
	}
}

// nextElement reads what stands before an element of the array; io.EOF when
// the array ends.
func (r *Reader) nextElement() error {
	c, err := r.skipBlanks()
	if err == io.EOF {
		return notJSON("the array has no end")
	}
	if err != nil {
		return err
	}
	_, _ = r.r.Discard(1) // skipBlanks left it there
	switch {
	case !r.open: // detect saw the bracket
		r.open = true
		if c, err = r.skipBlanks(); err == nil && c == ']' {
			_, _ = r.r.Discard(1)
			return r.finish()
		}
		return nil
	case c == ',':
		return nil
	case c == ']':
		return r.finish()
	}
	return notJSON("an element of an array must be followed by a comma or the end, got %q", c)
}

func (r *Reader) finish() error {
	c, err := r.skipBlanks()
	if err == nil {
		return notJSON("%q follows the array", c)
	}
	return err
}

// value reads up to the character that ends an object, an array or a string.
func (r *Reader) value() ([]byte, error) {
	r.buf = r.buf[:0]
	var scan scanner
	for {
		c, err := r.r.ReadByte()
		if err == io.EOF {
			return nil, notJSON("the object has no end")
		}
		if err != nil {
			return nil, unreadable(err)
		}
		if len(r.buf) >= r.max {
			return nil, r.tooLong()
		}
		r.buf = append(r.buf, c)
		if c == '\n' {
			r.line++
		}
		if scan.closes(c) {
			return r.buf, nil
		}
		if scan.depth > maxDepth {
			return nil, tooDeep()
		}
	}
}

// scanner follows the nesting of JSON.
type scanner struct {
	depth  int
	quoted bool
	escape bool
}

// closes reports whether the character ends the outermost value.
func (s *scanner) closes(c byte) bool {
	switch {
	case s.escape:
		s.escape = false
	case s.quoted:
		s.escape, s.quoted = c == '\\', c != '"'
		return !s.quoted && s.depth == 0
	case c == '"':
		s.quoted = true
	case c == '{' || c == '[':
		s.depth++
	case c == '}' || c == ']':
		s.depth--
		return s.depth == 0
	}
	return false
}
