package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/bounded"
)

// Manifest says what an export holds. Its signed form is a note like a
// checkpoint, and cannot be taken for one.
type Manifest struct {
	Origin  string // of the log
	Format  string // such as "ndjson"
	Records int64
	SHA256  [sha256.Size]byte // of the file
	Size    int64             // of the log when the export was made
	Root    Hash
	At      time.Time
	// Filter is what was exported, as the query of the HTTP API's GET /v1/export, or
	// Everything. "": a manifest of before there was this line.
	Filter string
}

// Everything is the filter of an export of all executions.
const Everything = "everything"

const manifestType = "sandtrail-export/v1"

func (m Manifest) text() string {
	text := fmt.Sprintf("%s\n%s\nformat %s\nrecords %d\nsha256 %x\nlog %d %s\nat %s\n", manifestType, m.Origin, m.Format, m.Records,
		m.SHA256, m.Size, base64.StdEncoding.EncodeToString(m.Root[:]), m.At.UTC().Format(time.RFC3339))
	if m.Filter != "" {
		text += filterLine + m.Filter + "\n"
	}
	return text
}

const filterLine = "filter "

// SignManifest signs the manifest for the log of the keys.
func (k Keys) SignManifest(m Manifest) ([]byte, error) {
	m.Origin = k.Origin()
	signed, err := note.Sign(&note.Note{Text: m.text()}, k.signers...)
	if err != nil {
		return nil, fmt.Errorf("sign manifest: %w", err)
	}
	return signed, nil
}

// OpenManifest checks the signature of a manifest and reads it.
func (v Verifiers) OpenManifest(signed []byte) (Manifest, error) {
	n, err := note.Open(signed, note.VerifierList(v.keys...))
	if err != nil {
		return Manifest{}, fmt.Errorf("open manifest: %w: %w", ErrSignature, err)
	}
	m, err := parseManifest(n.Text)
	if err != nil {
		return Manifest{}, fmt.Errorf("open manifest: %w", err)
	}
	if m.Origin != n.Sigs[0].Name {
		return Manifest{}, fmt.Errorf("open manifest: of log %q, signed for %q: %w", m.Origin, n.Sigs[0].Name, ErrSignature)
	}
	return m, nil
}

// ReadManifest reads a manifest without checking its signature. It then proves that a
// file is not damaged, and not that file and manifest are the original ones.
func ReadManifest(signed []byte) (Manifest, error) {
	text, _, _ := strings.Cut(string(signed), "\n\n")
	return parseManifest(text + "\n")
}

func parseManifest(text string) (m Manifest, err error) {
	var sum, root, at string
	lines, filter, filtered := strings.Cut(text, "\n"+filterLine)
	if filtered {
		lines, m.Filter = lines+"\n", strings.TrimSuffix(filter, "\n")
	}
	_, err = fmt.Sscanf(lines, manifestType+"\n%s\nformat %s\nrecords %d\nsha256 %s\nlog %d %s\nat %s\n",
		&m.Origin, &m.Format, &m.Records, &sum, &m.Size, &root, &at)
	if err != nil {
		return Manifest{}, errors.New("the file must be a manifest of an export, " + manifestType)
	}
	hash, err1 := hex.DecodeString(sum)
	rootHash, err2 := base64.StdEncoding.DecodeString(root)
	time, err3 := time.Parse(time.RFC3339, at)
	if err := errors.Join(err1, err2, err3); err != nil || len(hash) != len(m.SHA256) || len(rootHash) != len(m.Root) {
		return Manifest{}, errors.New("the manifest is malformed")
	}
	m.SHA256, m.Root, m.At = [sha256.Size]byte(hash), Hash(rootHash), time.UTC()
	if m.text() != text {
		return Manifest{}, errors.New("the manifest is malformed")
	}
	return m, nil
}

// LeafRef is what the log has of an execution. With the salt,
// a holder of the execution can compute the hash again.
type LeafRef struct {
	Leaf int64  `json:"leaf"` // its index
	Hash []byte `json:"hash"` // of the ledger entry, base64
	Salt []byte `json:"salt"` // base64
	// SealedAs are the owners' ids when the execution was sealed; nil: those that it
	// has.
	SealedAs *Owners `json:"sealedAs,omitempty"`
}

// Owners are the ids of an execution's user and strategy.
type Owners struct {
	UserID     string `json:"userId"`
	StrategyID string `json:"strategyId"`
}

// ownersOf is LeafRef.SealedAs.
func (r renames) ownersOf(l leaf, e sandtrail.Execution) *Owners {
	user, strategy := e.UserID, e.StrategyID
	if same, _, _ := r.sealedAs(l, &e, nil); !same || e.UserID == user && e.StrategyID == strategy {
		return nil
	}
	return &Owners{e.UserID, e.StrategyID}
}

// AppendExported appends a line of an export: the execution's JSON, and what the
// log has of it as the member ledger, null when it is unsealed.
func AppendExported(b []byte, e sandtrail.Execution, ref *LeafRef) ([]byte, error) {
	record, err := sandtrail.EncodeJSON(e) // the metadata as it was sealed
	if err != nil {
		return nil, err
	}
	member, err := json.Marshal(ref)
	if err != nil {
		return nil, err
	}
	b = append(b, bytes.TrimSuffix(record, []byte("}"))...)
	b = append(b, `,"ledger":`...)
	b = append(b, member...)
	return append(b, "}\n"...), nil
}

// VerifyExport checks a file against its manifest: the whole by its hash and
// the number of executions, and, of NDJSON, each execution against its ledger entry. report
// receives what is found. Of another format no execution is read: none is Intact. What
// is not checked of a file without a finding is in Manifest.NotChecked.
func VerifyExport(file io.Reader, m Manifest, report func(Finding)) (Summary, error) {
	whole := sha256.New()
	x := exportVerifier{report: report, sum: Summary{Leaves: m.Size, Root: m.Root.String(), Reasons: map[string]int64{}}}
	file = io.TeeReader(file, whole)
	if m.Format == "ndjson" {
		if err := x.lines(file); err != nil {
			return Summary{}, err
		}
		if x.sum.Records != m.Records {
			x.find(Finding{Kind: Truncated, Detail: fmt.Sprintf("the file has %d records, the manifest says %d", x.sum.Records, m.Records)})
		}
	} else {
		x.sum.Records = m.Records
	}
	if _, err := io.Copy(io.Discard, file); err != nil {
		return Summary{}, fmt.Errorf("verify export: %w", err)
	}
	if [sha256.Size]byte(whole.Sum(nil)) != m.SHA256 {
		x.find(Finding{Kind: Altered, Detail: "the file is not the one that the manifest was signed for"})
	}
	return x.sum, nil
}

// NotChecked lists what VerifyExport does not check of a file of the manifest.
func (m Manifest) NotChecked() (list []string) {
	switch {
	case m.Filter == "":
		list = append(list, "which executions were to be in the file: its manifest does not say, because it is from before manifests did")
	case m.Filter == Everything:
		list = append(list, "whether the log has executions that are not in the file: only verify at the database or its server tells")
	default:
		list = append(list, "whether the log has executions of "+m.Filter+" that are not in the file: only verify at the database or its server tells")
	}
	if m.Format != "ndjson" {
		list = append(list, "each execution against its entry in the log: only ndjson has what that takes")
	}
	return append(list, fmt.Sprintf("whether the entries are among the %d of the log that the manifest names: a receipt of each proves that", m.Size))
}

// maxLine is how many bytes an exported line may have.
const maxLine = 16 << 20

type exportVerifier struct {
	report func(Finding)
	sum    Summary
}

func (x *exportVerifier) find(f Finding) {
	x.sum.FindingsN++
	if x.report != nil {
		x.report(f)
	}
}

func (x *exportVerifier) lines(file io.Reader) error {
	in := bounded.NewLines(file, "the export", maxLine)
	for {
		line, err := in.Next()
		if len(bytes.TrimSpace(line)) > 0 {
			x.sum.Records++
			x.line(line)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("verify export: %w", err)
		}
	}
}

func (x *exportVerifier) line(line []byte) {
	e, ref, err := parseExported(line)
	if err != nil {
		x.sum.Altered++
		x.find(Finding{Kind: Altered, Detail: fmt.Sprintf("line %d is not an execution: %v", x.sum.Records, err)})
		return
	}
	if ref == nil {
		x.sum.Unsealed++
		return
	}
	if hash, ok := ref.seal(e); ok && bytes.Equal(hash[:], ref.Hash) {
		x.sum.Intact++
		return
	}
	x.sum.Altered++
	x.find(Finding{Kind: Altered, ID: e.ID.String(), Leaf: &ref.Leaf, Detail: fmt.Sprintf("line %d is not what was sealed", x.sum.Records)})
}

// parseExported is the inverse of AppendExported.
func parseExported(line []byte) (e sandtrail.Execution, ref *LeafRef, err error) {
	var sealed struct{ Ledger *LeafRef }
	err = errors.Join(json.Unmarshal(line, &sealed), json.Unmarshal(line, &e))
	return e, sealed.Ledger, err
}

// seal computes the hash of the leaf that a record says is its own.
func (ref *LeafRef) seal(e sandtrail.Execution) (Hash, bool) {
	if len(ref.Salt) != len(Salt{}) {
		return Hash{}, false
	}
	e.User, e.Strategy = nil, nil
	if ref.SealedAs != nil {
		e.UserID, e.StrategyID = ref.SealedAs.UserID, ref.SealedAs.StrategyID
	}
	_, hash := Seal(e, Salt(ref.Salt))
	return hash, true
}
