package web

import (
	"net/http"
	"net/url"

	"github.com/sandtrail/sandtrail"
)

type userPage struct {
	*frame
	User       sandtrail.User
	Stats      sandtrail.UserStats
	Window     window
	Chart      chart
	Strip      strip
	Strategies []rankRow
	Recent     []row
	Sampled    int
	List       string
}

// Name is what to call the user by.
func (p userPage) Name() string {
	if p.User.Name != nil && *p.User.Name != "" {
		return *p.User.Name
	}
	return p.User.Email
}

func user(v *view) error {
	found, err := v.store.userByID(v.r.Context(), v.r.PathValue("id"))
	if err != nil {
		return err
	}
	p := userPage{
		frame: v.frame(found.Email, "users"), User: found, Window: readWindow(v.r.URL, "30d", v.now, v.loc),
		List: address("/executions", url.Values{"userId": {found.ID}}),
	}
	if p.Stats, err = v.store.userStats(v.r.Context(), found.ID); err != nil {
		return err
	}
	if p.Chart, err = v.chart(p.Window, found.ID, ""); err != nil {
		return err
	}
	newest, err := v.store.newest(v.r.Context(), sandtrail.Filter{UserID: found.ID})
	if err != nil {
		return err
	}
	p.Strip = newStrip(p.frame, newest[:min(len(newest), sandtrail.DefaultHealthLast)])
	p.Strategies = rankRows(sandtrail.Strategies, tally(newest, sandtrail.Strategies, sandtrail.MostExecutions, 12), window{Name: "90d"})
	p.Recent, p.Sampled = v.rows(p.frame, newest[:min(len(newest), 12)]), len(newest)
	v.render(http.StatusOK, "user", p)
	return nil
}
