package main

import (
	"context"
	"strings"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/archive"
	"github.com/sandtrail/sandtrail/internal/cmdline"
	"github.com/sandtrail/sandtrail/s3"
)

type archiveCmd struct {
	Dir       archivePlace `arg:"" help:"Directory for the files, one for each week, or s3://BUCKET/PREFIX."`
	OlderThan moment       `default:"90d" help:"Archive the whole weeks before: a duration back from now, a date or an RFC 3339 time."`
	ledgerKeyFlag
}

// Examples shows how it is used, and how what is archived is read.
func (archiveCmd) Examples() []string {
	return []string{
		"sandtrail archive --older-than 60d /var/archive",
		"sandtrail list --from-archive /var/archive --user ada",
		"sandtrail archive s3://audit/executions",
		"duckdb -c \"SELECT user_id, count(*) FROM '/var/archive/*.parquet' GROUP BY 1\"",
	}
}

// Run writes what is not archived yet and prints how many executions that are.
func (c *archiveCmd) Run(ctx context.Context, d *deps) error {
	service, err := c.service(ctx, d)
	if err != nil {
		return err
	}
	store, err := d.store(ctx)
	if err != nil {
		return err
	}
	files, err := c.Dir.open(d)
	if err != nil {
		return err
	}
	a := archive.Archiver{Store: files, Executions: store, Ledger: service, Now: d.now}
	n, _, err := a.Archive(ctx, archive.WeekOf(c.OlderThan.at(d.now())))
	if err != nil {
		return err
	}
	return d.say("%d", n)
}

// archivePlace is where an archive is: a directory, or below a prefix in a
// bucket.
type archivePlace string

// UnmarshalText reads a flag.
func (p *archivePlace) UnmarshalText(text []byte) error {
	if *p = archivePlace(text); p.inBucket() {
		return nil
	}
	return (*cmdline.Folder)(p).UnmarshalText(text)
}

func (p archivePlace) inBucket() bool { return strings.HasPrefix(string(p), s3.Scheme) }

func (p archivePlace) open(d *deps) (archive.Store, error) {
	if !p.inBucket() {
		return archive.Directory(string(p)), nil
	}
	b, err := s3.Open(string(p), d.getenv, d.now)
	return archive.Bucket(b), err
}

// archiving is a store of which retention removes whole weeks, and only what
// is archived.
type archiving struct {
	serviceStore
	archiver archive.Archiver
}

// Cleanup archives, and then removes what it finds in the archive.
func (s archiving) Cleanup(ctx context.Context, old sandtrail.Cutoff) (deleted int64, err error) {
	return s.archiver.Cleanup(ctx, s.serviceStore, old)
}
