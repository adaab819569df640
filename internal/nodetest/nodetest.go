// Package nodetest installs npm packages for tests.
package nodetest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sandtrail/sandtrail/internal/testneed"
)

// Install makes node_modules in the directory what its lockfile says, unless it
// is already. Scripts of packages are not run. Without npm the test is skipped;
// where CI=true it fails.
func Install(t testing.TB, dir string) {
	t.Helper()
	if _, err := exec.LookPath("npm"); err != nil {
		testneed.Missing(t, "Node.js 20 with npm is needed (Debian: apt-get install nodejs npm)")
	}
	want, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	installed := filepath.Join(dir, "node_modules", "installed-package-lock.json")
	if have, err := os.ReadFile(installed); err == nil && bytes.Equal(have, want) {
		return
	}
	cmd := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		testneed.Missing(t, fmt.Sprintf("npm ci: %v\n%s", err, out))
	}
	if err := os.WriteFile(installed, want, 0o644); err != nil {
		t.Fatal(err)
	}
}
