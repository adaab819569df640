package sample

import (
	"testing"

	"github.com/sandtrail/sandtrail"
)

// TestHostileTextsAreAdmitted wants what a careless caller could send, not
// what is refused.
func TestHostileTextsAreAdmitted(t *testing.T) {
	if _, err := (sandtrail.Admission{Now: until}).Admit(HostileDrafts()...); err != nil {
		t.Error(err)
	}
	for _, u := range HostileUsers() {
		if err := u.Validate(); err != nil {
			t.Error(err)
		}
	}
	for _, s := range HostileStrategies() {
		if err := s.Validate(); err != nil {
			t.Error(err)
		}
	}
	if size := len(deepMetadata()); size < 60<<10 || size > sandtrail.MaxMetadataBytes {
		t.Errorf("the deep metadata has %d bytes, want about 60 KiB", size)
	}
}
