// Package storetest holds the stores to their contract: one suite that each
// of them has to pass, with a model in memory as oracle.
package storetest

import (
	"testing"

	"github.com/sandtrail/sandtrail"
)

// Run tests a store. open returns an empty, migrated database and closes it
// when the test ends; it is called for each subtest.
func Run(t *testing.T, open func(t *testing.T) sandtrail.Database) {
	for _, test := range []struct {
		name string
		run  func(*kit)
	}{
		{"RandomOperations", randomOperations},
		{"Append/RoundTrip", roundTrip},
		{"Append/Idempotent", idempotent},
		{"Append/AcrossWeeks", idempotentAcrossWeeks},
		{"Append/SameRecordConcurrently", sameRecordConcurrently},
		{"Append/ContradictingRecordsConcurrently", contradictingRecordsConcurrently},
		{"Append/ConcurrentWriters", concurrentWriters},
		{"Append/Refused", refused},
		{"Append/MaxBatch", maxBatch},
		{"Append/AllOrNothing", allOrNothing},
		{"Cancel/EveryMethod", cancelledContexts},
		{"Cancel/DuringAppend", cancelledDuringAppend},
		{"List/EveryPageUnderEveryFilter", everyPage},
		{"List/PagesWhileOthersWrite", pagesWhileOthersWrite},
		{"List/CursorBoundToFilter", cursorBoundToFilter},
		{"List/BoundsAreExact", exactBounds},
		{"List/TextFilter", textFilter},
		{"List/ByPrefixOfTheID", byPrefix},
		{"Owners/PutAndRead", ownersPutAndRead},
		{"Owners/Pages", ownersPages},
		{"Owners/StrangeText", ownersStrangeText},
		{"Owners/DeleteCascades", deleteCascades},
		{"Owners/DeletedAreForgotten", deletedAreForgotten},
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
		{"Migrate/AgainDoesNothing", migrateAgain},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(newKit(t, open)) })
	}
}
