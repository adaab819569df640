package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/ledger/ledgertest"
	"github.com/sandtrail/sandtrail/postgres"
)

// TestMain lets the test binary be a process of its own; see ledgertest.Kill.
func TestMain(m *testing.M) {
	if ledgertest.Child(stepped) {
		return
	}
	drop, err := pgtest.Examples("^Example$")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := errors.Join(template.close(), drop()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
		os.Exit(code)
	}))
}

// stepped opens a database; its steps are messages to the server, applied when
// they are answered. A step that fails cuts the connection.
func stepped(ctx context.Context, url string, step func(applied bool) error) (ledgertest.Database, error) {
	return postgres.OpenDialed(ctx, url, func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return &steppedConn{Conn: conn, step: step}, err
	})
}

type steppedConn struct {
	net.Conn
	step  func(applied bool) error
	asked atomic.Bool // the answer is to come
}

func (c *steppedConn) Write(b []byte) (int, error) {
	if err := c.step(false); err != nil {
		return 0, errors.Join(err, c.Close())
	}
	c.asked.Store(true)
	return c.Conn.Write(b)
}

func (c *steppedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil || !c.asked.Swap(false) {
		return n, err
	}
	if err := c.step(true); err != nil {
		return 0, errors.Join(err, c.Close())
	}
	return n, nil
}
