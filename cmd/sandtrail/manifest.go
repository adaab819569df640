package main

import (
	"context"
	"crypto/sha256"
	"hash"
	"io"
	"os"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/durable"
	"github.com/sandtrail/sandtrail/ledger"
)

// manifested begins an export with a manifest, behind what is written already.
func (c *exportCmd) manifested(ctx context.Context, d *deps, to io.Writer, so written) (*manifested, error) {
	service, err := c.service(ctx, d)
	if err != nil {
		return nil, err
	}
	m := &manifested{service: service, format: c.Format, to: to, hash: sha256.New(), records: so.records}
	if so.content != nil {
		_, err = io.Copy(m.hash, so.content)
	}
	return m, err
}

// putManifest keeps a manifest that was asked for.
func (c *exportCmd) putManifest(signed []byte) error {
	if c.Manifest == "" {
		return nil
	}
	if err := durable.WriteFile(c.Manifest, signed); err != nil {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "--manifest: %w", err)
	}
	return nil
}

// manifested hashes and counts what is exported.
type manifested struct {
	service ledger.Service
	format  string
	to      io.Writer
	hash    hash.Hash
	records int64
}

// Write implements io.Writer.
func (m *manifested) Write(b []byte) (int, error) {
	n, err := m.to.Write(b)
	m.hash.Write(b[:n])
	return n, err
}

// exporter counts the records, and says of each line of NDJSON where it is in
// the ledger.
func (m *manifested) exporter(ctx context.Context) exporter {
	inner := exporters[m.format](m)
	if m.format == "ndjson" {
		inner.write = func(executions []sandtrail.Execution) error { return m.lines(ctx, executions) }
	}
	return exporter{
		begin: inner.begin,
		write: func(executions []sandtrail.Execution) error {
			m.records += int64(len(executions))
			return inner.write(executions)
		},
		close: inner.close,
	}
}

func (m *manifested) lines(ctx context.Context, executions []sandtrail.Execution) error {
	refs, err := m.service.LeafRefs(ctx, executions)
	if err != nil {
		return err
	}
	var lines []byte
	for i, e := range executions {
		if lines, err = ledger.AppendExported(lines, e, refs[i]); err != nil {
			return err
		}
	}
	_, err = m.Write(lines)
	return err
}

func (m *manifested) manifest(ctx context.Context, now time.Time) ([]byte, error) {
	signed, err := m.service.Checkpoint(ctx, now)
	if err != nil {
		return nil, err
	}
	c, err := m.service.Keys.Open(signed)
	if err != nil {
		return nil, err
	}
	return m.service.Keys.SignManifest(ledger.Manifest{
		Format: m.format, Records: m.records, SHA256: [sha256.Size]byte(m.hash.Sum(nil)), Size: c.Size, Root: c.Root, At: now,
	})
}

// export checks an exported file against its manifest.
func (c *verifyCmd) export(d *deps, trusted ledger.Verifiers) error {
	signed, err := os.ReadFile(c.Manifest)
	if err != nil {
		return invalid(err)
	}
	v := verified{Findings: []ledger.Finding{}}
	m, err := trusted.OpenManifest(signed)
	if err != nil {
		v.FindingsN = 1
		v.add(ledger.Finding{Kind: ledger.BadSignature, Detail: err.Error()})
		return v.print(d, c.Output)
	}
	file, err := os.Open(c.Export)
	if err != nil {
		return invalid(err)
	}
	defer file.Close()
	if v.Summary, err = ledger.VerifyExport(file, m, v.add); err != nil {
		return err
	}
	if err := c.compare(trusted, ledger.Checkpoint{Origin: m.Origin, Size: m.Size, Root: m.Root}, v.find); err != nil {
		return err
	}
	return v.print(d, c.Output)
}
