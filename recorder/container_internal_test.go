//go:build linux

package recorder

import (
	"slices"
	"strings"
	"testing"
)

func TestFindContainer(t *testing.T) {
	tests := map[string]struct {
		line    string
		client  bool
		inserts int    // index of our --cidfile; -1: none
		cidFile string // the caller's own
	}{
		"no engine":               {"python3 run docker", false, -1, ""},
		"run":                     {"docker run --rm image run", true, 2, ""},
		"run behind options":      {"podman --log-level debug --remote run image", true, 5, ""},
		"the long form":           {"/usr/bin/docker container run image", true, 3, ""},
		"another subcommand":      {"docker compose run service", true, -1, ""},
		"exec":                    {"docker exec box ls", true, -1, ""},
		"its own id file":         {"docker run --cidfile /x image", true, -1, "/x"},
		"its own id file, with =": {"docker run --cidfile=/x image", true, -1, "/x"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			given := strings.Fields(test.line)
			c, args, err := findContainer(given)
			if err != nil || (c != nil) != test.client {
				t.Fatalf("got %v, %v", c, err)
			}
			if c != nil {
				defer c.close()
			}
			at := slices.IndexFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "--cidfile=") && !slices.Contains(given, arg) })
			if at != test.inserts {
				t.Errorf("our --cidfile is at %d in %q, want %d", at, args, test.inserts)
			}
			if test.cidFile != "" && c.cidFile != test.cidFile {
				t.Errorf("the id is looked for in %q", c.cidFile)
			}
		})
	}
}
