package human_test

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail/internal/human"
	"github.com/sandtrail/sandtrail/internal/sample"
)

func TestVisible(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "",
		"plain, Übung, 数据":                 "plain, Übung, 数据",
		"a\nb\tc\rd":                       `a\nb\tc\rd`,
		"\x1b[31mred\x1b[0m\x07":           `\u001b[31mred\u001b[0m\u0007`,
		"\x00\x7f":                         `\u0000\u007f`,
		"\u009b31m\u0085":                  `\u009b31m\u0085`,
		"pay\u202egpj.exe\u202c":           `pay\u202egpj.exe\u202c`,
		"\u2066a\u2069\u200e\ufeff":        `\u2066a\u2069\u200e\ufeff`,
		"tag \U000e0041":                   `tag \udb40\udc41`,
		"e" + strings.Repeat("\u0301", 14): "e" + strings.Repeat("\u0301", 12) + `\u0301\u0301`,
		"soft\u00adhyphen\u2028":           `soft\u00adhyphen\u2028`,
		"👩\u200d💻 می\u200cخواهم":           "👩\u200d💻 می\u200cخواهم",
	} {
		if got := human.Visible(text); got != want {
			t.Errorf("Visible(%q) = %s, want %s", text, got, want)
		}
	}
	if got := human.VisibleLines("a\r\n\tb\x1b\r"); got != "a\n\tb\\u001b\\r" {
		t.Errorf("VisibleLines: %q", got)
	}
}

func TestNothingHostileIsHidden(t *testing.T) {
	for _, h := range sample.Hostile() {
		if shown := human.Visible(h.Text); human.Hidden(shown) || strings.Contains(shown, "\n") {
			t.Errorf("%s: %q", h.Name, shown)
		}
	}
}

func TestVisibleWriterCutAnywhere(t *testing.T) {
	texts := []string{"a\r\n\tb\rc\r\n", "e" + strings.Repeat("\u0301", 14) + "\r\n"}
	for _, h := range sample.Hostile() {
		texts = append(texts, h.Text)
	}
	for _, text := range texts {
		text += "\n"
		want := human.VisibleLines(text)
		for cut := range len(text) {
			var shown strings.Builder
			w := human.VisibleWriter(&shown)
			for _, piece := range []string{text[:cut], text[cut:]} {
				if _, err := io.WriteString(w, piece); err != nil {
					t.Fatal(err)
				}
			}
			if shown.String() != want {
				t.Errorf("%q cut at %d: %s", text, cut, cmp.Diff(want, shown.String()))
			}
		}
	}
}

// FuzzVisibleWriter writes JSON in two pieces, cut anywhere.
func FuzzVisibleWriter(f *testing.F) {
	for _, h := range sample.Hostile() {
		f.Add(h.Text[:min(len(h.Text), 100)], 7)
	}
	f.Fuzz(func(t *testing.T, text string, cut int) {
		if !utf8.ValidString(text) {
			return
		}
		raw, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		var shown strings.Builder
		w := human.VisibleWriter(&shown)
		cut = max(0, min(cut, len(raw)))
		for _, piece := range [][]byte{raw[:cut], raw[cut:], []byte("\n")} {
			if _, err := w.Write(piece); err != nil {
				t.Fatal(err)
			}
		}
		var back string
		if err := json.Unmarshal([]byte(shown.String()), &back); err != nil || back != text {
			t.Errorf("%s: %v: %s", shown.String(), err, cmp.Diff(text, back))
		}
	})
}
