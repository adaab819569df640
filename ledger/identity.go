package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/sandtrail/sandtrail"
)

// A log keeps the keys that it was begun with: those of its stored checkpoints. Keys
// that signed none of them would begin a second log over the same records, which
// every verification with the first keys takes for forged, and the other way round.

// Signers returns the names of the keys that signed the newest stored checkpoint, as
// origin+hash, without verifying it. None: no checkpoint of this log was signed yet.
func Signers(ctx context.Context, log Log) (names []string, err error) {
	err = log.Inspect(ctx, 0, func(snap Snapshot) error {
		newest, err := newestOf(ctx, snap)
		names = signersOf(newest)
		return err
	})
	return names, err
}

// newestOf is the newest stored checkpoint if it commits to this log, else nil: then it
// is forged, or this log began behind another that was closed.
func newestOf(ctx context.Context, snap Snapshot) ([]byte, error) {
	newest, err := snap.Newest(ctx)
	if err != nil || newest == nil {
		return nil, err
	}
	// A log that began behind another takes a new key at any time: the witnesses of
	// the former one ask for that.
	if closed, err := snap.Closed(ctx); err != nil || len(closed) > 0 {
		return nil, err
	}
	text, _, _ := strings.Cut(string(newest), "\n\n")
	c, err := parseCheckpoint(text + "\n")
	if err != nil {
		return nil, nil // verify tells
	}
	size, err := snap.Size(ctx)
	if err != nil || c.Size > size {
		return nil, err
	}
	root, err := Root(c.Size, tilesOf(ctx, snap))
	if err != nil || root != c.Root {
		return nil, ctx.Err()
	}
	return newest, nil
}

// signersOf reads the names of the keys of a signed note.
func signersOf(signed []byte) (names []string) {
	_, err := note.Open(signed, nil)
	var unverified *note.UnverifiedNoteError
	if !errors.As(err, &unverified) {
		return nil
	}
	for _, s := range unverified.Note.UnverifiedSigs {
		names = append(names, fmt.Sprintf("%s+%08x", s.Name, s.Hash))
	}
	return names
}

// CheckKeys refuses, with sandtrail.CodeConflict, keys with which no stored checkpoint
// was signed where the newest one of this log was signed with others.
func (s Service) CheckKeys(ctx context.Context) error {
	return s.Log.Inspect(ctx, 0, func(snap Snapshot) error { return s.checkKeys(ctx, snap) })
}

func (s Service) checkKeys(ctx context.Context, snap Snapshot) error {
	newest, err := snap.Newest(ctx)
	if err != nil || newest == nil || s.signed(newest) { // as it is in all but a few calls
		return err
	}
	if newest, err = newestOf(ctx, snap); err != nil || newest == nil {
		return err
	}
	for signed, err := range snap.Checkpoints(ctx) { // the newest may be forged
		if err != nil || s.signed(signed) {
			return err
		}
	}
	return sandtrail.Errorf(sandtrail.CodeConflict,
		"the key %s has signed nothing of this log, whose newest checkpoint is signed with %s: use the file of that key",
		strings.Join(signersOfKeys(s.Current()), ", "), strings.Join(signersOf(newest), ", "))
}

func (s Service) signed(checkpoint []byte) bool {
	_, err := s.Current().Open(checkpoint)
	return err == nil
}

func signersOfKeys(k Keys) (names []string) {
	for _, s := range k.signers {
		names = append(names, fmt.Sprintf("%s+%08x", s.Name(), s.KeyHash()))
	}
	return names
}

// ReplaceKeys makes keys for a log whose own are lost, has them placed by a function,
// and signs a checkpoint that names the lost ones. It is durable when ReplaceKeys
// returns. A log without any checkpoint has lost no key: sandtrail.CodeConflict.
func ReplaceKeys(ctx context.Context, log Log, now time.Time, place func(Keys) error) (Keys, error) {
	lost, err := Signers(ctx, log)
	if err == nil && len(lost) == 0 {
		err = sandtrail.Errorf(sandtrail.CodeConflict, "no checkpoint of this log was signed yet, so that no key of it is lost; make a key and sign a checkpoint first")
	}
	if err != nil {
		return Keys{}, err
	}
	origin, _, _ := strings.Cut(lost[0], "+")
	keys, err := GenerateKeys(rand.Reader, origin)
	if err != nil {
		return Keys{}, err
	}
	var size int64
	var root Hash
	err = log.Inspect(ctx, 0, func(snap Snapshot) (err error) {
		size, root, err = sizeAndRoot(ctx, snap)
		return err
	})
	if err != nil {
		return Keys{}, err
	}
	signed, err := keys.sign(Checkpoint{Origin: origin, Size: size, Root: root, Lost: strings.Join(lost, " ")})
	if err == nil {
		err = place(keys)
	}
	if err != nil {
		return Keys{}, err
	}
	return keys, log.PutCheckpoint(ctx, size, now, signed)
}

// lostKeys are the keys that stored checkpoints, signed with trusted ones, name as lost.
func (w *verifier) lostKeys() (names []string) {
	for _, all := range w.checkpoints {
		for _, c := range all {
			if c.Lost != "" {
				names = append(names, strings.Fields(c.Lost)...)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// sortUnknown makes findings of the stored checkpoints that no trusted key signed,
// except for those of a key whose loss is in the log: these are counted.
func (w *verifier) sortUnknown(unknown [][]byte) {
	w.sum.LostKeys = w.lostKeys()
	for _, signed := range unknown {
		isLost := slices.ContainsFunc(signersOf(signed), func(name string) bool { return slices.Contains(w.sum.LostKeys, name) })
		if isLost {
			w.sum.Unchecked++
			continue
		}
		w.addCheckpoint(signed, "stored")
	}
}
