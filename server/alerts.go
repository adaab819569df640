package server

import (
	"context"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
	"github.com/sandtrail/sandtrail/api"
)

// Alerts is what is kept about alerts. Both databases keep it.
type Alerts interface {
	AlertStates(ctx context.Context) ([]alert.State, error)
	AlertEvents(ctx context.Context, before sandtrail.ID, limit int) ([]alert.Event, error)
	alert.Silences
}

func (s *Server) registerAlerts() {
	register(s, operation("GET /v1/alerts", "alerts", "Which alert rules fire",
		"Evaluates every rule now."), s.alerts)
	register(s, operation("GET /v1/alerts/history", "alertHistory", "List when rules began to fire and ended",
		"Newest first, each with what became of telling every channel. A year is kept."), s.alertHistory)
	register(s, operation("GET /v1/alerts/silences", "listSilences", "List the silences that last", "Oldest first."), s.listSilences)
	create := operation("POST /v1/alerts/silences", "createSilence", "Silence a rule, or all of them",
		"The server sends nothing while it lasts. Rules that still fire when it ends are notified then.")
	create.DefaultStatus = 201
	register(s, create, s.createSilence)
	register(s, operation("DELETE /v1/alerts/silences/{id}", "endSilence", "End a silence before its time", ""), s.endSilence)
}

var errNoAlerts = sandtrail.Errorf(sandtrail.CodeNotFound, "this server has no silences: its store keeps nothing about alerts")

func (s *Server) alerts(ctx context.Context, _ *struct{}) (*body[api.Alerts], error) {
	now := sandtrail.Millisecond(s.now())
	out := api.Alerts{Alerts: []api.Alert{}}
	for _, rule := range s.cfg.Rules {
		stats, err := s.store.WindowStats(ctx, rule.At(now))
		if err != nil {
			return nil, err
		}
		verdict := rule.Evaluate(stats)
		out.Firing = out.Firing || verdict.Firing
		out.Alerts = append(out.Alerts, api.NewAlert(verdict))
	}
	return answer(out, nil)
}

func (s *Server) alertHistory(ctx context.Context, in *PageInput) (*body[api.Page[alert.Event]], error) {
	before, err := in.before()
	if err != nil {
		return nil, err
	}
	if s.services.alerts == nil {
		return answer(api.NewPage[alert.Event](nil, ""), nil)
	}
	events, err := s.services.alerts.AlertEvents(ctx, before, in.Limit)
	next := nextBefore(events, in.Limit, func(e alert.Event) sandtrail.ID { return e.ID })
	return answer(api.NewPage(events, next), err)
}

func (s *Server) listSilences(ctx context.Context, _ *struct{}) (*body[api.Page[alert.Silence]], error) {
	if s.services.alerts == nil {
		return answer(api.NewPage[alert.Silence](nil, ""), nil)
	}
	silences, err := s.services.alerts.Silences(ctx, s.now())
	return answer(api.NewPage(silences, ""), err)
}

type createSilenceInput struct{ Body api.NewSilence }

func (s *Server) createSilence(ctx context.Context, in *createSilenceInput) (*body[alert.Silence], error) {
	if s.services.alerts == nil {
		return nil, errNoAlerts
	}
	silence, err := in.Body.Make(callerOf(ctx).name(), s.now())
	if err == nil {
		err = alert.CheckRule(silence.Rule, s.ruleNames())
	}
	if err != nil {
		return nil, err
	}
	return answer(silence, s.services.alerts.CreateSilence(ctx, silence))
}

func (s *Server) ruleNames() (names []string) {
	for _, rule := range s.cfg.Rules {
		names = append(names, rule.Name)
	}
	return names
}

func (s *Server) endSilence(ctx context.Context, in *keyInput) (*struct{}, error) {
	if s.services.alerts == nil {
		return nil, errNoAlerts
	}
	id, err := sandtrail.ParseID(in.ID)
	if err != nil {
		return nil, err
	}
	return nil, s.services.alerts.EndSilence(ctx, id, sandtrail.Millisecond(s.now()))
}
