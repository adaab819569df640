package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/derive"
	"github.com/sandtrail/sandtrail/rollup"
)

// CountBefore counts the executions that Cleanup would delete.
func (s *Store) CountBefore(ctx context.Context, c sandtrail.Cutoff) (n int64, err error) {
	n, err = s.countOld(ctx, c, unheld)
	return n, wrap("count old executions", err)
}

func (s *Store) countOld(ctx context.Context, c sandtrail.Cutoff, condition string) (n int64, err error) {
	ctx, l, err := s.openUnlimited(ctx)
	if err != nil {
		return 0, err
	}
	c = l.spellCutoff(c)
	var in conditions
	in.add("created_at < $", ceilMillisecond(c.Latest()))
	in.old(c)
	in.add(condition)
	err = s.pool.QueryRow(ctx, l.sql("SELECT count(*) FROM {logs} "+in.where()), in.args...).Scan(&n)
	return n, err
}

// old selects the executions that are old by a cutoff.
func (c *conditions) old(cut sandtrail.Cutoff) {
	cut = cut.Map(ceilMillisecond)
	var rules []string
	var times []time.Time
	for rule, before := range cut.Rules() {
		rules, times = append(rules, rule), append(times, before)
	}
	if len(rules) == 0 {
		c.add("created_at < $", cut.Before)
		return
	}
	c.add(`created_at < coalesce((SELECT min(r.before) FROM unnest($::text[], $::timestamptz[]) r (rule, before)
		WHERE r.rule IN ('type ' || execution_type::text, 'strategy ' || strategy_id::text)), $)`, rules, times, cut.Before)
}

// Cleanup drops the partitions that are old as a whole and of which nothing is
// held, and deletes the other old executions that no hold keeps in batches.
func (s *Store) Cleanup(ctx context.Context, c sandtrail.Cutoff) (deleted int64, err error) {
	return s.cleanUp(ctx, removal{Cutoff: c})
}

// CleanupArchived is Cleanup of what is archived. A partition is dropped only
// when all of it is.
func (s *Store) CleanupArchived(ctx context.Context, since time.Time, c sandtrail.Cutoff, archived func(sandtrail.ID) bool) (deleted int64, err error) {
	return s.cleanUp(ctx, removal{c, since, archived})
}

// removal says what a cleanup removes.
type removal struct {
	sandtrail.Cutoff
	since    time.Time               // and not what was created before it
	archived func(sandtrail.ID) bool // and not what is not; nil: whether it is or not
}

func (s *Store) cleanUp(ctx context.Context, r removal) (deleted int64, err error) {
	ctx, l, err := s.openUnlimited(ctx)
	if err != nil {
		return 0, err
	}
	r.Cutoff = l.spellCutoff(r.Cutoff)
	t := s.transactor(l)
	if err := t.sweep(ctx); err != nil && !isLocked(err) {
		return 0, wrap("clean up", err)
	}
	found, err := ownPartitionsIn(ctx, s.pool, l)
	if err != nil {
		return 0, err
	}
	for _, w := range found.settled() {
		if w.since.Before(r.since) {
			continue
		}
		old, except := r.AllBefore(w.until)
		if !old {
			break
		}
		n, err := s.dropPartition(ctx, l, w, except, r.archived)
		deleted += n
		database.ReportDeleted(ctx, n)
		if isLocked(err) {
			break // its rows are deleted below
		}
		if err != nil {
			return deleted, wrapf(err, "clean up %s", partitionName(w.since))
		}
	}
	for _, window := range r.Windows() {
		n, err := s.deleteOld(ctx, l, r, window)
		deleted += n
		if err != nil {
			return deleted, wrap("clean up", err)
		}
	}
	err = t.sweep(ctx)
	if isLocked(err) { // upkeep does it, and says so until it has
		err = nil
	}
	return deleted, wrap("clean up", errors.Join(err, s.refreshPartitions(ctx, l)))
}

// ceilMillisecond makes a comparison with stored times, which are whole
// milliseconds, come out the same as with the finer time.
func ceilMillisecond(t time.Time) time.Time {
	return sandtrail.Millisecond(t.Add(time.Millisecond - time.Nanosecond))
}

// dropPartition takes a partition of which nothing is held, or of the strategies
// that are kept, and all is archived, out of the table, moves its counts to the
// retired share and returns how many executions it had. Unless it has to ask of
// each whether it is archived, none of this reads all of them, so that the
// locks are as short for many as for few.
func (s *Store) dropPartition(ctx context.Context, l *layout, w span, kept []string, archived func(sandtrail.ID) bool) (n int64, err error) {
	k, table := l.keeper(), partitionName(w.since)
	name := quote(l.Schema) + "." + table
	if err := s.transactor(l).catchUp(ctx, w); err != nil {
		return 0, err
	}
	err = s.withShortLocks(ctx, cleanupTries, func(tx pgx.Tx) error {
		n = 0
		if err := lock(ctx, tx, l.Schema, "partitions"); err != nil {
			return err
		}
		if err := lock(ctx, tx, l.Schema, "fold"); err != nil {
			return err
		}
		if err := k.enter(ctx, tx, true, nil); err != nil {
			return err
		}
		if present, err := ownPartitionsIn(ctx, tx, l); err != nil || !slices.Contains(present, w) {
			return err
		}
		// One of the same name may not be swept yet: then its rows are deleted.
		if oid, err := tableIn(ctx, tx, l, droppedPrefix+table); err != nil || oid != 0 {
			return err
		}
		if _, err := tx.Exec(ctx, "LOCK TABLE "+name+" IN SHARE ROW EXCLUSIVE MODE"); err != nil {
			return err
		}
		if err := holdStill(ctx, tx, l); err != nil {
			return err
		}
		if held, err := holdsAnyOf(ctx, tx, l, name, conditions{}); err != nil || held {
			return err
		}
		if found, err := hasAnyOf(ctx, tx, l, name, "strategy", kept, conditions{}); err != nil || found {
			return err
		}
		if all, err := areArchived(ctx, tx, name, archived); err != nil || !all {
			return err
		}
		if n, err = retire(ctx, tx, l, w); err != nil {
			return err
		}
		return k.takeOut(ctx, tx, w)
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// areArchived reports whether all executions of a table are.
func areArchived(ctx context.Context, tx pgx.Tx, table string, archived func(sandtrail.ID) bool) (bool, error) {
	if archived == nil {
		return true, nil
	}
	rows, err := tx.Query(ctx, "SELECT id FROM "+table)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	for rows.Next() {
		var id sandtrail.ID
		if err := rows.Scan((*[16]byte)(&id)); err != nil {
			return false, err
		}
		if !archived(id) {
			return false, nil
		}
	}
	return true, rows.Err()
}

// detach takes a partition out of the table and leaves it aside. Without its
// foreign keys no cascade takes rows whose ids are still to be removed.
func detach(ctx context.Context, tx pgx.Tx, l *layout, table string) error {
	name := quote(l.Schema) + "." + table
	if _, err := tx.Exec(ctx, l.sql("ALTER TABLE {logs} DETACH PARTITION "+name)); err != nil {
		return err
	}
	// Whatever the application calls them, and whatever others it has added.
	keys, err := scanAll(ctx, tx, pgx.RowTo[string],
		"SELECT 'DROP CONSTRAINT ' || quote_ident(conname) FROM pg_constraint WHERE conrelid = to_regclass($1) AND contype = 'f'", name)
	if err != nil {
		return err
	}
	if len(keys) > 0 {
		if _, err := tx.Exec(ctx, "ALTER TABLE "+name+" "+strings.Join(keys, ", ")); err != nil {
			return err
		}
	}
	_, err = tx.Exec(ctx, "ALTER TABLE "+name+" RENAME TO "+droppedPrefix+table)
	return err
}

// droppedPrefix begins the names of partitions taken out, of which the ids
// are still to be removed.
const droppedPrefix = "dropped_"

// retire moves what the roll-ups of whole days count from the live to the
// retired share and returns how many executions those are.
func retire(ctx context.Context, tx pgx.Tx, l *layout, w span) (n int64, err error) {
	for {
		changes, err := takeBatch(ctx, tx, l, pendingChanges, foldBatch, "created_at >= $1 AND created_at < $2", w.since, w.until)
		if err != nil {
			return 0, err
		}
		if err := count(ctx, tx, l, changes); err != nil {
			return 0, err
		}
		if len(changes) < foldBatch {
			break
		}
	}
	if _, err := tx.Exec(ctx, l.sql(fmt.Sprintf(`DECLARE retiring NO SCROLL CURSOR FOR
		SELECT scope, key, day, summary, slots FROM {schema}.rollups WHERE day >= %d AND day < %d`,
		int32(rollup.DateOf(w.since)), int32(rollup.DateOf(w.until))))); err != nil {
		return 0, err
	}
	for {
		days, live, err := retireSome(ctx, tx, l)
		if n += live; err != nil || days == 0 {
			return n, err
		}
	}
}

// retireBatch is how many days of subjects are held in memory at once: weeks of
// many users have more than would fit.
const retireBatch = 2000

// retireSome moves the next days of the cursor. It returns how many there were
// and how many executions they count.
func retireSome(ctx context.Context, tx pgx.Tx, l *layout) (n int, live int64, err error) {
	var stored []derive.StoredDay
	if err := (rollups{tx, l}).eachDay(ctx, func(day derive.StoredDay) error {
		stored = append(stored, day)
		return nil
	}, fmt.Sprintf("FETCH %d FROM retiring", retireBatch)); err != nil || len(stored) == 0 {
		return 0, 0, err
	}
	live, err = derive.Retire(ctx, rollups{tx, l}, stored)
	return len(stored), live, err
}

// sweepDropped removes the ids of partitions taken out, in short transactions
// that leave the removals to the ledger, and then the partitions.
func (s *Store) sweepDropped(ctx context.Context, l *layout) error {
	dropped, err := droppedIn(ctx, s.pool, l)
	if err != nil {
		return err
	}
	var left []error
	for name, oid := range dropped {
		left = append(left, wrapf(s.sweep(ctx, l, name, oid), "sweep %s", name))
	}
	return errors.Join(left...)
}

// droppedIn finds the partitions taken out: their names and what they are to
// the server.
func droppedIn(ctx context.Context, q querier, l *layout) (map[string]int64, error) {
	rows, err := q.Query(ctx, `SELECT c.relname, c.oid::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relkind = 'r' AND c.relname ~ '^`+droppedPrefix+`logs_[0-9]{8}$'`, l.Schema)
	if err != nil {
		return nil, err
	}
	var name string
	var oid int64
	dropped := map[string]int64{}
	_, err = pgx.ForEachRow(rows, []any{&name, &oid}, func() error {
		dropped[name] = oid
		return nil
	})
	return dropped, err
}

// isLeft says that an entry i of the ids is of an execution d in a dropped
// partition, and not of one that came again since.
func isLeft(table string) (string, error) {
	start, err := time.Parse("20060102", strings.TrimPrefix(table, droppedPrefix+"logs_"))
	if err != nil {
		return "", wrapf(err, "partition %s", table)
	}
	from, to := span{start, start.Add(longestPartition)}.bounds()
	return "i.id = d.id AND i.created_at = d.created_at AND NOT EXISTS (SELECT FROM {logs} e WHERE e.id = d.id" +
		" AND e.created_at = d.created_at AND e.created_at >= '" + from + "' AND e.created_at < '" + to + "')", nil
}

// sweepBlocks is how many blocks of a dropped partition one transaction of
// its sweep reads.
const sweepBlocks = 256

// sweep removes the ids of one dropped partition and the partition. Who finds
// it swept by somebody else is done.
func (s *Store) sweep(ctx context.Context, l *layout, table string, oid int64) error {
	name := quote(l.Schema) + "." + quote(table)
	left, err := isLeft(table)
	if err != nil {
		return err
	}
	var blocks int64
	err = s.pool.QueryRow(ctx, "SELECT coalesce(pg_relation_size($1::bigint::oid), 0) / current_setting('block_size')::integer", oid).Scan(&blocks)
	for first := int64(0); err == nil && first < blocks; first += sweepBlocks {
		_, err = s.execInTx(ctx, l.sql("WITH gone AS (DELETE FROM {schema}.ids i USING "+name+" d"+fmt.Sprintf(
			" WHERE d.ctid >= '(%d,0)' AND d.ctid < '(%d,0)' AND ", first, first+sweepBlocks)+left+
			" RETURNING i.id, i.created_at)"+retired))
	}
	if err == nil {
		err = s.withShortLocks(ctx, upkeepTries, func(tx pgx.Tx) error {
			// The name may stand for the week's next partition by now.
			if err := lock(ctx, tx, l.Schema, "partitions"); err != nil {
				return err
			}
			if found, err := tableIn(ctx, tx, l, table); err != nil || found != oid {
				return err
			}
			_, err := tx.Exec(ctx, "DROP TABLE "+name)
			return err
		})
	}
	if state(err) == undefinedTable {
		return nil
	}
	return err
}

// old is where an old execution stands in the order of their times.
type old struct {
	createdAt time.Time
	id        sandtrail.ID
}

func scanOld(row pgx.CollectableRow) (o old, err error) {
	err = row.Scan(&o.createdAt, (*[16]byte)(&o.id))
	return o, err
}

// deleteOld deletes what is old in a window, as retention.
func (s *Store) deleteOld(ctx context.Context, l *layout, r removal, window sandtrail.Window) (deleted int64, err error) {
	var from *old // what is kept before it is not looked at again
	for {
		n, last, err := s.deleteSome(ctx, l, r, window, from)
		deleted += n
		database.ReportDeleted(ctx, n)
		if err != nil || last == nil {
			return deleted, err
		}
		from = last
	}
}

// deleteSome deletes a batch of the oldest of them after one (nil: the first).
// It returns the last that it saw, nil when there was none.
func (s *Store) deleteSome(ctx context.Context, l *layout, r removal, window sandtrail.Window, from *old) (n int64, last *old, err error) {
	k := l.keeper()
	var in conditions
	in.add("created_at < $", ceilMillisecond(window.Until)) // $1
	if !r.since.IsZero() {
		in.add("created_at >= $", ceilMillisecond(r.since))
	}
	if from != nil { // the first for the choice of partitions
		in.add("created_at >= $", from.createdAt)
		in.add("(created_at, id) > ($, $)", from.createdAt, [16]byte(from.id))
	}
	in.owners("", window.StrategyID)
	in.old(r.Cutoff)
	in.add(unheld)
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if err := k.enter(ctx, tx, false, nil); err != nil {
			return err
		}
		of := conditions{slices.Clone(in.parts), slices.Clone(in.args)}
		if last, err = of.archived(ctx, tx, l, r.archived); err != nil {
			return err
		}
		var latest *time.Time
		n, latest, err = k.remove(ctx, tx, "retention", fmt.Sprintf(`
			WITH old AS (SELECT user_id, created_at, id FROM {logs} %s ORDER BY created_at, id LIMIT %d)
			DELETE FROM {logs} e USING old o
			WHERE e.user_id = o.user_id AND e.created_at = o.created_at AND e.id = o.id AND e.created_at < $1`, of.where(), purgeBatch), of.args...)
		if r.archived == nil && latest != nil {
			last = &old{createdAt: *latest}
		}
		return err
	})
	if err != nil {
		return 0, nil, err
	}
	return n, last, nil
}

// archived narrows what is selected to what is archived of its first batch, and
// returns the last of that; it does nothing where that is not asked.
func (c *conditions) archived(ctx context.Context, tx pgx.Tx, l *layout, archived func(sandtrail.ID) bool) (last *old, err error) {
	if archived == nil {
		return nil, nil
	}
	some, err := scanAll(ctx, tx, scanOld, l.sql(fmt.Sprintf(
		"SELECT created_at, id FROM {logs} %s ORDER BY created_at, id LIMIT %d", c.where(), purgeBatch)), c.args...)
	if err != nil {
		return nil, err
	}
	ids := [][16]byte{}
	for _, o := range some {
		if archived(o.id) {
			ids = append(ids, o.id)
		}
		last = &o
	}
	if last != nil {
		c.add("created_at <= $", last.createdAt)
	}
	c.add("id = ANY ($::uuid[])", ids)
	return last, nil
}
