package cmdline

import (
	"time"

	"github.com/sandtrail/sandtrail"
)

// Duration is a length of time such as 90d, as a flag.
type Duration time.Duration

// UnmarshalText reads a flag.
func (v *Duration) UnmarshalText(text []byte) error {
	length, err := sandtrail.ParseDuration(string(text))
	*v = Duration(length)
	return err
}
