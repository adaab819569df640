package ownerkey_test

import (
	"testing"

	"github.com/sandtrail/sandtrail/internal/ownerkey"
)

func TestKeysAreSpelledAsTheirColumnsAre(t *testing.T) {
	const id = "3f0c2f57-33c4-4f0c-9f0e-0a3b1e4f8d11"
	for _, c := range []struct {
		sqlType, given, want string
		ok                   bool
	}{
		{"text", "A 007 ", "A 007 ", true},
		{"character varying(40)", "007", "007", true},
		{"uuid", "3F0C2F57-33c4-4F0C-9f0e-0A3B1E4F8D11", id, true},
		{"uuid", "00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000000", true},
		{"uuid", "ada", "ada", false},
		{"uuid", id + "0", id + "0", false},
		{"integer", "007", "7", true},
		{"integer", "-0", "0", true},
		{"integer", "2147483648", "2147483648", false},
		{"bigint", "9223372036854775807", "9223372036854775807", true},
		{"bigint", "1e3", "1e3", false},
		{"smallint", "", "", false},
	} {
		if got, ok := ownerkey.Of(c.sqlType).Canonical(c.given); got != c.want || ok != c.ok {
			t.Errorf("%s %q: %q, %v; want %q, %v", c.sqlType, c.given, got, ok, c.want, c.ok)
		}
	}
}
