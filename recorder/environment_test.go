//go:build linux

package recorder_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail/recorder"
)

func TestEnvironmentHoldsNothingOfOurs(t *testing.T) {
	environ := []string{
		"HOME=/root", "PATH=/bin", "PGP_KEY=theirs", "PGDATA=/var/lib", "MY_SANDTRAIL_X=1", "EMPTY=", "=odd", "no-value",
		"SANDTRAIL_KEY=k", "SANDTRAIL_DB=postgres://u:p@h/d", "SANDTRAIL_ANYTHING_NEW=x", "AWS_SECRET_ACCESS_KEY=s",
		"AWS_SESSION_TOKEN=t", "OTEL_EXPORTER_OTLP_TRACES_HEADERS=h", "PGPASSWORD=p", "PGPASSFILE=f", "PGSERVICEFILE=s", "PGSSLKEY=k",
	}
	theirs := environ[:8]
	if diff := cmp.Diff(theirs, recorder.Environment(environ, nil)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	insisted := append(theirs[:8:8], "AWS_SECRET_ACCESS_KEY=s", "PGPASSWORD=p")
	if diff := cmp.Diff(insisted, recorder.Environment(environ, []string{"PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "HOME"})); diff != "" {
		t.Errorf("insisted (-want +got):\n%s", diff)
	}
}

func TestCommandsOfALibraryGetNothingOfOurs(t *testing.T) {
	t.Setenv("SANDTRAIL_KEY", "st_secret")
	c := shell(`echo "$SANDTRAIL_KEY"`)
	if out := output(&c); record(t, c).Success() && out.String() != "\n" {
		t.Errorf("got %q", out)
	}
}
