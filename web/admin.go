package web

import (
	"context"
	"net/http"
	"time"

	"github.com/sandtrail/sandtrail"
)

// Examiner tells administrators about the database; sandtrail.Database does.
type Examiner interface {
	Doctor(ctx context.Context, depth sandtrail.Depth, now time.Time) ([]sandtrail.Check, error)
	Migrations(ctx context.Context) ([]sandtrail.Migration, error)
}

type adminPage struct {
	*frame
	Checks     []sandtrail.Check
	Migrations []migrationRow
	Wrong      int // checks that found a fault
}

type migrationRow struct {
	sandtrail.Migration
	When stamp
}

// admin shows the state of the database. It is for administrators alone.
func admin(v *view) error {
	if v.Examiner == nil {
		return sandtrail.Errorf(sandtrail.CodeNotFound, "This server shows no administration page.")
	}
	if !v.who.administers() {
		return sandtrail.Errorf(sandtrail.CodeForbidden, "This page is for administrators.")
	}
	p := adminPage{frame: v.frame("Administration", "admin")}
	var err error
	if p.Checks, err = v.Examiner.Doctor(v.r.Context(), sandtrail.Shallow, v.now); err != nil {
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
	v.render(http.StatusOK, "admin", p)
	return nil
}
