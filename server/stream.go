package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/follow"
)

const (
	followBatch = 200
	// gatherTime is how long a stream lets commits gather before it reads
	// them, so that a busy server is not asked once for each.
	gatherTime = 50 * time.Millisecond
	// keepAlive is how often an idle stream sends something, so that proxies
	// do not close it and a vanished reader is noticed.
	keepAlive = 15 * time.Second
	// reconnectMillis is what readers are told to wait before they come back.
	reconnectMillis = 2000
)

type streamInput struct {
	UserID      string         `query:"userId"`
	StrategyID  string         `query:"strategyId"`
	Type        string         `query:"executionType" enum:"VALIDATION,TERMINAL"`
	Success     optional[bool] `query:"success"`
	TimedOut    optional[bool] `query:"timedOut"`
	MinTime     optional[int]  `query:"minTime" doc:"executionTime of at least so many milliseconds."`
	MaxTime     optional[int]  `query:"maxTime" doc:"executionTime of at most so many milliseconds."`
	MinMemory   optional[int]  `query:"minMemory" doc:"memoryUsed of at least so many MiB."`
	MaxMemory   optional[int]  `query:"maxMemory" doc:"memoryUsed of at most so many MiB."`
	Text        string         `query:"text" doc:"metadata contains it; the case of ASCII letters does not matter."`
	LastEventID string         `header:"Last-Event-ID" doc:"Go on after this event; from now on if left out. Refused with 400 where the database is another since, such as a restored dump: begin anew without."`
}

// filter is what is asked for.
func (in *streamInput) filter() sandtrail.Filter {
	return sandtrail.Filter{
		UserID: in.UserID, StrategyID: in.StrategyID, Type: sandtrail.ExecutionType(in.Type),
		Success: in.Success.pointer(), TimedOut: in.TimedOut.pointer(), Text: in.Text,
		MinTime: in.MinTime.pointer(), MaxTime: in.MaxTime.pointer(), MinMemory: in.MinMemory.pointer(), MaxMemory: in.MaxMemory.pointer(),
	}
}

func (s *Server) streamExecutions(ctx context.Context, in *streamInput) (*huma.StreamResponse, error) {
	user, err := ownUser(ctx, in.UserID)
	if err != nil {
		return nil, err
	}
	in.UserID = user
	if s.services.follower == nil {
		return nil, sandtrail.Errorf(sandtrail.CodeNotFound, "this server has no stream: its store cannot be followed")
	}
	place := follow.Place(in.LastEventID)
	if place == "" {
		if place, err = s.services.follower.Tip(ctx); err != nil {
			return nil, err
		}
	}
	// A place that is not ours is refused before the stream begins.
	if _, err := s.services.follower.Follow(ctx, place, 1); err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		r, w := humago.Unwrap(c)
		s.metrics.streams.Inc()
		defer s.metrics.streams.Dec()
		stream := &stream{server: s, filter: in.filter(), place: place, out: newIdleWriter(w, s.cfg.Limits.IdleTime)}
		err := stream.run(r.Context(), w)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			s.logger(ctx).Warn("a live stream's reader took nothing and was dropped", "for", s.cfg.Limits.IdleTime)
		}
	}}, nil
}

// stream is one reader of committed records. It asks the store for what comes
// after its place whenever it has sent what it had: a slow reader slows only
// itself, and nothing piles up for it.
type stream struct {
	server *Server
	filter sandtrail.Filter
	place  follow.Place // behind the last record that was looked at
	sent   follow.Place // the last that the reader was told
	out    *idleWriter
}

func (st *stream) run(ctx context.Context, w http.ResponseWriter) error {
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	if err := st.write("retry: %d\nid: %s\n\n", reconnectMillis, st.place); err != nil {
		return err
	}
	st.sent = st.place
	spoken := time.Now()
	for {
		committed := st.server.committed.next()
		if err := st.catchUp(ctx); err != nil {
			return st.say(farewell(err))
		}
		if time.Since(spoken) >= keepAlive || st.sent != st.place {
			spoken, st.sent = time.Now(), st.place
			if err := st.write(": here\nid: %s\n\n", st.place); err != nil {
				return err
			}
		}
		if err := st.out.flush(); err != nil {
			return err
		}
		if st.wait(ctx, committed) {
			continue
		}
		return st.say("the server is stopping; come back with Last-Event-ID")
	}
}

// catchUp sends what became visible since.
func (st *stream) catchUp(ctx context.Context) error {
	for {
		records, err := st.server.services.follower.Follow(ctx, st.place, followBatch)
		if err != nil {
			st.server.logger(ctx).Warn("follow", "error", err)
			return err
		}
		for _, record := range records {
			st.place = record.Place
			if !database.Selects(st.filter, record.Execution) {
				continue
			}
			if err := st.send(record); err != nil {
				return err
			}
		}
		if len(records) < followBatch {
			return nil
		}
	}
}

func (st *stream) send(record follow.Followed) error {
	data, err := sandtrail.EncodeJSON(record.Execution)
	if err != nil {
		return err
	}
	st.sent = record.Place
	st.server.metrics.streamed.Inc()
	return st.write("id: %s\ndata: %s\n\n", record.Place, data)
}

// wait returns true when it is worth looking again, false at the end.
func (st *stream) wait(ctx context.Context, committed <-chan struct{}) bool {
	poll := time.NewTimer(st.server.cfg.Limits.PollEvery)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-st.server.drain.Done():
			return false
		case <-poll.C:
			return true
		case <-committed:
			committed = nil // what comes meanwhile is seen too
			poll.Reset(gatherTime)
		}
	}
}

// farewell says why a stream ends, and how its reader goes on.
func farewell(err error) string {
	code := sandtrail.CodeOf(err)
	if code == sandtrail.CodeInvalid { // the database was put back while it was followed
		return "the server cannot read on from here; begin anew without Last-Event-ID"
	}
	return "the server cannot read on: " + string(code) + "; come back with Last-Event-ID"
}

// say tells the reader why the stream ends.
func (st *stream) say(why string) error {
	if err := st.write(": %s\n\n", why); err != nil {
		return err
	}
	return st.out.flush()
}

func (st *stream) write(format string, args ...any) error {
	_, err := fmt.Fprintf(st.out, format, args...)
	return err
}
