package web

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/outbox"
)

// Examiner tells administrators and auditors about the database; both stores
// do.
type Examiner interface {
	database.Surveyor
	Doctor(ctx context.Context, depth database.Depth, now time.Time) ([]database.Check, error)
	Migrations(ctx context.Context) ([]database.Migration, error)
	Due(ctx context.Context, work string) (time.Time, error)
	Accesses(ctx context.Context, q auth.AccessQuery) ([]auth.Access, error)
	Holds(ctx context.Context) ([]sandtrail.Hold, error)
}

// Outbox tells what waits on the server's own machine; *outbox.Outbox does.
type Outbox interface {
	Dir() string
	State() (outbox.State, error)
}

// adminFrame is what the pages of the administration have in common.
type adminFrame struct {
	*frame
	Tabs []choice
}

// adminPage turns readers away who may not see the administration.
func (v *view) adminPage(title, path string) (adminFrame, error) {
	if v.Examiner == nil {
		return adminFrame{}, sandtrail.Errorf(sandtrail.CodeNotFound, "This server shows no administration.")
	}
	if !v.who.audits() {
		return adminFrame{}, sandtrail.Errorf(sandtrail.CodeForbidden, "This page is for administrators and auditors. Sign in with a key of one of them.")
	}
	f := adminFrame{frame: v.frame(title, "admin")}
	for _, tab := range []choice{
		{Label: "State", Href: "/admin"},
		{Label: "Keys", Href: "/admin/keys"},
		{Label: "Access log", Href: "/admin/access-log"},
		{Label: "Health check", Href: "/admin/examination"},
	} {
		if v.API == nil && (tab.Label == "Keys" || tab.Label == "Access log") {
			continue // it is the API that is asked for them
		}
		tab.Current = tab.Href == path
		f.Tabs = append(f.Tabs, tab)
	}
	return f, nil
}

type adminPage struct {
	adminFrame
	Integrity *integrity
	Retention retention
	Holds     []holdRow
	Space     space
	Outbox    *outboxState
	Pending   int // migrations to be applied
	Schema    int // the version that the database has
}

// retention is how long records are kept, and when they are removed.
type retention struct {
	Keep    string
	Own     []period // of types and strategies
	Removes bool
	Last    *accessRow
	Next    stamp
	Due     bool // a cleanup can begin any moment
}

// period is how long executions of something are kept.
type period struct{ Of, Keep string }

func keeping(d time.Duration) string {
	if d == 0 {
		return "for ever"
	}
	return "for " + sandtrail.FormatDuration(d)
}

// space is the store's size, with the partitions beside the largest of them.
type space struct {
	database.Space
	Parts []part
	Ready int // partitions of the time to come, which are not among Parts
}

// Spare is how much of it is free; 0 when that is not known.
func (s space) Spare() int64 {
	if s.Free == nil {
		return 0
	}
	return *s.Free
}

type part struct {
	database.Part
	Period string
	Width  string
}

type outboxState struct {
	Dir string
	outbox.State
}

func admin(v *view) error {
	f, err := v.adminPage("Administration", "/admin")
	if err != nil {
		return err
	}
	p := adminPage{adminFrame: f}
	for _, fill := range []func(*view) error{p.survey, p.planRetention, p.listHolds, p.countMigrations, p.lookIntoOutbox} {
		if err := fill(v); err != nil {
			return err
		}
	}
	if p.Integrity, err = v.integrity(p.frame); err != nil {
		return err
	}
	v.render(http.StatusOK, "admin", p)
	return nil
}

func (p *adminPage) survey(v *view) error {
	found, err := v.Examiner.Space(v.r.Context())
	if err != nil {
		return err
	}
	p.Space.Space = found
	var most int64 = 1
	for _, each := range found.Parts {
		most = max(most, each.Bytes)
	}
	for _, each := range found.Parts {
		if each.Since.After(v.now) {
			p.Space.Ready++
			continue
		}
		row := part{Part: each, Width: share(100 * float64(each.Bytes) / float64(most)), Period: "all other times"}
		if !each.Since.IsZero() {
			row.Period = each.Since.Format("2 Jan") + " – " + each.Until.AddDate(0, 0, -1).Format("2 Jan 2006")
		}
		p.Space.Parts = append(p.Space.Parts, row)
	}
	return nil
}

func (p *adminPage) planRetention(v *view) error {
	periods := v.Retention
	p.Retention.Keep, p.Retention.Removes = keeping(periods.Keep), periods.Removes()
	for _, t := range slices.Sorted(maps.Keys(periods.Types)) {
		p.Retention.Own = append(p.Retention.Own, period{typeLabel(t), keeping(periods.Types[t])})
	}
	for _, id := range slices.Sorted(maps.Keys(periods.Strategies)) {
		p.Retention.Own = append(p.Retention.Own, period{id, keeping(periods.Strategies[id])})
	}
	if periods.Removes() {
		due, err := v.Examiner.Due(v.r.Context(), auth.RetentionWork)
		if err != nil {
			return err
		}
		p.Retention.Next, p.Retention.Due = p.Stamp(due), !due.After(v.now)
	}
	// Not through the API, which would write down that the log was read.
	last, err := v.Examiner.Accesses(v.r.Context(), auth.AccessQuery{Action: auth.CleanupAction, Outcome: auth.Allowed, Limit: 1})
	if err == nil && len(last) > 0 {
		p.Retention.Last = &accessRow{last[0], p.Stamp(last[0].At)}
	}
	return err
}

// holdRow is a legal hold and the page of what it is on.
type holdRow struct {
	sandtrail.Hold
	Href  string
	Since stamp
}

func (p *adminPage) listHolds(v *view) error {
	holds, err := v.Examiner.Holds(v.r.Context())
	for _, h := range holds {
		page := "/users/"
		if h.Subject == sandtrail.Strategies {
			page = "/strategies/"
		}
		p.Holds = append(p.Holds, holdRow{h, page + url.PathEscape(h.SubjectID), p.Stamp(h.CreatedAt)})
	}
	return err
}

func (p *adminPage) countMigrations(v *view) error {
	migrations, err := v.Examiner.Migrations(v.r.Context())
	for _, m := range migrations {
		if m.Applied.IsZero() {
			p.Pending++
		} else {
			p.Schema = m.Version
		}
	}
	return err
}

func (p *adminPage) lookIntoOutbox(v *view) error {
	if v.Outbox == nil {
		return nil
	}
	box, err := v.Outbox()
	if err != nil || box == nil {
		return err
	}
	state, err := box.State()
	p.Outbox = &outboxState{box.Dir(), state}
	return err
}

type examinationPage struct {
	adminFrame
	Checks     []database.Check
	Migrations []migrationRow
	Wrong      int // checks that found a fault
}

type migrationRow struct {
	database.Migration
	When stamp
}

// examination does what doctor does, which may take seconds.
func examination(v *view) error {
	f, err := v.adminPage("Health check", "/admin/examination")
	if err != nil {
		return err
	}
	p := examinationPage{adminFrame: f}
	if p.Checks, err = v.Examiner.Doctor(v.r.Context(), database.Shallow, v.now); err != nil {
		return err
	}
	for _, c := range p.Checks {
		if !c.OK {
			p.Wrong++
		}
	}
	migrations, err := v.Examiner.Migrations(v.r.Context())
	if err != nil {
		return err
	}
	for _, m := range migrations {
		p.Migrations = append(p.Migrations, migrationRow{m, p.Stamp(m.Applied)})
	}
	v.render(http.StatusOK, "examination", p)
	return nil
}
