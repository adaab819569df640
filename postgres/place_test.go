package postgres_test

import (
	"bytes"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/follow"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/postgres"
)

// A dump holds the transaction ids of the server that it was made on. Those of
// the server that it is restored on are lower here, and pass the dump's later.
func TestARestoredDumpIsFollowed(t *testing.T) {
	if pgtest.OnCitus() {
		t.Skip("a cluster is not restored from a dump of its coordinator")
	}
	t.Parallel()
	source, target := pgtest.NewOwn(t), pgtest.NewOwn(t)
	before := openAt(t, source.URL(), postgres.Options{})
	migrate(t, before)
	putOwners(t, before, 1)
	old := tip(t, before)
	burn(t, source.URL(), 3000)
	for range 20 {
		appendAll(t, before, execution(now))
	}
	restore(t, source.URL(), target.URL())

	s := openAt(t, target.URL(), postgres.Options{})
	_, early := s.Tip(t.Context())
	if sandtrail.CodeOf(early) != sandtrail.CodeUnavailable || !strings.Contains(early.Error(), "restored") {
		t.Errorf("a place before upkeep has looked at the dump: %v, want that it is refused until then", early)
	}
	migrate(t, s)
	place := tip(t, s)
	checkRefused(t, s, old)
	burn(t, target.URL(), 6000) // past all of the dump's
	later := execution(now)
	appendAll(t, s, later)
	checkFollowed(t, s, place, later)
}

// burn uses up transaction ids.
func burn(t *testing.T, url string, n int) {
	t.Helper()
	conn := foreign(t, url)
	exec(t, conn, `CREATE PROCEDURE pg_temp.burn(n integer) LANGUAGE plpgsql AS $$
		BEGIN FOR i IN 1..n LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$`)
	exec(t, conn, "CALL pg_temp.burn($1)", pgx.QueryExecModeSimpleProtocol, n)
}

// restore copies a database into an empty one, by way of a dump.
func restore(t *testing.T, from, to string) {
	t.Helper()
	bin, err := pgtest.Binaries()
	if err != nil {
		t.Fatal(err)
	}
	dump, err := osexec.CommandContext(t.Context(), filepath.Join(bin, "pg_dump"), "--format=custom", from).Output()
	if err != nil {
		t.Fatalf("pg_dump: %v", err)
	}
	load := osexec.CommandContext(t.Context(), filepath.Join(bin, "pg_restore"), "--exit-on-error", "--dbname="+to)
	load.Stdin = bytes.NewReader(dump)
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("pg_restore: %v\n%s", err, out)
	}
}

// A place is refused by a copy of its database, where other transactions follow.
func TestAPlaceOfAnotherDatabaseIsRefused(t *testing.T) {
	s, url := open(t)
	putOwners(t, s, 1)
	appendAll(t, s, execution(now))
	place := tip(t, s)
	s.Close()
	if pgtest.OnCitus() {
		t.Skip("no copies are made of a distributed database")
	}
	checkRefused(t, openAt(t, pgtest.Copy(t, url), postgres.Options{}), place)
	checkFollowed(t, openAt(t, url, postgres.Options{}), place)
}

// A standby that is promoted lacks the transactions that did not reach it, and
// gives their ids to others. Places behind them are refused; the others go on for
// who may read where the standby's log left that of its primary.
func TestAPlaceBehindALostTransactionIsRefused(t *testing.T) {
	if pgtest.OnCitus() {
		t.Skip("it has standbys of its own")
	}
	t.Parallel()
	own := pgtest.NewOwn(t)
	primary := openAt(t, own.URL(), postgres.Options{})
	migrate(t, primary)
	putOwners(t, primary, 1)
	first := tip(t, primary)
	kept, lost, later := execution(now), execution(now), execution(now)
	appendAll(t, primary, kept)

	standby := own.Standby()
	conn := foreign(t, standby.URL())
	cutOff(t, conn)
	appendAll(t, primary, lost)
	second := tip(t, primary)
	if promoted := value[bool](t, conn, "SELECT pg_promote()"); !promoted {
		t.Fatal("the standby was not promoted")
	}
	s := openAt(t, standby.URL(), postgres.Options{})
	appendAll(t, s, later)
	checkRefused(t, s, second)
	checkFollowed(t, s, first, kept, later)

	exec(t, conn, "CREATE ROLE plain LOGIN; GRANT pg_read_all_data TO plain")
	checkRefused(t, openAt(t, strings.Replace(standby.URL(), "postgres@", "plain@", 1), postgres.Options{}), first)
}

// cutOff ends what a standby gets from its primary.
func cutOff(t *testing.T, standby *pgx.Conn) {
	t.Helper()
	exec(t, standby, "ALTER SYSTEM SET primary_conninfo = ''")
	exec(t, standby, "SELECT pg_reload_conf()")
	for deadline := time.Now().Add(time.Minute); value[bool](t, standby, "SELECT EXISTS (SELECT FROM pg_stat_wal_receiver)"); {
		if time.Now().After(deadline) {
			t.Fatal("the standby still follows its primary")
		}
	}
}

// What is changed was there before, whatever changed of it.
func TestFollowersAreNotToldOfChanges(t *testing.T) {
	s, url := open(t)
	putOwners(t, s, 1)
	conn := foreign(t, url)
	place := tip(t, s)
	e := execution(now)
	appendAll(t, s, e)
	told := tip(t, s)
	statements := []string{
		"UPDATE sandbox_execution_logs SET execution_time = 7",
		"UPDATE sandbox_execution_logs SET created_at = created_at - interval '5 weeks'",
		"UPDATE strategies SET id = 'renamed' WHERE id = 's0'",
	}
	if !pgtest.OnCitus() {
		statements = append(statements, "UPDATE users SET id = 'renamed' WHERE id = 'u0'")
	}
	for _, statement := range statements {
		exec(t, conn, statement)
		reconcile(t, s)
		checkFollowed(t, s, told)
		checkFollowed(t, s, place, e)
	}
	if err := s.Maintain(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	deepCheck(t, s)
}

// Where Citus distributes the executions, upkeep finds the changes.
func TestReconcilingKeepsPlaces(t *testing.T) {
	if pgtest.OnCitus() {
		t.Skip("it does so in TestFollowersAreNotToldOfChanges")
	}
	s, url := open(t)
	putOwners(t, s, 2)
	place := tip(t, s)
	e := execution(now)
	appendAll(t, s, e)
	told := tip(t, s)
	if err := s.AsCoordinator(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn := foreign(t, url)
	exec(t, conn, "UPDATE sandbox_execution_logs SET execution_time = 7, strategy_id = 's1'")
	if err := s.ReconcileAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if entered := value[string](t, conn, "SELECT strategy_id || execution_time FROM sandtrail.ids"); entered != "s17" {
		t.Errorf("entered is %s, want what was changed", entered)
	}
	checkFollowed(t, s, told)
	checkFollowed(t, s, place, e)
}

func tip(t *testing.T, s *postgres.Store) follow.Place {
	t.Helper()
	place, err := s.Tip(t.Context())
	if err != nil {
		t.Fatalf("tip: %v", err)
	}
	return place
}

func checkRefused(t *testing.T, s *postgres.Store, place follow.Place) {
	t.Helper()
	found, err := s.Follow(t.Context(), place, 10)
	if sandtrail.CodeOf(err) != sandtrail.CodeInvalid || !strings.Contains(err.Error(), "begin anew") {
		t.Errorf("%s: followed %d, %v; want that it is refused", place, len(found), err)
	}
}

// checkFollowed goes on from a place one by one, until there is no more.
func checkFollowed(t *testing.T, s *postgres.Store, place follow.Place, want ...sandtrail.Admitted) {
	t.Helper()
	got, ids := []sandtrail.ID{}, []sandtrail.ID{}
	for {
		found, err := s.Follow(t.Context(), place, 1)
		if err != nil {
			t.Fatalf("%s: %v", place, err)
		}
		if len(found) == 0 || len(got) > len(want) {
			break
		}
		got, place = append(got, found[0].ID), found[0].Place
	}
	for _, a := range want {
		ids = append(ids, a.Execution.ID)
	}
	slices.SortFunc(got, func(a, b sandtrail.ID) int { return bytes.Compare(a[:], b[:]) })
	slices.SortFunc(ids, func(a, b sandtrail.ID) int { return bytes.Compare(a[:], b[:]) })
	if diff := cmp.Diff(ids, got); diff != "" {
		t.Errorf("followed (-want +got):\n%s", diff)
	}
}
