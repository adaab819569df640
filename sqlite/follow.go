package sqlite

import (
	"context"
	"database/sql"
	"strconv"

	"github.com/sandtrail/sandtrail"
)

var _ sandtrail.Follower = (*Store)(nil)

// Tip is the number of the last execution that was written. Writers take
// turns, so the order of the numbers is that of the commits.
func (s *Store) Tip(ctx context.Context) (sandtrail.Place, error) {
	_, last, err := s.feedEnds(ctx)
	return feedPlace(last), err
}

// Follow returns what was written after the place.
func (s *Store) Follow(ctx context.Context, after sandtrail.Place, limit int) (found []sandtrail.Followed, err error) {
	from, err := strconv.ParseInt(string(after), 10, 64)
	if err != nil {
		return nil, errBadPlace
	}
	first, last, err := s.feedEnds(ctx)
	if err != nil {
		return nil, err
	}
	if from < first-1 || from > last {
		return nil, errBadPlace
	}
	err = s.query(ctx, "follow executions", followText, []any{from, limit}, func(rows *sql.Rows) error {
		found = nil
		for rows.Next() {
			var f sandtrail.Followed
			var user sandtrail.User
			var strategy sandtrail.Strategy
			var seq int64
			if err := scanRecord(rows.Scan, &f.Execution, &user.Email, &user.Name, &strategy.Name, &seq); err != nil {
				return err
			}
			user.ID, strategy.ID = f.UserID, f.StrategyID
			f.User, f.Strategy, f.Place = &user, &strategy, feedPlace(seq)
			found = append(found, f)
		}
		return rows.Err()
	})
	return found, err
}

var errBadPlace = sandtrail.Errorf(sandtrail.CodeInvalid, "the place is not one of this database, or too much has been written since; begin anew without one")

var followText = `SELECT ` + ofExecution + ofOwners + `, f.seq FROM sandtrail_feed AS f
	CROSS JOIN sandbox_execution_logs AS e ON e.id = f.execution_id` + joinOwners + `
	WHERE f.seq > ? ORDER BY f.seq LIMIT ?`

// feedEnds are the first number that is kept and the last that was given.
func (s *Store) feedEnds(ctx context.Context) (first, last int64, err error) {
	text := `SELECT COALESCE((SELECT MIN(seq) FROM sandtrail_feed), 0), COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'sandtrail_feed'), 0)`
	err = s.query(ctx, "follow executions", text, nil, func(rows *sql.Rows) error {
		rows.Next()
		return rows.Scan(&first, &last)
	})
	return first, last, err
}

func feedPlace(seq int64) sandtrail.Place { return sandtrail.Place(strconv.FormatInt(seq, 10)) }
