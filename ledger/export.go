package ledger

import (
	"cmp"
	"context"
	"crypto/sha256"
	"hash"
	"io"
	"time"

	"github.com/sandtrail/sandtrail"
)

// Export is what is written of an export that a manifest is signed for: it hashes
// and counts.
type Export struct {
	Records int64 // so far

	service Service
	format  string
	filter  string
	to      io.Writer
	hash    hash.Hash
}

// Export begins an export to a writer. The format, such as "ndjson", and the filter, as
// Manifest.Filter ("": Everything), go into the manifest.
func (s Service) Export(to io.Writer, format, filter string) *Export {
	return &Export{service: s, format: format, filter: cmp.Or(filter, Everything), to: to, hash: sha256.New()}
}

// Write implements io.Writer.
func (x *Export) Write(b []byte) (int, error) {
	n, err := x.to.Write(b)
	x.hash.Write(b[:n])
	return n, err
}

// Resume takes in what an interrupted export has written already.
func (x *Export) Resume(content io.Reader, records int64) error {
	x.Records += records
	_, err := io.Copy(x.hash, content)
	return err
}

// Lines writes executions as NDJSON, each with what the log has of it. It counts
// them.
func (x *Export) Lines(ctx context.Context, executions []sandtrail.Execution) error {
	refs, err := x.service.LeafRefs(ctx, executions)
	if err != nil {
		return err
	}
	var lines []byte
	for i, e := range executions {
		if lines, err = AppendExported(lines, e, refs[i]); err != nil {
			return err
		}
	}
	x.Records += int64(len(executions))
	_, err = x.Write(lines)
	return err
}

// Sum is the SHA-256 of what was written.
func (x *Export) Sum() []byte { return x.hash.Sum(nil) }

// Manifest signs a manifest of what was written.
func (x *Export) Manifest(ctx context.Context, now time.Time) ([]byte, error) {
	signed, err := x.service.Checkpoint(ctx, now)
	if err != nil {
		return nil, err
	}
	c, err := x.service.Current().Open(signed)
	if err != nil {
		return nil, err
	}
	return x.service.Current().SignManifest(Manifest{
		Format: x.format, Filter: x.filter, Records: x.Records, SHA256: [sha256.Size]byte(x.Sum()), Size: c.Size, Root: c.Root, At: now,
	})
}

// Removals lists removals in the log, in the order of their ledger entries.
func (s Service) Removals(ctx context.Context, part Range) (all []StoredRemoval, err error) {
	err = s.Log.Inspect(ctx, 0, func(snap Snapshot) error {
		for removal, err := range snap.Removals(ctx, part) {
			if err != nil {
				return err
			}
			all = append(all, removal)
		}
		return nil
	})
	return all, err
}

// Renames lists renames in the log, in the order of their ledger entries.
func (s Service) Renames(ctx context.Context, part Range) (all []StoredRename, err error) {
	err = s.Log.Inspect(ctx, 0, func(snap Snapshot) (err error) {
		all, err = snap.Renames(ctx, part)
		return err
	})
	return all, err
}
