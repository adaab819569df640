package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/follow"
	"github.com/sandtrail/sandtrail/remedy"
)

// place is a point in the order in which executions became visible. Commits
// do not come in any order of numbers, so it is a snapshot: everything that
// it sees lies before the place. Between two snapshots, seen and next, those
// that only next sees are ordered by (transaction, id), and the place is
// behind such a pair.
type place struct {
	origin
	seen string // pg_snapshot
	next string // "": the place is seen itself
	xid  string
	id   sandtrail.ID
}

// origin says where the newest snapshot of a place was taken. Transaction ids
// mean something there alone.
type origin struct {
	// database holds the identifier of the cluster and the oids of the database and
	// of its table of ids. A restored dump has others, and so has a copy.
	database string
	timeline string // of the log, as in the names of its files
	end      uint64 // of the log, after the snapshot was taken
}

func (o origin) String() string {
	return o.database + "." + o.timeline + "." + strconv.FormatUint(o.end, 10)
}

func parseOrigin(text string) (o origin, err error) {
	parts := strings.Split(text, ".")
	if len(parts) != 5 {
		return o, errBadPlace
	}
	o = origin{database: strings.Join(parts[:3], "."), timeline: parts[3]}
	if o.end, err = strconv.ParseUint(parts[4], 10, 64); err != nil {
		return o, errBadPlace
	}
	return o, nil
}

func parsePlace(text follow.Place) (p place, err error) {
	parts := strings.Split(string(text), "/")
	if len(parts) != 2 && len(parts) != 5 {
		return p, errBadPlace
	}
	if p.origin, err = parseOrigin(parts[0]); err != nil {
		return p, err
	}
	if p.seen = parts[1]; len(parts) == 2 {
		return p, nil
	}
	_, notNumber := strconv.ParseUint(parts[3], 10, 64)
	if err = p.id.UnmarshalText([]byte(parts[4])); err != nil || notNumber != nil {
		return p, errBadPlace
	}
	p.next, p.xid = parts[2], parts[3]
	return p, nil
}

func (p place) String() string {
	text := p.origin.String() + "/" + p.seen
	if p.next != "" {
		text += "/" + p.next + "/" + p.xid + "/" + p.id.String()
	}
	return text
}

// at is the place behind an entry that next sees.
func (p place) at(e entry) place {
	p.xid, p.id = e.XID, e.ID
	return p
}

var errBadPlace = sandtrail.Errorf(sandtrail.CodeInvalid,
	"the place is not one of this database, or of one that lacks transactions since; begin anew without one")

// errStandby is what followers of a standby get: its snapshots do not name the
// transactions that are under way, whose executions they would miss.
var errStandby = sandtrail.Errorf(sandtrail.CodeUnavailable, "a standby server cannot be followed: give the URL of the primary")

// errRestored is what followers get before upkeep has looked at a restored dump.
var errRestored = sandtrail.Errorf(sandtrail.CodeUnavailable,
	"the database was restored from a dump, which upkeep has to look at before it can be followed: migrate it").
	With(sandtrail.Remedy{Act: remedy.Migrate})

// present is the snapshot of now.
type present struct {
	origin
	snapshot string
}

// presentIn takes the snapshot first: what it sees of the log lies before the end.
func presentIn(ctx context.Context, q querier, l *layout) (now present, err error) {
	var standby, restored bool
	err = q.QueryRow(ctx, l.sql(`SELECT pg_current_snapshot()::text, pg_is_in_recovery(), EXISTS (SELECT FROM {schema}.ids WHERE `+isForeign+`),
		(SELECT system_identifier FROM pg_control_system()) || '.' || (SELECT oid FROM pg_database WHERE datname = current_database())
			|| '.' || '{schema}.ids'::regclass::oid,
		CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END,
		CASE WHEN pg_is_in_recovery() THEN 0 ELSE (pg_current_wal_insert_lsn() - '0/0')::bigint END`)).
		Scan(&now.snapshot, &standby, &restored, &now.database, &now.timeline, &now.end)
	switch {
	case err != nil:
	case standby:
		err = errStandby
	case restored:
		err = errRestored
	}
	return now, err
}

// check refuses a place of another database, and one behind transactions that
// this one does not have.
func (p place) check(ctx context.Context, tx pgx.Tx, now present) error {
	if p.database != now.database {
		return errBadPlace
	}
	if p.timeline != now.timeline {
		return p.checkTimeline(ctx, tx, now.timeline)
	}
	var isPast bool
	err := tx.QueryRow(ctx, "SELECT pg_snapshot_xmax($1::text::pg_snapshot) <= pg_snapshot_xmax($2::text::pg_snapshot)", p.seen, now.snapshot).Scan(&isPast)
	if err == nil && (!isPast || p.end > now.end) {
		err = errBadPlace
	}
	return err
}

// checkTimeline refuses a place whose timeline was left before its end: of the
// transactions that it saw some may be gone, and their ids given to others. So is
// one of which the user of the database cannot read that.
func (p place) checkTimeline(ctx context.Context, tx pgx.Tx, timeline string) error {
	var mayRead bool
	err := tx.QueryRow(ctx, "SELECT has_function_privilege('pg_read_file(text, bigint, bigint, boolean)', 'EXECUTE')").Scan(&mayRead)
	switch {
	case err != nil:
		return err
	case !mayRead:
		return errBadPlace
	}
	var history *string
	err = tx.QueryRow(ctx, "SELECT pg_read_file('pg_wal/' || $1::text || '.history', 0, 1000000, true)", timeline).Scan(&history)
	switch {
	case err != nil:
		return err
	case history == nil:
		return errBadPlace
	}
	for line := range strings.Lines(*history) {
		var parent, high, low uint64
		if n, _ := fmt.Sscanf(line, "%d\t%X/%X", &parent, &high, &low); n == 3 && fmt.Sprintf("%08X", parent) == p.timeline && p.end <= high<<32|low {
			return nil
		}
	}
	return errBadPlace
}

// isForeign selects ids that transactions wrote of which the server does not know
// yet: those of a dump of another server.
const isForeign = "xid >= pg_snapshot_xmax(pg_current_snapshot())"

// foreignBatch is of how many executions a transaction of forgetForeign takes.
const foreignBatch = 20000

// forgetForeign puts the executions of a restored dump before all places. Their
// transaction ids are another server's: followers would take those that this one
// gives later for the same.
func (s *Store) forgetForeign(ctx context.Context, l *layout, _ time.Time) error {
	for n := int64(foreignBatch); n == foreignBatch; {
		var err error
		if n, err = s.execInTx(ctx, l.sql("UPDATE {schema}.ids SET xid = '0' WHERE ctid = ANY (ARRAY (SELECT ctid FROM {schema}.ids WHERE "+
			isForeign+" LIMIT "+strconv.Itoa(foreignBatch)+"))")); err != nil {
			return wrap("look at a restored dump", err)
		}
	}
	return nil
}
