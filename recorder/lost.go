package recorder

import (
	"path/filepath"
	"time"

	"github.com/sandtrail/sandtrail"
)

// Lost is the status of a run whose recorder was killed before the run ended. Its
// outcome is not known.
const Lost Status = "lost"

// Begun is what can be told of a run before it starts: the trace to leave in
// case its recorder dies.
func Begun(c Command, userID, strategyID string, kind sandtrail.ExecutionType) sandtrail.Draft {
	r := Result{Command: filepath.Base(c.Args[0]), Limits: c.Limits, Timeout: c.Timeout, Status: Lost}
	if c.RecordArgs {
		r.Args = maskSecrets(c.Args[1:])
	}
	if c.Terminal != nil && c.Terminal.Record != "" {
		r.Session = &Session{Path: c.Terminal.Record, Format: SessionFormat, Input: c.Terminal.RecordInput}
	}
	lost := sandtrail.Finding{
		Severity: "error", Code: string(Lost),
		Message: "the recorder died before the execution ended: how it ended is not known, and its time is how long it was seen",
	}
	return sandtrail.Draft{
		UserID: userID, StrategyID: strategyID, Type: kind,
		Metadata: r.metadata([]sandtrail.Finding{lost}, nil),
	}
}

// LostRun makes the record of a lost run out of its trace, given how long it
// was seen running. It is no success, and its status and its error say that it
// is no failure of the strategy either.
//
// The session that it had begun to record is closed: what there is of it
// becomes part of the record. It is looked for in the directory sessions, under
// the name SessionName gives it, and nowhere else: a trace may have been forged.
func LostRun(sessions string) func(begun sandtrail.Draft, seen time.Duration) sandtrail.Draft {
	return func(begun sandtrail.Draft, seen time.Duration) sandtrail.Draft {
		success, elapsed := false, int(min(seen.Milliseconds(), sandtrail.MaxInt))
		begun.Metadata = sealSession(begun.Metadata, filepath.Join(sessions, SessionName(begun.ID)))
		begun.Success, begun.ExecutionTime = &success, &elapsed
		begun.CreatedAt = sandtrail.Millisecond(begun.CreatedAt.Add(seen))
		return begun
	}
}
