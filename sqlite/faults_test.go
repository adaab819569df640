package sqlite_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sandtrail/sandtrail"
)

// An application's own triggers refuse with the code that ours do. What they
// say is theirs, and no legal hold.
func TestAnApplicationsTriggerIsNoHold(t *testing.T) {
	s, other := withOther(t)
	for _, statement := range []string{
		"INSERT INTO users (id, email) VALUES ('u', 'u')",
		"CREATE TRIGGER theirs BEFORE DELETE ON users BEGIN SELECT RAISE(ABORT, 'ask billing first'); END",
	} {
		if err := other(statement); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.DeleteUser(t.Context(), "u")
	if sandtrail.CodeOf(err) != sandtrail.CodeInternal || !strings.Contains(err.Error(), "ask billing first") {
		t.Errorf("got %v, want what the trigger said", err)
	}
}

// A schema that a newer version made is no input of the caller's.
func TestANewerSchemaIsOutOfReach(t *testing.T) {
	s, other := withOther(t)
	if err := other("INSERT INTO sandtrail_migrations (version, name, applied_at) VALUES (9999, 'later', '2030-01-01 00:00:00.000')"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Migrate(t.Context(), noon); !errors.Is(err, sandtrail.CodeUnavailable) || !strings.Contains(err.Error(), "use a newer one") {
		t.Errorf("got %v", err)
	}
}
