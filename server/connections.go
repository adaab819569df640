package server

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// connections bounds the connections to a server. When there are too many, the
// oldest one on which the server waits for its caller gives way, of the address
// that has most: so a new caller, such as a probe, always comes in.
type connections struct {
	limit int

	mu   sync.Mutex
	open []*connection // in the order in which they came
	of   map[net.Conn]*connection
	by   map[string]int // by address
}

// connection is one of a caller.
type connection struct {
	net.Conn
	address string
	answers atomic.Int32 // requests that are being answered
}

func newConnections(limit int) *connections {
	return &connections{limit: limit, of: map[net.Conn]*connection{}, by: map[string]int{}}
}

type connectionKey struct{}

// attach makes the connection known to its requests.
func (c *connections) attach(ctx context.Context, conn net.Conn) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	return context.WithValue(ctx, connectionKey{}, c.of[conn])
}

// watch is told of every connection that comes, goes or waits.
func (c *connections) watch(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if victim := c.add(conn); victim != nil {
			_ = victim.Close() // its caller has lost it, whatever this says
		}
	case http.StateClosed, http.StateHijacked:
		c.mu.Lock()
		defer c.mu.Unlock()
		c.remove(c.of[conn])
	}
}

// add returns the connection that has to be closed, if there are too many.
func (c *connections) add(conn net.Conn) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	address, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
	added := &connection{Conn: conn, address: caller{remote: address}.shareName()}
	if len(c.open) < c.limit {
		c.open, c.of[conn] = append(c.open, added), added
		c.by[added.address]++
		return nil
	}
	victim := c.victim()
	if victim == nil {
		return conn // every other one is being answered
	}
	c.remove(victim)
	c.open, c.of[conn] = append(c.open, added), added
	c.by[added.address]++
	return victim.Conn
}

// victim is the oldest connection that waits for its caller, of the address that
// has most of all.
func (c *connections) victim() (oldest *connection) {
	for _, other := range c.open {
		if other.answers.Load() == 0 && (oldest == nil || c.by[other.address] > c.by[oldest.address]) {
			oldest = other
		}
	}
	return oldest
}

func (c *connections) remove(gone *connection) {
	if gone == nil {
		return // it has given way already
	}
	delete(c.of, gone.Conn)
	for i, other := range c.open {
		if other == gone {
			c.open = append(c.open[:i], c.open[i+1:]...)
			break
		}
	}
	if c.by[gone.address]--; c.by[gone.address] == 0 {
		delete(c.by, gone.address)
	}
}

// busy keeps the connection of a request that is being answered from giving way,
// until the function that it returns is called.
func busy(ctx context.Context) (done func()) {
	conn, _ := ctx.Value(connectionKey{}).(*connection)
	if conn == nil {
		return func() {}
	}
	conn.answers.Add(1)
	return func() { conn.answers.Add(-1) }
}
