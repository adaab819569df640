package web

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/sandtrail/sandtrail"
)

// TestScreenshots takes a picture of every page on every screen and puts them
// into the directory that SCREENSHOTS names, for people to look at.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		t.Skip("set SCREENSHOTS to a directory to take pictures of the pages")
	}
	home := populated(t, largeStore(t, population.Executions))
	failure := newestIn(t, home.store, sandtrail.Filter{Success: new(false), TimedOut: new(false)})
	pages := map[string]string{
		"overview": "/", "executions": "/executions", "filtered": "/executions?outcome=failed&within=24h&minTime=100ms",
		"execution": "/executions/" + failure.ID.String(), "strategies": "/strategies", "strategy": "/strategies/s-0003",
		"users": "/users", "user": "/users/u-0002", "alerts": "/alerts", "admin": "/admin",
		"keys": "/admin/keys", "access-log": "/admin/access-log", "examination": "/admin/examination",
	}
	pages["session"] = home.session
	b := home.receive(t, visitors[0]).enter(t)
	for _, s := range screens {
		for name, path := range pages {
			t.Run(name+"-"+s.name, func(t *testing.T) {
				b := tab{t, b.ctx, b.url}
				b.look(s)
				b.open(path)
				picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
				if err == nil {
					err = os.WriteFile(filepath.Join(dir, name+"-"+s.name+".png"), picture, 0o644)
				}
				if err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}
