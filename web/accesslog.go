package web

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
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
	sandtrail.Access
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
	var found api.Page[sandtrail.Access]
	err = v.ask(http.MethodGet, "/v1/access-log", q, nil, &found)
	if sandtrail.CodeOf(err) == sandtrail.CodeInvalid {
		status, p.Problems = http.StatusBadRequest, fieldProblems(err)
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
