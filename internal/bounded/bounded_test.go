package bounded

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sandtrail/sandtrail"
)

func TestReadAll(t *testing.T) {
	for _, of := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.DataErrReader} {
		for size := range 12 {
			text := strings.Repeat("x", size)
			got, err := ReadAll(of(strings.NewReader(text)), "the file a.txt", 8)
			if size <= 8 && (err != nil || string(got) != text) {
				t.Errorf("%d bytes: %q, %v", size, got, err)
			}
			if size > 8 && (sandtrail.CodeOf(err) != sandtrail.CodeTooLarge || !strings.Contains(err.Error(), "a.txt") || len(got) > 8) {
				t.Errorf("%d bytes: %q, %v", size, got, err)
			}
		}
	}
}

func TestRenew(t *testing.T) {
	r := New(strings.NewReader("abcdefgh"), "x", 4)
	part := make([]byte, 4)
	for _, want := range []string{"abcd", "efgh"} {
		if _, err := io.ReadFull(r, part); err != nil || string(part) != want {
			t.Errorf("%q, %v", part, err)
		}
		r.Renew()
	}
	if _, err := r.Read(part); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

func TestLines(t *testing.T) {
	const max = 100_000 // more than the buffer
	for _, test := range []struct {
		text string
		want []int // bytes of each line
		err  error
	}{
		{"", []int{0}, io.EOF},
		{"a\nbc\n", []int{2, 3, 0}, io.EOF},
		{"a\nbc", []int{2, 2}, io.EOF},
		{strings.Repeat("x", max-1) + "\n\n", []int{max, 1, 0}, io.EOF},
		{"a\n" + strings.Repeat("x", 10*max), []int{2}, sandtrail.CodeTooLarge},
	} {
		l := NewLines(strings.NewReader(test.text), "a.txt", max)
		var got []int
		var err error
		for err == nil {
			var line []byte
			if line, err = l.Next(); line != nil || err == io.EOF {
				got = append(got, len(line))
			}
		}
		if !errors.Is(err, test.err) || len(got) != len(test.want) {
			t.Errorf("%.10q: %v, %v; want %v, %v", test.text, got, err, test.want, test.err)
		}
		for i := range min(len(got), len(test.want)) {
			if got[i] != test.want[i] {
				t.Errorf("%.10q: %v, want %v", test.text, got, test.want)
			}
		}
		if test.err != io.EOF && !strings.Contains(err.Error(), "a.txt: line 2") {
			t.Error(err)
		}
	}
}
