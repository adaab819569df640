package sandtrail_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sandtrail/sandtrail"
)

func TestParseIDPrefix(t *testing.T) {
	for text, want := range map[string]string{
		"01a22999":                              "01a22999",
		"01A22999":                              "01a22999",
		"01a22999-":                             "01a22999",
		"01a22999-0":                            "01a22999-0",
		"01a229990":                             "01a22999-0",
		"01a22999-0abc-7def":                    "01a22999-0abc-7def",
		"01a22999-0abc-7def-8a90-1b2c3d4e5f6":   "01a22999-0abc-7def-8a90-1b2c3d4e5f6",
		"01a22999-0abc-7def-8a90-1b2c3d4e5f60":  "01a22999-0abc-7def-8a90-1b2c3d4e5f60",
		"01a229990abc7def8a901b2c3d4e5f60":      "01a22999-0abc-7def-8a90-1b2c3d4e5f60",
		"01a22990":                              "01a22990",
		"00000000":                              "00000000",
		"":                                      "",
		"01a2299":                               "",
		"01a2-2999":                             "",
		"01a22999-0abc7":                        "",
		"01a22999--":                            "",
		"-01a22999":                             "",
		"01a2299g":                              "",
		"last":                                  "",
		"01a22999-0abc-7def-8a90-1b2c3d4e5f601": "",
		"00000000-0000-0000-0000-000000000000":  "00000000-0000-0000-0000-000000000000", // which other clients can write
	} {
		p, err := sandtrail.ParseIDPrefix(text)
		if want == "" {
			if !errors.Is(err, sandtrail.CodeInvalid) || !strings.Contains(err.Error(), "first 8 digits") {
				t.Errorf("%q: got %v, %v, want an error that tells the form", text, p, err)
			}
			continue
		}
		if err != nil || p.String() != want {
			t.Errorf("%q: got %s, %v, want %s", text, p, err, want)
		}
		if id, whole := p.Whole(); whole != (len(want) == 36) || whole && id.String() != want {
			t.Errorf("%q: whole is %v: %s", text, whole, id)
		}
	}
}
