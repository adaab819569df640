package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/postgres"
)

// unsettledConn ends before it asks for the settings, when told to.
type unsettledConn struct {
	net.Conn
	ends *atomic.Bool
}

func (c unsettledConn) Write(b []byte) (int, error) {
	if c.ends.Load() && bytes.Contains(b, []byte(".settings WHERE name = 'layout'")) {
		return 0, errors.Join(net.ErrClosed, c.Close())
	}
	return c.Conn.Write(b)
}

// A connection that ends while the settings are read says nothing about whether
// the database was migrated.
func TestUnreadSettingsAreTold(t *testing.T) {
	var ends atomic.Bool
	opened := func(url string) (*postgres.Store, error) {
		return postgres.OpenDialed(t.Context(), url, func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			return unsettledConn{conn, &ends}, err
		})
	}
	s, err := opened(pgtest.New(t))
	if err != nil {
		t.Fatalf("open a database that was not migrated: %v", err)
	}
	defer s.Close()
	if checks, err := s.Doctor(t.Context(), database.Shallow, now); err != nil || len(checks) == 0 {
		t.Errorf("doctor of a database that was not migrated: %+v, %v", checks, err)
	}

	_, url := open(t)
	ends.Store(true)
	if checks, err := s.Doctor(t.Context(), database.Shallow, now); !errors.Is(err, sandtrail.CodeUnavailable) {
		t.Errorf("doctor: %+v, %v; want that the database is out of reach", checks, err)
	}
	if s, err := opened(url); !errors.Is(err, sandtrail.CodeUnavailable) {
		t.Errorf("open: %v, want that the database is out of reach", err)
		if err == nil {
			s.Close()
		}
	}
}
