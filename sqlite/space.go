package sqlite

import (
	"context"
	"database/sql"

	"github.com/sandtrail/sandtrail/database"
)

var _ database.Surveyor = (*Store)(nil)

// Space is the size of the file. SQLite has no partitions.
func (s *Store) Space(ctx context.Context) (space database.Space, err error) {
	err = s.read(ctx, "survey the space", func(tx *sql.Tx) error {
		space.Total, space.Free, err = fileSize(ctx, tx)
		return err
	})
	return space, err
}

// fileSize returns how many bytes the database has, and how many of them are
// free to be used again.
func fileSize(ctx context.Context, tx *sql.Tx) (total int64, free *int64, err error) {
	var pages, freePages, size int64
	err = tx.QueryRowContext(ctx, `SELECT page_count, freelist_count, page_size
		FROM pragma_page_count, pragma_freelist_count, pragma_page_size`).Scan(&pages, &freePages, &size)
	return pages * size, new(freePages * size), err
}
