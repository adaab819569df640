package server

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"time"

	"github.com/sandtrail/sandtrail"
)

const (
	// smallBody bounds the bodies of calls that store no executions.
	smallBody = 1 << 20
	// guestSlots are the requests without a key that are answered, and guestBodies
	// those that are received, at once. A half of them is one address's.
	guestSlots, guestBodies = 128, 64
	// probeSlots are the readiness checks that are answered at once.
	probeSlots = 64
	// spooledBytes is the memory, diskBytes what files hold, of bodies that are
	// coming. A half of it is one key's.
	spooledBytes, diskBytes = 16 << 20, 1 << 30
)

// shares are what callers share. No caller can take all of one, and none that
// needs a key is taken by those who have none.
type shares struct {
	slots   *budget // requests that are being answered
	streams *budget // live streams
	guests  *budget // bodies of callers without a key that are coming
	visits  *budget // requests of theirs that are being answered
	probes  *budget
	bodies  *budget // that are coming, in units of their buffers
	spooled *budget // memory of those
	disk    *budget // and their files
	memory  *budget // of bodies that are being decoded
}

func newShares(l Limits) shares {
	return shares{
		slots:   halved("requests at once", int64(l.Requests)),
		streams: newBudget("live streams at once", int64(l.Streams), max(1, int64(l.Streams)/8)),
		guests:  halved("bodies without a key on their way", guestBodies),
		visits:  halved("requests without a key at once", guestSlots),
		probes:  halved("health checks at once", probeSlots),
		bodies:  halved("bodies on their way (a compressed one counts by its window)", int64(l.Bodies)),
		spooled: halved("bytes of bodies in memory", spooledBytes),
		disk:    halved("bytes of bodies aside", diskBytes),
		memory:  newBudget("bytes of memory for bodies", l.BodyMemory, l.BodyMemory),
	}
}

// slotsOf is where the requests of a route are counted; nil: nowhere.
func (s *Server) slotsOf(pattern string, route route) *budget {
	switch {
	case pattern == "GET /healthz" || route.ownBody:
		return nil
	case pattern == "GET /readyz":
		return s.probes
	case pattern == "GET "+streamPath:
		return s.streams
	case route.grants&byAnybody != 0:
		return s.visits
	}
	return s.slots
}

// serve answers a request that was let in, once its body has come.
func (s *Server) serve(slots *budget, route route, w http.ResponseWriter, r *http.Request, handle http.HandlerFunc) {
	if route.ownBody {
		handle(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodDelete && r.Body != http.NoBody {
		kept, err := s.receiveWhole(w, r, cmp.Or(route.body, smallBody))
		if err != nil {
			s.writeProblem(w, r, err, "body")
			return
		}
		defer kept.free()
		if err := s.replaceBody(r, kept); err != nil {
			s.writeProblem(w, r, err, "body")
			return
		}
	}
	s.limit(slots, route.endless, w, r, handle)
}

// replaceBody gives the handler the body that has come, without its compression.
func (s *Server) replaceBody(r *http.Request, kept *spool) error {
	stored, err := kept.open()
	if err != nil {
		return err
	}
	plain, err := unpack(r.Context(), r.Header.Get("Content-Encoding"), stored)
	r.Body = struct {
		io.Reader
		io.Closer
	}{atMost(plain, smallBody), plain}
	return err
}

// limit refuses what is beyond the number of requests that are answered at once
// and bounds how long one may take.
func (s *Server) limit(slots *budget, endless bool, w http.ResponseWriter, r *http.Request, handle http.HandlerFunc) {
	if slots != nil {
		who := callerOf(r.Context()).shareName()
		if err := slots.try(who, 1); err != nil {
			s.writeProblem(w, r, err, "")
			return
		}
		defer slots.give(who, 1)
	}
	defer busy(r.Context())()
	if endless {
		handle(w, r)
		return
	}
	ctx, cancel := s.answering(w, r)
	defer cancel()
	handle(w, r.WithContext(ctx))
}

// answering bounds the time of an answer.
func (s *Server) answering(w http.ResponseWriter, r *http.Request) (context.Context, context.CancelFunc) {
	limits := s.cfg.Limits
	// Writers without deadlines, as in tests, need none.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(limits.RequestTime + limits.IdleTime))
	return context.WithTimeout(r.Context(), limits.RequestTime)
}

// inSlot does a part of a request's work that is bounded in time, in a slot that it
// waits for at most so long; 0: not at all.
func (s *Server) inSlot(w http.ResponseWriter, r *http.Request, atMost time.Duration, work func(context.Context) error) error {
	who := callerOf(r.Context()).shareName()
	err := s.slots.try(who, 1)
	if err != nil && atMost > 0 && sandtrail.CodeOf(err) != sandtrail.CodeInternal {
		_, err = s.slots.wait(r.Context(), who, 1, atMost)
	}
	if err != nil {
		return err
	}
	defer s.slots.give(who, 1)
	defer busy(r.Context())()
	ctx, cancel := s.answering(w, r)
	defer cancel()
	return work(ctx)
}
