package server

import (
	"context"
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
)

// Of those that wait, the caller that has least is next, and a large claim is not
// passed by small ones for ever.
func TestBudgetIsFair(t *testing.T) {
	b := newBudget("bytes", 10, 8)
	if err := b.try("a", 8); err != nil {
		t.Fatal(err)
	}
	if got := sandtrail.CodeOf(b.try("a", 1)); got != sandtrail.CodeRateLimited {
		t.Errorf("more than a share: %s", got)
	}
	if got := sandtrail.CodeOf(b.try("b", 3)); got != sandtrail.CodeUnavailable {
		t.Errorf("more than there is: %s", got)
	}
	order := make(chan string, 3)
	var waiting sync.WaitGroup
	claim := func(who, name string, amount int64, ahead int) {
		waiting.Go(func() {
			taken, err := b.wait(context.Background(), who, amount, time.Minute)
			if err != nil {
				t.Error(err)
			}
			order <- name
			b.give(who, taken)
		})
		for until := time.Now().Add(time.Minute); b.waits() < ahead; runtime.Gosched() {
			if time.Now().After(until) {
				t.Fatalf("%s does not wait", name)
			}
		}
	}
	claim("a", "a, that has its share", 8, 1)
	claim("b", "b, large", 100, 2) // a share of it
	claim("c", "c", 8, 3)
	b.give("a", 8)
	waiting.Wait()
	if first := <-order; first == "c" {
		t.Errorf("%s came first", first)
	}
	if b.used != 0 || len(b.held) != 0 || len(b.waiting) != 0 {
		t.Errorf("left: %d used, %v held, %d wait", b.used, b.held, len(b.waiting))
	}
}

func (b *budget) waits() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting)
}

// Who goes, or has waited too long, leaves nothing behind.
func TestBudgetIsLeft(t *testing.T) {
	b := newBudget("bytes", 10, 10)
	if err := b.try("a", 10); err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.wait(gone, "b", 5, time.Minute); err != context.Canceled {
		t.Errorf("a caller that goes: %v", err)
	}
	if _, err := b.wait(t.Context(), "b", 5, time.Millisecond); sandtrail.CodeOf(err) != sandtrail.CodeUnavailable {
		t.Errorf("a caller that waits: %v", err)
	}
	b.give("a", 10)
	if taken, err := b.wait(t.Context(), "c", 10, 0); err != nil || taken != 10 {
		t.Errorf("after them: %d, %v", taken, err)
	}
}

// fakeConn is a connection from an address.
type fakeConn struct {
	net.Conn
	address string
	closed  bool
}

func (f *fakeConn) Close() error { f.closed = true; return nil }
func (f *fakeConn) RemoteAddr() net.Addr {
	addr, _ := net.ResolveTCPAddr("tcp", f.address)
	return addr
}

// Beside all connections of a flood a new one comes in; those that are being
// answered stay.
func TestConnectionsGiveWay(t *testing.T) {
	c := newConnections(3)
	answered := &fakeConn{address: "192.0.2.1:1"}
	other := &fakeConn{address: "198.51.100.1:1"}
	c.watch(answered, http.StateNew)
	done := busy(c.attach(t.Context(), answered))
	c.watch(other, http.StateNew)
	var flood []*fakeConn
	for range 5 {
		conn := &fakeConn{address: "192.0.2.1:2"}
		flood = append(flood, conn)
		c.watch(conn, http.StateNew)
	}
	for i, conn := range flood {
		if want := i < len(flood)-1; conn.closed != want {
			t.Errorf("connection %d of the flood: closed %t", i, conn.closed)
		}
	}
	if answered.closed || other.closed {
		t.Errorf("closed: the one that is answered %t, another address's %t", answered.closed, other.closed)
	}
	done()
	c.watch(&fakeConn{address: "203.0.113.1:1"}, http.StateNew)
	if !answered.closed {
		t.Error("the oldest that waits did not give way")
	}
}
