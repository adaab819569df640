package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/client"
	"github.com/sandtrail/sandtrail/durable"
	"github.com/sandtrail/sandtrail/internal/human"
	"github.com/sandtrail/sandtrail/internal/table"
	"github.com/sandtrail/sandtrail/ledger"
)

type verifyCmd struct {
	Checkpoint []inFile `placeholder:"FILE" help:"Checkpoint that was kept outside the database. May be repeated."`
	Since      inFile   `placeholder:"FILE" help:"Checkpoint up to which all was verified before: older executions are counted, and not read again."`
	Receipt    inFile   `placeholder:"FILE" help:"Check a receipt instead; needs no database."`
	Export     inFile   `placeholder:"FILE" and:"export" help:"Check an exported file instead; needs no database."`
	Manifest   inFile   `placeholder:"FILE" and:"export" help:"The manifest that was written with it."`
	PublicKey  []string `placeholder:"KEY" help:"Public key of the log, besides those of the key file. May be repeated."`
	ledgerKeyFlag
	output
}

// Examples shows how it is used.
func (verifyCmd) Examples() []string {
	return []string{
		"sandtrail verify",
		"sandtrail verify --since checkpoint-2026-11-23.txt",
		"sandtrail verify --checkpoint checkpoint-2026-11-24.txt --public-key example.com/audit+1f2e3d4c+AX…",
		"sandtrail verify --server https://sandtrail.example.com --public-key example.com/audit+1f2e3d4c+AX…",
		"sandtrail verify --export executions.ndjson --manifest manifest.txt --public-key example.com/audit+1f2e3d4c+AX…",
		"sandtrail verify --receipt receipt.json --public-key example.com/audit+1f2e3d4c+AX…",
	}
}

// Help is shown by --help.
func (verifyCmd) Help() string {
	return "With --server the log and the executions are read from the server and compared here; give the log's public key, which sandtrail ledger key prints beside the server."
}

// Run compares the records with the ledger; any finding is exit status 1.
func (c *verifyCmd) Run(ctx context.Context, d *deps) error {
	trusted, err := c.trusted(d)
	if err != nil {
		return err
	}
	if c.Receipt != "" || c.Export != "" {
		return c.offline(d, trusted)
	}
	v := verified{Findings: []ledger.Finding{}}
	verification, err := c.verification(trusted, &v)
	if err != nil {
		return err
	}
	store, err := d.store(ctx)
	if err != nil {
		return err
	}
	if server, ok := store.(*client.Client); ok {
		return c.published(ctx, d, server, verification, &v)
	}
	log, err := d.ledgerOf(ctx)
	if err != nil {
		return err
	}
	bar, err := d.leavesBar(ctx, log)
	if err != nil {
		return err
	}
	var done int64
	verification.Progress = func(leaves int64) { bar.add(leaves - done); done = leaves }
	v.Summary, err = ledger.VerifyLog(ctx, log, verification)
	bar.finish()
	if err != nil {
		return err
	}
	if c.ownEvidence() && v.FindingsN > 0 {
		d.warn("the outcome is not stored as the database's, because it depends on the keys and checkpoints that were given here")
	} else if err := log.PutVerification(ctx, v.Outcome(d.now())); err != nil && !cannotWrite(err) {
		d.warn("the outcome is not stored: %v", err)
	}
	return v.print(d, c.Output)
}

// ownEvidence reports whether the caller brings keys or checkpoints.
func (c *verifyCmd) ownEvidence() bool {
	return len(c.PublicKey) > 0 || len(c.Checkpoint) > 0 || c.Since != ""
}

// verification is what the flags ask for.
func (c *verifyCmd) verification(trusted ledger.Verifiers, v *verified) (ledger.Verification, error) {
	verification := ledger.Verification{Trusted: trusted, Report: v.add}
	for _, path := range c.Checkpoint {
		signed, err := readSigned(path)
		if err != nil {
			return verification, err
		}
		verification.Outside = append(verification.Outside, signed)
	}
	var err error
	if c.Since != "" {
		verification.Since, err = readSigned(c.Since)
	}
	return verification, err
}

// trusted are the public keys that the caller names and those of the key file,
// if there is one.
func (c *verifyCmd) trusted(d *deps) (ledger.Verifiers, error) {
	public := c.PublicKey
	path, err := c.path(d)
	if err != nil {
		return ledger.Verifiers{}, err
	}
	keys, err := ledger.LoadKeys(path)
	if err == nil {
		public = append(public, keys.Public()...)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return ledger.Verifiers{}, invalid(err)
	} else if c.LedgerKey != "" {
		return ledger.Verifiers{}, sandtrail.Errorf(sandtrail.CodeInvalid,
			"--ledger-key: there is no file %s: check the name, or give the public key with --public-key", path)
	}
	_, server, err := d.target()
	if err != nil {
		return ledger.Verifiers{}, err
	}
	if len(public) == 0 && (server != "" || c.Receipt != "" || c.Export != "" || c.Since != "" || len(c.Checkpoint) > 0) {
		return ledger.Verifiers{}, sandtrail.Errorf(sandtrail.CodeInvalid,
			"no public key is known here: give --public-key, as printed by sandtrail ledger key, or --ledger-key")
	}
	trusted, err := ledger.ParseVerifiers(public...)
	return trusted, invalid(err)
}

// offline checks a file of the caller's, which needs no database.
func (c *verifyCmd) offline(d *deps, trusted ledger.Verifiers) error {
	switch {
	case d.Server != "":
		return sandtrail.Errorf(sandtrail.CodeInvalid, "--server: a receipt or an export is checked here, without a server: leave it out")
	case c.Receipt != "" && c.Export != "":
		return sandtrail.Errorf(sandtrail.CodeInvalid, "--receipt and --export exclude each other: check one after the other")
	case c.Since != "":
		return sandtrail.Errorf(sandtrail.CodeInvalid,
			"--since counts executions of a database as verified: a receipt or an export is always checked as a whole; leave it out")
	case c.Receipt != "":
		return c.receipt(d, trusted)
	}
	return c.export(d, trusted)
}

// compare holds what a file was made from against the checkpoints that the
// caller kept. One of the same size must have the same root; of another size
// nothing can be told without the log, and that is refused.
func (c *verifyCmd) compare(trusted ledger.Verifiers, made ledger.Checkpoint, find func(ledger.Finding)) error {
	for _, path := range c.Checkpoint {
		signed, err := readSigned(path)
		if err != nil {
			return err
		}
		kept, err := trusted.Open(signed)
		switch {
		case err != nil:
			find(ledger.Finding{Kind: ledger.BadSignature, Detail: fmt.Sprintf("--checkpoint %s: %v", path, err)})
		case kept.Origin != made.Origin:
			find(ledger.Finding{Kind: ledger.Forked, Detail: fmt.Sprintf("%s is of the log %s, the file of the log %s", path, kept.Origin, made.Origin)})
		case kept.Size != made.Size:
			return sandtrail.Errorf(sandtrail.CodeInvalid,
				"--checkpoint %s: it is of a log of %d entries, and what is checked is of one of %d: whether one continues the other only the log can show (sandtrail verify --checkpoint %[1]s, at the database)",
				path, kept.Size, made.Size)
		case kept.Root != made.Root:
			find(ledger.Finding{Kind: ledger.Forked, Detail: fmt.Sprintf("%s contradicts it: both are of %d entries, with other contents", path, kept.Size)})
		}
	}
	return nil
}

func (c *verifyCmd) receipt(d *deps, trusted ledger.Verifiers) error {
	raw, err := durable.ReadNamed(string(c.Receipt), maxReceipt)
	if err != nil {
		return invalid(err)
	}
	e, checkpoint, err := ledger.VerifyReceipt(raw, trusted)
	if err != nil {
		if err := d.say("✗ %v", err); err != nil {
			return err
		}
		return exitStatus(statusFinding)
	}
	v := verified{Findings: []ledger.Finding{}}
	if err := c.compare(trusted, checkpoint, v.find); err != nil {
		return err
	}
	if v.FindingsN > 0 {
		return v.print(d, c.Output)
	}
	if c.Output == "json" {
		return printJSON(d, e)
	}
	return d.say("✓ execution %s is in the log %s, which had %s entries when that was signed",
		e.ID, checkpoint.Origin, human.Count(checkpoint.Size))
}

func (d *deps) leavesBar(ctx context.Context, log ledger.Log) (*progress, error) {
	var size int64
	err := log.Inspect(ctx, 0, func(s ledger.Snapshot) (err error) {
		size, err = s.Size(ctx)
		return err
	})
	return d.newProgress("Verifying", size), err
}

// maxListed bounds how many findings are listed; the counts are of all.
const maxListed = 10_000

// verified is the outcome as it is printed.
type verified struct {
	ledger.Summary
	Findings []ledger.Finding `json:"findings"`
	// NotChecked says what a server could not show, or a file does not; nil: the
	// database was read.
	NotChecked []string `json:"notChecked,omitempty"`
	// Manifest is that of an exported file, nil where none was verified.
	Manifest *ledger.Manifest `json:"-"`
}

func (v *verified) add(f ledger.Finding) {
	if len(v.Findings) < maxListed {
		v.Findings = append(v.Findings, f)
	}
}

// find adds what the verification itself did not count.
func (v *verified) find(f ledger.Finding) {
	v.FindingsN++
	v.add(f)
}

func (v *verified) print(d *deps, form string) error {
	f := finding[ledger.Finding]{
		whole: v, rows: v.Findings, columns: findingColumns(),
		empty: v.clean() + "\n" + v.counts(), foot: v.counts(),
	}
	if v.Manifest != nil {
		f.foot = v.exported()
		f.empty = "✓ The file is the one that the manifest was signed for, by a key of the log " + v.Manifest.Origin + ".\n" + f.foot
	} else if v.NotChecked != nil {
		f.foot = v.published()
		f.empty = "✓ The server shows the log that it signed, and each execution that it shows is the one that was sealed.\n" + f.foot
	}
	if err := print(d, form, f); err != nil {
		return err
	}
	if v.FindingsN > 0 {
		return exitStatus(statusFinding)
	}
	return nil
}

// clean words that nothing was found, which is said of this log alone.
func (v *verified) clean() string {
	if len(v.Closed) == 0 {
		return "✓ Nothing was altered, inserted or removed without a trace."
	}
	return "✓ Since " + exactTime(&v.Closed[0].At) + " nothing was altered, inserted or removed without a trace."
}

// counts words the summary.
func (v *verified) counts() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s intact, %s lawfully removed", human.Plural(v.Records, "execution"), human.Count(v.Intact), human.Count(v.Removed))
	for _, part := range []struct {
		n    int64
		what string
	}{{v.Earlier, "verified earlier"}, {v.Missing, "missing"}, {v.Altered, "altered"}, {v.Inserted, "inserted"}, {v.Unsealed, "unsealed"}} {
		if part.n > 0 {
			fmt.Fprintf(&b, ", %s %s", human.Count(part.n), part.what)
		}
	}
	for i, reason := range slices.Sorted(maps.Keys(v.Reasons)) {
		fmt.Fprintf(&b, "%s%s by %s", []string{"\nRemoved: ", ", "}[min(i, 1)], human.Count(v.Reasons[reason]), reason)
	}
	fmt.Fprintf(&b, "\nThe log of %s entries agrees with %s", human.Count(v.Leaves), human.Plural(int64(v.Checkpoints), "checkpoint"))
	if v.Unchecked > 0 {
		fmt.Fprintf(&b, "; %s were not checked, because no public key of theirs is known here", human.Count(int64(v.Unchecked)))
	}
	b.WriteString("." + v.closed())
	if len(v.LostKeys) > 0 {
		fmt.Fprintf(&b, "\nThe operator lost the key %s and signs with another since: give its public key with --public-key, and checkpoints of it that were kept elsewhere with --checkpoint, to verify what it signed.",
			strings.Join(v.LostKeys, ", "))
	}
	return b.String()
}

// closed words which logs were there before.
func (v *verified) closed() (text string) {
	for _, c := range v.Closed {
		text += fmt.Sprintf("\nA log before it, of %s entries, was closed at %s: %s.", human.Count(c.Leaves), exactTime(&c.At), c.How)
	}
	return text
}

func findingColumns() []table.Column[ledger.Finding] {
	type row = ledger.Finding
	return []table.Column[row]{
		label("kind", "KIND", func(f row) string { return string(f.Kind) }),
		label("id", "EXECUTION", func(f row) string { return f.ID }),
		label("leaf", "ENTRY", func(f row) string {
			if f.Leaf == nil {
				return ""
			}
			return strconv.FormatInt(*f.Leaf, 10)
		}),
		label("fields", "FIELDS", func(f row) string { return strings.Join(f.Fields, " ") }),
		label("detail", "WHAT", func(f row) string { return f.Detail }),
	}
}
