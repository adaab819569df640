package ledger

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sandtrail/sandtrail"
)

// Witness remembers the newest checkpoint of each of some logs, and takes
// another only with a proof that it continues the one before: so a log that
// was cut or rewritten cannot have it. It speaks C2SP tlog-witness.
type Witness struct {
	Memory WitnessMemory
	Logs   Verifiers   // whose checkpoints it takes
	Keys   func() Keys // cosign them, such as Service.Current
}

// WitnessMemory keeps what a witness has seen.
type WitnessMemory interface {
	// Witnessed returns the newest checkpoint of a log, nil when none was seen.
	Witnessed(ctx context.Context, origin string) ([]byte, error)
	// PutWitnessed replaces the checkpoint that was the newest until now, nil
	// for the first, durably. It reports false when another was put meanwhile.
	PutWitnessed(ctx context.Context, origin string, was, signed []byte, at time.Time) (bool, error)
}

// ConflictError tells which size the witness has seen, so that the proof can
// begin there.
type ConflictError struct{ Size int64 }

func (e *ConflictError) Error() string {
	return fmt.Sprintf("the newest checkpoint that was seen here is of %d entries: the proof must begin there", e.Size)
}

// Unwrap gives the error its code.
func (e *ConflictError) Unwrap() error { return sandtrail.CodeConflict }

// AddCheckpoint takes a request: the line "old" and a size, a line per hash of
// the proof from that size, an empty line, and the signed checkpoint. It
// returns the lines of its cosignature. The error is a ConflictError when the
// proof begins elsewhere than at what was seen, else CodeInvalid, or
// CodeForbidden for a log that is not known here; a proof that does not hold is
// ErrForked.
func (w Witness) AddCheckpoint(ctx context.Context, request []byte, now time.Time) ([]byte, error) {
	old, proof, signed, err := parseAddCheckpoint(request)
	if err != nil {
		return nil, &sandtrail.Error{Code: sandtrail.CodeInvalid, Message: err.Error()}
	}
	next, err := w.Logs.Open(signed)
	if err != nil {
		return nil, &sandtrail.Error{Code: sandtrail.CodeForbidden, Message: err.Error(), Err: err}
	}
	was, err := w.Memory.Witnessed(ctx, next.Origin)
	if err != nil {
		return nil, err
	}
	seen := Checkpoint{Origin: next.Origin, Root: emptyRoot}
	if was != nil {
		if seen, err = w.Logs.Open(was); err != nil {
			return nil, fmt.Errorf("checkpoint of %s that was seen: %w", next.Origin, err)
		}
	}
	if old != seen.Size {
		return nil, &ConflictError{seen.Size}
	}
	if err := continues(next, seen, proof); err != nil {
		return nil, err
	}
	put, err := w.Memory.PutWitnessed(ctx, next.Origin, was, signed, now)
	if err != nil {
		return nil, err
	}
	if !put {
		return nil, &ConflictError{seen.Size}
	}
	return w.Keys().Cosign(next, now)
}

// ErrForked is returned for a checkpoint that does not continue the one that
// was seen.
var ErrForked = sandtrail.Errorf(sandtrail.CodeInvalid, "the checkpoint does not continue the one seen before: the log was cut or rewritten; compare it with a copy kept elsewhere")

func continues(next, seen Checkpoint, proof []Hash) error {
	if next.Size < seen.Size {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "the checkpoint is of %d entries, the proof begins at %d: send a later checkpoint", next.Size, seen.Size)
	}
	ok := len(proof) == 0
	if seen.Size > 0 && next.Size > seen.Size {
		ok = CheckConsistency(proof, next, seen) == nil
	} else if next.Size == seen.Size {
		ok = ok && next.Root == seen.Root
	}
	if !ok {
		return ErrForked
	}
	return nil
}

// addCheckpoint is a request to a witness.
func addCheckpoint(old int64, proof []Hash, signed []byte) []byte {
	b := fmt.Appendf(nil, "old %d\n", old)
	for _, hash := range proof {
		b = append(b, base64.StdEncoding.EncodeToString(hash[:])...)
		b = append(b, '\n')
	}
	return append(append(b, '\n'), signed...)
}

// maxProof bounds the proof of a request, as tlog-witness has it.
const maxProof = 63

func parseAddCheckpoint(request []byte) (old int64, proof []Hash, signed []byte, err error) {
	head, signed, ok := bytes.Cut(request, []byte("\n\n"))
	if !ok {
		return 0, nil, nil, errors.New("between the proof and the checkpoint must be an empty line")
	}
	lines := strings.Split(string(head), "\n")
	size, ok := strings.CutPrefix(lines[0], "old ")
	old, err = strconv.ParseInt(size, 10, 64)
	if !ok || err != nil || old < 0 {
		return 0, nil, nil, fmt.Errorf("the first line must be old and a size, got %.40q", lines[0])
	}
	if len(lines)-1 > maxProof {
		return 0, nil, nil, fmt.Errorf("the proof has more than %d hashes", maxProof)
	}
	for _, line := range lines[1:] {
		hash, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(hash) != tlog.HashSize {
			return 0, nil, nil, fmt.Errorf("%.60q is not a hash in base64", line)
		}
		proof = append(proof, Hash(hash))
	}
	return old, proof, signed, nil
}

// WitnessRequest is what a witness that has seen the first old leaves is asked
// to add: the checkpoint with the proof.
func (s Service) WitnessRequest(ctx context.Context, old int64, signed []byte) ([]byte, error) {
	c, err := s.Current().Open(signed)
	if err != nil {
		return nil, err
	}
	if old > c.Size {
		return nil, s.shorter(ctx, old, c)
	}
	var proof []Hash
	if old > 0 && old < c.Size {
		err = s.Log.Inspect(ctx, 0, func(snap Snapshot) (err error) {
			proof, err = ProveConsistency(c.Size, old, tilesOf(ctx, snap))
			return err
		})
	}
	return addCheckpoint(old, proof, signed), err
}

// shorter is the error of a log that a witness has seen longer.
func (s Service) shorter(ctx context.Context, old int64, c Checkpoint) error {
	var closed []ClosedLog
	err := s.Log.Inspect(ctx, 0, func(snap Snapshot) (err error) {
		closed, err = snap.Closed(ctx)
		return err
	})
	if err != nil {
		return err
	}
	err = fmt.Errorf("a witness has seen %d entries, the log has %d: %w", old, c.Size, ErrForked)
	if len(closed) > 0 {
		err = fmt.Errorf("%w; the log before it was closed at %s: sign this one with a new key (another file), whose origin is new to the witness",
			err, closed[0].At.Format(time.RFC3339))
	}
	return err
}
