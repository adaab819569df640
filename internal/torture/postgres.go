//go:build linux

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver of plain SQL

	"github.com/sandtrail/sandtrail/internal/pgtest"
)

// node is a PostgreSQL server of the campaign's own.
type node struct {
	bin, dir, port string
	process        *process // nil: it was never started
	network        *proxy   // between the servers and it
}

// postgresServers are a primary and, now and then, a standby that takes its place.
type postgresServers struct {
	dir     string
	nodes   [2]*node
	primary int // of nodes
	db      *sql.DB
	made    int // directories so far
}

// settings spare the disk. Durability is against the death of processes: a power
// failure cannot be had here.
const settings = "-c fsync=on -c full_page_writes=off -c shared_buffers=16MB -c max_connections=60 -c timezone=UTC -c jit=off " +
	"-c min_wal_size=32MB -c max_wal_size=64MB"

func newPostgres(ctx context.Context, dir string) (p *postgresServers, err error) {
	bin, err := pgtest.Binaries()
	if err != nil {
		return nil, err
	}
	p = &postgresServers{dir: dir}
	for i := range p.nodes {
		n := &node{bin: bin}
		if n.port, err = pgtest.FreePort(); err != nil {
			return nil, err
		}
		if n.network, err = newProxy("127.0.0.1:0", "127.0.0.1:"+n.port); err != nil {
			return nil, err
		}
		p.nodes[i] = n
	}
	first := p.nodes[0]
	first.dir = p.newDir()
	if err := first.make(ctx, "initdb", "-D", first.dir, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--wal-segsize=4"); err != nil {
		return nil, err
	}
	if p.db, err = sql.Open("pgx", p.direct()); err != nil {
		return nil, err
	}
	p.db.SetMaxOpenConns(4)
	p.db.SetConnMaxIdleTime(2 * time.Second)
	return p, p.ready(ctx)
}

func (p *postgresServers) newDir() string {
	p.made++
	return filepath.Join(p.dir, fmt.Sprintf("data%d", p.made))
}

// make runs a program that makes the node's directory.
func (n *node) make(ctx context.Context, program string, args ...string) error {
	attr, err := owned(n.dir)
	if err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(n.bin, program), args...)
	cmd.SysProcAttr, cmd.Dir = attr, n.dir
	said, status, err := call(ctx, cmd)
	if err == nil && status != 0 {
		err = fmt.Errorf("%s: %s", program, said)
	}
	return err
}

// owned makes a directory of the account that PostgreSQL runs as.
func owned(dir string) (*syscall.SysProcAttr, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return pgtest.Unprivileged(dir)
}

func (n *node) url() string {
	return "postgres://postgres@127.0.0.1:" + n.port + "/postgres?sslmode=disable"
}

// start starts the node's server and waits until it answers.
func (n *node) start(ctx context.Context) error {
	for deadline := time.Now().Add(time.Minute); ; pause(ctx, 100*time.Millisecond) {
		if !n.process.running() {
			attr, err := owned(n.dir)
			if err != nil {
				return err
			}
			args := []string{"-D", n.dir, "-p", n.port, "-k", n.dir, "-c", "listen_addresses=127.0.0.1"}
			cmd := exec.Command(filepath.Join(n.bin, "postgres"), append(args, strings.Fields(settings)...)...)
			cmd.SysProcAttr, cmd.Dir = attr, n.dir
			if n.process, err = start("postgres", cmd); err != nil {
				return err
			}
		}
		err := n.answers(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("PostgreSQL does not answer: %w\n%s", err, n.process.said())
		}
	}
}

func (n *node) answers(ctx context.Context) error {
	db, err := sql.Open("pgx", n.url())
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return db.PingContext(ctx)
}

// backends are the processes of the node's sessions and of its upkeep.
func (n *node) backends() []int { return children(n.process.cmd.Process.Pid) }

// stop ends the server at once.
func (n *node) stop() {
	if !n.process.running() {
		return
	}
	backends := n.backends()
	n.process.signal(syscall.SIGCONT)
	for _, pid := range backends {
		_ = syscall.Kill(pid, syscall.SIGCONT) // it may have ended
	}
	n.process.signal(syscall.SIGQUIT)
	if !until(context.Background(), 10*time.Second, func() bool { return !n.process.running() }) {
		n.process.kill()
	}
	until(context.Background(), 5*time.Second, func() bool {
		return !slices.ContainsFunc(backends, func(pid int) bool { return syscall.Kill(pid, 0) == nil })
	})
}

// url names both nodes, so that the servers find the one that is the primary.
func (p *postgresServers) url() string {
	return p.hosts(p.nodes[0].network.address(), p.nodes[1].network.address())
}

func (p *postgresServers) direct() string {
	return p.hosts("127.0.0.1:"+p.nodes[0].port, "127.0.0.1:"+p.nodes[1].port)
}

func (p *postgresServers) hosts(first, second string) string {
	return "postgres://postgres@" + first + "," + second + "/postgres?sslmode=disable&connect_timeout=5&target_session_attrs=read-write"
}

func (p *postgresServers) pool() *sql.DB { return p.db }

func (p *postgresServers) ready(ctx context.Context) error { return p.nodes[p.primary].start(ctx) }

func (p *postgresServers) stop() error {
	err := p.db.Close()
	for _, n := range p.nodes {
		if n.process != nil {
			n.stop()
		}
		n.network.close()
	}
	return err
}

// promote gives the primary a standby that has every commit, ends the primary
// and lets the standby take its place.
func (p *postgresServers) promote(ctx context.Context) error {
	old, next := p.nodes[p.primary], p.nodes[1-p.primary]
	next.dir = p.newDir()
	err := next.make(ctx, "pg_basebackup", "-D", next.dir, "-d", old.url()+"&application_name=standby", "-R", "-c", "fast", "--no-sync")
	if err != nil {
		return err
	}
	if err := next.start(ctx); err != nil {
		return err
	}
	for _, statement := range []string{"ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"} {
		if err := execute(ctx, p.db, statement); err != nil {
			return err
		}
	}
	synchronous := until(ctx, 30*time.Second, func() bool {
		var n int
		err := p.db.QueryRowContext(ctx, "SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')").Scan(&n)
		return err == nil && n > 0
	})
	if !synchronous {
		return errors.Join(errors.New("the standby does not follow"), ctx.Err())
	}
	pause(ctx, time.Second) // of commits that wait for the standby
	old.stop()
	other, err := sql.Open("pgx", next.url())
	if err != nil {
		return err
	}
	defer other.Close()
	if err := execute(ctx, other, "SELECT pg_promote()"); err != nil {
		return err
	}
	p.primary = 1 - p.primary
	for _, statement := range []string{"ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()"} {
		if err := execute(ctx, other, statement); err != nil {
			return err
		}
	}
	return os.RemoveAll(old.dir)
}
