package archive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/durable"
	"github.com/sandtrail/sandtrail/internal/bounded"
	"github.com/sandtrail/sandtrail/s3"
)

// maxArchive bounds a file in a bucket, which is copied to disk, and maxManifest a
// manifest.
const (
	maxArchive  = int64(64) << 30
	maxManifest = 1 << 20
)

// Store keeps the files of an archive.
type Store interface {
	// names lists the files with executions, in order.
	names(ctx context.Context) ([]string, error)
	// open reads a file; fs.ErrNotExist when there is none.
	open(ctx context.Context, name string) (archived, error)
	// temp begins a file to put, or to discard.
	temp() (*durable.File, error)
	// put puts a file in its place, where none is: else it fails with
	// fs.ErrExist. The file is there whole and durable when it returns.
	put(ctx context.Context, name string, temp *durable.File) error
	// create is put of a small file, replace writes one whatever is there; both
	// are durable when they return.
	create(ctx context.Context, name string, content []byte) error
	replace(ctx context.Context, name string, content []byte) error
	// forget removes a small file that is not wanted any more, where things may
	// be removed.
	forget(ctx context.Context, name string) error
}

// archived is a file of an archive.
type archived interface {
	io.ReaderAt
	io.Closer
	Stat() (os.FileInfo, error)
}

// Directory keeps them in a directory.
func Directory(path string) Store { return directory(path) }

// Bucket keeps them in a bucket.
func Bucket(b *s3.Bucket) Store { return bucket{b} }

type directory string

func (d directory) path(name string) string { return filepath.Join(string(d), name) }

func (d directory) names(context.Context) ([]string, error) {
	paths, err := filepath.Glob(d.path(archivePrefix + "*" + archiveSuffix))
	for i := range paths {
		paths[i] = filepath.Base(paths[i])
	}
	return paths, err
}

func (d directory) open(_ context.Context, name string) (archived, error) {
	return durable.OpenNamed(d.path(name))
}

func (d directory) temp() (*durable.File, error) { return durable.Begin(string(d)) }

func (d directory) put(_ context.Context, name string, temp *durable.File) error {
	return temp.Create(name)
}

func (d directory) create(_ context.Context, name string, content []byte) error {
	f, err := durable.Begin(string(d))
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		return errors.Join(err, f.Discard())
	}
	return f.Create(name)
}

func (d directory) forget(_ context.Context, name string) error { return os.Remove(d.path(name)) }

func (d directory) replace(_ context.Context, name string, content []byte) error {
	return durable.WriteFile(d.path(name), content)
}

type bucket struct{ *s3.Bucket }

func (b bucket) names(ctx context.Context) (names []string, err error) {
	all, err := b.List(ctx, archivePrefix)
	for _, name := range all {
		if strings.HasSuffix(name, archiveSuffix) {
			names = append(names, name)
		}
	}
	return names, err
}

// open copies the file to a temporary one: Parquet is read from its end.
func (b bucket) open(ctx context.Context, name string) (archived, error) {
	content, err := b.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	f, err := b.temp()
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(f, bounded.New(content, name, maxArchive))
	if sandtrail.CodeOf(err) == sandtrail.CodeTooLarge {
		return nil, errors.Join(err, f.Discard())
	}
	if err != nil {
		return nil, errors.Join(sandtrail.Errorf(sandtrail.CodeUnavailable, "%s: %w", name, err), f.Discard())
	}
	return fetched{f}, nil
}

// fetched is a copy that goes when it is closed.
type fetched struct{ *durable.File }

// Close removes the copy.
func (f fetched) Close() error { return f.Discard() }

func (b bucket) temp() (*durable.File, error) { return durable.Begin(os.TempDir()) }

func (b bucket) put(ctx context.Context, name string, temp *durable.File) error {
	if _, err := temp.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return b.Put(ctx, name, temp)
}

func (b bucket) create(ctx context.Context, name string, content []byte) error {
	return b.Put(ctx, name, bytes.NewReader(content))
}

func (bucket) forget(context.Context, string) error { return nil }

func (b bucket) replace(ctx context.Context, name string, content []byte) error {
	return b.Replace(ctx, name, bytes.NewReader(content))
}
