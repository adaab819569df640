package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/durable"
	"github.com/sandtrail/sandtrail/internal/bounded"
	"github.com/sandtrail/sandtrail/ledger"
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
	depot, err := c.Dir.open(d)
	if err != nil {
		return err
	}
	a := archiver{depot: depot, store: store, service: service, now: d.now}
	n, _, err := a.archive(ctx, weekOf(c.OlderThan.at(d.now())))
	if err != nil {
		return err
	}
	return d.say("%d", n)
}

// weekOf is the Monday, in UTC, with which the week of a time begins.
func weekOf(t time.Time) time.Time { return t.UTC().Truncate(7 * 24 * time.Hour) }

// archiver writes executions, week by week, into Parquet files with manifests.
type archiver struct {
	depot   depot
	store   sandtrail.Reader
	service ledger.Service
	now     func() time.Time
}

// archive writes the executions before a time that are in no file of their
// week yet, and returns how many, and the weeks that have executions, the
// newest first. What it returns without error is durable.
func (a archiver) archive(ctx context.Context, before time.Time) (n int64, weeks []time.Time, err error) {
	var file *archiveFile
	defer func() {
		if file != nil {
			err = errors.Join(err, file.temp.Discard())
		}
	}()
	err = eachPage(ctx, a.store, sandtrail.Filter{Until: before}, a.now, func(found []sandtrail.Execution) (err error) {
		for _, e := range found { // newest first, so week after week
			if week := weekOf(e.CreatedAt); file == nil || file.week != week {
				if err := a.finish(ctx, file); err != nil {
					return err
				}
				weeks = append(weeks, week)
				if file, err = a.begin(ctx, week); err != nil {
					return err
				}
			}
			added, err := file.add(e)
			if err != nil {
				return err
			}
			n += added
		}
		return nil
	})
	if err == nil {
		err = a.finish(ctx, file)
	}
	return n, weeks, err
}

// archiveFile is a file that is being written.
type archiveFile struct {
	week  time.Time
	known map[sandtrail.ID]bool // archived before
	parts int                   // files of the week that are there
	temp  *durable.File
	out   *ledger.Export
	rows  exporter
}

func (a archiver) begin(ctx context.Context, week time.Time) (f *archiveFile, err error) {
	f = &archiveFile{week: week}
	if f.known, f.parts, err = a.archived(ctx, week); err != nil {
		return nil, err
	}
	if f.temp, err = a.depot.temp(); err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	f.out = a.service.Export(f.temp, "parquet")
	f.rows = manifestExporter(ctx, f.out, "parquet")
	return f, nil
}

// archived reads which executions of a week are archived, and in how many
// files.
func (a archiver) archived(ctx context.Context, week time.Time) (known map[sandtrail.ID]bool, files int, err error) {
	known = map[sandtrail.ID]bool{}
	for ; ; files++ {
		err := readArchived(ctx, a.depot, archiveName(week, files), func(e sandtrail.Execution) { known[e.ID] = true })
		if errors.Is(err, fs.ErrNotExist) {
			return known, files, nil
		}
		if err == nil {
			err = a.complete(ctx, archiveName(week, files))
		}
		if err != nil {
			return nil, 0, err
		}
	}
}

// archiveName is the name of the nth file of a week; later ones hold what came
// after the first was written.
func archiveName(week time.Time, n int) string {
	name := archivePrefix + week.Format(time.DateOnly)
	if n > 0 {
		name += fmt.Sprintf("-%d", n+1)
	}
	return name + archiveSuffix
}

const archivePrefix, archiveSuffix = "executions-", ".parquet"

func (f *archiveFile) add(e sandtrail.Execution) (int64, error) {
	if f.known[e.ID] {
		return 0, nil
	}
	return 1, f.rows.write([]sandtrail.Execution{e})
}

// finish puts the file in its place, where none is, and then its manifest. Until
// then the manifest waits under a name that the content of the file gives it: of
// two archivers at once neither touches what the other has written, and what one
// that was killed has left undone the next completes.
func (a archiver) finish(ctx context.Context, f *archiveFile) error {
	if f == nil {
		return nil
	}
	if err := f.rows.close(); err != nil || f.out.Records == 0 {
		return errors.Join(err, f.temp.Discard())
	}
	signed, err := f.out.Manifest(ctx, a.now())
	if err != nil {
		return err
	}
	name := archiveName(f.week, f.parts)
	waiting := waitingManifest(name, f.out.Sum())
	if err = a.depot.replace(ctx, waiting, signed); err == nil {
		err = a.depot.put(ctx, name, f.temp)
	}
	if errors.Is(err, fs.ErrExist) {
		return errors.Join(sandtrail.Errorf(sandtrail.CodeConflict, "archive: another archiver has just written %s: try again", name),
			a.depot.forget(ctx, waiting))
	}
	if err == nil {
		err = a.settle(ctx, name, waiting, signed)
	}
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	return f.temp.Discard()
}

const manifestSuffix = ".manifest"

// waitingManifest names the manifest of a file that is not in its place yet, or
// was not when the archiver was killed.
func waitingManifest(name string, sum []byte) string {
	return fmt.Sprintf("%s.%x%s", name, sum[:8], manifestSuffix)
}

// settle gives a file its manifest.
func (a archiver) settle(ctx context.Context, name, waiting string, signed []byte) error {
	if err := a.depot.create(ctx, name+manifestSuffix, signed); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return a.depot.forget(ctx, waiting)
}

// complete gives a file its manifest if it has none: the one that was signed for
// its content.
func (a archiver) complete(ctx context.Context, name string) error {
	if has, err := a.depot.open(ctx, name+manifestSuffix); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = has.Close()
		}
		return err
	}
	sum, err := a.sumOf(ctx, name)
	if err != nil {
		return err
	}
	waiting := waitingManifest(name, sum[:])
	signed, err := contentOf(ctx, a.depot, waiting)
	if errors.Is(err, fs.ErrNotExist) {
		return sandtrail.Errorf(sandtrail.CodeConflict,
			"archive: %s has no manifest, and none was signed for what it holds: move it away, then archive again", name)
	}
	if err != nil {
		return err
	}
	return a.settle(ctx, name, waiting, signed)
}

// sumOf is the SHA-256 of a file.
func (a archiver) sumOf(ctx context.Context, name string) (sum [sha256.Size]byte, err error) {
	f, err := a.depot.open(ctx, name)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return sum, err
	}
	return sumOf(f, info.Size())
}

func sumOf(f io.ReaderAt, size int64) (sum [sha256.Size]byte, err error) {
	hash := sha256.New()
	_, err = io.Copy(hash, io.NewSectionReader(f, 0, size))
	return [sha256.Size]byte(hash.Sum(nil)), err
}

// contentOf reads a manifest.
func contentOf(ctx context.Context, from depot, name string) (content []byte, err error) {
	f, err := from.open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return bounded.ReadAll(io.NewSectionReader(f, 0, info.Size()), name, maxSigned)
}

// archiving is a store of which retention removes whole weeks, and only what
// is archived.
type archiving struct {
	serviceStore
	archiver archiver
}

// Cleanup archives, and then removes what it finds in the archive. What has
// come to an old week in between stays until the next time.
func (s archiving) Cleanup(ctx context.Context, old sandtrail.Cutoff) (deleted int64, err error) {
	old = old.Map(weekOf)
	_, weeks, err := s.archiver.archive(ctx, old.Latest())
	if err != nil {
		return 0, err
	}
	for _, week := range slices.Backward(weeks) {
		archived, _, err := s.archiver.archived(ctx, week)
		if err != nil {
			return deleted, err
		}
		end := week.Add(7 * 24 * time.Hour)
		until := old.Map(func(t time.Time) time.Time {
			if t.After(end) {
				return end
			}
			return t
		})
		n, err := s.CleanupArchived(ctx, week, until, func(id sandtrail.ID) bool { return archived[id] })
		deleted += n
		if err != nil {
			return deleted, err
		}
	}
	// Now go what holds nothing any more.
	n, err := s.CleanupArchived(ctx, time.Time{}, old, func(sandtrail.ID) bool { return false })
	return deleted + n, err
}
