package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/postgres"
)

// TestPartitionsOfEverySize changes the size of partitions as time goes by and
// finds every record where it belongs.
func TestPartitionsOfEverySize(t *testing.T) {
	s, url := open(t)
	putOwners(t, s, 1)
	at := now
	for _, step := range []struct{ size, newest string }{
		{"day", "2027-01-20 2027-01-21"},   // the weeks that were there ahead stay
		{"month", "2027-02-01 2027-03-01"}, // the rest of January precedes it
		{"day", "2027-03-17 2027-03-18"},
		{"week", "2027-04-12 2027-04-19"}, // Thursday to Sunday precede the weeks
		{"auto", "2027-05-10 2027-05-17"}, // nothing came in the last days
	} {
		at = at.Add(28 * 24 * time.Hour)
		if _, err := openAt(t, url, postgres.Options{Partitions: step.size}).Migrate(t.Context(), at); err != nil {
			t.Fatalf("%s: %v", step.size, err)
		}
		parts := partitionsOf(t, s)
		if got := parts[len(parts)-1]; got != step.newest {
			t.Errorf("%s: the newest is %s, want %s", step.size, got, step.newest)
		}
	}
	checkContiguous(t, partitionsOf(t, s), "2026-11-23", "2027-05-17")

	var batch []sandtrail.Admitted
	for day := now.AddDate(0, 0, -3); day.Before(at); day = day.AddDate(0, 0, 1) {
		start := day.Truncate(24 * time.Hour)
		batch = append(batch, execution(start), execution(start.Add(24*time.Hour-time.Millisecond)))
	}
	appendAll(t, s, batch...)
	checkListed(t, s, batch, at)

	before := time.Date(2027, 2, 10, 0, 0, 0, 0, time.UTC)
	left := slices.DeleteFunc(slices.Clone(batch), func(a sandtrail.Admitted) bool { return a.Execution.CreatedAt.Before(before) })
	if n, err := s.Cleanup(t.Context(), sandtrail.Before(before)); err != nil || n != int64(len(batch)-len(left)) {
		t.Errorf("deleted %d, %v; want %d", n, err, len(batch)-len(left))
	}
	checkListed(t, s, left, at)
	if got := partitionsOf(t, s)[0]; got != "2027-02-01 2027-03-01" {
		t.Errorf("the oldest left is %s, want that of February", got)
	}
	deepCheckAt(t, s, at)
}

// TestPartitionsByRate makes months when little comes.
func TestPartitionsByRate(t *testing.T) {
	s, _ := open(t)
	putOwners(t, s, 1)
	later := now.AddDate(0, 0, 28)
	appendAll(t, s, execution(later.AddDate(0, 0, -1)), execution(later.AddDate(0, 0, -2)),
		execution(later.AddDate(0, 0, -3)), execution(later.AddDate(0, 0, -4)),
		execution(later.AddDate(0, 0, -5)), execution(later.AddDate(0, 0, -6)), execution(later.AddDate(0, 0, -7)))
	reconcile(t, s)
	if err := s.Maintain(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	parts := partitionsOf(t, s)
	if got, want := parts[len(parts)-2:], []string{"2026-12-28 2027-01-01", "2027-01-01 2027-02-01"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for aDay, want := range map[int64]string{0: "week", 1: "month", 9_999: "month", 10_000: "week", 999_999: "week", 1_000_000: "day"} {
		if got := postgres.SizeFor(aDay); got != want {
			t.Errorf("%d a day: %s, want %s", aDay, got, want)
		}
	}
}

func TestUnknownPartitionSize(t *testing.T) {
	_, err := postgres.Open(t.Context(), pgtest.New(t), postgres.Options{Partitions: "year"})
	if sandtrail.CodeOf(err) != sandtrail.CodeInvalid || !strings.Contains(err.Error(), `"year"`) {
		t.Errorf("got %v", err)
	}
}

// partitionsOf lists the partitions but the default one, oldest first.
func partitionsOf(t *testing.T, s *postgres.Store) (list []string) {
	t.Helper()
	space, err := s.Space(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range space.Parts {
		if !p.Since.IsZero() {
			list = append(list, p.Since.Format(time.DateOnly)+" "+p.Until.Format(time.DateOnly))
		}
	}
	slices.Sort(list)
	return list
}

func checkContiguous(t *testing.T, parts []string, first, end string) {
	t.Helper()
	at := first
	for _, p := range parts {
		since, until, _ := strings.Cut(p, " ")
		if since != at {
			t.Errorf("a partition begins on %s, the one before ends on %s", since, at)
		}
		at = until
	}
	if at != end {
		t.Errorf("partitions end on %s, want %s", at, end)
	}
}

// checkListed finds exactly some executions, page by page, and each by its id.
func checkListed(t *testing.T, s *postgres.Store, want []sandtrail.Admitted, at time.Time) {
	t.Helper()
	var got, ids []sandtrail.ID
	q := sandtrail.Query{Limit: 100}
	for {
		page, err := s.Executions(t.Context(), q, at)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Items {
			got = append(got, e.ID)
		}
		if q.Cursor = page.NextCursor; q.Cursor == "" {
			break
		}
	}
	for _, a := range slices.Backward(want) {
		ids = append(ids, a.Execution.ID)
		if _, err := s.Execution(t.Context(), a.Execution.ID); err != nil {
			t.Errorf("%s: %v", a.Execution.CreatedAt, err)
		}
	}
	if diff := cmp.Diff(ids, got); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
}

// TestPartitionDroppedMeanwhile lists the partitions as of before one of them
// was dropped.
func TestPartitionDroppedMeanwhile(t *testing.T) {
	s, url := open(t)
	conn, other := foreign(t, url), foreign(t, url)
	tx, err := conn.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	var all int // takes the snapshot
	if err := tx.QueryRow(t.Context(), "SELECT count(*) FROM pg_class WHERE relname ~ '^logs_[0-9]{8}$'").Scan(&all); err != nil {
		t.Fatal(err)
	}
	last := value[string](t, other, "SELECT max(relname) FROM pg_class WHERE relname ~ '^logs_[0-9]{8}$'")
	exec(t, other, "DROP TABLE sandtrail."+last)
	if n, err := s.CountPartitions(t.Context(), tx); err != nil || n != all-1 {
		t.Errorf("got %d partitions, %v; want %d of %d", n, err, all-1, all)
	}
}

// makeAtOnce makes the partitions of some times, all of which wait when either
// has begun.
func makeAtOnce(t *testing.T, s *postgres.Store, conn *pgx.Conn, times ...time.Time) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	exec(t, conn, "BEGIN; LOCK TABLE sandbox_execution_logs IN ROW EXCLUSIVE MODE")
	made := make(chan error, len(times))
	for _, at := range times {
		go func() { made <- s.MakePartition(ctx, at) }()
	}
	for value[int](t, conn, `SELECT count(*) FROM pg_locks
		WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`) < len(times) {
		if ctx.Err() != nil {
			t.Fatal("they do not wait")
		}
	}
	exec(t, conn, "COMMIT")
	for range times {
		if err := <-made; err != nil {
			t.Error(err)
		}
	}
}

// Rows of many times gone by fill the catalog up to its bound. Those beyond
// wait in the default partition, where every question finds them.
func TestRowsBeyondTheBoundOfPartitions(t *testing.T) {
	if pgtest.OnCitus() {
		t.Skip("partitions are made there in another way")
	}
	t.Parallel()
	s, url := open(t)
	putOwners(t, s, 1)
	conn := foreign(t, url)
	const bound = 500
	// Empty ones that are partitioned in turn have no files, and are made quickly.
	exec(t, conn, fmt.Sprintf(`DO $$ BEGIN FOR i IN 1..%d LOOP
		EXECUTE format('CREATE TABLE sandtrail.%%I PARTITION OF sandbox_execution_logs FOR VALUES FROM (%%L) TO (%%L) PARTITION BY RANGE (created_at)',
			to_char(date '2026-11-23' - 7 * i, '"logs_"YYYYMMDD'), date '2026-11-23' - 7 * i, date '2026-11-30' - 7 * i);
		END LOOP; END $$`, bound-1-len(partitionsOf(t, s))))
	var batch []sandtrail.Admitted
	for i := range 20 { // in no order
		batch = append(batch, execution(time.Date(1950+(i*7)%20, time.Month(1+i%12), 1, 0, 0, i, 0, time.UTC)))
	}
	waiting := func() int { return value[int](t, conn, "SELECT count(*) FROM sandtrail.logs_default") }
	check := func(partitions, inDefault int, want []sandtrail.Admitted) {
		t.Helper()
		if got := len(partitionsOf(t, s)); got != partitions {
			t.Errorf("%d partitions, want %d", got, partitions)
		}
		if got := waiting(); got != inDefault {
			t.Errorf("%d rows wait for a partition, want %d", got, inDefault)
		}
		checkListed(t, s, want, now)
		stats, err := s.UserStats(t.Context(), "u0")
		if err != nil || stats.TotalExecutions != int64(len(want)) {
			t.Errorf("%d executions by the statistics, %v; want %d", stats.TotalExecutions, err, len(want))
		}
	}
	inOrder := func(list []sandtrail.Admitted) []sandtrail.Admitted {
		return slices.SortedFunc(slices.Values(list), func(a, b sandtrail.Admitted) int {
			return a.Execution.CreatedAt.Compare(b.Execution.CreatedAt)
		})
	}
	makeAtOnce(t, s, conn, batch[0].Execution.CreatedAt, batch[1].Execution.CreatedAt)
	appendAll(t, s, batch...)
	check(bound, 19, inOrder(batch))
	if err := s.Maintain(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	check(bound, 19, inOrder(batch))

	exec(t, conn, "DROP TABLE sandtrail.logs_20200106, sandtrail.logs_20200113")
	if err := s.Maintain(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	check(bound, 17, inOrder(batch))
	old := time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC)
	left := slices.DeleteFunc(slices.Clone(batch), func(a sandtrail.Admitted) bool { return a.Execution.CreatedAt.Before(old) })
	if n, err := s.Cleanup(t.Context(), sandtrail.Before(old)); err != nil || n != int64(len(batch)-len(left)) {
		t.Errorf("deleted %d, %v; want %d", n, err, len(batch)-len(left))
	}
	if err := s.Maintain(t.Context(), now); err != nil { // there is room again
		t.Fatal(err)
	}
	check(bound, 7, inOrder(left))
	deepCheck(t, s)
}
