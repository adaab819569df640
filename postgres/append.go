package postgres

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
)

// Append stores a batch in one transaction.
func (s *Store) Append(ctx context.Context, batch []sandtrail.Admitted) (sandtrail.Appended, error) {
	if len(batch) > sandtrail.MaxBatch {
		return sandtrail.Appended{}, sandtrail.Errorf(sandtrail.CodeTooLarge,
			"a batch holds at most %d executions, got %d; split it", sandtrail.MaxBatch, len(batch))
	}
	if len(batch) == 0 {
		return sandtrail.NewAppended(nil, nil), nil
	}
	l, err := s.open(ctx)
	if err != nil {
		return sandtrail.Appended{}, err
	}
	if err := s.ensureWeeks(ctx, l, timesOf(batch)); err != nil {
		return sandtrail.Appended{}, wrap("append executions", err)
	}
	for range maxRaces {
		var fresh []sandtrail.Execution
		err = s.inTx(ctx, func(tx pgx.Tx) (err error) {
			fresh, err = s.appendIn(ctx, tx, l, batch)
			return err
		})
		if err == nil {
			return sandtrail.NewAppended(batch, fresh), nil
		}
		if state(err) != uniqueViolation {
			break
		}
		// Somebody else has stored one of the ids since we looked: look again.
	}
	if state(err) == foreignKeyViolation || !l.canOwn(batch) {
		err = s.unknownOwners(ctx, l, batch, err)
	}
	return sandtrail.Appended{}, wrap("append executions", err)
}

// canOwn reports whether all users and strategies of the batch are of the
// type that the application's keys have. The driver refuses to send others.
func (l *layout) canOwn(batch []sandtrail.Admitted) bool {
	return !slices.ContainsFunc(batch, func(a sandtrail.Admitted) bool {
		return !l.Users.canBe(a.Execution.UserID) || !l.Strategies.canBe(a.Execution.StrategyID)
	})
}

// maxRaces bounds the repetitions of an append whose ids others store at the
// same time.
const maxRaces = 20

// appendIn stores what is new in the batch and returns it.
func (s *Store) appendIn(ctx context.Context, tx pgx.Tx, l *layout, batch []sandtrail.Admitted) ([]sandtrail.Execution, error) {
	stored, err := storedAmong(ctx, tx, l, batch)
	if err != nil {
		return nil, err
	}
	fresh, _, err := sandtrail.Merge(batch, stored)
	if err != nil || len(fresh) == 0 {
		return nil, err
	}
	return fresh, insert(ctx, tx, l, fresh)
}

// insert writes executions in the order of their ids, so that appends that
// share some wait for each other rather than deadlock.
func insert(ctx context.Context, tx pgx.Tx, l *layout, fresh []sandtrail.Execution) error {
	ordered := slices.SortedFunc(slices.Values(fresh), func(a, b sandtrail.Execution) int {
		return bytes.Compare(a.ID[:], b.ID[:])
	})
	_, err := tx.CopyFrom(ctx, pgx.Identifier{l.LogsSchema, logsTable}, logColumns,
		pgx.CopyFromSlice(len(ordered), func(i int) ([]any, error) { return logValues(ordered[i]), nil }))
	return err
}

// storedAmong returns the stored executions that have an id of the batch. Ids
// whose partition a cleanup has taken out, and which it has not removed yet,
// are freed.
func storedAmong(ctx context.Context, tx pgx.Tx, l *layout, batch []sandtrail.Admitted) (map[sandtrail.ID]sandtrail.Execution, error) {
	ids := make([][16]byte, len(batch))
	for i, a := range batch {
		ids[i] = a.Execution.ID
	}
	rows, err := tx.Query(ctx, l.sql(`SELECT b.id, i.created_at FROM unnest($1::uuid[]) b (id),
		LATERAL (SELECT created_at FROM {schema}.ids WHERE id = b.id LIMIT 1) i`), ids)
	if err != nil {
		return nil, err
	}
	var id [16]byte
	var at time.Time
	times := map[sandtrail.ID]time.Time{}
	if _, err := pgx.ForEachRow(rows, []any{&id, &at}, func() error {
		times[id] = at
		return nil
	}); err != nil || len(times) == 0 {
		return nil, err
	}
	rows, err = tx.Query(ctx, l.sql("SELECT "+selectLogs+" FROM {logs} e WHERE e.created_at = ANY($1) AND e.id = ANY($2)"),
		slices.Collect(maps.Values(times)), idsOf(times))
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, scanLogs)
	stored := make(map[sandtrail.ID]sandtrail.Execution, len(list))
	for _, e := range list {
		stored[e.ID] = e
		delete(times, e.ID)
	}
	if err != nil || len(times) == 0 {
		return stored, err
	}
	var free [][16]byte
	var freeTimes []time.Time
	for id, at := range times {
		free, freeTimes = append(free, id), append(freeTimes, at)
	}
	_, err = tx.Exec(ctx, l.sql(`WITH gone AS (
		DELETE FROM {schema}.ids i USING unnest($1::uuid[], $2::timestamptz[]) f (id, created_at)
		WHERE i.id = f.id AND i.created_at = f.created_at RETURNING i.id, i.created_at)`+retired), free, freeTimes)
	return stored, err
}

func idsOf(times map[sandtrail.ID]time.Time) [][16]byte {
	ids := make([][16]byte, 0, len(times))
	for id := range times {
		ids = append(ids, id)
	}
	return ids
}

// unknownOwners names the users and strategies of the batch that do not
// exist. When by now all of them do, the server's own error has to do.
func (s *Store) unknownOwners(ctx context.Context, l *layout, batch []sandtrail.Admitted, cause error) error {
	users, err := s.missing(ctx, l.sql("SELECT {users.id}::text FROM {users} WHERE {users.id}::text = ANY($1)"), batch,
		func(e sandtrail.Execution) string { return e.UserID })
	if err != nil {
		return err
	}
	strategies, err := s.missing(ctx, l.sql("SELECT {strategies.id}::text FROM {strategies} WHERE {strategies.id}::text = ANY($1)"), batch,
		func(e sandtrail.Execution) string { return e.StrategyID })
	if err != nil {
		return err
	}
	invalid := &sandtrail.Error{Code: sandtrail.CodeInvalid, Message: "invalid execution", Err: cause}
	for i, a := range batch {
		prefix := ""
		if len(batch) > 1 {
			prefix = fmt.Sprintf("[%d].", i)
		}
		if users[a.Execution.UserID] {
			invalid.Fields = append(invalid.Fields, sandtrail.FieldError{Path: prefix + "userId", Message: fmt.Sprintf("unknown user %q; add it with sandtrail users add", a.Execution.UserID)})
		}
		if strategies[a.Execution.StrategyID] {
			invalid.Fields = append(invalid.Fields, sandtrail.FieldError{Path: prefix + "strategyId", Message: fmt.Sprintf("unknown strategy %q; add it with sandtrail strategies add", a.Execution.StrategyID)})
		}
	}
	if len(invalid.Fields) == 0 {
		invalid.Message = "a user or strategy of the batch did not exist when it was stored; try again"
	}
	return invalid
}

// missing returns the keys of the batch that the query does not find.
func (s *Store) missing(ctx context.Context, query string, batch []sandtrail.Admitted, key func(sandtrail.Execution) string) (map[string]bool, error) {
	absent := map[string]bool{}
	for _, a := range batch {
		absent[key(a.Execution)] = true
	}
	keys := make([]string, 0, len(absent))
	for k := range absent {
		keys = append(keys, k)
	}
	rows, err := s.pool.Query(ctx, query, keys)
	if err != nil {
		return nil, err
	}
	present, err := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, k := range present {
		delete(absent, k)
	}
	return absent, err
}

func timesOf(batch []sandtrail.Admitted) []time.Time {
	times := make([]time.Time, len(batch))
	for i, a := range batch {
		times[i] = a.Execution.CreatedAt
	}
	return times
}
