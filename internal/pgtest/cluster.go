package pgtest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// keeper makes a cluster, or a standby of the server that it is given the URL
// of, says so, and holds it until its standard input ends, which it does when
// the test process ends in whatever way. At each line of it the server crashes
// and comes back.
const keeper = `
cd "$1" || exit
export PATH="$2:$PATH"
if [ "$5" ]; then
  pg_basebackup -D data -d "$5" -R -c fast --no-sync
else
  initdb -D data -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync
fi >log 2>&1 &&
pg_ctl -D data -l log -w -t 60 -o "-p $3 -k $1 -c listen_addresses=127.0.0.1 -c fsync=off \
  -c timezone=UTC -c jit=off -c max_connections=300 -c max_locks_per_transaction=256 $4" start >>log 2>&1 || { cat log; rm -rf "$1"; exit; }
echo ready
while read -r _; do
  pg_ctl -D data -l log -w -t 60 -m immediate restart >>log 2>&1 && echo ready || cat log
done
pg_ctl -D data -m immediate stop >>log 2>&1
cd / && rm -rf "$1"
`

// cluster is a server that tests may use.
type cluster struct {
	url  string
	said *bufio.Scanner // what the keeper says: ready, after each start
	// hold is the standard input of the keeper, nil for a server that is not
	// ours. The end of the process closes it.
	hold *os.File
}

// start makes a cluster on a free port, with settings such as fsync=on beside
// those of the keeper: a standby of another server where its URL is given.
func start(primary string, settings ...string) (*cluster, error) {
	bin, err := Binaries()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "pgtest")
	if err != nil {
		return nil, err
	}
	attr, err := Unprivileged(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	port, err := FreePort()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	c := &cluster{url: "postgres://postgres@127.0.0.1:" + port + "/postgres?sslmode=disable"}
	if err := c.keep(primary, dir, bin, port, settings, attr); err != nil {
		return nil, err
	}
	return c, nil
}

// keep runs the keeper and returns when the server accepts connections.
func (c *cluster) keep(primary, dir, bin, port string, settings []string, attr *syscall.SysProcAttr) error {
	held, hold, err := os.Pipe()
	if err != nil {
		return err
	}
	said, say, err := os.Pipe()
	if err != nil {
		return err
	}
	c.hold, c.said = hold, bufio.NewScanner(said)
	var options strings.Builder
	for _, setting := range settings {
		options.WriteString(" -c " + setting)
	}
	cmd := osexec.Command("/bin/sh", "-c", keeper, "keeper", dir, bin, port, options.String(), primary)
	cmd.Stdin, cmd.Stdout, cmd.SysProcAttr = held, say, attr
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	held.Close()
	say.Close()
	return c.ready()
}

// ready waits until the keeper says that the server accepts connections.
func (c *cluster) ready() error {
	var output bytes.Buffer
	for c.said.Scan() {
		if c.said.Text() == "ready" {
			return nil
		}
		fmt.Fprintln(&output, c.said.Text())
	}
	return fmt.Errorf("the server did not start:\n%s", &output)
}

// Binaries is the directory of initdb and pg_ctl.
func Binaries() (string, error) {
	installed, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(installed) > 0 {
		return filepath.Dir(installed[len(installed)-1]), nil
	}
	onPath, err := osexec.LookPath("initdb")
	if err != nil {
		return "", fmt.Errorf("no PostgreSQL server found: install it (Debian: apt-get install postgresql) or set %s to a superuser's URL", Env)
	}
	return filepath.Dir(onPath), nil
}

// FreePort is a port of the loopback address that nothing listens at.
func FreePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}
