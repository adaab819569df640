package sqlite

import (
	"context"
	"database/sql"
	"strconv"
	"strings"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/follow"
)

var _ follow.Follower = (*Store)(nil)

// Tip is the place of the last execution that was written. Writers take turns, so
// the order of the numbers is that of the commits.
func (s *Store) Tip(ctx context.Context) (place follow.Place, err error) {
	err = s.read(ctx, "follow executions", func(tx *sql.Tx) error {
		var seq int64
		var id executionID
		err := tx.QueryRowContext(ctx, "SELECT seq, execution_id FROM sandtrail_history WHERE sign > 0 ORDER BY seq DESC LIMIT 1").Scan(&seq, &id)
		place = placeOf(seq, id.ID)
		return noRows(err)
	})
	return place, err
}

// Follow returns what was written after the place. It looks in one snapshot
// whether all of that is kept, and for it.
func (s *Store) Follow(ctx context.Context, after follow.Place, limit int) (found []follow.Followed, err error) {
	from, id, err := readPlace(after)
	if err != nil {
		return nil, err
	}
	err = s.read(ctx, "follow executions", func(tx *sql.Tx) error {
		if err := isPlace(ctx, tx, from, id); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, followText, from, limit)
		if err != nil {
			return err
		}
		found, err = collect(rows, scanFollowed)
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// isPlace fails where a place is of another file, or no longer kept. Copies of a
// file number their changes alike; of which one the place is, its execution
// tells. It does not where both have stored the same execution under the same
// number since.
func isPlace(ctx context.Context, tx *sql.Tx, seq int64, id string) (err error) {
	known := false
	if seq == 0 { // nothing was written yet
		err = tx.QueryRowContext(ctx, "SELECT seq = 0 FROM sandtrail_cursors WHERE name = ?", followersCursor).Scan(&known)
	} else {
		err = tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM sandtrail_history WHERE seq = ? AND execution_id = ? AND sign > 0)", seq, id).Scan(&known)
	}
	if err == nil && !known {
		err = errBadPlace
	}
	return err
}

func scanFollowed(scan func(...any) error) (f follow.Followed, err error) {
	var user sandtrail.User
	var strategy sandtrail.Strategy
	var seq int64
	if err := scanRecord(scan, &f.Execution, &user.Email, &user.Name, &strategy.Name, &seq); err != nil {
		return f, err
	}
	user.ID, strategy.ID = f.UserID, f.StrategyID
	f.User, f.Strategy, f.Place = &user, &strategy, placeOf(seq, f.ID)
	return f, nil
}

var errBadPlace = sandtrail.Errorf(sandtrail.CodeInvalid, "the place is not one of this database, or too much has been written since; begin anew without one")

var followText = `SELECT ` + ofExecution + ofOwners + `, c.seq FROM sandtrail_history AS c
	CROSS JOIN sandbox_execution_logs AS e ON e.id = c.execution_id` + joinOwners + `
	WHERE c.seq > ? AND c.sign > 0 ORDER BY c.seq LIMIT ?`

// placeOf names a change by its number and its execution.
func placeOf(seq int64, id sandtrail.ID) follow.Place {
	return follow.Place(strconv.FormatInt(seq, 10) + "." + id.String())
}

func readPlace(place follow.Place) (seq int64, id string, err error) {
	number, id, found := strings.Cut(string(place), ".")
	seq, err = strconv.ParseInt(number, 10, 64)
	if !found || err != nil {
		return 0, "", errBadPlace
	}
	return seq, id, nil
}
