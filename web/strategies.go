package web

import (
	"net/http"
	"net/url"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// ownersPage lists strategies or users: the busiest of a window, or all of
// them by id.
type ownersPage struct {
	*frame
	Subject sandtrail.Subject
	Window  window
	Sorts   []choice
	Rows    []rankRow
	All     bool
	Owners  []owner // when all are listed
	Next    string
	AllHref string
	TopHref string
}

type owner struct{ ID, Name, Href string }

// topOwners is how many lines a ranking page has.
const topOwners = 100

func strategies(v *view) error {
	p := ownersPage{frame: v.frame("Strategies", "strategies"), Subject: sandtrail.Strategies}
	if v.listsAll() {
		return p.listAll(v, func(q sandtrail.OwnerQuery) (string, error) {
			page, err := v.Store.Strategies(v.r.Context(), q)
			for _, s := range page.Items {
				p.Owners = append(p.Owners, owner{s.ID, s.Name, "/strategies/" + url.PathEscape(s.ID)})
			}
			return page.NextCursor, err
		})
	}
	return p.rank(v)
}

func users(v *view) error {
	if v.who.UserID != "" {
		http.Redirect(v.w, v.r, "/users/"+url.PathEscape(v.who.UserID), http.StatusSeeOther)
		return nil
	}
	p := ownersPage{frame: v.frame("Users", "users"), Subject: sandtrail.Users}
	if v.listsAll() {
		return p.listAll(v, func(q sandtrail.OwnerQuery) (string, error) {
			page, err := v.Store.Users(v.r.Context(), q)
			for _, u := range page.Items {
				p.Owners = append(p.Owners, owner{u.ID, u.Email, "/users/" + url.PathEscape(u.ID)})
			}
			return page.NextCursor, err
		})
	}
	return p.rank(v)
}

// listsAll reports whether the list of all is asked for. It names owners that
// a bound reader may not know of, who gets the ranking instead.
func (v *view) listsAll() bool {
	return v.r.URL.Query().Get("view") == "all" && v.who.UserID == ""
}

func (p *ownersPage) listAll(v *view, read func(sandtrail.OwnerQuery) (next string, err error)) error {
	p.All, p.TopHref = true, v.r.URL.Path
	next, err := read(sandtrail.OwnerQuery{Limit: 100, Cursor: v.r.URL.Query().Get("cursor")})
	if err != nil {
		return err
	}
	if next != "" {
		p.Next = address(v.r.URL.Path, url.Values{"view": {"all"}, "cursor": {next}})
	}
	v.render(http.StatusOK, "owners", p)
	return nil
}

func (p *ownersPage) rank(v *view) error {
	p.Window = readWindow(v.r.URL, "7d", v.now, v.loc)
	order := sandtrail.MostExecutions
	if v.r.URL.Query().Get("sort") == "failures" {
		order = sandtrail.MostFailures
	}
	for _, sort := range []struct {
		label string
		order sandtrail.RankOrder
	}{{"Most executions", sandtrail.MostExecutions}, {"Most failures", sandtrail.MostFailures}} {
		q := v.r.URL.Query()
		q.Set("sort", string(sort.order))
		p.Sorts = append(p.Sorts, choice{sort.label, address(v.r.URL.Path, q), sort.order == order})
	}
	if order == sandtrail.MostFailures {
		for i, c := range p.Window.Choices {
			p.Window.Choices[i].Href = c.Href + "&sort=failures"
		}
	}
	ranks, err := v.store.ranking(v.r.Context(), sandtrail.RankQuery{
		Subject: p.Subject, Since: p.Window.Since, Until: p.Window.Until, Order: order, Limit: topOwners,
	})
	if err != nil {
		return err
	}
	p.Rows = rankRows(p.Subject, ranks, p.Window)
	if v.who.UserID == "" {
		p.AllHref = v.r.URL.Path + "?view=all"
	}
	v.render(http.StatusOK, "owners", p)
	return nil
}

type strategyPage struct {
	*frame
	Strategy sandtrail.Strategy
	Own      bool // a bound reader's view: their own executions alone
	Health   sandtrail.StrategyHealth
	Strip    strip
	Findings strip // errors and warnings of the same executions
	Most     int   // of them in one execution
	Stats    sandtrail.StrategyStats
	Failing  *streak
	Window   window
	Chart    chart
	Times    histogram
	Memory   histogram
	People   []rankRow
	Recent   []row
	Sampled  int
	List     string
}

// streak is a row of failures that has not ended.
type streak struct {
	Since stamp
	First string // the page of the first failure
	Runs  int    // how many in a row
	Open  bool   // it may have begun earlier than what was looked at
	Never bool   // no execution ever succeeded
}

func strategy(v *view) error {
	found, err := v.store.strategy(v.r.Context(), v.r.PathValue("id"))
	if err != nil {
		return err
	}
	p := strategyPage{
		frame: v.frame(found.Name, "strategies"), Strategy: found, Own: v.who.UserID != "",
		Window: readWindow(v.r.URL, "30d", v.now, v.loc),
		List:   address("/executions", url.Values{"strategyId": {found.ID}}),
	}
	f := sandtrail.Filter{StrategyID: found.ID}
	newest, err := v.store.newest(v.r.Context(), f)
	if err != nil {
		return err
	}
	if p.Stats, err = v.store.strategyStats(v.r.Context(), found.ID); err != nil {
		return err
	}
	if p.Chart, err = v.chart(p.Window, "", found.ID); err != nil {
		return err
	}
	if p.Failing, err = v.streak(p.frame, f, newest); err != nil {
		return err
	}
	last := newest[:min(len(newest), sandtrail.DefaultHealthLast)]
	p.Health, p.Strip = database.Health(found.ID, last), newStrip(p.frame, last)
	p.Findings, p.Most = findingsStrip(last)
	p.Times, p.Memory = distributions(newest)
	p.People = rankRows(sandtrail.Users, tally(newest, sandtrail.Users, sandtrail.MostExecutions, 8), window{Name: "90d"})
	p.Recent, p.Sampled = v.rows(p.frame, newest[:min(len(newest), 12)]), len(newest)
	v.render(http.StatusOK, "strategy", p)
	return nil
}

// chart draws the trend of a user or a strategy over a window.
func (v *view) chart(w window, userID, strategyID string) (chart, error) {
	if w.Name == "1h" {
		w.Since = w.Until.Add(-24 * 60 * 60 * 1e9)
	}
	q := sandtrail.TrendQuery{
		Since: w.Since, Until: w.Until, Location: v.loc, Bucket: w.bucket(), UserID: userID, StrategyID: strategyID,
	}
	buckets, err := v.store.trends(v.r.Context(), q)
	if err != nil {
		return chart{}, err
	}
	link := url.Values{}
	if userID != "" {
		link.Set("userId", userID)
	}
	if strategyID != "" {
		link.Set("strategyId", strategyID)
	}
	return newChart(q, buckets, link)
}

// streak finds since when executions have failed, given the newest of them;
// nil when the newest did not fail.
func (v *view) streak(f *frame, filter sandtrail.Filter, newest []sandtrail.Execution) (*streak, error) {
	if len(newest) == 0 || newest[0].Success {
		return nil, nil
	}
	s := &streak{}
	for _, e := range newest {
		if e.Success {
			break
		}
		s.Runs++
	}
	first := &newest[s.Runs-1]
	if s.Runs == len(newest) {
		filter.Success = new(true)
		page, err := v.store.executions(v.r.Context(), sandtrail.Query{Filter: filter, Limit: 1})
		if err != nil {
			return nil, err
		}
		filter.Success, s.Open = nil, len(newest) == sampled
		if len(page.Items) == 0 {
			s.Never = true
		} else if first, err = v.store.following(v.r.Context(), filter, page.Items[0]); err != nil || first == nil {
			return nil, err
		}
	}
	s.Since, s.First = f.Stamp(first.CreatedAt), "/executions/"+first.ID.String()
	return s, nil
}

func distributions(found []sandtrail.Execution) (times, memory histogram) {
	var millis, mib []float64
	for _, e := range found {
		millis = append(millis, float64(e.ExecutionTime))
		if e.MemoryUsed != nil {
			mib = append(mib, float64(*e.MemoryUsed))
		}
	}
	return newHistogram(millis, 0, formatMillis), newHistogram(mib, len(found)-len(mib), formatMemory)
}
