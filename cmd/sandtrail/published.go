package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/client"
	"github.com/sandtrail/sandtrail/internal/human"
	"github.com/sandtrail/sandtrail/ledger"
)

// publishedLog is the log of a server. Each execution that its key may read is in
// the lines.
type publishedLog struct {
	*client.Client
	older bool // the server has no call for closed logs
}

// Closed implements ledger.Published.
func (l *publishedLog) Closed(ctx context.Context) ([]ledger.ClosedLog, error) {
	closed, err := l.Client.Closed(ctx)
	if l.older = sandtrail.CodeOf(err) == sandtrail.CodeNotFound; l.older {
		return nil, nil
	}
	return closed, err
}

// Lines implements ledger.Published.
func (l *publishedLog) Lines(ctx context.Context, use func(line []byte) error) error {
	_, err := l.ExportSealed(ctx, sandtrail.Filter{}, use)
	return err
}

// published verifies what a server shows. The server writes into its access log
// that everything was exported.
func (c *verifyCmd) published(ctx context.Context, d *deps, server *client.Client, verification ledger.Verification, v *verified) error {
	scratch, err := os.CreateTemp("", "sandtrail-verify-*")
	if err != nil {
		return err
	}
	bar := d.newProgress("Verifying", sizeOf(ctx, server, verification.Trusted))
	var done int64
	verification.Progress = func(lines int64) { bar.add(lines - done); done = lines }
	log := &publishedLog{Client: server}
	v.Summary, err = ledger.VerifyPublished(ctx, log, verification, scratch, func(ctx context.Context) error {
		return d.wait(ctx, time.Second)
	})
	bar.finish()
	err = errors.Join(err, scratch.Close(), os.Remove(scratch.Name()))
	if sandtrail.CodeOf(err) == sandtrail.CodeForbidden {
		return sandtrail.Errorf(sandtrail.CodeForbidden,
			"verify reads the whole log: give a key with the role auditor, read or admin that is bound to no user (%w)", err)
	}
	if err != nil {
		return err
	}
	v.NotChecked = v.notChecked(len(c.Checkpoint) > 0, log.older)
	return v.print(d, c.Output)
}

// sizeOf is how many entries a log has, 0 where the server does not say.
func sizeOf(ctx context.Context, server *client.Client, trusted ledger.Verifiers) int64 {
	signed, err := server.Checkpoint(ctx)
	if err != nil { // what follows reports it
		return 0
	}
	c, _ := trusted.Open(signed)
	return c.Size
}

// notChecked says what no server can show.
func (v *verified) notChecked(compared, older bool) (list []string) {
	for _, part := range []struct {
		n          int64
		noun, what string
	}{
		{v.Earlier, "execution", "that an earlier checkpoint covers: counted, and not compared"},
		{v.Unsealed, "execution", "not in the log yet, as the server says: a number that stays is a finding"},
		{v.Meanwhile, "change", "of the log while it was read"},
	} {
		if part.n > 0 {
			list = append(list, human.Plural(part.n, part.noun)+" "+part.what)
		}
	}
	if older {
		list = append(list, "whether other logs were closed before this one: the server is older than that question; update it, or verify at the database")
	}
	if !compared {
		list = append(list, "whether the server shows the same log to others: give --checkpoint with one that was kept elsewhere")
	}
	return append(list, "holds, the pending changes and the server's own checkpoints: verify reads them at the database")
}

// published words the summary of what a server shows.
func (v *verified) published() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Checked: %s of %s entries are of executions that could be read and match; %s are of executions that the log says were removed.\n",
		human.Count(v.Intact), human.Count(v.Leaves), human.Count(v.Removed))
	if wrong := v.Missing + v.Altered + v.Inserted; wrong > 0 {
		fmt.Fprintf(&b, "Wrong: %s missing, %s altered, %s inserted.\n", human.Count(v.Missing), human.Count(v.Altered), human.Count(v.Inserted))
	}
	fmt.Fprintf(&b, "The log agrees with %s.%s", human.Plural(int64(v.Checkpoints), "checkpoint"), v.closed())
	return b.String() + v.unchecked()
}

// unchecked words what was not checked.
func (v *verified) unchecked() string {
	return "\nNot checked:\n- " + strings.Join(v.NotChecked, "\n- ")
}

// exported words the summary of an exported file.
func (v *verified) exported() string {
	text := human.Plural(v.Records, "execution")
	if v.Manifest.Format == "ndjson" {
		text += fmt.Sprintf(": %s as they were sealed", human.Count(v.Intact))
		for _, part := range []struct {
			n    int64
			what string
		}{{v.Altered, "altered"}, {v.Unsealed, "unsealed when they were exported"}} {
			if part.n > 0 {
				text += fmt.Sprintf(", %s %s", human.Count(part.n), part.what)
			}
		}
	}
	return text + "." + v.unchecked()
}
