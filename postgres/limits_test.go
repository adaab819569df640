package postgres_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/follow"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/postgres"
)

// Every method of the store, so that each meets every limit. Those of upkeep
// and of whatever reads everything succeed whatever the limits are.
var (
	upkeepCalls = calls{
		"Maintain":   func(c call) error { return c.Maintain(c.ctx, now) },
		"Upkeep":     func(c call) error { return database.MaintainAll(c.ctx, c.Store, now) },
		"Migrate":    func(c call) error { return second(c.Migrate(c.ctx, now)) },
		"Migrations": func(c call) error { return second(c.Migrations(c.ctx)) },
		"Declared":   func(c call) error { return second(c.Declared(c.ctx)) },
		"PlanAdoption": func(c call) error {
			return second(c.PlanAdoption(c.ctx))
		},
		"DropOld": func(c call) error { return second(c.DropOld(c.ctx)) },
		"Doctor":  func(c call) error { return second(c.Doctor(c.ctx, database.Deep, now)) },
		"Inspect": func(c call) error {
			return second(ledger.VerifyLog(c.ctx, c.Store, ledger.Verification{}))
		},
		"Cleanup":     func(c call) error { return second(c.Cleanup(c.ctx, sandtrail.Before(now.AddDate(0, 0, -60)))) },
		"CountBefore": func(c call) error { return second(c.CountBefore(c.ctx, sandtrail.Before(now))) },
		"HeldBefore":  func(c call) error { return second(c.HeldBefore(c.ctx, sandtrail.Before(now))) },
		"CleanupArchived": func(c call) error {
			return second(c.CleanupArchived(c.ctx, time.Time{}, sandtrail.Before(now.AddDate(0, 0, -50)), func(sandtrail.ID) bool { return true }))
		},
		"DeleteUser":     func(c call) error { return second(c.DeleteUser(c.ctx, "u1")) },
		"DeleteStrategy": func(c call) error { return second(c.DeleteStrategy(c.ctx, "s1")) },
		"Tip":            func(c call) error { return second(c.Tip(c.ctx)) },
		"Follow":         func(c call) error { return second(c.Follow(c.ctx, c.place, 10)) },
		"Executions": func(c call) error {
			return second(c.Executions(database.WithOwnLimits(c.ctx), sandtrail.Query{}, now))
		},
		"Claim":       func(c call) error { return second(c.Claim(c.ctx, "test", now, time.Minute, time.Minute)) },
		"Reschedule":  func(c call) error { return c.Reschedule(c.ctx, "test", now) },
		"Due":         func(c call) error { return second(c.Due(c.ctx, "test")) },
		"LedgerState": func(c call) error { return second(c.LedgerState(c.ctx)) },
		"PutVerification": func(c call) error {
			return c.PutVerification(c.ctx, database.LedgerVerification{At: now})
		},
		"PutCheckpoint": func(c call) error { return c.PutCheckpoint(c.ctx, 1, now, []byte("signed")) },
		"Space":         func(c call) error { return second(c.Space(c.ctx)) },
	}
	userCalls = calls{
		"Append": func(c call) error { return second(c.Append(c.ctx, []sandtrail.Admitted{execution(now)})) },
		"Append many": func(c call) error {
			return second(c.Append(c.ctx, many(300)))
		},
		"Append again": func(c call) error { return second(c.Append(c.ctx, []sandtrail.Admitted{c.stored})) },
		"Execution":    func(c call) error { return second(c.Execution(c.ctx, c.stored.Execution.ID)) },
		"ExecutionByPrefix": func(c call) error {
			return second(c.ExecutionByPrefix(c.ctx, sandtrail.IDPrefix{Low: c.stored.Execution.ID, High: c.stored.Execution.ID}, ""))
		},
		"Executions": func(c call) error { return second(c.Executions(c.ctx, sandtrail.Query{}, now)) },
		"Executions by text": func(c call) error {
			return second(c.Executions(c.ctx, sandtrail.Query{Filter: sandtrail.Filter{Text: "x"}}, now))
		},
		"StrategyStats":  func(c call) error { return second(c.StrategyStats(c.ctx, "s0")) },
		"StrategyHealth": func(c call) error { return second(c.StrategyHealth(c.ctx, "s0", 5)) },
		"UserStats":      func(c call) error { return second(c.UserStats(c.ctx, "u0")) },
		"Trends": func(c call) error {
			return second(c.Trends(c.ctx, sandtrail.TrendQuery{Since: now.AddDate(0, 0, -2), Until: now}))
		},
		"WindowStats": func(c call) error { return second(c.WindowStats(c.ctx, sandtrail.Window{})) },
		"Ranking":     func(c call) error { return second(c.Ranking(c.ctx, sandtrail.RankQuery{Subject: sandtrail.Users})) },
		"PutUser":     func(c call) error { return c.PutUser(c.ctx, sandtrail.User{ID: "x", Email: "x@example.com"}) },
		"User":        func(c call) error { return second(c.User(c.ctx, "u0")) },
		"Users":       func(c call) error { return second(c.Users(c.ctx, sandtrail.OwnerQuery{})) },
		"PutStrategy": func(c call) error { return c.PutStrategy(c.ctx, sandtrail.Strategy{ID: "x", Name: "x"}) },
		"Strategy":    func(c call) error { return second(c.Strategy(c.ctx, "s0")) },
		"Strategies":  func(c call) error { return second(c.Strategies(c.ctx, sandtrail.OwnerQuery{})) },
		"PutHold": func(c call) error {
			return c.PutHold(c.ctx, sandtrail.Hold{Subject: sandtrail.Users, SubjectID: "u0", CreatedAt: now, Reason: "r", CreatedBy: "b"})
		},
		"Holds":      func(c call) error { return second(c.Holds(c.ctx)) },
		"RemoveHold": func(c call) error { return orMissing(c.RemoveHold(c.ctx, sandtrail.Users, "u0")) },
		"TextSearch": func(c call) error { return second(c.TextSearch(c.ctx)) },
		"Ping":       func(c call) error { return c.Ping(c.ctx) },
		"Clock":      func(c call) error { return second(c.Clock(c.ctx)) },
		"CreateKey":  func(c call) error { return c.CreateKey(c.ctx, newKey()) },
		"Keys":       func(c call) error { return second(c.Keys(c.ctx)) },
		"Keyed":      func(c call) error { return second(c.Keyed(c.ctx)) },
		"Unkey": func(c call) error {
			if err := c.Unkey(c.ctx, now); !errors.Is(err, auth.ErrKeyed) {
				return err
			}
			return nil
		},
		"KeyByHash": func(c call) error { return orMissing(second(c.KeyByHash(c.ctx, auth.KeyHash{1}))) },
		"RevokeKey": func(c call) error { return orMissing(c.RevokeKey(c.ctx, sandtrail.NewID(now), now)) },
		"TouchKey":  func(c call) error { return c.TouchKey(c.ctx, sandtrail.NewID(now), now) },
		"LogAccess": func(c call) error {
			return c.LogAccess(c.ctx, auth.Access{ID: sandtrail.NewID(now), At: now, Outcome: auth.Allowed})
		},
		"Accesses":    func(c call) error { return second(c.Accesses(c.ctx, auth.AccessQuery{Limit: 1})) },
		"AlertStates": func(c call) error { return second(c.AlertStates(c.ctx)) },
		"PutAlertState": func(c call) error {
			return c.PutAlertState(c.ctx, alert.State{Rule: "r", Since: now}, &alert.Event{ID: sandtrail.NewID(now), At: now, Rule: "r"})
		},
		"PutAlertDelivery": func(c call) error {
			return orMissing(c.PutAlertDelivery(c.ctx, sandtrail.NewID(now), alert.Delivery{Channel: "c", At: now}))
		},
		"AlertEvent":  func(c call) error { return orMissing(second(c.AlertEvent(c.ctx, sandtrail.NewID(now)))) },
		"AlertEvents": func(c call) error { return second(c.AlertEvents(c.ctx, sandtrail.ID{}, 1)) },
		"CreateSilence": func(c call) error {
			return c.CreateSilence(c.ctx, alert.Silence{ID: sandtrail.NewID(now), Rule: "r", Reason: "x", CreatedAt: now, Until: now.Add(time.Hour)})
		},
		"Silences":     func(c call) error { return second(c.Silences(c.ctx, now)) },
		"EndSilence":   func(c call) error { return orMissing(c.EndSilence(c.ctx, sandtrail.NewID(now), now)) },
		"Tile":         func(c call) error { return second(c.Tile(c.ctx, ledger.TileID{})) },
		"BlocksAt":     func(c call) error { return second(c.BlocksAt(c.ctx, now)) },
		"Witnessed":    func(c call) error { return second(c.Witnessed(c.ctx, "o")) },
		"PutWitnessed": func(c call) error { return second(c.PutWitnessed(c.ctx, "o", nil, []byte("s"), now)) },
	}
	// uncalled ends the store, or is for tests alone.
	uncalled = []string{"AsCoordinator", "Close", "CountPartitions", "DropWeek", "EndAtFirst", "MakePartition", "ReconcileAll", "SnapshotsOlder"}
)

type calls map[string]func(call) error

// call is what a call is made with.
type call struct {
	*postgres.Store
	ctx    context.Context
	stored sandtrail.Admitted
	place  follow.Place
}

func TestEveryMethodMeetsEveryLimit(t *testing.T) {
	store := reflect.TypeFor[*postgres.Store]()
	for i := range store.NumMethod() {
		name := store.Method(i).Name
		if upkeepCalls[name] == nil && userCalls[name] == nil && !slices.Contains(uncalled, name) {
			t.Errorf("%s is called under no limit: add it to upkeepCalls or to userCalls", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func orMissing(err error) error {
	if errors.Is(err, sandtrail.CodeNotFound) {
		return nil
	}
	return err
}

func many(n int) []sandtrail.Admitted {
	batch := make([]sandtrail.Admitted, n)
	for i := range batch {
		batch[i] = execution(now.Add(-time.Duration(i) * time.Minute))
	}
	return batch
}

func newKey() auth.Key {
	k := auth.Key{ID: sandtrail.NewID(now), Name: "k", Role: auth.RoleRead, CreatedAt: now}
	_, _ = rand.Read(k.Hash[:])
	return k
}

// limitedDatabase is a database with limits on time, and its tables locked when
// that is asked.
type limitedDatabase struct {
	t            *testing.T
	url          string
	locker, look *pgx.Conn // their sessions began without limits
	call
}

func limited(t *testing.T, settings map[string]string) *limitedDatabase {
	t.Helper()
	s, address := open(t)
	putOwners(t, s, 2)
	d := &limitedDatabase{t: t, url: address, locker: foreign(t, address), look: foreign(t, address)}
	d.stored = execution(now)
	place, err := s.Tip(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.place, d.ctx = place, t.Context()
	appendAll(t, s, append(many(20), d.stored, execution(now.AddDate(0, 0, -100)), execution(now.AddDate(0, 0, -101)))...)
	for name, value := range settings {
		exec(t, d.look, "ALTER DATABASE "+pgx.Identifier{d.look.Config().Database}.Sanitize()+" SET "+name+" TO '"+value+"'")
	}
	d.Store, err = postgres.OpenDialed(t.Context(), withPool(t, address, "2"), func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return &pausing{Conn: conn}, err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Store.Close() })
	return d
}

// whileLocked makes a call that finds every table locked, until it has waited
// for a while.
func (d *limitedDatabase) whileLocked(seconds float64, f func(call) error) error {
	d.t.Helper()
	tables := value[string](d.t, d.look, `SELECT string_agg(format('%I.%I', n.nspname, c.relname), ', ') FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname IN ('public', 'sandtrail') AND c.relkind IN ('r', 'p') AND NOT c.relispartition`)
	exec(d.t, d.locker, "BEGIN")
	exec(d.t, d.locker, "LOCK TABLE "+tables+" IN ACCESS EXCLUSIVE MODE")
	c := d.call
	var cancel context.CancelFunc
	c.ctx, cancel = context.WithTimeout(d.t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f(c) }()
	for waits := false; !waits; {
		select {
		case err := <-done:
			exec(d.t, d.locker, "COMMIT")
			return err
		default:
		}
		waits = value[bool](d.t, d.look, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()) FROM pg_sleep(0.002)")
	}
	value[any](d.t, d.look, "SELECT pg_sleep($1)", seconds)
	exec(d.t, d.locker, "COMMIT")
	return <-done
}

// pausing is the connection of a busy program: in each transaction it sends the
// second statement late.
type pausing struct {
	net.Conn
	began bool // a transaction has begun and nothing was sent in it since
}

const pause = 20 * time.Millisecond

// Read looks for the server's word that it is ready, and in what state.
func (c *pausing) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if end := string(b[:max(n, 0)]); strings.HasSuffix(end, "BEGIN\x00Z\x00\x00\x00\x05T") || strings.HasSuffix(end, "SET\x00Z\x00\x00\x00\x05T") {
		c.began = true
	}
	return n, err
}

func (c *pausing) Write(b []byte) (int, error) {
	if c.began {
		c.began = false
		<-time.After(pause)
	}
	return c.Conn.Write(b)
}

// Whatever limits an administrator sets for requests, upkeep and what reads
// everything run to their end, however long they wait.
func TestUpkeepHasLimitsOfItsOwn(t *testing.T) {
	settings := map[string]string{
		"statement_timeout": "100ms", "lock_timeout": "1ms", "idle_in_transaction_session_timeout": "10ms",
		"idle_session_timeout": "200ms", "default_transaction_isolation": "serializable",
	}
	if value[bool](t, foreign(t, pgtest.Server(t)), "SELECT current_setting('transaction_timeout', true) IS NOT NULL") {
		settings["transaction_timeout"] = "100ms"
	}
	d := limited(t, settings)
	for name, f := range upkeepCalls {
		if err := d.whileLocked(0.12, f); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A request that meets a limit says which, and its value, and may be repeated.
func TestRequestsSayWhichLimitTheyMet(t *testing.T) {
	for name, setting := range map[string]string{"statement_timeout": "10ms", "lock_timeout": "1ms", "idle_in_transaction_session_timeout": "10ms"} {
		t.Run(name, func(t *testing.T) {
			d := limited(t, map[string]string{name: setting})
			met := 0
			for what, f := range userCalls {
				var err error
				if name == "idle_in_transaction_session_timeout" {
					err = f(d.call)
				} else {
					err = d.whileLocked(0.03, f)
				}
				if err == nil {
					continue
				}
				met++
				var coded *sandtrail.Error
				if !errors.Is(err, sandtrail.CodeUnavailable) || !errors.As(err, &coded) || !strings.Contains(coded.Public(), fmt.Sprintf("%s (%s)", name, setting)) {
					t.Errorf("%s: got %v, want ErrUnavailable that says %s (%s)", what, err, name, setting)
				}
			}
			if met == 0 {
				t.Error("no call met the limit")
			}
			t.Logf("%d of %d calls met it", met, len(userCalls))
		})
	}
}
