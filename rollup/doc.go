// Package rollup keeps counts of executions per day and quarter of an hour,
// so that statistics and trends cost what their buckets cost and not what the
// records cost. It is pure: stores read and write the bytes it makes.
//
// # Algebra
//
// A [Change] is one record that came or went. A [Cell] counts records; cells
// form a commutative group under addition, of which Add, Sub and Merge are
// the operations: the order of changes does not matter, a removal undoes an
// addition exactly, and a cell may pass through negative counts on the way.
// Every counter is an integer, so no rounding error gathers. Percentiles come
// from a sketch of the execution times that is exact up to [ExactTimes]
// different values and has a relative error of at most [Accuracy] above.
//
// A [Part] holds two cells: Live, the records that are stored, and Retired,
// those that retention removed. Retention moves a record from one to the
// other; any other removal takes it out of Live for good. All-time statistics
// look at Live alone; trends may look at both and so keep their history.
//
// A [Day] is one UTC day of one [Subject]: a part for the whole day and a
// sparse list of parts for its slots of 15 minutes, the granularity that the
// offset of every current time zone is a multiple of. The two are encoded
// apart, so that a year of UTC days reads no slots.
//
// # Use
//
// Writers append changes to a feed. [Fold] turns changes into a
// [Delta], days and totals to be merged into the stored ones in the same
// transaction that deletes the entries. A question is answered by a [Plan],
// which says what to read, and an [Answer], which takes stored days, entries
// not folded yet, and the records of the few minutes around edges that cut
// through a slot. Read in one snapshot they give the exact answer at every
// moment.
package rollup
