package human_test

import (
	"os/exec"
	"testing"

	"github.com/sandtrail/sandtrail/internal/human"
)

// TestShellWord gives words to a shell, which has to hand each on as it was.
func TestShellWord(t *testing.T) {
	for _, word := range []string{"ada", "ada lovelace", "o'brien", "$(reboot)", "`id`", "a;b", "a&b|c>d", `back\slash`, `"quoted"`, "*", "~", "#x", "{a,b}", "!1", "", "ä\tö", "two\nlines", "a@example.com"} {
		out, err := exec.Command("sh", "-c", "printf %s "+human.ShellWord(word)).Output()
		if err != nil || string(out) != word {
			t.Errorf("%q as %s: the shell got %q (%v)", word, human.ShellWord(word), out, err)
		}
	}
	if got := human.ShellWord("ada-1.b@example.com"); got != "ada-1.b@example.com" {
		t.Errorf("a plain word is written as %s", got)
	}
}
