package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// Append stores a batch, all or nothing, and returns when it is on disk.
func (s *Store) Append(ctx context.Context, batch []sandtrail.Admitted) (sandtrail.Appended, error) {
	if len(batch) > sandtrail.MaxBatch {
		return sandtrail.Appended{}, sandtrail.Errorf(sandtrail.CodeTooLarge,
			"a batch may hold %d executions, got %d; send several", sandtrail.MaxBatch, len(batch))
	}
	const what = "append executions"
	batch, err := s.spellBatch(ctx, batch)
	if err != nil {
		return sandtrail.Appended{}, err
	}
	var insert inserts
	err = s.retry(ctx, what, func() (err error) {
		insert, err = s.prepareInserts(ctx)
		return err
	})
	if err != nil {
		return sandtrail.Appended{}, err
	}
	fresh, err := s.bet(ctx, what, insert, batch)
	if errors.Is(err, errLostBet) {
		fresh, err = s.merge(ctx, what, insert, batch)
	}
	if err != nil {
		return sandtrail.Appended{}, err
	}
	// The batch is stored. Where the roll-ups cannot be kept now, the next append
	// or upkeep does it.
	_ = s.applyIfMany(ctx)
	return database.NewAppended(batch, fresh), nil
}

// errLostBet says that something of a batch is stored, or an owner missing.
var errLostBet = errors.New("not all of the batch is new")

// bet inserts a batch as if nothing of it were stored, which the insert
// itself finds out. It is errLostBet, and nothing is stored, when something
// is. A transaction of its own is cheaper than a savepoint, for which SQLite
// would copy every page.
func (s *Store) bet(ctx context.Context, what string, in inserts, batch []sandtrail.Admitted) (fresh []sandtrail.Execution, err error) {
	if fresh, _, err = database.Merge(batch, nil); err != nil {
		return nil, errLostBet // what is stored decides whether it is a conflict
	}
	err = s.write(ctx, what, func(tx *sql.Tx) error {
		inserted, err := in.insert(ctx, tx, fresh)
		if resultCode(err) == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY || err == nil && inserted < len(fresh) {
			return errLostBet
		}
		return err
	})
	return fresh, err
}

// merge inserts what is new in a batch.
func (s *Store) merge(ctx context.Context, what string, in inserts, batch []sandtrail.Admitted) (fresh []sandtrail.Execution, err error) {
	err = s.write(ctx, what, func(tx *sql.Tx) error {
		stored, err := storedUnder(ctx, tx, batch)
		if err != nil {
			return err
		}
		if fresh, _, err = database.Merge(batch, stored); err != nil {
			return err
		}
		if _, err = in.insert(ctx, tx, fresh); resultCode(err) == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY {
			return unknownOwners(ctx, tx, batch, err)
		}
		return err
	})
	return fresh, err
}

// rowsPerInsert is how many rows one statement inserts: enough to spread the
// cost of a call, few enough to prepare fast.
const rowsPerInsert = 50

// inserts are the statements of an append.
type inserts struct{ many, one *sql.Stmt }

func (s *Store) prepareInserts(ctx context.Context) (in inserts, err error) {
	if in.many, err = s.writer.prepare(ctx, insertText(rowsPerInsert)); err != nil {
		return in, err
	}
	in.one, err = s.writer.prepare(ctx, insertText(1))
	return in, err
}

func insertText(rows int) string {
	row := "(" + strings.TrimSuffix(strings.Repeat("?,", recordWidth), ",") + ")"
	return "INSERT INTO sandbox_execution_logs (" + recordColumns + ") VALUES " +
		strings.TrimSuffix(strings.Repeat(row+",", rows), ",") + " ON CONFLICT (id) DO NOTHING"
}

func (in inserts) insert(ctx context.Context, tx *sql.Tx, records []sandtrail.Execution) (inserted int, err error) {
	many, one := tx.StmtContext(ctx, in.many), tx.StmtContext(ctx, in.one)
	args := make([]any, 0, rowsPerInsert*recordWidth)
	for len(records) > 0 {
		stmt, n := one, 1
		if len(records) >= rowsPerInsert {
			stmt, n = many, rowsPerInsert
		}
		args = args[:0]
		for i := range records[:n] {
			args = appendRecordArgs(args, &records[i])
		}
		result, err := stmt.ExecContext(ctx, args...)
		if err != nil {
			return inserted, err
		}
		changed, err := result.RowsAffected()
		if err != nil {
			return inserted, err
		}
		inserted, records = inserted+int(changed), records[n:]
	}
	return inserted, nil
}

// storedUnder returns the stored executions with the ids of the batch.
func storedUnder(ctx context.Context, tx *sql.Tx, batch []sandtrail.Admitted) (map[sandtrail.ID]sandtrail.Execution, error) {
	ids := make([]string, len(batch))
	for i, a := range batch {
		ids[i] = a.Execution.ID.String()
	}
	rows, err := queryIn(ctx, tx, "SELECT "+recordColumns+
		" FROM sandbox_execution_logs WHERE id IN (SELECT value FROM json_each(?))", ids)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	stored := map[sandtrail.ID]sandtrail.Execution{}
	for rows.Next() {
		var e sandtrail.Execution
		if err := scanRecord(rows.Scan, &e); err != nil {
			return nil, err
		}
		stored[e.ID] = e
	}
	return stored, rows.Err()
}

func queryIn(ctx context.Context, tx *sql.Tx, text string, values []string) (*sql.Rows, error) {
	list, err := json.Marshal(values)
	if err != nil {
		return nil, err
	}
	return tx.QueryContext(ctx, text, string(list))
}

// unknownOwners finds out which user or strategy a broken foreign key means.
func unknownOwners(ctx context.Context, tx *sql.Tx, batch []sandtrail.Admitted, cause error) error {
	users, strategies := make([]string, len(batch)), make([]string, len(batch))
	for i, a := range batch {
		users[i], strategies[i] = a.Execution.UserID, a.Execution.StrategyID
	}
	noUser, err := missing(ctx, tx, "users", users)
	if err != nil {
		return err
	}
	noStrategy, err := missing(ctx, tx, "strategies", strategies)
	if err != nil {
		return err
	}
	return database.UnknownOwners(batch, noUser, noStrategy, cause)
}

// missing returns those of the ids that the table does not have.
func missing(ctx context.Context, tx *sql.Tx, table string, ids []string) (map[string]bool, error) {
	rows, err := queryIn(ctx, tx, "SELECT DISTINCT value FROM json_each(?) WHERE value NOT IN (SELECT id FROM "+table+")", ids)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	absent := map[string]bool{}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		absent[id] = true
	}
	return absent, rows.Err()
}
