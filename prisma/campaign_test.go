//go:build linux

package prisma_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/client"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/internal/testneed"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/postgres"
)

// campaignEnv lengthens TestCampaign: SANDTRAIL_TEST_CAMPAIGN=30m.
const campaignEnv = "SANDTRAIL_TEST_CAMPAIGN"

// campaign is a database that clients of every kind write to.
type campaign struct {
	fixture
	url     string
	servers [2]*served

	mu      sync.Mutex
	acked   []string        // ids of the records of the owner whom nobody deletes
	updated map[string]bool // ids of records that SQL changed, maybe
}

// TestCampaign lets 22 clients write at once: the API of two servers, stores,
// Prisma, plain SQL and COPY, with folds, sealing, cleanups and cascades
// between. Some rename owners, insist on SERIALIZABLE, leave transactions open,
// step their clock, try to pass a hold, or detach a partition by hand. Now and then a server is killed and started again, or a session is
// ended. Then everything derived is compared with the records, and those that
// were acknowledged are there once.
func TestCampaign(t *testing.T) {
	const rounds = 20
	c := newCampaign(t)
	end := c.end(t)
	var wait sync.WaitGroup
	others := newDisorder(t, c)
	for i, act := range append(c.clients(t), others.clients()...) {
		d := draw{T: t, Rand: rand.New(rand.NewPCG(uint64(i), 1)), now: c.now}
		wait.Go(func() {
			for round := 0; round < rounds || time.Now().Before(end); round++ {
				if err := act(d); err != nil && !expected(err) {
					t.Errorf("client %d, round %d: %v", i, round, err)
					return
				}
			}
		})
	}
	wait.Wait()
	for _, s := range c.servers {
		if s.kills == 0 {
			t.Error("a server was not killed")
		}
		t.Logf("a server was killed %d times", s.kills)
		check(t, s.kill())
	}
	if pgtest.OnCitus() { // finds what others wrote
		c.maintain(t)
	}
	c.examine(t, "ids", "roll-ups") // before all is folded
	c.maintain(t)
	c.examine(t)
	c.checkLedger(t)
	c.checkAcknowledged(t)
	others.check(t)
}

const keptOwner = "kept"

func newCampaign(t *testing.T) *campaign {
	t.Helper()
	c := &campaign{url: pgtest.New(t), updated: map[string]bool{}}
	c.fixture = fixture{store: open(t, c.url), now: sandtrail.Millisecond(time.Now())}
	_, err := c.store.Migrate(t.Context(), c.now)
	check(t, err)
	check(t, c.store.PutUser(t.Context(), sandtrail.User{ID: keptOwner, Email: "kept@example.com"}))
	check(t, c.store.PutStrategy(t.Context(), sandtrail.Strategy{ID: keptOwner, Name: "Kept"}))
	binary, key := buildServer(t), filepath.Join(t.TempDir(), "ledger-key")
	for i := range c.servers {
		c.servers[i] = &served{binary: binary, database: c.url, key: key, address: testneed.FreeAddress(t)}
		check(t, c.servers[i].start(c.servers[i].client(t)))
		t.Cleanup(func() { _ = c.servers[i].process.Kill() })
	}
	return c
}

func (c *campaign) end(t *testing.T) time.Time {
	t.Helper()
	length := os.Getenv(campaignEnv)
	if length == "" {
		return time.Time{}
	}
	d, err := sandtrail.ParseDuration(length)
	if err != nil {
		t.Fatalf("%s: %v", campaignEnv, err)
	}
	return time.Now().Add(d)
}

// clients are what each client does in a round.
func (c *campaign) clients(t *testing.T) []func(draw) error {
	t.Helper()
	var acts []func(draw) error
	for i := range 6 {
		s := c.servers[i%len(c.servers)]
		api := s.client(t)
		acts = append(acts, func(d draw) error { return c.api(d, s, api) })
	}
	for range 4 {
		store := open(t, c.url)
		acts = append(acts, func(d draw) error { return c.stored(d, store) })
	}
	dir := buildApp(t)
	for range 3 {
		app := startApp(t, dir, c.url)
		acts = append(acts, func(d draw) error { return c.prisma(d, app) })
	}
	for range 3 {
		pool, err := pgxpool.New(t.Context(), c.url)
		check(t, err)
		t.Cleanup(pool.Close)
		acts = append(acts, func(d draw) error { return c.plain(d, pool) })
	}
	return acts
}

// expected are the errors that clients get from each other's deeds: owners
// deleted under them, deadlocks and rows moved under plain SQL, sessions ended,
// servers killed, no moment to lock the table in.
func expected(err error) bool {
	var e *pgconn.PgError
	if errors.As(err, &e) && slices.Contains([]string{"23503", "40P01", "40001", "57P01"}, e.Code) {
		return true
	}
	if pgconn.SafeToRetry(err) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return true // ended while nothing was asked
	}
	if pgtest.OnCitus() && e != nil && e.Code == "XX000" && strings.Contains(e.Message, "foreign key") {
		return true // its COPY knows no codes
	}
	return errors.Is(err, sandtrail.CodeUnavailable) || errors.Is(err, sandtrail.CodeInvalid) || errors.Is(err, sandtrail.CodeNotFound)
}

// api does something through a server, which is killed now and then.
func (c *campaign) api(d draw, s *served, api *client.Client) error {
	switch n := d.IntN(100); {
	case n < 4:
		return s.restart(api)
	case n < 40:
		return c.appendKept(d, api)
	case n < 80:
		_, err := api.Append(d.Context(), d.batch(80*day))
		if errors.Is(err, sandtrail.CodeConflict) {
			return nil // an answer was lost, and SQL changed what it told of before the repetition
		}
		return err
	case n < 83:
		_, err := api.DeleteUser(d.Context(), d.user())
		return err
	case n < 86:
		_, err := api.Cleanup(d.Context(), sandtrail.Before(c.now.Add(-time.Duration(40+d.IntN(40))*day)))
		return err
	default:
		return d.putOwners(api)
	}
}

// appendKept stores records of the owner whom nobody deletes, and does not give
// up.
func (c *campaign) appendKept(d draw, api *client.Client) error {
	batch := d.batch(30 * day)
	for i := range batch {
		batch[i].Execution.UserID, batch[i].Execution.StrategyID = keptOwner, keptOwner
	}
	done, err := api.Append(d.Context(), batch)
	if err != nil || done.Accepted+done.Duplicates != len(batch) {
		d.Errorf("append: %+v, %v", done, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range batch {
		c.acked = append(c.acked, a.Execution.ID.String())
	}
	return nil
}

// stored does something through a store.
func (c *campaign) stored(d draw, store *postgres.Store) error {
	var err error
	switch n := d.IntN(100); {
	case n < 50:
		_, err = store.Append(d.Context(), d.batch(100*day))
	case n < 60:
		_, err = store.Cleanup(d.Context(), sandtrail.Before(c.now.Add(-time.Duration(40+d.IntN(40))*day)))
	case n < 65:
		_, err = store.DeleteStrategy(d.Context(), d.strategy())
	case n < 75:
		err = d.putOwners(store)
	default:
		for _, step := range store.Upkeep() {
			err = errors.Join(err, unlessApart(step.RunOnce(d.Context(), c.now)))
		}
	}
	return err
}

// prisma does something through the application.
func (c *campaign) prisma(d draw, a *app) error {
	var got answer
	switch n := d.IntN(100); {
	case n < 30:
		got = a.ask(d.T, "create", d.record())
	case n < 55:
		many := make([]data, 1+d.IntN(40))
		for i := range many {
			many[i] = d.record()
		}
		got = a.ask(d.T, "createMany", many)
	case n < 65:
		got = a.ask(d.T, "deleteMany", data{"strategyId": d.strategy(), "createdAt": data{"lt": d.time(100 * day).Format(time.RFC3339Nano)}})
	case n < 70:
		got = a.ask(d.T, "deleteUser", d.user())
	case n < 73:
		got = a.ask(d.T, "deleteStrategy", d.strategy())
	case n < 77:
		got = a.ask(d.T, "cleanupOldSandboxLogs")
	default:
		user := d.user()
		got = a.ask(d.T, "createUser", data{"id": user, "email": user + "@example.com"})
		if got.Error == "" || strings.HasPrefix(got.Error, "P2002 ") {
			got = a.ask(d.T, "createStrategy", data{"id": d.strategy(), "name": "again"})
		}
	}
	code, _, _ := strings.Cut(got.Error, " ")
	// There already, no such owner, no such row, a deadlock, a session ended, a hold.
	if got.Error == "" || strings.Contains(got.Error, "SHELD") || slices.Contains([]string{"P2002", "P2003", "P2025", "P2034"}, code) || strings.Contains(got.Error, "57P01") {
		return nil
	}
	return errors.New(got.Error)
}

// plain does something in SQL.
func (c *campaign) plain(d draw, pool *pgxpool.Pool) error {
	sql := func(statement string, args ...any) error {
		_, err := pool.Exec(d.Context(), statement, args...)
		return err
	}
	switch n := d.IntN(100); {
	case n < 25:
		return d.copy(pool)
	case n < 50:
		return sql(`INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time, created_at)
			SELECT $1, $2, 'TERMINAL', n % 2 = 0, n * 37, $3::timestamptz + n * interval '3 hours' FROM generate_series(1, 20) n`,
			d.user(), d.strategy(), d.time(90*day))
	case n < 65:
		return pgx.BeginFunc(d.Context(), pool, func(tx pgx.Tx) error { return c.update(d, tx) })
	case n < 80:
		return sql("DELETE FROM sandbox_execution_logs WHERE strategy_id = $1 AND created_at < $2", d.strategy(), d.time(90*day))
	case n < 96:
		return sql("DELETE FROM users WHERE id = $1", d.user())
	default:
		return sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' ORDER BY random() LIMIT 1`)
	}
}

// update changes records, and remembers which before it is known whether they
// stay changed.
func (c *campaign) update(d draw, tx pgx.Tx) error {
	return c.changed(d.Context(), tx, `UPDATE sandbox_execution_logs SET success = NOT success, timed_out = false,
			created_at = (created_at AT TIME ZONE 'UTC' - interval '5 days') AT TIME ZONE 'UTC'
		WHERE user_id = $1 AND created_at > $2 RETURNING id::text`, d.user(), d.time(90*day))
}

// examine compares what is derived with the records; of all checks, or of some.
func (c *campaign) examine(t *testing.T, names ...string) {
	t.Helper()
	checks, err := c.store.Doctor(t.Context(), database.Deep, c.now)
	check(t, err)
	for _, is := range checks {
		if !is.OK && (len(names) == 0 || slices.Contains(names, is.Name)) {
			t.Errorf("doctor: %s: %s", is.Name, is.Detail)
		}
	}
}

// checkLedger lets nothing be found but what SQL changed.
func (c *campaign) checkLedger(t *testing.T) {
	t.Helper()
	_, err := ledger.VerifyLog(t.Context(), c.store, ledger.Verification{Report: func(found ledger.Finding) {
		if !c.updated[found.ID] {
			t.Errorf("false alarm: %+v", found)
		}
	}})
	check(t, err)
}

// checkAcknowledged compares what is stored of the owner whom nobody deletes
// with what was acknowledged.
func (c *campaign) checkAcknowledged(t *testing.T) {
	t.Helper()
	var stored []string
	for _, r := range c.rows(t, sandtrail.Filter{UserID: keptOwner}) {
		stored = append(stored, r.ID)
	}
	slices.Sort(stored)
	slices.Sort(c.acked)
	if !slices.Equal(stored, c.acked) {
		t.Errorf("%d records are stored, %d others were acknowledged", len(stored), len(c.acked))
	}
	t.Logf("%d records were acknowledged", len(c.acked))
}

// draw draws what one client does next.
type draw struct {
	*testing.T
	*rand.Rand
	now time.Time
}

func (d draw) user() string     { return fmt.Sprint("user-", d.IntN(10)) }
func (d draw) strategy() string { return fmt.Sprint("strategy-", d.IntN(10)) }

// time is one in the past, up to an age.
func (d draw) time(age time.Duration) time.Time {
	return d.now.Add(-time.Duration(d.Int64N(int64(age)))).Truncate(time.Millisecond)
}

func (d draw) batch(age time.Duration) []sandtrail.Admitted {
	size := 1 + d.IntN(40)
	if d.IntN(20) == 0 {
		size = 300 // by COPY
	}
	batch := make([]sandtrail.Admitted, size)
	for i := range batch {
		at := d.time(age)
		e := sandtrail.Execution{
			ID: sandtrail.NewID(at), UserID: d.user(), StrategyID: d.strategy(), Type: sandtrail.Validation,
			Success: d.IntN(4) > 0, ExecutionTime: d.IntN(10000), ErrorCount: d.IntN(3), WarningCount: d.IntN(3), CreatedAt: at,
		}
		if d.IntN(2) == 0 {
			e.MemoryUsed, e.CPUUsage = new(d.IntN(500)), new(100*d.Float64())
		}
		batch[i].Execution = e
	}
	return batch
}

// record is one as the application writes it.
func (d draw) record() data {
	return data{
		"userId": d.user(), "strategyId": d.strategy(), "executionType": "VALIDATION", "success": d.IntN(2) == 0,
		"executionTime": d.IntN(9000), "createdAt": d.time(100 * day).Format(time.RFC3339Nano),
	}
}

func (d draw) copy(pool *pgxpool.Pool) error {
	_, err := pool.CopyFrom(d.Context(), pgx.Identifier{"sandbox_execution_logs"},
		[]string{"user_id", "strategy_id", "execution_type", "success", "execution_time", "created_at"},
		pgx.CopyFromSlice(30, func(int) ([]any, error) {
			return []any{d.user(), d.strategy(), "VALIDATION", true, int32(d.IntN(5000)), d.time(90 * day)}, nil
		}))
	return err
}

// putOwners brings back a user and a strategy.
func (d draw) putOwners(store interface {
	PutUser(context.Context, sandtrail.User) error
	PutStrategy(context.Context, sandtrail.Strategy) error
},
) error {
	user := d.user()
	return errors.Join(store.PutUser(d.Context(), sandtrail.User{ID: user, Email: user + "@example.com"}),
		store.PutStrategy(d.Context(), sandtrail.Strategy{ID: d.strategy(), Name: "again"}))
}

// raceEnv names the variable with the flags of a build with the race detector
// that share what is compiled with the tests; see scripts/test.
const raceEnv = "SANDTRAIL_TEST_RACE"

// buildServer builds the program, with the race detector where the test has it.
func buildServer(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "sandtrail")
	args := []string{"build", "-o", binary}
	info, _ := debug.ReadBuildInfo()
	if slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race")
	}
	args = append(args, strings.Fields(os.Getenv(raceEnv))...)
	if out, err := exec.CommandContext(t.Context(), "go", append(args, "../cmd/sandtrail")...).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// served is a server in a process of its own.
type served struct {
	binary, database, key, address string

	mu      sync.Mutex
	process *os.Process
	log     bytes.Buffer // what it said
	ended   chan *os.ProcessState
	state   *os.ProcessState // how the last one ended
	kills   int
}

// client is one that does not give up.
func (s *served) client(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.New(client.Options{URL: "http://" + s.address, Attempts: 100})
	check(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// restart kills the server and starts it again.
func (s *served) restart(c *client.Client) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kills++
	return errors.Join(s.kill(), s.start(c))
}

// outOfReach is the status of a server that does not find its database, such
// as one whose session is ended while it starts.
const outOfReach = 3

// start returns when the server answers.
func (s *served) start(c *client.Client) error {
	for {
		s.log.Reset()
		cmd := exec.Command(s.binary, "serve", "--listen", s.address, "--ledger-key", s.key, "--log-level", "error")
		cmd.Env = append(os.Environ(), "SANDTRAIL_DB="+s.database, "SANDTRAIL_SERVER=", "GORACE=halt_on_error=1")
		cmd.Stderr = &s.log
		if err := cmd.Start(); err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(context.Background())
		s.process, s.ended = cmd.Process, make(chan *os.ProcessState, 1)
		go func() {
			_ = cmd.Wait() // the state says it
			s.ended <- cmd.ProcessState
			cancel()
		}()
		if err := c.Ping(ctx); err == nil {
			return nil
		}
		if err := s.kill(); s.state.ExitCode() != outOfReach {
			return err
		}
	}
}

// kill fails when the server had ended by itself.
func (s *served) kill() error {
	_ = s.process.Kill() // it may have ended
	s.state = <-s.ended
	if s.state.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		return fmt.Errorf("a server ended by itself: %s\n%s", s.state, &s.log)
	}
	return nil
}
