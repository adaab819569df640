package asciicast

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"
)

// Writer writes a session, each line in one call of the writer below, so that
// what is there ends with a whole line at any moment. It is not safe for
// concurrent use. After an error it must not be used again.
type Writer struct {
	to      io.Writer
	limit   int64 // bytes; 0: none
	bytes   int64 // written so far
	at      int64 // microseconds: the time of the last event
	capped  bool
	partial map[Code][]byte // the beginning of a character whose rest is to come
}

const (
	// lastWords is room that is kept for the marker and the exit event of a
	// session that has reached its limit.
	lastWords = 256
	// maxChunk bounds the data of one event, so that every line, escapes
	// included, stays within what a Reader takes.
	maxChunk = 64 << 10

	cappedLabel = "the rest of the session was not recorded: the file has reached its limit"
)

// NewWriter writes the header. A file of more than limit bytes (0: any) is not
// written: what comes after is left out, and a marker says so.
func NewWriter(to io.Writer, h Header, limit int64) (*Writer, error) {
	line := header{Version: version, Term: &termSize{h.Cols, h.Rows}, Command: h.Command}
	if !h.Begun.IsZero() {
		line.Timestamp = h.Begun.Unix()
	}
	raw, err := encode(line)
	if err != nil {
		return nil, err
	}
	w := &Writer{to: to, limit: limit, partial: map[Code][]byte{}}
	return w, w.line(raw)
}

// Capped reports whether the limit was reached.
func (w *Writer) Capped() bool { return w.capped }

// Bytes is how much has been written.
func (w *Writer) Bytes() int64 { return w.bytes }

// Write records what was written to the terminal or typed (code Output or
// Input), given as it was read: a character whose bytes come in two calls is
// put together, bytes that are no UTF-8 are replaced by U+FFFD.
func (w *Writer) Write(at time.Duration, code Code, p []byte) error {
	whole, rest := splitRune(append(w.partial[code], p...))
	w.partial[code] = bytes.Clone(rest)
	for len(whole) > 0 {
		chunk := whole
		if len(chunk) > maxChunk {
			chunk, _ = splitRune(chunk[:maxChunk])
		}
		if err := w.event(at, code, string(chunk)); err != nil {
			return err
		}
		whole = whole[len(chunk):]
	}
	return nil
}

// Resize records that the terminal has another size.
func (w *Writer) Resize(at time.Duration, cols, rows int) error {
	return w.event(at, Resize, SizeText(cols, rows))
}

// Exit records the status with which the command ended, the last event.
func (w *Writer) Exit(at time.Duration, status int) error {
	for _, code := range []Code{Output, Input} {
		if rest := w.partial[code]; len(rest) > 0 {
			if err := w.event(at, code, string(rest)); err != nil {
				return err
			}
		}
	}
	raw, err := w.encodeEvent(at, Exit, strconv.Itoa(status))
	if err != nil {
		return err
	}
	return w.line(raw)
}

func (w *Writer) event(at time.Duration, code Code, data string) error {
	if w.capped {
		return nil
	}
	raw, err := w.encodeEvent(at, code, data)
	if err != nil {
		return err
	}
	if w.limit > 0 && w.bytes+int64(len(raw))+lastWords > w.limit {
		w.capped = true
		if raw, err = w.encodeEvent(at, Marker, cappedLabel); err != nil {
			return err
		}
	}
	w.at = max(w.at, at.Microseconds())
	return w.line(raw)
}

// encodeEvent writes the time since the last event. Both are rounded before
// they are subtracted, so that no error adds up.
func (w *Writer) encodeEvent(at time.Duration, code Code, data string) ([]byte, error) {
	text, err := encode(data)
	if err != nil {
		return nil, err
	}
	since := max(0, at.Microseconds()-w.at)
	return fmt.Appendf(nil, "[%d.%06d, %q, %s]", since/1e6, since%1e6, code, text), nil
}

func (w *Writer) line(raw []byte) error {
	n, err := w.to.Write(append(raw, '\n'))
	w.bytes += int64(n)
	if err != nil {
		return fmt.Errorf("write the session: %w", err)
	}
	return nil
}

// encode is JSON without the escapes that only HTML needs.
func encode(value any) ([]byte, error) {
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), err
}

// splitRune cuts off the beginning of a character that ends the text.
func splitRune(p []byte) (whole, rest []byte) {
	for i := len(p) - 1; i >= max(0, len(p)-utf8.UTFMax); i-- {
		if utf8.RuneStart(p[i]) {
			if !utf8.FullRune(p[i:]) {
				return p[:i], p[i:]
			}
			break
		}
	}
	return p, nil
}
