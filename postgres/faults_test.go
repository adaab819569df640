package postgres_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/postgres"
)

// A right that the database's user lacks is no fault of the caller, whose key
// has nothing to do with it. What the database says is for the log alone.
func TestAMissingGrantIsTheServersFault(t *testing.T) {
	if pgtest.OnCitus() {
		t.Skip("roles of tests are not those of its workers")
	}
	s, address := open(t)
	putOwners(t, s, 1)
	conn := foreign(t, address)
	role := "reader_" + value[string](t, conn, "SELECT current_database()")
	exec(t, conn, `CREATE ROLE "`+role+`" LOGIN`)
	defer exec(t, conn, `DROP ROLE "`+role+`"`)
	defer exec(t, conn, `DROP OWNED BY "`+role+`"`)
	for _, grant := range []string{"USAGE ON SCHEMA public, sandtrail", "SELECT ON ALL TABLES IN SCHEMA public, sandtrail"} {
		exec(t, conn, "GRANT "+grant+` TO "`+role+`"`)
	}
	as, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	as.User = url.User(role)
	limited := openAt(t, as.String(), postgres.Options{})
	for what, call := range map[string]func() error{
		"append":   func() error { _, err := limited.Append(t.Context(), []sandtrail.Admitted{execution(now)}); return err },
		"put user": func() error { return limited.PutUser(t.Context(), sandtrail.User{ID: "x", Email: "x@example.com"}) },
		"delete":   func() error { _, err := limited.DeleteUser(t.Context(), "u0"); return err },
	} {
		err := call()
		var coded *sandtrail.Error
		if !errors.Is(err, sandtrail.CodeUnavailable) || !errors.As(err, &coded) {
			t.Errorf("%s: got %v, want ErrUnavailable", what, err)
			continue
		}
		if !strings.Contains(coded.Public(), "grant it the right") || strings.Contains(coded.Public(), "permission denied") {
			t.Errorf("%s: the caller reads %q", what, coded.Public())
		}
		if !strings.Contains(coded.Private, "permission denied") {
			t.Errorf("%s: the log reads %q", what, coded.Private)
		}
	}
}

// A schema that a newer version made is no input of the caller's.
func TestANewerSchemaIsOutOfReach(t *testing.T) {
	s, address := open(t)
	exec(t, foreign(t, address), "INSERT INTO sandtrail.migrations (version, name, applied_at) VALUES (9999, 'later', now())")
	if _, err := s.Migrate(t.Context(), now); !errors.Is(err, sandtrail.CodeUnavailable) || !strings.Contains(err.Error(), "use a newer one") {
		t.Errorf("got %v", err)
	}
}

// Large batches go by COPY. Its driver closes the connection of a caller that
// gives up, and can see that before it sees why.
func TestGivingUpACopyIsTheCallersDoing(t *testing.T) {
	s, address := open(t)
	putOwners(t, s, 1)
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	copying, err := postgres.OpenDialed(t.Context(), withPool(t, address, "1"), func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return &givenUp{Conn: conn, giveUp: giveUp, interrupted: make(chan struct{}), closed: make(chan struct{})}, err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer copying.Close()
	batch := make([]sandtrail.Admitted, 300)
	for i := range batch {
		batch[i] = execution(now)
	}
	if _, err := copying.Append(ctx, batch); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want an error that wraps context.Canceled", err)
	}
	if n, err := s.CountBefore(t.Context(), sandtrail.Before(now.AddDate(0, 0, 1))); n != 0 || err != nil {
		t.Errorf("%d are stored, %v", n, err)
	}
}

// givenUp is the connection of a caller that gives up when rows are sent. Who
// reads learns that it is closed, not that it was interrupted.
type givenUp struct {
	net.Conn
	giveUp      func()
	interrupted chan struct{}
	closed      chan struct{}
	once        sync.Once
	closing     sync.Once
}

func (c *givenUp) Write(b []byte) (int, error) {
	if len(b) > 0 && b[0] == 'd' { // CopyData
		c.giveUp()
		<-c.interrupted
	}
	return c.Conn.Write(b)
}

func (c *givenUp) SetDeadline(at time.Time) error {
	if !at.IsZero() {
		c.once.Do(func() { close(c.interrupted) })
	}
	return c.Conn.SetDeadline(at)
}

func (c *givenUp) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		<-c.closed
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *givenUp) Close() error {
	c.closing.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
