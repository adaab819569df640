package sqlite_test

import (
	"context"

	"github.com/sandtrail/sandtrail/ledger/ledgertest"
	"github.com/sandtrail/sandtrail/sqlite"
)

// stepped opens a file; its steps are statements and commits.
func stepped(ctx context.Context, path string, step func(applied bool) error) (ledgertest.Database, error) {
	return sqlite.OpenStepped(ctx, path, step)
}
