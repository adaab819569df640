//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/sandtrail/sandtrail/internal/pgtest"
)

// server is a "sandtrail serve" of the campaign, with a network before it that
// can be harmed and a clock that can be moved.
type server struct {
	campaign *campaign
	address  string
	network  *proxy
	temp     string   // where it keeps bodies aside
	clock    *os.File // eight bytes: how far its clock is moved, in nanoseconds

	mu      sync.Mutex
	process *process
	disturb int // faults that keep it from answering
	memory  int64
	slowest time.Duration // answer of /healthz
	own     time.Duration // the slowest answer, less the server's waits for a processor
}

func (c *campaign) newServer(i int) (*server, error) {
	port, err := pgtest.FreePort()
	if err != nil {
		return nil, err
	}
	s := &server{campaign: c, address: "127.0.0.1:" + port, temp: filepath.Join(c.dir, fmt.Sprint("temp", i))}
	if err := os.MkdirAll(s.temp, 0o700); err != nil {
		return nil, err
	}
	if s.clock, err = os.Create(filepath.Join(c.dir, fmt.Sprint("clock", i))); err != nil {
		return nil, err
	}
	if err := s.setClock(0); err != nil {
		return nil, err
	}
	s.network, err = newProxy("127.0.0.1:0", s.address)
	return s, err
}

// setClock moves the clock of the server's process away from that of the machine.
func (s *server) setClock(by time.Duration) error {
	_, err := s.clock.WriteAt(binary.LittleEndian.AppendUint64(nil, uint64(by)), 0)
	return err
}

func (s *server) url() string { return "http://" + s.network.address() }

// start starts the server's process; ready waits for it.
func (s *server) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process.running() {
		return nil
	}
	c := s.campaign
	cmd := c.sandtrail(c.database.url(), "serve", "--listen", s.address, "--log-level", "warn",
		"--ledger-key", filepath.Join(c.dir, "ledger-key"), "--outbox", filepath.Join(c.dir, "server-outbox"))
	cmd.Env = append(cmd.Env, "TMPDIR="+s.temp, clockEnv+"="+s.clock.Name())
	var err error
	s.process, err = start("server", cmd)
	return err
}

// ready starts the server if it does not run, again and again for a minute, and
// returns when it answers.
func (s *server) ready(ctx context.Context) error {
	var last error
	ok := until(ctx, time.Minute, func() bool {
		if last = s.start(); last != nil {
			return false
		}
		last = s.ask(ctx, "/readyz")
		return last == nil
	})
	if ok {
		return nil
	}
	return fmt.Errorf("the server is not ready after a minute: %w\n%s", last, s.current().said())
}

func (s *server) current() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}

// ask makes a request past the network that faults harm.
func (s *server) ask(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address+path, nil)
	if err != nil {
		return err
	}
	request.Close = true
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: status %d", path, response.StatusCode)
	}
	return nil
}

// healthTime is how long an answer may take before it counts as none.
const healthTime = 20 * time.Second

// disturbed counts the faults because of which the server need not answer.
func (s *server) disturbed(by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disturb += by
}

// watch measures the server's memory and how long /healthz takes to answer, while no
// fault keeps it from answering.
func (s *server) watch(ctx context.Context) {
	for ; ctx.Err() == nil; pause(ctx, 200*time.Millisecond) {
		p := s.current()
		if !p.running() {
			continue
		}
		before := s.undisturbed()
		began, waited := time.Now(), p.waited()
		err := s.ask(ctx, "/healthz")
		took := time.Since(began)
		own := took - (p.waited() - waited)
		s.mu.Lock()
		s.memory = max(s.memory, p.memory())
		if before && s.disturb == 0 && p.running() && ctx.Err() == nil && (err == nil || took >= healthTime) {
			s.slowest, s.own = max(s.slowest, took), max(s.own, own)
		}
		s.mu.Unlock()
	}
}

func (s *server) undisturbed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.disturb == 0
}

// measured is the most memory and the slowest answer since it was last asked.
func (s *server) measured() (memory int64, slowest time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	memory, slowest = s.memory, s.slowest
	s.memory, s.slowest, s.own = 0, 0, 0
	return memory, slowest
}

// sandtrail is a command of the large program on the database at a URL, away from
// whatever the account that runs the campaign has set up.
func (c *campaign) sandtrail(database string, args ...string) *exec.Cmd {
	return c.program(c.programs.large, database, args...)
}

func (c *campaign) program(path, database string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir, "XDG_STATE_HOME=" + filepath.Join(c.dir, "state"), "TMPDIR=" + c.temp,
		"SANDTRAIL_DB=" + database, markEnv + "=" + c.dir,
	}
	cmd.Dir = c.dir
	return cmd
}

// peak is the most memory since measured was called.
func (s *server) peak() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.memory
}

// slowestAnswer is that of /healthz since measured was called, less the time for
// which the server waited for a processor meanwhile.
func (s *server) slowestAnswer() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.own
}
