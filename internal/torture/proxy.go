//go:build linux

package main

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// link is how a proxy treats what passes.
type link int

const (
	whole    link = iota
	cut           // connections are refused, those that exist are closed
	slow          // each piece waits
	halfOpen      // nothing passes, no side is told
)

// proxy is a network between two parts that can be harmed. Those that harm it
// mend it.
type proxy struct {
	listener net.Listener
	ended    sync.WaitGroup

	mu      sync.Mutex
	target  string
	link    link
	changed chan struct{} // closed when the link changes
	conns   map[net.Conn]bool
	closed  bool
}

// newProxy listens at an address and passes on to another one.
func newProxy(listen, target string) (*proxy, error) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, target: target, changed: make(chan struct{}), conns: map[net.Conn]bool{}}
	p.ended.Go(p.accept)
	return p, nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.set(cut)
	p.ended.Wait()
}

// set harms or mends the network. What hung in a half-open one is reset then.
func (p *proxy) set(l link) {
	p.mu.Lock()
	was := p.link
	p.link = l
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
	if l == cut || was == halfOpen {
		p.reset()
	}
}

// reset ends every connection with a RST.
func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
}

func (p *proxy) state() (link, chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.link, p.changed
}

func (p *proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return // it is closed
		}
		p.ended.Go(func() { p.serve(c) })
	}
}

// keep notes a connection, so that it can be reset; not when the network is cut.
func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.link == cut {
		_ = c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *proxy) drop(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *proxy) serve(from net.Conn) {
	if !p.keep(from) {
		return
	}
	defer p.drop(from)
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	to, err := net.DialTimeout("tcp", target, 5*time.Second)
	if err != nil || !p.keep(to) {
		return
	}
	defer p.drop(to)
	var both sync.WaitGroup
	both.Go(func() { p.pass(to, from) })
	both.Go(func() { p.pass(from, to) })
	both.Wait()
}

// pass copies in one direction until that ends.
func (p *proxy) pass(to, from net.Conn) {
	defer func() {
		if tcp, ok := to.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
	}()
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && !p.through() {
			return
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				_ = from.Close() // what comes from there has nowhere to go
				return
			}
		}
		if err != nil {
			if err != io.EOF {
				_ = to.Close()
			}
			return
		}
	}
}

// slowPiece is how long each piece waits in a slow network.
const slowPiece = 60 * time.Millisecond

// through waits as the network does. What waited in a half-open network is lost.
func (p *proxy) through() bool {
	for waited := false; ; waited = true {
		l, changed := p.state()
		switch {
		case l == cut || waited:
			return l != cut && !waited
		case l == slow:
			pause(context.Background(), slowPiece)
			return true
		case l == whole:
			return true
		}
		<-changed
	}
}
