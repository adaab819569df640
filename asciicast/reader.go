package asciicast

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// maxLine is the longest line that is read.
const maxLine = 1 << 20

// Reader reads a session. A last line that is torn, as a killed writer could
// leave it, ends the session like the end of the file.
type Reader struct {
	Header Header

	lines *bufio.Reader
	line  int           // number of the line that was read last
	at    time.Duration // of the last event
	torn  bool
}

// NewReader reads the header.
func NewReader(from io.Reader) (*Reader, error) {
	r := &Reader{lines: bufio.NewReaderSize(from, maxLine)}
	raw, err := r.next()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var h header
	if err := json.Unmarshal(raw, &h); err != nil {
		return nil, fmt.Errorf("no asciicast: line 1 is not a header: %w", err)
	}
	if h.Version != version {
		return nil, fmt.Errorf("line 1: version: must be %d, got %d", version, h.Version)
	}
	if h.Term == nil || !isSide(h.Term.Cols) || !isSide(h.Term.Rows) {
		return nil, fmt.Errorf("line 1: term: cols and rows must be from 1 to %d", maxSide)
	}
	r.Header = Header{Cols: h.Term.Cols, Rows: h.Term.Rows, Command: h.Command}
	if h.Timestamp != 0 {
		r.Header.Begun = time.Unix(h.Timestamp, 0)
	}
	return r, nil
}

func isSide(n int) bool { return n >= 1 && n <= maxSide }

// Torn reports whether a torn last line was left out.
func (r *Reader) Torn() bool { return r.torn }

// Next returns the next event, or io.EOF at the end.
func (r *Reader) Next() (Event, error) {
	for {
		raw, err := r.next()
		ended := errors.Is(err, io.EOF)
		switch {
		case err != nil && !ended:
			return Event{}, err
		case len(bytes.TrimSpace(raw)) == 0 || raw[0] == '#':
			if ended {
				return Event{}, io.EOF
			}
			continue
		}
		event, err := r.decode(raw)
		if err != nil && ended {
			r.torn = true
			return Event{}, io.EOF
		}
		if err != nil {
			return Event{}, fmt.Errorf("line %d: %w", r.line, err)
		}
		return event, nil
	}
}

// next returns the next line, without its end. With the last one, which has
// none, comes io.EOF.
func (r *Reader) next() ([]byte, error) {
	r.line++
	raw, err := r.lines.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, fmt.Errorf("line %d is longer than %d bytes", r.line, maxLine)
	case err != nil && !errors.Is(err, io.EOF):
		return nil, fmt.Errorf("line %d: %w", r.line, err)
	}
	return bytes.TrimSuffix(raw, []byte("\n")), err
}

func (r *Reader) decode(raw []byte) (Event, error) {
	var parts []json.RawMessage
	if err := json.Unmarshal(raw, &parts); err != nil {
		return Event{}, err
	}
	if len(parts) != 3 {
		return Event{}, fmt.Errorf("an event must be [interval, code, data], got %d elements", len(parts))
	}
	var interval *float64
	var code, data *string
	if err := errors.Join(json.Unmarshal(parts[0], &interval), json.Unmarshal(parts[1], &code), json.Unmarshal(parts[2], &data)); err != nil {
		return Event{}, err
	}
	if interval == nil || code == nil || data == nil {
		return Event{}, errors.New("an event must be [interval, code, data], got null")
	}
	if *interval < 0 || *interval > (maxTime-r.at).Seconds() {
		return Event{}, fmt.Errorf("interval: must be seconds from 0 on, at most %s in all", maxTime)
	}
	r.at += time.Duration(math.Round(*interval*1e6)) * time.Microsecond
	return Event{At: r.at, Code: Code(*code), Data: *data}, nil
}

// Capped reports whether a session that a Writer wrote reached its limit.
func Capped(from io.Reader) (bool, error) {
	r, err := NewReader(from)
	for err == nil {
		var e Event
		if e, err = r.Next(); err == nil && e.Code == Marker && e.Data == cappedLabel {
			return true, nil
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return false, err
}
