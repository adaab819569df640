package web

import (
	"net/http"
	"net/url"

	"github.com/sandtrail/sandtrail"
)

type executionsPage struct {
	*frame
	Form     filterForm
	Problems map[string]string // by parameter
	Chips    []chip
	Rows     []row
	First    bool   // this is the first page
	Next     string // address of the next page; "" on the last
	Newest   string // address of the first page
	Export   []choice
	Live     string // address of the stream; "" when there is none
	More     bool   // the less common filters are in use
	Empty    bool   // nothing was ever recorded, as far as the reader can see
}

// row is one execution in a list.
type row struct {
	sandtrail.Execution
	Outcome  outcome
	When     stamp
	Href     string
	Finding  *sandtrail.Finding // the first error, or else the first warning
	More     int                // further findings
	TypeName string
}

func (v *view) row(f *frame, e sandtrail.Execution) row {
	r := row{
		Execution: e, Outcome: outcomeOf(e), When: f.Stamp(e.CreatedAt),
		Href: "/executions/" + e.ID.String(), TypeName: typeLabel(e.Type),
	}
	errs, warnings := e.Findings()
	if found := append(errs, warnings...); len(found) > 0 {
		r.Finding, r.More = &found[0], len(found)-1
	}
	return r
}

func (v *view) rows(f *frame, found []sandtrail.Execution) []row {
	rows := make([]row, len(found))
	for i, e := range found {
		rows[i] = v.row(f, e)
	}
	return rows
}

// StrategyLabel is the strategy's name, or its id.
func (r row) StrategyLabel() string {
	if r.Strategy != nil && r.Strategy.Name != "" {
		return r.Strategy.Name
	}
	return r.StrategyID
}

// UserLabel is the user's e-mail, or their id.
func (r row) UserLabel() string {
	if r.User != nil && r.User.Email != "" {
		return r.User.Email
	}
	return r.UserID
}

// StrategyHref and UserHref are the pages of the owners.
func (r row) StrategyHref() string { return "/strategies/" + url.PathEscape(r.StrategyID) }
func (r row) UserHref() string     { return "/users/" + url.PathEscape(r.UserID) }

// Time is the execution time for the template's formats.
func (r row) Time() *float64 { return float(&r.ExecutionTime) }

// Memory is the memory used for the template's formats.
func (r row) Memory() *float64 { return float(r.MemoryUsed) }

func executions(v *view) error {
	asked := v.r.URL.Query()
	form := readForm(asked)
	var id sandtrail.ID
	if id.UnmarshalText([]byte(form.Text)) == nil {
		http.Redirect(v.w, v.r, "/executions/"+id.String(), http.StatusSeeOther)
		return nil
	}
	p := executionsPage{
		frame: v.frame("Executions", "executions"), Form: form, Chips: form.chips("/executions"),
		First: asked.Get("cursor") == "", Newest: address("/executions", form.values()),
		More: form.Since+form.Until+form.MinTime+form.MaxTime+form.MinMemory+form.MaxMemory != "",
	}
	status := http.StatusOK
	f, err := form.filter(v.loc)
	if err == nil {
		err = p.list(v, f, asked.Get("cursor"))
	}
	if sandtrail.CodeOf(err) == sandtrail.CodeInvalid {
		status, p.Problems, p.More = http.StatusUnprocessableEntity, fieldProblems(err), true
	} else if err != nil {
		return err
	}
	v.render(status, "executions", p)
	return nil
}

func (p *executionsPage) list(v *view, f sandtrail.Filter, cursor string) error {
	page, err := v.store.executions(v.r.Context(), sandtrail.Query{Filter: f, Cursor: cursor})
	if err != nil {
		return err
	}
	p.Rows = v.rows(p.frame, page.Items)
	p.Empty = len(page.Items) == 0 && len(p.Chips) == 0 && p.First
	if page.NextCursor != "" {
		next := p.Form.values()
		next.Set("cursor", page.NextCursor)
		p.Next = address("/executions", next)
	}
	if v.API == nil {
		return nil
	}
	for _, format := range []string{"csv", "ndjson"} {
		q := p.Form.values()
		q.Set("format", format)
		p.Export = append(p.Export, choice{Label: format, Href: address("/export", q)})
	}
	if p.First && f.Until.IsZero() {
		p.Live = address("/live", p.Form.values())
	}
	return nil
}

func fieldProblems(err error) map[string]string {
	problems := map[string]string{}
	e, ok := err.(*sandtrail.Error)
	if !ok {
		return map[string]string{"": err.Error()}
	}
	if len(e.Fields) == 0 {
		problems[""] = e.Message
	}
	for _, f := range e.Fields {
		problems[f.Path] = f.Message
	}
	return problems
}
