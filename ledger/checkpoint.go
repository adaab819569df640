package ledger

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint commits to the first Size leaves of a log. Its signed form is a
// C2SP tlog-checkpoint.
type Checkpoint struct {
	Origin string // names the log
	Size   int64
	Root   Hash
	// Lost are the names of the keys that were lost before it, separated by blanks; "":
	// none. It is an extension line of the note.
	Lost string
}

const lostPrefix = "sandtrail/lost-keys "

// text is the body of the note.
func (c Checkpoint) text() string {
	text := fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
	if c.Lost != "" {
		text += lostPrefix + c.Lost + "\n"
	}
	return text
}

func parseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 || lines[0] == "" {
		return Checkpoint{}, errors.New("a checkpoint must hold the lines origin, size and root hash")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return Checkpoint{}, fmt.Errorf("%q is not a tree size", lines[1])
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return Checkpoint{}, fmt.Errorf("%q is not a root hash", lines[2])
	}
	c := Checkpoint{Origin: lines[0], Size: size, Root: Hash(root)}
	for _, extension := range lines[3:] {
		if lost, is := strings.CutPrefix(extension, lostPrefix); is {
			c.Lost = lost
		}
	}
	return c, nil
}

// ErrSignature is wrapped by the error for a checkpoint that no known key
// signed, or whose signature is wrong.
var ErrSignature = errors.New("not signed by a key we know")

// Verifiers are the public keys that a verifier trusts for one log.
type Verifiers struct{ keys []note.Verifier }

// ParseVerifiers reads public keys in the form of C2SP signed notes,
// name+hash+key.
func ParseVerifiers(keys ...string) (Verifiers, error) {
	var v Verifiers
	for i, key := range keys {
		if slices.Contains(keys[:i], key) {
			continue // two of one name would be ambiguous
		}
		verifier, err := note.NewVerifier(key)
		if err != nil {
			return Verifiers{}, fmt.Errorf("public key %q: %w; it must be name+hash+key", key, err)
		}
		v.keys = append(v.keys, verifier)
	}
	return v, nil
}

// Open checks the signature of a checkpoint and reads it. The checkpoint must
// be of the log that the key is named after.
func (v Verifiers) Open(signed []byte) (Checkpoint, error) {
	n, err := note.Open(signed, note.VerifierList(v.keys...))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("open checkpoint: %w: %w", ErrSignature, err)
	}
	c, err := parseCheckpoint(n.Text)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("open checkpoint: %w", err)
	}
	if c.Origin != n.Sigs[0].Name {
		return Checkpoint{}, fmt.Errorf("open checkpoint: of log %q, signed for %q: %w", c.Origin, n.Sigs[0].Name, ErrSignature)
	}
	return c, nil
}
