package runner

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/cmdline"
	"github.com/sandtrail/sandtrail/outbox"
)

// OutboxFlag says where records wait.
type OutboxFlag struct {
	Outbox string `placeholder:"DIR" env:"SANDTRAIL_OUTBOX" help:"Where executions wait that could not be delivered (default: one per database or server, in the user's state directory)."`
}

// Check refuses a place that can be no folder.
func (f OutboxFlag) Check() error { return canBeMade("--outbox", f.Outbox) }

// canBeMade refuses what a flag names, if anything, where it can be no folder.
func canBeMade(flag, path string) error {
	if path == "" {
		return nil
	}
	if err := cmdline.CanBeMade(path); err != nil {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "%s: %w", flag, err)
	}
	return nil
}

// dir is the outbox of the store that the program means. Each store has its
// own, so that no record ends in another than the one it was meant for.
func (f OutboxFlag) dir(p *Program) (string, error) {
	if f.Outbox != "" {
		return f.Outbox, f.Check()
	}
	state, err := p.stateDir("the outbox", "--outbox")
	return filepath.Join(state, "outbox", p.Target.Digest(p.Getenv)), err
}

// Open opens the outbox, for deliveries with so many retries: see
// outbox.Options.
func (f OutboxFlag) Open(p *Program, retries int) (*outbox.Outbox, error) {
	dir, err := f.dir(p)
	if err != nil {
		return nil, err
	}
	return outbox.Open(dir, outbox.Options{Now: p.Now, Retries: retries})
}

// Existing is the outbox if there is one already, nil where nothing ever
// waited: asking makes none.
func (f OutboxFlag) Existing(p *Program, retries int) (*outbox.Outbox, error) {
	dir, err := f.dir(p)
	if err != nil && f.Outbox == "" {
		return nil, nil // a machine without a home has no outbox
	}
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return f.Open(p, retries)
}

// SessionsFlag says where recorded sessions are, each in a file named by the
// id of its execution.
type SessionsFlag struct {
	SessionDir string `placeholder:"DIR" env:"SANDTRAIL_SESSIONS" help:"Where recorded sessions are, each as ID.cast (default: in the user's state directory)."`
}

// Check refuses a place that can be no folder.
func (f SessionsFlag) Check() error { return canBeMade("--session-dir", f.SessionDir) }

// Dir is the folder of the sessions.
func (f SessionsFlag) Dir(p *Program) (string, error) {
	if f.SessionDir != "" {
		if err := f.Check(); err != nil {
			return "", err
		}
		return filepath.Abs(f.SessionDir)
	}
	state, err := p.stateDir("sessions", "--session-dir")
	return filepath.Join(state, "sessions"), err
}

// stateDir is where the user's files of Sandtrail are kept between calls.
func (p *Program) stateDir(what, flag string) (string, error) {
	state := p.Getenv("XDG_STATE_HOME")
	if state == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", sandtrail.Errorf(sandtrail.CodeInvalid, "no place for %s: set %s, XDG_STATE_HOME or HOME", what, flag)
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "sandtrail"), nil
}

// Retention is how old records may be where the flag is left out.
const Retention = cmdline.Duration(sandtrail.DefaultRetention)

// RetentionFlag says how old records may be.
type RetentionFlag struct {
	Retention cmdline.Duration `default:"90d" env:"SANDTRAIL_RETENTION" help:"Refuse executions older than this; 0 takes any age."`
}

// Admission applies the rules of the record as of now.
func (f RetentionFlag) Admission(now time.Time) sandtrail.Admission {
	return sandtrail.Periods{Keep: time.Duration(f.Retention)}.Admission(now)
}
