package postgres_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"

	"github.com/sandtrail/sandtrail/ledger/ledgertest"
	"github.com/sandtrail/sandtrail/postgres"
)

var errCut = errors.New("the connection is cut")

// cuts cuts one connection of a store at the nth message that it sends.
type cuts struct {
	fault    ledgertest.Fault
	counting atomic.Bool
	sent     atomic.Int64
}

// dial connects in place of the driver.
func (c *cuts) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	return &cutConn{Conn: conn, cuts: c}, err
}

type cutConn struct {
	net.Conn
	cuts *cuts
	last atomic.Bool // the answer to come is lost
}

// Write loses what is sent, or the answer to it.
func (c *cutConn) Write(b []byte) (int, error) {
	if c.cuts.counting.Load() && int(c.cuts.sent.Add(1)) == c.cuts.fault.Step {
		if !c.cuts.fault.Applied {
			return 0, errors.Join(errCut, c.Close())
		}
		c.last.Store(true)
	}
	return c.Conn.Write(b)
}

func (c *cutConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil && c.last.Load() { // it was answered, so it was done
		return 0, errors.Join(errCut, c.Close())
	}
	return n, err
}

// faultyAt opens a database so that one of the messages to it fails.
func faultyAt(url string) ledgertest.Faulty {
	return func(t testing.TB, f ledgertest.Fault) (ledgertest.Database, func() int) {
		c := &cuts{fault: f}
		s, err := postgres.OpenDialed(t.Context(), url, c.dial)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		c.counting.Store(true)
		return s, func() int { return int(c.sent.Load()) }
	}
}
