package main

import (
	"context"
	"io"
	"net/url"
	"os"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/client"
	"github.com/sandtrail/sandtrail/durable"
	"github.com/sandtrail/sandtrail/ledger"
)

// manifested begins an export with a manifest, behind what is written already.
func (c *exportCmd) manifested(ctx context.Context, d *deps, to io.Writer, at time.Time, so written) (*ledger.Export, error) {
	service, err := c.service(ctx, d)
	if err != nil {
		return nil, err
	}
	x := service.Export(to, c.Format, url.Values(api.FilterValues(c.filter(at))).Encode())
	if so.content != nil {
		err = x.Resume(so.content, so.records)
	}
	return x, err
}

// manifestExporter counts the records, and says of each line of NDJSON where it is
// in the ledger.
func manifestExporter(ctx context.Context, x *ledger.Export, format string) exporter {
	inner := exporters[format](x)
	if format == "ndjson" {
		inner.write = func(executions []sandtrail.Execution) error { return x.Lines(ctx, executions) }
		return inner
	}
	write := inner.write
	inner.write = func(executions []sandtrail.Execution) error {
		x.Records += int64(len(executions))
		return write(executions)
	}
	return inner
}

// serverSigns reports whether a manifest is asked for that a server has to sign.
func (c *exportCmd) serverSigns(d *deps) bool {
	_, server, err := d.target()
	return err == nil && server != "" && c.Manifest != ""
}

// checkServer refuses a manifest that a server cannot sign.
func (c *exportCmd) checkServer(d *deps) error {
	switch {
	case !c.serverSigns(d):
		return nil
	case c.Format != "ndjson":
		return sandtrail.Errorf(sandtrail.CodeInvalid,
			"--format %s: a server signs manifests of ndjson only: leave --format out, or give --db in place of --server", c.Format)
	case c.Resume:
		return sandtrail.Errorf(sandtrail.CodeInvalid,
			"--resume: a server signs the manifest of what it sends at once: begin again without --resume")
	}
	return c.noKeyFile(d)
}

// fromServer writes the lines that a server sends, and returns the manifest that it
// signed for them.
func fromServer(ctx context.Context, server *client.Client, filter sandtrail.Filter, to io.Writer) ([]byte, error) {
	return server.ExportSealed(ctx, filter, func(line []byte) error {
		_, err := to.Write(line)
		return err
	})
}

// putManifest keeps a manifest that was asked for.
func (c *exportCmd) putManifest(signed []byte) error {
	if c.Manifest == "" {
		return nil
	}
	if err := durable.WriteFile(string(c.Manifest), signed); err != nil {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "--manifest: %w", err)
	}
	return nil
}

// export checks an exported file against its manifest.
func (c *verifyCmd) export(d *deps, trusted ledger.Verifiers) error {
	signed, err := readSigned(c.Manifest)
	if err != nil {
		return err
	}
	v := verified{Findings: []ledger.Finding{}}
	m, err := trusted.OpenManifest(signed)
	if err != nil {
		v.FindingsN = 1
		v.add(ledger.Finding{Kind: ledger.BadSignature, Detail: err.Error()})
		return v.print(d, c.Output)
	}
	file, err := os.Open(string(c.Export))
	if err != nil {
		return invalid(err)
	}
	defer file.Close()
	if v.Summary, err = ledger.VerifyExport(file, m, v.add); err != nil {
		return err
	}
	v.NotChecked, v.Manifest = m.NotChecked(), &m
	if err := c.compare(trusted, ledger.Checkpoint{Origin: m.Origin, Size: m.Size, Root: m.Root}, v.find); err != nil {
		return err
	}
	return v.print(d, c.Output)
}
