package ledger

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

// TestCosign checks a cosignature as tlog-cosignature says that it is checked.
func TestCosign(t *testing.T) {
	keys := testKeys(t)
	c := Checkpoint{Origin: "example.com/other", Size: 7, Root: Hash{1}}
	line, err := keys.Cosign(c, now)
	check(t, err)
	cosigner, err := keys.Cosigner()
	check(t, err)
	name, rest, _ := strings.Cut(cosigner, "+")
	id, encoded, _ := strings.Cut(rest, "+")
	public, err := base64.StdEncoding.DecodeString(encoded)
	check(t, err)

	var gotName, encodedSignature string
	_, err = fmt.Sscanf(string(line), "— %s %s\n", &gotName, &encodedSignature)
	check(t, err)
	signature, err := base64.StdEncoding.DecodeString(encodedSignature)
	check(t, err)
	if gotName != name || len(signature) != 4+8+ed25519.SignatureSize || fmt.Sprintf("%x", signature[:4]) != id || public[0] != 4 {
		t.Fatalf("%s does not fit the key %s", line, cosigner)
	}
	at := binary.BigEndian.Uint64(signature[4:])
	message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", at, c.text())
	if at != uint64(now.Unix()) || !ed25519.Verify(public[1:], []byte(message), signature[12:]) {
		t.Error("the cosignature does not verify")
	}
}

func FuzzAddCheckpoint(f *testing.F) {
	f.Add(addCheckpoint(3, []Hash{{1}, {2}}, []byte("o\n7\nAAAA\n\n— o AAAA\n")))
	f.Add(addCheckpoint(0, nil, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		old, proof, signed, err := parseAddCheckpoint(b)
		if err != nil {
			return
		}
		again, proof2, signed2, err := parseAddCheckpoint(addCheckpoint(old, proof, signed))
		if err != nil || again != old || len(proof2) != len(proof) || string(signed2) != string(signed) {
			t.Errorf("%q is read otherwise when it is written anew: %v", b, err)
		}
	})
}

func FuzzManifest(f *testing.F) {
	f.Add(Manifest{Origin: "o", Format: "ndjson", Records: 3, At: now}.text())
	f.Fuzz(func(t *testing.T, text string) {
		if m, err := parseManifest(text); err == nil && m.text() != text {
			t.Errorf("%q is parsed, and is not a manifest", text)
		}
	})
}
