package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// Append stores a batch in one transaction.
func (s *Store) Append(ctx context.Context, batch []sandtrail.Admitted) (sandtrail.Appended, error) {
	if len(batch) > sandtrail.MaxBatch {
		return sandtrail.Appended{}, sandtrail.Errorf(sandtrail.CodeTooLarge,
			"a batch holds at most %d executions, got %d; split it", sandtrail.MaxBatch, len(batch))
	}
	if len(batch) == 0 {
		return database.NewAppended(nil, nil), nil
	}
	l, err := s.open(ctx)
	if err != nil {
		return sandtrail.Appended{}, err
	}
	batch = l.spellBatch(batch)
	if err := s.ensurePartitions(ctx, l, timesOf(batch)); err != nil {
		return sandtrail.Appended{}, wrap("append executions", err)
	}
	k := l.keeper()
	fresh, err := s.transactor(l).bet(ctx, batch)
	if err == nil {
		return database.NewAppended(batch, fresh), nil
	}
	if !errors.Is(err, errLostBet) {
		return sandtrail.Appended{}, wrap("append executions", err)
	}
	for tries := 1; tries <= maxRaces; tries++ {
		err = s.inTx(ctx, func(tx pgx.Tx) (err error) {
			if err := k.enter(ctx, tx, tries > 1, idsIn(batch)); err != nil {
				return err
			}
			fresh, err = appendIn(ctx, tx, k, l, batch, tries > 1)
			return err
		})
		if err == nil {
			return database.NewAppended(batch, fresh), nil
		}
		if !k.isRace(err, tries) {
			break
		}
	}
	if code := state(err); code == foreignKeyViolation || code == internalError || !l.canOwn(batch) {
		err = s.unknownOwners(ctx, l, batch, err)
	}
	return sandtrail.Appended{}, wrap("append executions", err)
}

// errLostBet says that something of a batch is stored, or cannot be.
var errLostBet = errors.New("not all of the batch is new")

// maxUnnest bounds the batches that one statement stores: COPY stores large ones
// faster.
const maxUnnest = 250

// bet inserts a batch as if nothing of it were stored, which the insert itself
// finds out: fewer round trips, and no looking for each id. It is errLostBet,
// and nothing is stored, when something is.
func (t onTriggers) bet(ctx context.Context, batch []sandtrail.Admitted) ([]sandtrail.Execution, error) {
	fresh, _, err := database.Merge(batch, nil)
	if err != nil || !t.l.canOwn(batch) {
		return nil, errLostBet // what is stored decides whether it is a conflict
	}
	if len(fresh) > maxUnnest {
		err = t.betOnCopy(ctx, batch, fresh)
	} else {
		err = t.betOnUnnest(ctx, fresh)
	}
	if class := state(err); class != "" && limitOf(class) == "" {
		err = errLostBet
	}
	return fresh, err
}

func (t onTriggers) betOnUnnest(ctx context.Context, fresh []sandtrail.Execution) error {
	inserted, err := t.change(ctx, t.l.sql(`INSERT INTO {logs} (`+strings.Join(logColumns, ", ")+`)
		SELECT id, user_id::{users.plain}, strategy_id::{strategies.plain}, execution_type, success, execution_time, memory_used,
			cpu_usage, timed_out, error_count, warning_count, classes_found, metadata, created_at
		FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::integer[], $7::integer[], $8::float8[],
			$9::boolean[], $10::integer[], $11::integer[], $12::text[], $13::text[], $14::timestamptz[]) b (`+strings.Join(logColumns, ", ")+`)
		WHERE NOT EXISTS (SELECT FROM {schema}.ids WHERE id = ANY ($1))`), logArrays(byID(fresh))...)
	if err == nil && inserted < int64(len(fresh)) {
		return errLostBet
	}
	return err
}

// betOnCopy looks for two of the ids first: a large batch that comes again is
// not written in vain.
func (t onTriggers) betOnCopy(ctx context.Context, batch []sandtrail.Admitted, fresh []sandtrail.Execution) error {
	ids := idsIn([]sandtrail.Admitted{batch[0], batch[len(batch)-1]})
	var stored bool
	err := t.pool.QueryRow(ctx, t.l.sql("SELECT EXISTS (SELECT FROM {schema}.ids WHERE id = ANY ($1))"), t.kept([]any{ids})...).Scan(&stored)
	if err == nil && stored {
		return errLostBet
	}
	if err != nil {
		return err
	}
	return again(func() error { return insert(ctx, t.pool, t.l, fresh) })
}

// canOwn reports whether all users and strategies of the batch are of the
// type that the application's keys have. The driver refuses to send others.
func (l *layout) canOwn(batch []sandtrail.Admitted) bool {
	return !slices.ContainsFunc(batch, func(a sandtrail.Admitted) bool {
		_, user := l.Users.key().Canonical(a.Execution.UserID)
		_, strategy := l.Strategies.key().Canonical(a.Execution.StrategyID)
		return !user || !strategy
	})
}

// maxRaces bounds the repetitions of an append whose ids others store at the
// same time.
const maxRaces = 20

// appendIn stores what is new in the batch and returns it. It asks the executions
// themselves, too, where one was there that the table of ids does not have: another
// client wrote it with the triggers disabled.
func appendIn(ctx context.Context, tx pgx.Tx, k keeper, l *layout, batch []sandtrail.Admitted, refused bool) ([]sandtrail.Execution, error) {
	stored, err := storedAmong(ctx, tx, k, l, batch)
	if err == nil && refused {
		err = addStored(ctx, tx, l, stored, timesOf(batch), idsIn(batch))
	}
	if err != nil {
		return nil, err
	}
	fresh, _, err := database.Merge(batch, stored)
	if err != nil || len(fresh) == 0 {
		return nil, err
	}
	return fresh, k.insert(ctx, tx, fresh)
}

// copier is a pool or a transaction.
type copier interface {
	CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error)
}

// insert writes executions.
func insert(ctx context.Context, q copier, l *layout, fresh []sandtrail.Execution) error {
	ordered := byID(fresh)
	return copyInto(ctx, q, pgx.Identifier{l.LogsSchema, logsTable}, logColumns, len(ordered),
		func(i int) []any { return logValues(ordered[i]) })
}

// copyInto writes n rows. The driver closes the connection of a caller that
// gives up, and can tell of that in place of the context's error.
func copyInto(ctx context.Context, q copier, table pgx.Identifier, columns []string, n int, row func(i int) []any) error {
	_, err := q.CopyFrom(ctx, table, columns, pgx.CopyFromSlice(n, func(i int) ([]any, error) { return row(i), nil }))
	if ended := ctx.Err(); ended != nil && isClosed(err) {
		return fmt.Errorf("%w: %w", ended, err)
	}
	return err
}

// byID is the order in which executions are written, so that appends that
// share some wait for each other rather than deadlock.
func byID(list []sandtrail.Execution) []sandtrail.Execution {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b sandtrail.Execution) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return list
}

// storedAmong returns the stored executions that have an id of the batch. Ids
// whose partition a cleanup has taken out, and which it has not removed yet,
// are freed.
func storedAmong(ctx context.Context, tx pgx.Tx, k keeper, l *layout, batch []sandtrail.Admitted) (map[sandtrail.ID]sandtrail.Execution, error) {
	stored := map[sandtrail.ID]sandtrail.Execution{}
	rows, err := tx.Query(ctx, l.sql(`SELECT b.id, i.created_at FROM unnest($1::uuid[]) b (id),
		LATERAL (SELECT created_at FROM {schema}.ids WHERE id = b.id LIMIT 1) i`), idsIn(batch))
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
		return stored, err
	}
	if err := addStored(ctx, tx, l, stored, slices.Collect(maps.Values(times)), idsOf(times)); err != nil {
		return nil, err
	}
	maps.DeleteFunc(times, func(id sandtrail.ID, _ time.Time) bool {
		_, is := stored[id]
		return is
	})
	if len(times) == 0 {
		return stored, nil
	}
	var free [][16]byte
	var freeTimes []time.Time
	for id, at := range times {
		free, freeTimes = append(free, id), append(freeTimes, at)
	}
	return stored, k.free(ctx, tx, free, freeTimes)
}

// addStored adds the executions that have one of the times and one of the ids.
func addStored(ctx context.Context, tx pgx.Tx, l *layout, stored map[sandtrail.ID]sandtrail.Execution, times []time.Time, ids [][16]byte) error {
	rows, err := tx.Query(ctx, l.sql("SELECT "+selectLogs+" FROM {logs} e WHERE e.created_at = ANY($1) AND e.id = ANY($2)"), times, ids)
	if err != nil {
		return err
	}
	list, err := pgx.CollectRows(rows, scanLogs)
	for _, e := range list {
		stored[e.ID] = e
	}
	return err
}

func idsIn(batch []sandtrail.Admitted) [][16]byte {
	ids := make([][16]byte, len(batch))
	for i, a := range batch {
		ids[i] = a.Execution.ID
	}
	return ids
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
	switch {
	case len(users)+len(strategies) > 0:
		return database.UnknownOwners(batch, users, strategies, cause)
	case state(cause) == internalError:
		return cause
	}
	return &sandtrail.Error{
		Code: sandtrail.CodeInvalid, Err: cause,
		Message: "a user or strategy of the batch did not exist when it was stored; try again",
	}
}

// missing returns the keys of the batch that the query does not find.
func (s *Store) missing(ctx context.Context, query string, batch []sandtrail.Admitted, key func(sandtrail.Execution) string) (map[string]bool, error) {
	keys := map[string]bool{}
	for _, a := range batch {
		keys[key(a.Execution)] = true
	}
	return keys, absent(ctx, s.pool, keys, query)
}

// absent leaves those of the keys that the query does not find.
func absent(ctx context.Context, q querier, keys map[string]bool, query string) error {
	present, err := scanAll(ctx, q, pgx.RowTo[string], query, slices.Collect(maps.Keys(keys)))
	for _, key := range present {
		delete(keys, key)
	}
	return err
}

func timesOf(batch []sandtrail.Admitted) []time.Time {
	times := make([]time.Time, len(batch))
	for i, a := range batch {
		times[i] = a.Execution.CreatedAt
	}
	return times
}
