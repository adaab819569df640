// Package storetest holds the stores to their contract: one suite that each
// of them has to pass, with a model in memory as oracle.
package storetest

import (
	"slices"
	"testing"

	"github.com/sandtrail/sandtrail/database"
)

// Run tests a store. open returns an empty, migrated database and closes it
// when the test ends; it is called for each subtest.
func Run(t *testing.T, open func(t *testing.T) database.Database) {
	RunTransactions(t, open)
	run(t, open, answers)
}

// RunRepeated is the part of Run that runs every transaction that a store may
// have to repeat, for stores that repeat each.
func RunRepeated(t *testing.T, open func(t *testing.T) database.Database) {
	changing := []string{"RandomOperations", "Append/Idempotent"}
	run(t, open, slices.DeleteFunc(slices.Concat(transactions, answers), func(of test) bool { return !slices.Contains(changing, of.name) }))
}

// RunTransactions is the part of Run whose outcome may depend on the isolation
// level that a database has by default: what many do at once, what comes again,
// and random operations with folds, seals and cleanups between.
func RunTransactions(t *testing.T, open func(t *testing.T) database.Database) {
	run(t, open, transactions)
}

type test struct {
	name string
	run  func(*kit)
}

func run(t *testing.T, open func(t *testing.T) database.Database, tests []test) {
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(newKit(t, open)) })
	}
}

var transactions = []test{
	{"RandomOperations", randomOperations},
	{"Append/Idempotent", idempotent},
	{"Append/AcrossWeeks", idempotentAcrossWeeks},
	{"Append/SameRecordConcurrently", sameRecordConcurrently},
	{"Append/ContradictingRecordsConcurrently", contradictingRecordsConcurrently},
	{"Append/ConcurrentWriters", concurrentWriters},
	{"Cancel/DuringAppend", cancelledDuringAppend},
	{"List/PagesWhileOthersWrite", pagesWhileOthersWrite},
	{"Owners/DeleteCascades", deleteCascades},
	{"Owners/DeletedAreForgotten", deletedAreForgotten},
	{"Migrate/AgainDoesNothing", migrateAgain},
}

// answers are tests in which one caller does one thing after the other.
var answers = []test{
	{"Append/RoundTrip", roundTrip},
	{"Append/Refused", refused},
	{"Append/MaxBatch", maxBatch},
	{"Append/AllOrNothing", allOrNothing},
	{"Cancel/EveryMethod", cancelledContexts},
	{"List/EveryPageUnderEveryFilter", everyPage},
	{"List/CursorBoundToFilter", cursorBoundToFilter},
	{"List/BoundsAreExact", exactBounds},
	{"List/TextFilter", textFilter},
	{"List/TextOfAnyKind", textOfAnyKind},
	{"List/ByPrefixOfTheID", byPrefix},
	{"Owners/PutAndRead", ownersPutAndRead},
	{"Owners/Pages", ownersPages},
	{"Owners/StrangeText", ownersStrangeText},
	{"Stats/OverNothing", statsOverNothing},
	{"Stats/OfMany", statsOfMany},
	{"Stats/Percentiles", percentilesOfMany},
	{"Stats/Ranking", ranking},
	{"Trends/AcrossClockChanges", trendsAcrossClockChanges},
	{"Trends/EmptyBuckets", trendsWithEmptyBuckets},
	{"Trends/Midnight", trendsAroundMidnight},
	{"Trends/WindowIsExact", trendWindowIsExact},
	{"Cleanup/Exact", cleanupExact},
	{"Cleanup/PeriodsOfTheirOwn", periodsOfTheirOwn},
	{"Holds/KeepWhatIsHeld", holds},
	{"Errors/ByCode", errorsByCode},
}
