// Package testneed finds what tests need of the machine.
package testneed

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
)

// Missing ends a test for want of something: it is skipped, and fails where
// CI=true.
func Missing(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// LeaveOut is Missing for Examples, which have no testing.TB: TestMain calls it.
// Those whose names match a pattern do not run, or all tests fail where CI=true.
func LeaveOut(pattern string, why error) error {
	if os.Getenv("CI") == "true" {
		return why
	}
	fmt.Fprintf(os.Stderr, "without %s: %v\n", pattern, why)
	flag.Parse()
	if given := flag.Lookup("test.skip").Value.String(); given != "" {
		pattern = given + "|" + pattern
	}
	return flag.Set("test.skip", pattern)
}

// Program finds a program of a Debian package by any of its names.
func Program(t testing.TB, pkg string, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	Missing(t, fmt.Sprintf("%s is needed (Debian: apt-get install %s)", names[0], pkg))
	return ""
}

// FreeAddress is an address of this machine that no process listens on.
func FreeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
