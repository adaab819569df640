// Package archive keeps old executions in files: one Parquet file for each week,
// with a signed manifest, in a directory or a bucket.
package archive

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"slices"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/durable"
	"github.com/sandtrail/sandtrail/internal/bounded"
	"github.com/sandtrail/sandtrail/ledger"
)

// WeekOf is the Monday, in UTC, with which the week of a time begins.
func WeekOf(t time.Time) time.Time { return t.UTC().Truncate(7 * 24 * time.Hour) }

// Archiver writes executions, week by week, into Parquet files with manifests.
type Archiver struct {
	Store      Store
	Executions sandtrail.Reader
	Ledger     ledger.Service // signs the manifests
	Now        func() time.Time
}

// Archive writes the executions before a time that are in no file of their
// week yet, and returns how many, and the weeks that have executions, the
// newest first. What it returns without error is durable.
func (a Archiver) Archive(ctx context.Context, before time.Time) (n int64, weeks []time.Time, err error) {
	var file *archiveFile
	defer func() {
		if file != nil {
			err = errors.Join(err, file.temp.Discard())
		}
	}()
	err = database.EachPage(ctx, a.Executions, sandtrail.Filter{Until: before}, a.Now, func(found []sandtrail.Execution) (err error) {
		for _, e := range found { // newest first, so week after week
			if week := WeekOf(e.CreatedAt); file == nil || file.week != week {
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
	rows  *Writer
}

func (a Archiver) begin(ctx context.Context, week time.Time) (f *archiveFile, err error) {
	f = &archiveFile{week: week}
	if f.known, f.parts, err = a.archived(ctx, week); err != nil {
		return nil, err
	}
	if f.temp, err = a.Store.temp(); err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	f.out = a.Ledger.Export(f.temp, "parquet", filterOf(week))
	f.rows = NewWriter(f.out)
	return f, nil
}

// archived reads which executions of a week are archived, and in how many
// files.
func (a Archiver) archived(ctx context.Context, week time.Time) (known map[sandtrail.ID]bool, files int, err error) {
	known = map[sandtrail.ID]bool{}
	for ; ; files++ {
		err := readArchived(ctx, a.Store, archiveName(week, files), func(e sandtrail.Execution) { known[e.ID] = true })
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
	f.out.Records++
	return 1, f.rows.Write([]sandtrail.Execution{e})
}

// finish puts the file in its place, where none is, and then its manifest. Until
// then the manifest waits under a name that the content of the file gives it: of
// two archivers at once neither touches what the other has written, and what one
// that was killed has left undone the next completes.
func (a Archiver) finish(ctx context.Context, f *archiveFile) error {
	if f == nil {
		return nil
	}
	if err := f.rows.Close(); err != nil || f.out.Records == 0 {
		return errors.Join(err, f.temp.Discard())
	}
	signed, err := f.out.Manifest(ctx, a.Now())
	if err != nil {
		return err
	}
	name := archiveName(f.week, f.parts)
	waiting := waitingManifest(name, f.out.Sum())
	if err = a.Store.replace(ctx, waiting, signed); err == nil {
		err = a.Store.put(ctx, name, f.temp)
	}
	if errors.Is(err, fs.ErrExist) {
		return errors.Join(sandtrail.Errorf(sandtrail.CodeConflict, "archive: another archiver has just written %s: try again", name),
			a.Store.forget(ctx, waiting))
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
func (a Archiver) settle(ctx context.Context, name, waiting string, signed []byte) error {
	if err := a.Store.create(ctx, name+manifestSuffix, signed); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return a.Store.forget(ctx, waiting)
}

// complete gives a file its manifest if it has none: the one that was signed for
// its content.
func (a Archiver) complete(ctx context.Context, name string) error {
	if has, err := a.Store.open(ctx, name+manifestSuffix); !errors.Is(err, fs.ErrNotExist) {
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
	signed, err := contentOf(ctx, a.Store, waiting)
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
func (a Archiver) sumOf(ctx context.Context, name string) (sum [sha256.Size]byte, err error) {
	f, err := a.Store.open(ctx, name)
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
func contentOf(ctx context.Context, from Store, name string) (content []byte, err error) {
	f, err := from.open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return bounded.ReadAll(io.NewSectionReader(f, 0, info.Size()), name, maxManifest)
}

// Cleanup archives whole weeks of executions, and then removes those that it finds
// in the archive. What has come to an old week in between stays until the next
// time.
func (a Archiver) Cleanup(ctx context.Context, from database.ArchivedCleaner, old sandtrail.Cutoff) (deleted int64, err error) {
	old = old.Map(WeekOf)
	_, weeks, err := a.Archive(ctx, old.Latest())
	if err != nil {
		return 0, err
	}
	for _, week := range slices.Backward(weeks) {
		known, _, err := a.archived(ctx, week)
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
		n, err := from.CleanupArchived(ctx, week, until, func(id sandtrail.ID) bool { return known[id] })
		deleted += n
		if err != nil {
			return deleted, err
		}
	}
	// Now go what holds nothing any more.
	n, err := from.CleanupArchived(ctx, time.Time{}, old, func(sandtrail.ID) bool { return false })
	return deleted + n, err
}

// filterOf is the filter of a week, as ledger.Manifest has it.
func filterOf(week time.Time) string {
	return url.Values{"since": {week.Format(time.RFC3339)}, "until": {week.AddDate(0, 0, 7).Format(time.RFC3339)}}.Encode()
}
