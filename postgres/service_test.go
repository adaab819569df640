package postgres_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/follow"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/postgres"
	"github.com/sandtrail/sandtrail/storetest"
)

func TestService(t *testing.T) {
	t.Run("keyring", func(t *testing.T) { s, _ := open(t); storetest.Keyring(t, s) })
	t.Run("access log", func(t *testing.T) { s, _ := open(t); storetest.AccessLog(t, s) })
	t.Run("follower", func(t *testing.T) { s, _ := open(t); storetest.Follower(t, s) })
	t.Run("surveyor", func(t *testing.T) { s, _ := open(t); storetest.Surveyor(t, s, true) })
	t.Run("agenda", func(t *testing.T) { s, _ := open(t); storetest.Leases(t, s) })
	t.Run("alerts", func(t *testing.T) { s, _ := open(t); storetest.AlertLog(t, s) })
	t.Run("silences", func(t *testing.T) { s, _ := open(t); storetest.Silences(t, s) })
	t.Run("witness memory", func(t *testing.T) { s, _ := open(t); storetest.WitnessMemory(t, s) })
}

func TestKeysGone(t *testing.T) {
	s, url := open(t)
	conn := foreign(t, url)
	storetest.KeysGone(t, s, `INSERT INTO sandtrail.keys (id, name, role, hash, created_at)
		VALUES (gen_random_uuid(), 'k', 'admin', sha256('k'), now())`,
		[]string{"DELETE FROM sandtrail.keys", "TRUNCATE sandtrail.keys", "TRUNCATE sandtrail.keys CASCADE"},
		func(statement string) error { return second(conn.Exec(t.Context(), statement)) })
}

// TestOpeningWaitsForKeys: a key that is being made keeps servers from being opened.
func TestOpeningWaitsForKeys(t *testing.T) {
	s, url := open(t)
	conn, watch := foreign(t, url), foreign(t, url)
	exec(t, conn, "BEGIN")
	exec(t, conn, `INSERT INTO sandtrail.keys (id, name, role, hash, created_at)
		VALUES (gen_random_uuid(), 'k', 'admin', sha256('k'), now())`)
	opened := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() { opened <- s.Unkey(ctx, now) }()
	for !value[bool](t, watch, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)") {
		select {
		case err := <-opened:
			t.Fatalf("opened beside a key that is being made, or not within a minute: %v", err)
		default:
		}
	}
	exec(t, conn, "COMMIT")
	if err := <-opened; !errors.Is(err, auth.ErrKeyed) {
		t.Errorf("open behind a key that was made: %v, want ErrKeyed", err)
	}
}

// A transaction that began first and commits last must not be passed over.
func TestFollowMeetsLateCommits(t *testing.T) {
	s, url := open(t)
	putOwners(t, s, 1)
	late, later := foreign(t, url), foreign(t, url)
	insert := `INSERT INTO sandbox_execution_logs (id, user_id, strategy_id, execution_type, success, execution_time)
		VALUES ($1, 'u0', 's0', 'TERMINAL', true, 1)`
	place, err := s.Tip(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lateID, laterID := sandtrail.NewID(now), sandtrail.NewID(now)
	exec(t, late, "BEGIN")
	exec(t, late, insert, lateID.String())
	exec(t, later, "BEGIN")
	exec(t, later, insert, laterID.String())

	var got []sandtrail.ID
	follow := func() {
		t.Helper()
		reconcile(t, s)
		found, err := s.Follow(t.Context(), place, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			got, place = append(got, f.ID), f.Place
		}
	}
	early := appendAll(t, s, execution(now)).IDs[0]
	follow()
	exec(t, later, "COMMIT")
	follow()
	exec(t, late, "COMMIT")
	follow()
	follow()
	if want := []sandtrail.ID{early, laterID, lateID}; !slices.Equal(got, want) {
		t.Errorf("followed %v, want %v", got, want)
	}
}

func TestFollowRefusesWhatIsNoPlace(t *testing.T) {
	s, _ := open(t)
	origin, _, _ := strings.Cut(string(tip(t, s)), "/")
	for _, place := range []string{
		"", "1:1:", "999999999:999999999:", "1.2.3.00000001.4/1:1:", origin + "9/1:1:", origin + "/999999999:999999999:", origin + "/1:2",
		origin + "/1:1:/2:2:/x/y", origin + "/1:1:/2:2:/x/" + sandtrail.NewID(now).String(), strings.Replace(origin, ".", "/", 1),
	} {
		checkRefused(t, s, follow.Place(place))
	}
}

// A hot standby answers questions. It refuses to be followed, with what to do,
// until it is promoted: then a place of its primary goes on.
func TestAStandbyIsNotFollowed(t *testing.T) {
	if pgtest.OnCitus() {
		t.Skip("it has standbys of its own")
	}
	t.Parallel()
	own := pgtest.NewOwn(t)
	primary := openAt(t, own.URL(), postgres.Options{})
	migrate(t, primary)
	putOwners(t, primary, 1)
	place, err := primary.Tip(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := execution(now)
	appendAll(t, primary, before)

	url := own.Standby().URL()
	s := openAt(t, url, postgres.Options{})
	checkListed(t, s, []sandtrail.Admitted{before}, now)
	_, tip := s.Tip(t.Context())
	_, follow := s.Follow(t.Context(), place, 10)
	for _, err := range []error{tip, follow} {
		if sandtrail.CodeOf(err) != sandtrail.CodeUnavailable || !strings.Contains(err.Error(), "give the URL of the primary") {
			t.Errorf("got %v, want that a standby cannot be followed", err)
		}
	}
	checkTakesNoWrites(t, s, "give the URL of the primary")

	if promoted := value[bool](t, foreign(t, url), "SELECT pg_promote()"); !promoted {
		t.Fatal("the standby was not promoted")
	}
	if err := s.Maintain(t.Context(), now); err != nil {
		t.Errorf("upkeep of the new primary: %v", err)
	}
	after := execution(now)
	appendAll(t, s, after)
	found, err := s.Follow(t.Context(), place, 10)
	var ids []sandtrail.ID
	for _, f := range found {
		ids = append(ids, f.Execution.ID)
	}
	if want := []sandtrail.ID{before.Execution.ID, after.Execution.ID}; err != nil || !slices.Equal(ids, want) {
		t.Errorf("followed %v, %v; want %v", ids, err, want)
	}
}

// TestSessionsThatMayOnlyRead is about sessions that the server lets read, and
// no more.
func TestSessionsThatMayOnlyRead(t *testing.T) {
	s, url := open(t)
	putOwners(t, s, 1)
	conn := foreign(t, url)
	exec(t, conn, "ALTER DATABASE "+pgx.Identifier{conn.Config().Database}.Sanitize()+" SET default_transaction_read_only TO on")
	checkTakesNoWrites(t, openAt(t, url, postgres.Options{}), "setting default_transaction_read_only (on)")
}

// checkTakesNoWrites finds upkeep and appends refused in the same words.
func checkTakesNoWrites(t *testing.T, s *postgres.Store, why string) {
	t.Helper()
	_, appended := s.Append(t.Context(), []sandtrail.Admitted{execution(now)})
	refused := map[string]error{"append": appended, "maintain": s.Maintain(t.Context(), now)}
	for _, step := range s.Upkeep() {
		refused[step.Name] = step.RunOnce(t.Context(), now)
	}
	for name, err := range refused {
		if sandtrail.CodeOf(err) != sandtrail.CodeUnavailable || strings.Count(err.Error(), why) != 1 {
			t.Errorf("%s: %v, want once that nothing can be written here", name, err)
		}
	}
}
