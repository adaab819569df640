package postgres_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/pgtest"
)

// TestDaysAreThoseOfPostgres compares the days of trends with date(… AT TIME
// ZONE …) around every change of every zone that Go and the server know.
func TestDaysAreThoseOfPostgres(t *testing.T) {
	conn := foreign(t, pgtest.Server(t))
	p := points{}
	zones, unknown := 0, 0
	for _, name := range names(t, conn, "SELECT name FROM pg_timezone_names WHERE name !~ '^(posix|right)' ORDER BY name") {
		zone, err := sandtrail.ParseLocation(name)
		if err != nil {
			unknown++
			continue
		}
		zones++
		p.addChanges(t, name, zone)
	}
	days, offsets := p.ask(t, conn)
	compared, other := 0, map[string]bool{}
	for i, at := range p.at {
		if _, offset := at.Zone(); offset != offsets[i] {
			other[p.zones[i]] = true
			continue
		}
		if compared++; p.days[i] != days[i] {
			t.Errorf("%s is on %s for us, on %s for PostgreSQL", at, p.days[i], days[i])
		}
	}
	if zones < 400 || compared < 10000 {
		t.Errorf("only %d instants of %d zones were compared", compared, zones)
	}
	t.Logf("compared %d instants of %d zones; left out: %d names that Go does not know, instants whose offsets differ, of %v", compared, zones, unknown, slices.Sorted(maps.Keys(other)))
}

// points are instants, the zone of each, and the day that it is on for us.
type points struct {
	zones, days []string
	at          []time.Time
}

// addChanges adds what lies around the changes of a zone from 2011 to 2036: on
// both sides of each change, and of each start of a day near it.
func (p *points) addChanges(t *testing.T, name string, zone *time.Location) {
	t.Helper()
	for at := time.Date(2011, 1, 1, 0, 0, 0, 0, time.UTC).In(zone); ; {
		_, change := at.ZoneBounds()
		if change.IsZero() || change.Year() > 2036 {
			return
		}
		q := sandtrail.TrendQuery{Since: change.Add(-30 * time.Hour), Until: change.Add(30 * time.Hour), Location: zone}
		edges, err := q.Edges()
		if err != nil {
			t.Fatal(err)
		}
		for i, edge := range edges[1:] {
			day := q.Label(edges[i])
			p.add(name, day, edge.Add(-time.Millisecond).In(zone))
			if !change.Before(edges[i]) && change.Before(edge) {
				p.add(name, day, change)
			}
			if change.After(edges[i]) && change.Before(edge) {
				p.add(name, day, change.Add(-time.Millisecond))
			}
			if i > 0 {
				p.add(name, day, edges[i].In(zone))
			}
		}
		at = change
	}
}

func (p *points) add(zone, day string, at time.Time) {
	p.zones, p.days, p.at = append(p.zones, zone), append(p.days, day), append(p.at, at)
}

// ask has the server say of each instant on which day it is, and how many
// seconds the zone's clock is ahead of UTC.
func (p *points) ask(t *testing.T, conn *pgx.Conn) (days []string, offsets []int) {
	t.Helper()
	rows, err := conn.Query(t.Context(), `SELECT date(at AT TIME ZONE zone)::text, extract(epoch FROM at AT TIME ZONE zone - at AT TIME ZONE 'UTC')::integer
		FROM unnest($1::text[], $2::timestamptz[]) WITH ORDINALITY p (zone, at, n) ORDER BY n`, p.zones, p.at)
	if err != nil {
		t.Fatal(err)
	}
	var day string
	var offset int
	if _, err := pgx.ForEachRow(rows, []any{&day, &offset}, func() error {
		days, offsets = append(days, day), append(offsets, offset)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return days, offsets
}

func names(t *testing.T, conn *pgx.Conn, query string) []string {
	t.Helper()
	return strings.Fields(value[string](t, conn, "SELECT string_agg(name, ' ') FROM ("+query+") AS named"))
}
