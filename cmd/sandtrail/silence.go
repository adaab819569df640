package main

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/internal/human"
	"github.com/sandtrail/sandtrail/internal/table"
)

type alertHistoryCmd struct {
	Limit int `default:"50" help:"At most so many, up to 1000."`
	output
}

// Examples shows how it is used.
func (alertHistoryCmd) Examples() []string {
	return []string{"sandtrail alert history", "sandtrail alert history --limit 10 -o json"}
}

// Run prints when rules began to fire and ended, and who was told.
func (c *alertHistoryCmd) Run(ctx context.Context, d *deps) error {
	if c.Limit < 1 || c.Limit > sandtrail.MaxLimit {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "--limit: must be 1 to %d, got %d", sandtrail.MaxLimit, c.Limit)
	}
	alerts, err := d.alerts(ctx)
	if err != nil {
		return err
	}
	events, err := alerts.AlertEvents(ctx, sandtrail.ID{}, c.Limit)
	if err != nil {
		return err
	}
	return print(d, c.Output, finding[alert.Event]{
		whole: api.NewPage(events, ""), rows: events, columns: alertEventColumns(), empty: "No alert has fired yet.",
	})
}

func alertEventColumns() []table.Column[alert.Event] {
	type row = alert.Event
	return []table.Column[row]{
		{
			Name: "at", Title: "WHEN (UTC)", Value: func(e row) string { return exactTime(&e.At) },
			Text: func(e row) string { return human.Time(e.At) },
		},
		label("rule", "RULE", func(e row) string { return e.Rule }),
		label("state", "STATE", func(e row) string {
			if e.Firing {
				return "firing"
			}
			return "resolved"
		}),
		label("silenced", "SILENCED", func(e row) string { return strconv.FormatBool(e.Silenced) }),
		label("told", "TOLD", told),
		label("message", "MESSAGE", func(e row) string { return e.Message }),
	}
}

// told says who was told of an event, and who could not be.
func told(e alert.Event) string {
	var said []string
	for _, d := range e.Deliveries {
		switch {
		case d.Delivered:
			said = append(said, d.Channel)
		case d.Error == "":
			said = append(said, d.Channel+" (on its way)")
		default:
			said = append(said, d.Channel+" FAILED ("+d.Error+")")
		}
	}
	return strings.Join(said, "; ")
}

type alertSilenceCmd struct {
	Rule   string   `arg:"" optional:"" help:"Name of the rule; every rule if left out."`
	For    duration `required:"" placeholder:"DURATION" help:"How long, such as 2h."`
	Reason string   `placeholder:"TEXT" help:"Why."`
}

// Examples shows how it is used.
func (alertSilenceCmd) Examples() []string {
	return []string{
		`sandtrail alert silence --for 2h --reason "moving the sandboxes"`,
		"sandtrail alert silence high-failure-rate --for 1d",
	}
}

// Run makes a silence and prints its id alone, for scripts.
func (c *alertSilenceCmd) Run(ctx context.Context, d *deps) error {
	if c.For <= 0 {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "--for: must be longer than 0, such as 2h")
	}
	alerts, err := d.alerts(ctx)
	if err != nil {
		return err
	}
	silence, err := alerts.CreateSilence(ctx, api.NewSilence{Rule: c.Rule, For: time.Duration(c.For).String(), Reason: c.Reason})
	if err != nil {
		return err
	}
	return d.say("%s", silence.ID)
}

type alertSilencesCmd struct{ output }

// Examples shows how it is used.
func (alertSilencesCmd) Examples() []string {
	return []string{"sandtrail alert silences", "sandtrail alert silences -o csv"}
}

// Run prints the silences that last.
func (c *alertSilencesCmd) Run(ctx context.Context, d *deps) error {
	alerts, err := d.alerts(ctx)
	if err != nil {
		return err
	}
	silences, err := alerts.Silences(ctx, d.now())
	if err != nil {
		return err
	}
	type row = alert.Silence
	return print(d, c.Output, finding[row]{
		whole: api.NewPage(silences, ""), rows: silences, empty: "Nothing is silenced.",
		columns: []table.Column[row]{
			label("id", "ID", func(s row) string { return s.ID.String() }),
			label("rule", "RULE", func(s row) string { return s.Rule }),
			{
				Name: "until", Title: "UNTIL (UTC)", Value: func(s row) string { return exactTime(&s.Until) },
				Text: func(s row) string { return human.Time(s.Until) },
			},
			label("createdBy", "BY", func(s row) string { return s.CreatedBy }),
			label("reason", "REASON", func(s row) string { return s.Reason }),
		},
	})
}

type alertUnsilenceCmd struct {
	ID string `arg:"" help:"Id of the silence, as silences shows it, or its first digits."`
}

// Examples shows how it is used.
func (alertUnsilenceCmd) Examples() []string {
	return []string{"sandtrail alert unsilence 0192d3a4-7b1c"}
}

// Run ends the silence.
func (c *alertUnsilenceCmd) Run(ctx context.Context, d *deps) error {
	alerts, err := d.alerts(ctx)
	if err != nil {
		return err
	}
	id, err := idOf("silence", c.ID, func() ([]alert.Silence, error) { return alerts.Silences(ctx, d.now()) },
		func(s alert.Silence) sandtrail.ID { return s.ID })
	if err != nil {
		return err
	}
	return alerts.EndSilence(ctx, id, sandtrail.Millisecond(d.now()))
}

// alertKeeper keeps what is known about alerts, here or on a server.
type alertKeeper interface {
	AlertEvents(ctx context.Context, before sandtrail.ID, limit int) ([]alert.Event, error)
	Silences(ctx context.Context, since time.Time) ([]alert.Silence, error)
	CreateSilence(ctx context.Context, s api.NewSilence) (alert.Silence, error)
	EndSilence(ctx context.Context, id sandtrail.ID, now time.Time) error
}

func (d *deps) alerts(ctx context.Context) (alertKeeper, error) {
	return remoteOrLocal(ctx, d, "alerts", func(s serviceStore) alertKeeper { return localAlerts{s, d} })
}

// localAlerts keeps silences in a database and writes what it does into the
// access log, as a server does.
type localAlerts struct {
	serviceStore
	d *deps
}

func (l localAlerts) CreateSilence(ctx context.Context, ask api.NewSilence) (alert.Silence, error) {
	silence, err := ask.Make(localActor, l.d.now())
	if err == nil {
		err = l.checkRule(ctx, silence.Rule)
	}
	if err != nil {
		return silence, err
	}
	if err := l.d.recordAct(ctx, "silence alerts", silence.Rule); err != nil {
		return silence, err
	}
	return silence, l.serviceStore.CreateSilence(ctx, silence)
}

// checkRule refuses a rule that neither is the default one nor was ever
// evaluated on this database: the silence would silence nothing.
func (l localAlerts) checkRule(ctx context.Context, name string) error {
	known := []string{alert.DefaultRule().Name}
	states, err := l.AlertStates(ctx)
	if err != nil {
		return err
	}
	for _, s := range states {
		if !slices.Contains(known, s.Rule) {
			known = append(known, s.Rule)
		}
	}
	return alert.CheckRule(name, known)
}

func (l localAlerts) EndSilence(ctx context.Context, id sandtrail.ID, now time.Time) error {
	if err := l.d.recordAct(ctx, "end silence", id.String()); err != nil {
		return err
	}
	return l.serviceStore.EndSilence(ctx, id, now)
}
