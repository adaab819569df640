package ledger

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

// algCosignature is the type of a timestamped Ed25519 cosignature in the ids
// of keys, as C2SP tlog-cosignature has it.
const algCosignature = 0x04

// Cosign gives the line of a C2SP cosignature/v1 by the newest key: its owner
// has seen the checkpoint, at a time, and nothing that contradicts it.
func (k Keys) Cosign(c Checkpoint, at time.Time) ([]byte, error) {
	private, err := privateKey(k.private[len(k.private)-1])
	if err != nil {
		return nil, err
	}
	message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", at.Unix(), c.text())
	signature := append(k.cosignerID(private), binary.BigEndian.AppendUint64(nil, uint64(at.Unix()))...)
	signature = append(signature, ed25519.Sign(private, []byte(message))...)
	return fmt.Appendf(nil, "— %s %s\n", k.Origin(), base64.StdEncoding.EncodeToString(signature)), nil
}

// cosignerID is the id of the key as that of a witness.
func (k Keys) cosignerID(private ed25519.PrivateKey) []byte {
	id := sha256.Sum256(append([]byte(k.Origin()+"\n"+string(rune(algCosignature))), private.Public().(ed25519.PublicKey)...))
	return id[:4]
}

// Cosigner gives the public key as that of a witness, name+id+key: what the
// cosignatures of the newest key are verified with.
func (k Keys) Cosigner() (string, error) {
	private, err := privateKey(k.private[len(k.private)-1])
	if err != nil {
		return "", err
	}
	public := append([]byte{algCosignature}, private.Public().(ed25519.PublicKey)...)
	return strings.Join([]string{
		k.Origin(), fmt.Sprintf("%08x", k.cosignerID(private)), base64.StdEncoding.EncodeToString(public),
	}, "+"), nil
}
