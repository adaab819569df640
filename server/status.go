package server

import (
	"context"
	"net/http"
	"time"
)

// readyTime is how long the store may take to answer a ping.
const readyTime = 2 * time.Second

// health answers probes.
type health struct {
	Status string `json:"status" enum:"ok,stopping,unavailable"`
	Detail string `json:"detail,omitempty"`
}

func (s *Server) registerOperations() {
	register(s, operation("GET /healthz", "healthz", "Is the process alive", ""),
		func(context.Context, *struct{}) (*body[health], error) { return answer(health{Status: "ok"}, nil) })
	s.HandleFunc("GET /readyz", s.readyz)
	s.HandleFunc("GET /metrics", s.metrics.handler.ServeHTTP)
}

// readyz is 200 when requests can be served, 503 when they should go
// elsewhere.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	if s.drain.Err() != nil {
		sendJSON(w, http.StatusServiceUnavailable, health{Status: "stopping"})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readyTime)
	defer cancel()
	if err := s.store.Ping(ctx); err != nil {
		s.logger(ctx).Warn("not ready", "error", err)
		sendJSON(w, http.StatusServiceUnavailable, health{Status: "unavailable", Detail: "the store does not answer"})
		return
	}
	sendJSON(w, http.StatusOK, health{Status: "ok"})
}
