package ledger

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Keys sign the checkpoints of one log and verify those signed before. Their
// text form is one key a line: private keys sign, public ones, of keys that
// were retired, only verify; # begins a comment.
type Keys struct {
	Verifiers
	signers []note.Signer
	private []string // newest last
	public  []string // one for each private key, then the retired ones
}

const privatePrefix = "PRIVATE+KEY+"

// GenerateKeys makes the first key of a log. The origin names the log: unique,
// without blanks and plus signs, such as example.com/audit.
func GenerateKeys(random io.Reader, origin string) (Keys, error) {
	private, _, err := note.GenerateKey(random, origin)
	if err != nil {
		return Keys{}, fmt.Errorf("generate a ledger key: %w", err)
	}
	return newKeys([]string{private}, nil)
}

// ParseKeys reads the text form.
func ParseKeys(text []byte) (Keys, error) {
	var private, retired []string
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, privatePrefix):
			private = append(private, line)
		default:
			retired = append(retired, line)
		}
	}
	return newKeys(private, retired)
}

func newKeys(private, retired []string) (Keys, error) {
	if len(private) == 0 {
		return Keys{}, errors.New("ledger key: no line begins with " + privatePrefix)
	}
	k := Keys{private: private}
	for i, text := range private {
		signer, err := note.NewSigner(text)
		if err != nil {
			// The cause may quote the key.
			return Keys{}, fmt.Errorf("ledger key: private key %d is malformed", i+1)
		}
		if i > 0 && signer.Name() != k.signers[0].Name() {
			return Keys{}, fmt.Errorf("ledger key: keys of two logs, %s and %s", k.signers[0].Name(), signer.Name())
		}
		k.signers = append(k.signers, signer)
		public, err := publicKey(text)
		if err != nil {
			return Keys{}, err
		}
		k.public = append(k.public, public)
	}
	k.public = append(k.public, retired...)
	var err error
	k.Verifiers, err = ParseVerifiers(k.public...)
	return k, err
}

// publicKey derives the public key in note form from a private one.
func publicKey(private string) (string, error) {
	key, err := privateKey(private)
	if err != nil {
		return "", err
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(private, privatePrefix), "+")
	return note.NewEd25519VerifierKey(name, key.Public().(ed25519.PublicKey))
}

// privateKey decodes a private key.
func privateKey(private string) (ed25519.PrivateKey, error) {
	parts := strings.SplitN(strings.TrimPrefix(private, privatePrefix), "+", 3)
	key, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(key) != 1+ed25519.SeedSize {
		return nil, errors.New("ledger key: the private key is not Ed25519")
	}
	return ed25519.NewKeyFromSeed(key[1:]), nil
}

// Origin names the log.
func (k Keys) Origin() string { return k.signers[0].Name() }

// Public returns the public keys, to be given to those who verify.
func (k Keys) Public() []string { return k.public }

// Newest is the place of the newest key in Public.
func (k Keys) Newest() int { return len(k.private) - 1 }

// MarshalText gives the text form, private keys included.
func (k Keys) MarshalText() ([]byte, error) {
	text := "# Signs the checkpoints of a Sandtrail ledger. Keep it secret, and outside the database.\n" +
		strings.Join(k.private, "\n") + "\n"
	if retired := k.public[len(k.private):]; len(retired) > 0 {
		text += "# Retired; these only verify.\n" + strings.Join(retired, "\n") + "\n"
	}
	return []byte(text), nil
}

// Rotate adds a new key. The newest of the old ones keeps signing beside it,
// so that verifiers who know only that one have time to learn the new one; those
// before it are retired. Checkpoints of all of them still verify.
func (k Keys) Rotate(random io.Reader) (Keys, error) {
	private, _, err := note.GenerateKey(random, k.Origin())
	if err != nil {
		return Keys{}, fmt.Errorf("rotate the ledger key: %w", err)
	}
	newest := len(k.private) - 1
	retired := append(append([]string{}, k.public[:newest]...), k.public[newest+1:]...)
	return newKeys([]string{k.private[newest], private}, retired)
}

// Sign signs a checkpoint for the log of the keys.
func (k Keys) Sign(size int64, root Hash) ([]byte, error) {
	return k.sign(Checkpoint{Origin: k.Origin(), Size: size, Root: root})
}

func (k Keys) sign(c Checkpoint) ([]byte, error) {
	signed, err := note.Sign(&note.Note{Text: c.text()}, k.signers...)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	return signed, nil
}
