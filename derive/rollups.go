// Package derive keeps the data that stores derive from executions: the roll-ups,
// and their comparison with the executions. It decides; a store reads and writes
// with its SQL, in a transaction of its own.
package derive

import (
	"context"
	"errors"

	"github.com/sandtrail/sandtrail/rollup"
)

// StoredDay is a row of the roll-ups, in the encoding of package rollup.
type StoredDay struct {
	rollup.Key
	Summary, Slots []byte
}

// decode reads the row into a day, whose memory it reuses.
func (s StoredDay) decode(day *rollup.Day) error {
	return errors.Join(day.UnmarshalSummary(s.Summary), day.UnmarshalSlots(s.Slots))
}

// StoredTotal is a row of the totals, in the encoding of package rollup.
type StoredTotal struct {
	rollup.Subject
	Cell []byte
}

// Decode reads the row.
func (s StoredTotal) Decode() (cell rollup.Cell, err error) {
	err = cell.UnmarshalBinary(s.Cell)
	return cell, err
}

// Rollups are the tables of roll-ups and totals in a transaction. The callers of f
// may reuse the bytes of a row for the next.
type Rollups interface {
	// Days calls f with those of the days that are stored.
	Days(ctx context.Context, keys []rollup.Key, f func(StoredDay) error) error
	// PutDays inserts days, or replaces them.
	PutDays(ctx context.Context, days []StoredDay) error
	DeleteDays(ctx context.Context, keys []rollup.Key) error

	// Totals calls f with those of the totals that are stored.
	Totals(ctx context.Context, subjects []rollup.Subject, f func(StoredTotal) error) error
	// PutTotals inserts totals, or replaces them.
	PutTotals(ctx context.Context, totals []StoredTotal) error

	// Forget removes roll-ups and totals of those users and strategies with
	// these ids that exist no more.
	Forget(ctx context.Context, ids []string) error
}

// Apply adds changes to the roll-ups. Its transaction is to make sure that no
// change is applied twice.
func Apply(ctx context.Context, r Rollups, changes []rollup.Change) error {
	if len(changes) == 0 {
		return nil
	}
	delta := rollup.Fold(changes)
	var stored rollup.Day
	if err := r.Days(ctx, keysOf(delta.Days), func(s StoredDay) error {
		if err := s.decode(&stored); err != nil {
			return err
		}
		delta.Days[s.Key].Merge(&stored)
		return nil
	}); err != nil {
		return err
	}
	if err := putDays(ctx, r, delta.Days); err != nil {
		return err
	}
	return mergeTotals(ctx, r, delta.Totals)
}

// Retire moves the live counts of stored days to their retired share, as for
// executions that retention removes, and returns how many executions it moved.
func Retire(ctx context.Context, r Rollups, stored []StoredDay) (moved int64, err error) {
	days := map[rollup.Key]*rollup.Day{}
	totals := map[rollup.Subject]*rollup.Cell{}
	for _, s := range stored {
		day := &rollup.Day{}
		if err := s.decode(day); err != nil {
			return 0, err
		}
		live := day.Retire()
		days[s.Key] = day
		if totals[s.Subject] == nil {
			totals[s.Subject] = &rollup.Cell{}
		}
		totals[s.Subject].Subtract(live)
		if s.Scope == rollup.Global {
			moved += live.Total
		}
	}
	if err := putDays(ctx, r, days); err != nil {
		return 0, err
	}
	return moved, mergeTotals(ctx, r, totals)
}

// Clear drops the live counts of stored days, so that all executions can be applied
// anew; the counts of what retention removed stay.
func Clear(ctx context.Context, r Rollups, stored []StoredDay) error {
	days := map[rollup.Key]*rollup.Day{}
	for _, s := range stored {
		day := &rollup.Day{}
		if err := s.decode(day); err != nil {
			return err
		}
		day.Clear()
		days[s.Key] = day
	}
	return putDays(ctx, r, days)
}

// putDays replaces stored days; empty ones are deleted.
func putDays(ctx context.Context, r Rollups, days map[rollup.Key]*rollup.Day) error {
	full := make([]StoredDay, 0, len(days))
	var empty []rollup.Key
	for key, day := range days {
		if day.IsEmpty() {
			empty = append(empty, key)
		} else {
			full = append(full, StoredDay{key, day.MarshalSummary(), day.MarshalSlots()})
		}
	}
	if err := r.PutDays(ctx, full); err != nil || len(empty) == 0 {
		return err
	}
	return r.DeleteDays(ctx, empty)
}

// mergeTotals merges cells into the stored totals. Totals stay when they become
// empty, unless their owner is gone: they are the list of subjects that have
// roll-ups.
func mergeTotals(ctx context.Context, r Rollups, totals map[rollup.Subject]*rollup.Cell) error {
	if err := r.Totals(ctx, keysOf(totals), func(s StoredTotal) error {
		stored, err := s.Decode()
		totals[s.Subject].Merge(stored)
		return err
	}); err != nil {
		return err
	}
	merged := make([]StoredTotal, 0, len(totals))
	var emptied []string
	for subject, total := range totals {
		cell, err := total.MarshalBinary()
		if err != nil {
			return err
		}
		merged = append(merged, StoredTotal{subject, cell})
		if total.IsEmpty() {
			emptied = append(emptied, subject.ID)
		}
	}
	if err := r.PutTotals(ctx, merged); err != nil || len(emptied) == 0 {
		return err
	}
	return r.Forget(ctx, emptied)
}

func keysOf[K comparable, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	return keys
}
