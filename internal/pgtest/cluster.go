//go:build unix

package pgtest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	osexec "os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// keeper makes a cluster, says so, and holds it until its standard input
// ends, which it does when the test process ends in whatever way.
const keeper = `
cd "$1" || exit
export PATH="$2:$PATH"
initdb -D data -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync >log 2>&1 &&
pg_ctl -D data -l log -w -t 60 -o "-p $3 -k $1 -c listen_addresses=127.0.0.1 -c fsync=off \
  -c timezone=UTC -c max_connections=300 -c max_locks_per_transaction=256" start >>log 2>&1 || { cat log; rm -rf "$1"; exit; }
echo ready
cat >/dev/null
pg_ctl -D data -m immediate stop >>log 2>&1
cd / && rm -rf "$1"
`

// start makes a cluster on a free port and returns its URL.
func start() (string, error) {
	bin, err := findBinaries()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "pgtest")
	if err != nil {
		return "", err
	}
	attr, err := unprivileged(dir)
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	port, err := freePort()
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	if err := keep(dir, bin, port, attr); err != nil {
		return "", err
	}
	return "postgres://postgres@127.0.0.1:" + port + "/postgres?sslmode=disable", nil
}

// keep runs the keeper and returns when the server accepts connections.
func keep(dir, bin, port string, attr *syscall.SysProcAttr) error {
	held, hold, err := os.Pipe()
	if err != nil {
		return err
	}
	said, say, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd := osexec.Command("/bin/sh", "-c", keeper, "keeper", dir, bin, port)
	cmd.Stdin, cmd.Stdout, cmd.SysProcAttr = held, say, attr
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	held.Close()
	say.Close()
	keepOpen = hold
	defer said.Close()
	var output bytes.Buffer
	for lines := bufio.NewScanner(said); lines.Scan(); output.WriteByte('\n') {
		if lines.Text() == "ready" {
			return nil
		}
		output.Write(lines.Bytes())
	}
	return fmt.Errorf("the server did not start:\n%s", &output)
}

// keepOpen is the keeper's standard input. It is never closed: the end of the
// process closes it.
var keepOpen *os.File

// unprivileged lets the server run as user postgres when we are root, which
// it refuses to run as. Its own process group spares it the terminal's ^C.
func unprivileged(dir string) (*syscall.SysProcAttr, error) {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() != 0 {
		return attr, nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL refuses to run as root: %w", err)
	}
	uid, errUID := strconv.Atoi(account.Uid)
	gid, errGID := strconv.Atoi(account.Gid)
	if err := errors.Join(errUID, errGID); err != nil {
		return nil, err
	}
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attr, os.Chown(dir, uid, gid)
}

// findBinaries returns the directory of initdb and pg_ctl.
func findBinaries() (string, error) {
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

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}
