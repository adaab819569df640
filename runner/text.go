package runner

import (
	"unicode/utf8"

	"github.com/sandtrail/sandtrail"
)

// CheckText refuses arguments before "--" that are not UTF-8: no record could
// hold them as they are, and replaced characters make one of two ids.
func CheckText(args []string) error {
	for _, arg := range args {
		if arg == "--" {
			return nil
		}
		if !utf8.ValidString(arg) {
			return sandtrail.Errorf(sandtrail.CodeInvalid, "%+q is not valid UTF-8: give the text in UTF-8", arg)
		}
	}
	return nil
}
