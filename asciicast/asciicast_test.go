package asciicast_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail/asciicast"
)

const ms = time.Millisecond

func newWriter(t *testing.T, to io.Writer, limit int64) *asciicast.Writer {
	t.Helper()
	w, err := asciicast.NewWriter(to, asciicast.Header{Cols: 80, Rows: 24, Begun: time.Unix(1504467315, 0), Command: "bash"}, limit)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// read returns all events of a file.
func read(t *testing.T, file string) (asciicast.Header, []asciicast.Event) {
	t.Helper()
	r, err := asciicast.NewReader(strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	var events []asciicast.Event
	for {
		event, err := r.Next()
		if errors.Is(err, io.EOF) {
			return r.Header, events
		}
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, event)
	}
}

func TestWrittenIsRead(t *testing.T) {
	var file bytes.Buffer
	w := newWriter(t, &file, 0)
	must(t,
		w.Write(1500*time.Microsecond, asciicast.Output, []byte("\x1b[1mhé <b>\r\n")),
		w.Write(2*ms, asciicast.Input, []byte("ls\r")),
		w.Resize(3*ms, 120, 40),
		w.Write(2*ms, asciicast.Output, []byte("late")), // a clock never runs back
		w.Exit(time.Hour, 3))

	header, events := read(t, file.String())
	want := asciicast.Header{Cols: 80, Rows: 24, Begun: time.Unix(1504467315, 0), Command: "bash"}
	if diff := cmp.Diff(want, header); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]asciicast.Event{
		{At: 1500 * time.Microsecond, Code: asciicast.Output, Data: "\x1b[1mhé <b>\r\n"},
		{At: 2 * ms, Code: asciicast.Input, Data: "ls\r"},
		{At: 3 * ms, Code: asciicast.Resize, Data: "120x40"},
		{At: 3 * ms, Code: asciicast.Output, Data: "late"},
		{At: time.Hour, Code: asciicast.Exit, Data: "3"},
	}, events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if int64(file.Len()) != w.Bytes() {
		t.Errorf("%d bytes counted of %d", w.Bytes(), file.Len())
	}
}

func TestRoundingDoesNotAddUp(t *testing.T) {
	var file bytes.Buffer
	w := newWriter(t, &file, 0)
	const n, step = 10_000, 333_333 * time.Nanosecond
	for i := range n {
		must(t, w.Write(time.Duration(i+1)*step, asciicast.Output, []byte("x")))
	}
	_, events := read(t, file.String())
	if got, want := events[n-1].At, (n * step).Truncate(time.Microsecond); got != want {
		t.Errorf("the last event is at %s, want %s", got, want)
	}
}

func TestCharactersInPieces(t *testing.T) {
	tests := map[string]struct {
		pieces []string
		want   []string // the data of the events, exit left out
	}{
		"whole":                 {[]string{"é", "世"}, []string{"é", "世"}},
		"split in two":          {[]string{"a\xc3", "\xa9b"}, []string{"a", "éb"}},
		"byte by byte":          {[]string{"\xf0", "\x9f", "\x98", "\x80"}, []string{"😀"}},
		"never completed":       {[]string{"a\xe4\xb8"}, []string{"a", "\uFFFD\uFFFD"}},
		"broken by another":     {[]string{"\xe4\xb8", "x"}, []string{"\uFFFD\uFFFDx"}},
		"no UTF-8 at all":       {[]string{"a\xffb"}, []string{"a\uFFFDb"}},
		"a lone continuation":   {[]string{"\xa9", "b"}, []string{"\uFFFD", "b"}},
		"control characters":    {[]string{"\x00\x1b\x7f"}, []string{"\x00\x1b\x7f"}},
		"separators of lines":   {[]string{"\u2028\r\n"}, []string{"\u2028\r\n"}},
		"nothing":               {[]string{"", ""}, nil},
		"more than one line":    {[]string{strings.Repeat("x", 64<<10) + "y"}, []string{strings.Repeat("x", 64<<10), "y"}},
		"cut inside of another": {[]string{strings.Repeat("x", 64<<10-1) + "é"}, []string{strings.Repeat("x", 64<<10-1), "é"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var file bytes.Buffer
			w := newWriter(t, &file, 0)
			for _, piece := range test.pieces {
				must(t, w.Write(0, asciicast.Output, []byte(piece)))
			}
			must(t, w.Exit(0, 0))
			_, events := read(t, file.String())
			var got []string
			for _, event := range events[:len(events)-1] {
				got = append(got, event.Data)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestInputAndOutputAreApart(t *testing.T) {
	var file bytes.Buffer
	w := newWriter(t, &file, 0)
	must(t,
		w.Write(0, asciicast.Output, []byte("\xc3")),
		w.Write(0, asciicast.Input, []byte("y")),
		w.Write(0, asciicast.Output, []byte("\xa9")))
	_, events := read(t, file.String())
	if diff := cmp.Diff([]asciicast.Event{{Code: asciicast.Input, Data: "y"}, {Code: asciicast.Output, Data: "é"}}, events); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLimit(t *testing.T) {
	const limit = 2000
	var file bytes.Buffer
	w := newWriter(t, &file, limit)
	for i := range 100 {
		must(t, w.Write(time.Duration(i)*ms, asciicast.Output, bytes.Repeat([]byte("x"), 50)))
	}
	must(t, w.Exit(time.Second, 7))
	if file.Len() > limit || !w.Capped() {
		t.Errorf("%d bytes, capped: %v", file.Len(), w.Capped())
	}
	if capped, err := asciicast.Capped(bytes.NewReader(file.Bytes())); !capped || err != nil {
		t.Errorf("read again, capped: %v, %v", capped, err)
	}
	_, events := read(t, file.String())
	marker, exit := events[len(events)-2], events[len(events)-1]
	if marker.Code != asciicast.Marker || !strings.Contains(marker.Data, "not recorded") {
		t.Errorf("before the last: %+v", marker)
	}
	if exit != (asciicast.Event{At: time.Second, Code: asciicast.Exit, Data: "7"}) {
		t.Errorf("last: %+v", exit)
	}
}

func TestEveryWriteIsAWholeLine(t *testing.T) {
	var writes []string
	w := newWriter(t, writerFunc(func(p []byte) (int, error) {
		writes = append(writes, string(p))
		return len(p), nil
	}), 0)
	must(t, w.Write(0, asciicast.Output, []byte("a\nb\n")), w.Exit(0, 0))
	for _, write := range writes {
		if strings.Index(write, "\n") != len(write)-1 {
			t.Errorf("written at once: %q", write)
		}
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestErrorsOfTheFileAreReturned(t *testing.T) {
	full := errors.New("no space left")
	_, err := asciicast.NewWriter(writerFunc(func([]byte) (int, error) { return 0, full }), asciicast.Header{Cols: 1, Rows: 1}, 0)
	if !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

const head = `{"version":3,"term":{"cols":80,"rows":24}}` + "\n"

func TestTornFiles(t *testing.T) {
	const line = `[0.5, "o", "a"]`
	tests := map[string]struct {
		file   string
		events int
		torn   bool
	}{
		"header alone":          {head, 0, false},
		"header without an end": {strings.TrimSpace(head), 0, false},
		"in an event":           {head + line + "\n" + line[:8], 1, true},
		"in a string":           {head + line + "\n" + line[:len(line)-3], 1, true},
		"before the line feed":  {head + line, 1, false},
		"comments and blanks":   {head + "# [\n\n" + line + "\n# x", 1, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r, err := asciicast.NewReader(strings.NewReader(test.file))
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, err = r.Next(); err == nil; _, err = r.Next() {
				n++
			}
			if n != test.events || !errors.Is(err, io.EOF) || r.Torn() != test.torn {
				t.Errorf("%d events, %v, torn: %v", n, err, r.Torn())
			}
		})
	}
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	tests := map[string]struct{ file, want string }{
		"empty":                 {"", "line 1 is not a header"},
		"another file":          {"#!/bin/sh\n", "line 1 is not a header"},
		"version 2":             {`{"version":2,"width":80,"height":24}`, "line 1: version: must be 3, got 2"},
		"no size":               {`{"version":3}`, "line 1: term"},
		"no columns":            {`{"version":3,"term":{"rows":24}}`, "line 1: term"},
		"too many rows":         {`{"version":3,"term":{"cols":80,"rows":65536}}`, "line 1: term"},
		"no array":              {head + "{}\n", "line 2: "},
		"too few elements":      {head + `[1, "o"]` + "\n", "line 2: an event must be [interval, code, data], got 2"},
		"null":                  {head + `[1, "o", null]` + "\n", "line 2: an event must be [interval, code, data], got null"},
		"no number":             {head + `["1", "o", "x"]` + "\n", "line 2: "},
		"back in time":          {head + `[-1, "o", "x"]` + "\n", "line 2: interval"},
		"the end of time":       {head + `[1e300, "o", "x"]` + "\n", "line 2: interval"},
		"a line without an end": {head + strings.Repeat("x", 1<<20+1), "line 2 is longer"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r, err := asciicast.NewReader(strings.NewReader(test.file))
			if err == nil {
				_, err = r.Next()
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// FuzzReader checks that whatever is read can be written and read again.
func FuzzReader(f *testing.F) {
	f.Add([]byte(head + `[0.1, "o", "a\u001b"]` + "\n" + `[1e-3, "r", "90x30"]` + "\n# c\n" + `[2, "x", "0"]` + "\n"))
	f.Add([]byte(head + `[0.1, "o", "\ud800"]`))
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := asciicast.NewReader(bytes.NewReader(file))
		if err != nil {
			return
		}
		var again bytes.Buffer
		w, err := asciicast.NewWriter(&again, r.Header, 0)
		must(t, err)
		var last, size int
		for {
			event, err := r.Next()
			if err != nil {
				break
			}
			if int(event.At) < last || !utf8.ValidString(event.Data) {
				t.Fatalf("%+v after %d", event, last)
			}
			last = int(event.At)
			if event.Code == asciicast.Output {
				size += len(event.Data)
				must(t, w.Write(event.At, event.Code, []byte(event.Data)))
			}
		}
		header, events := read(t, again.String())
		if header != r.Header {
			t.Errorf("header %+v became %+v", r.Header, header)
		}
		for _, event := range events {
			size -= len(event.Data)
		}
		if size != 0 {
			t.Errorf("%d bytes of output are gone", size)
		}
	})
}
