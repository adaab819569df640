package sqlite

import (
	"context"
	"database/sql"
	"strconv"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/follow"
)

var _ follow.Follower = (*Store)(nil)

// Tip is the number of the last execution that was written. Writers take
// turns, so the order of the numbers is that of the commits.
func (s *Store) Tip(ctx context.Context) (place follow.Place, err error) {
	err = s.read(ctx, "follow executions", func(tx *sql.Tx) error {
		_, last, err := feedEnds(ctx, tx)
		place = feedPlace(last)
		return err
	})
	return place, err
}

// Follow returns what was written after the place. It looks in one snapshot
// whether the feed still has all of that, and for it.
func (s *Store) Follow(ctx context.Context, after follow.Place, limit int) (found []follow.Followed, err error) {
	from, err := strconv.ParseInt(string(after), 10, 64)
	if err != nil {
		return nil, errBadPlace
	}
	err = s.read(ctx, "follow executions", func(tx *sql.Tx) error {
		first, last, err := feedEnds(ctx, tx)
		if err != nil {
			return err
		}
		if from < first-1 || from > last {
			return errBadPlace
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

func scanFollowed(scan func(...any) error) (f follow.Followed, err error) {
	var user sandtrail.User
	var strategy sandtrail.Strategy
	var seq int64
	if err := scanRecord(scan, &f.Execution, &user.Email, &user.Name, &strategy.Name, &seq); err != nil {
		return f, err
	}
	user.ID, strategy.ID = f.UserID, f.StrategyID
	f.User, f.Strategy, f.Place = &user, &strategy, feedPlace(seq)
	return f, nil
}

var errBadPlace = sandtrail.Errorf(sandtrail.CodeInvalid, "the place is not one of this database, or too much has been written since; begin anew without one")

var followText = `SELECT ` + ofExecution + ofOwners + `, f.seq FROM sandtrail_feed AS f
	CROSS JOIN sandbox_execution_logs AS e ON e.id = f.execution_id` + joinOwners + `
	WHERE f.seq > ? ORDER BY f.seq LIMIT ?`

// feedEnds are the first number that is kept and the last that was given.
func feedEnds(ctx context.Context, tx *sql.Tx) (first, last int64, err error) {
	err = tx.QueryRowContext(ctx, `SELECT COALESCE((SELECT MIN(seq) FROM sandtrail_feed), 0),
		COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'sandtrail_feed'), 0)`).Scan(&first, &last)
	return first, last, err
}

func feedPlace(seq int64) follow.Place { return follow.Place(strconv.FormatInt(seq, 10)) }
