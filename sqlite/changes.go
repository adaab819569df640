package sqlite

import (
	"context"
	"database/sql"

	"github.com/sandtrail/sandtrail/rollup"
)

// The cursors: the number of a change each.
const (
	ledgerCursor    = "ledger"    // the last change that the ledger has read
	followersCursor = "followers" // what is not behind it can be followed
)

// followedChanges is how many changes are kept for followers. Those who fall
// behind further must begin anew.
const followedChanges = 1_000_000

// unsealed selects the changes that the ledger has not read.
const unsealed = "seq > (SELECT seq FROM sandtrail_cursors WHERE name = '" + ledgerCursor + "')"

func moveCursor(ctx context.Context, tx *sql.Tx, cursor string, seq int64) error {
	_, err := tx.ExecContext(ctx, "UPDATE sandtrail_cursors SET seq = ? WHERE name = ?", seq, cursor)
	return err
}

// eachPending hands out the changes that the roll-ups lack, of those that fulfil
// conditions, and returns the number of the last one.
func eachPending(ctx context.Context, tx *sql.Tx, where conditions, order string, f func(rollup.Change)) (last int64, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT seq, sign, reason IS 'retention', "+countedColumns+" FROM sandtrail_changes"+where.text()+order, where.args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var c rollup.Change
		if err := scanCounted(rows, &c, &last, &c.Sign, &c.Retired); err != nil {
			return 0, err
		}
		f(c)
	}
	return last, rows.Err()
}

// counted leaves of the changes up to a number, which the roll-ups count now, what
// ledger and followers need.
func counted(ctx context.Context, tx *sql.Tx, last int64) error {
	if _, err := tx.ExecContext(ctx, `INSERT INTO sandtrail_counted
		SELECT seq, sign, execution_id, iif(sign < 0, created_at, NULL), reason FROM sandtrail_changes
		WHERE seq <= ? AND NOT updated AND (sign > 0 OR `+unsealed+`) ORDER BY seq`, last); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "DELETE FROM sandtrail_changes WHERE seq <= ?", last)
	return err
}

// sealedTo moves the ledger's cursor. Followers pass over deletions.
func sealedTo(ctx context.Context, tx *sql.Tx, from, until int64) error {
	if err := moveCursor(ctx, tx, ledgerCursor, until); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "DELETE FROM sandtrail_counted WHERE seq > ? AND seq <= ? AND sign < 0", from, until)
	return err
}

// prune deletes the changes that are too old for followers, but never the last
// insertion, which is the place of those who begin.
func prune(ctx context.Context, tx *sql.Tx) error {
	var sealed int64
	if err := tx.QueryRowContext(ctx, "SELECT seq FROM sandtrail_cursors WHERE name = ?", ledgerCursor).Scan(&sealed); err != nil {
		return err
	}
	n, err := execCount(ctx, tx, "DELETE FROM sandtrail_counted WHERE seq <= ? AND seq < (SELECT max(seq) FROM sandtrail_counted WHERE seq <= ?)",
		sealed-followedChanges, sealed)
	if err != nil || n == 0 {
		return err
	}
	return moveCursor(ctx, tx, followersCursor, sealed-followedChanges)
}
