package web

import (
	"cmp"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/auth"
)

type accessLogPage struct {
	adminFrame
	Form     accessForm
	Problems map[string]string
	Rows     []accessRow
	First    bool
	Next     string
}

type accessForm struct{ Actor, Action, Outcome string }

// Filters reports whether the form leaves lines out.
func (f accessForm) Filters() bool { return f.Actor+f.Action+f.Outcome != "" }

func (f accessForm) values() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{"actor": f.Actor, "action": f.Action, "outcome": f.Outcome} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

type accessRow struct {
	auth.Access
	When stamp
}

func accessLog(v *view) error {
	f, err := v.adminPage("Access log", "/admin/access-log")
	if err != nil {
		return err
	}
	asked := v.r.URL.Query()
	get := func(name string) string { return strings.TrimSpace(asked.Get(name)) }
	p := accessLogPage{
		adminFrame: f, First: get("cursor") == "",
		Form: accessForm{Actor: get("actor"), Action: get("action"), Outcome: get("outcome")},
	}
	q := p.Form.values()
	if !p.First {
		q.Set("cursor", get("cursor"))
	}
	status := http.StatusOK
	var found api.Page[auth.Access]
	err = v.ask(http.MethodGet, "/v1/access-log", q, nil, &found)
	if sandtrail.CodeOf(err) == sandtrail.CodeInvalid {
		status, p.Problems = http.StatusUnprocessableEntity, fieldProblems(err)
	} else if err != nil {
		return err
	}
	for _, line := range found.Items {
		p.Rows = append(p.Rows, accessRow{line, p.Stamp(line.At)})
	}
	if next := found.Next(); next != "" {
		q.Set("cursor", next)
		p.Next = address("/admin/access-log", q)
	}
	v.render(status, "access-log", p)
	return nil
}

// refusalsPerSecond bounds what strangers can write into the access log.
const refusalsPerSecond = 10

// noteRefusal notes in the access log that the page refused something. It
// never fails the answer, which is a refusal already.
func (v *view) noteRefusal(cause error) {
	if v.AccessLog == nil || v.told || !v.refusals.AllowN(v.now, 1) {
		return
	}
	at := sandtrail.Millisecond(v.now)
	line := auth.Access{
		ID: sandtrail.NewID(at), At: at, Actor: cmp.Or(v.who.Name, "anonymous"), Action: v.action(),
		Object: v.r.URL.RequestURI(), Outcome: auth.Denied, Detail: cause.Error(),
	}
	if !v.who.KeyID.IsZero() {
		line.KeyID = &v.who.KeyID
	}
	line.Remote, _, _ = net.SplitHostPort(v.r.RemoteAddr)
	if err := v.AccessLog.LogAccess(v.r.Context(), line.Bounded()); err != nil {
		v.Log.Error("note a refused page", "action", line.Action, "error", err)
	}
}

// action names what was asked for in the access log.
func (v *view) action() string {
	switch {
	case v.r.Pattern == "POST /sign-in":
		return "sign in"
	case strings.Contains(v.r.Pattern, " "):
		return v.r.Pattern
	}
	return v.r.Method + " " + v.r.URL.Path
}
