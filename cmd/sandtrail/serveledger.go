package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/archive"
	"github.com/sandtrail/sandtrail/internal/cmdline"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/ledger/publish"
	"github.com/sandtrail/sandtrail/notify"
	"github.com/sandtrail/sandtrail/server"
	"github.com/sandtrail/sandtrail/worker"
)

// ledgerFlags say what a server does for its ledger and those of others.
type ledgerFlags struct {
	ledgerKeyFlag
	CheckpointEvery   duration       `default:"1h" env:"SANDTRAIL_CHECKPOINT_EVERY" help:"Sign and publish a checkpoint this often; 0 never does."`
	CheckpointDir     cmdline.Folder `env:"SANDTRAIL_CHECKPOINT_DIR" placeholder:"DIR" help:"Write each to a file of its own there."`
	CheckpointWebhook []webAddress   `env:"SANDTRAIL_CHECKPOINT_WEBHOOK" placeholder:"URL" help:"Post each to this URL, signed with --webhook-secret; may be given more than once."`
	CheckpointWitness []webAddress   `env:"SANDTRAIL_CHECKPOINT_WITNESS" placeholder:"URL" help:"Have each witnessed there, such as by https://other/v1/ledger/witness; may be given more than once."`
	WitnessOf         []string       `env:"SANDTRAIL_WITNESS_OF" placeholder:"KEY" help:"Be a witness of the log with this public key; may be given more than once."`
	Archive           archivePlace   `env:"SANDTRAIL_ARCHIVE" placeholder:"DIR" help:"Write whole weeks there, to a directory or s3://BUCKET/PREFIX, before --retention deletes them."`
	VerifyEvery       duration       `default:"24h" env:"SANDTRAIL_VERIFY_EVERY" help:"Compare the executions with the ledger this often; 0 never does."`
}

// service is the ledger of a store. Where the key's file was not named and is not
// there or cannot be made, there is service without it: nil. A key of another log is
// refused.
func (c *ledgerFlags) service(ctx context.Context, store ledgerStore, d *deps, log *slog.Logger) (*ledger.Service, error) {
	keys, err := c.ensure(ctx, d, store)
	if err != nil && c.LedgerKey == "" && (sandtrail.CodeOf(err) != sandtrail.CodeConflict || errors.Is(err, errNoKey)) {
		log.Warn("checkpoints, proofs and receipts are not served: name the key with --ledger-key", "error", err)
		return nil, nil
	}
	return &ledger.Service{Log: store, Keys: keys, Memory: &ledger.Memory{}, Rotated: &atomic.Pointer[ledger.Keys]{}}, err
}

// retained is the store as retention works on it.
func (c *ledgerFlags) retained(store serviceStore, service *ledger.Service, d *deps) (serviceStore, error) {
	if c.Archive == "" {
		return store, nil
	}
	if service == nil {
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "--archive needs a key to sign with: name its file with --ledger-key")
	}
	files, err := c.Archive.open(d)
	if err != nil {
		return nil, err
	}
	return archiving{store, archive.Archiver{Store: files, Executions: store, Ledger: *service, Now: d.now}}, nil
}

// witness is the witness that the server is, nil for none.
func (c *ledgerFlags) witness(memory ledger.WitnessMemory, service *ledger.Service) (server.Witness, error) {
	if len(c.WitnessOf) == 0 {
		return nil, nil
	}
	logs, err := ledger.ParseVerifiers(c.WitnessOf...)
	if err != nil {
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "--witness-of: %w", err)
	}
	if service == nil {
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "--witness-of needs a key to cosign with: name its file with --ledger-key")
	}
	return ledger.Witness{Memory: memory, Logs: logs, Keys: service.Current}, nil
}

// jobs are what is done for the ledger in the background.
func (c *ledgerFlags) jobs(store serviceStore, service *ledger.Service, hook notify.Webhook, d *deps, log *slog.Logger) []worker.Job {
	var jobs []worker.Job
	if service != nil && c.CheckpointEvery > 0 {
		sign := func(ctx context.Context, now time.Time) (publish.Checkpoint, error) {
			return signed(ctx, *service, now)
		}
		jobs = append(jobs, worker.Checkpoints(sign, store, c.publishers(hook), time.Duration(c.CheckpointEvery)))
	}
	if service != nil {
		jobs = append(jobs, worker.Job{Name: "ledger key", Every: max(time.Second, min(keyEvery, time.Duration(c.CheckpointEvery))), RunOnce: func(ctx context.Context, _ time.Time) error {
			return c.reload(ctx, d, service, log)
		}})
	}
	if c.VerifyEvery > 0 {
		verify := func(ctx context.Context, now time.Time) error { return c.verifyStore(ctx, store, service, now, log) }
		jobs = append(jobs, worker.Verification(verify, store, time.Duration(c.VerifyEvery)))
	}
	return jobs
}

// keyEvery is how often a server looks whether its key was rotated, unless it signs
// more often.
const keyEvery = 20 * time.Second

// reload takes up the keys of the file once a rotation has replaced them. Keys of
// another log are refused, and the server goes on with those that it has.
func (c *ledgerFlags) reload(ctx context.Context, d *deps, service *ledger.Service, log *slog.Logger) error {
	path, err := c.path(d)
	if err != nil {
		return err
	}
	keys, err := ledger.LoadKeys(path)
	if err != nil || slices.Equal(keys.Public(), service.Current().Public()) {
		return err
	}
	if err := (ledger.Service{Log: service.Log, Keys: keys}).CheckKeys(ctx); err != nil {
		return fmt.Errorf("--ledger-key: %s was replaced, and is not used: %w", path, err)
	}
	service.Rotated.Store(&keys)
	log.Info("the ledger key was rotated", "key", keys.Public()[keys.Newest()])
	return nil
}

func (c *ledgerFlags) publishers(hook notify.Webhook) []publish.Publisher {
	var all []publish.Publisher
	if c.CheckpointDir != "" {
		all = append(all, publish.Directory{Path: string(c.CheckpointDir)})
	}
	for _, url := range c.CheckpointWebhook {
		hook.URL = string(url)
		all = append(all, publish.Webhook{Post: hook.Post})
	}
	for _, url := range c.CheckpointWitness {
		all = append(all, publish.Witness{URL: string(url)})
	}
	return all
}

func signed(ctx context.Context, service ledger.Service, now time.Time) (publish.Checkpoint, error) {
	text, err := service.Checkpoint(ctx, now)
	if err != nil {
		return publish.Checkpoint{}, err
	}
	c, err := service.Current().Open(text)
	return publish.Checkpoint{
		Origin: c.Origin, Size: c.Size, Signed: string(text),
		Proof:   func(ctx context.Context, old int64) ([]byte, error) { return service.WitnessRequest(ctx, old, text) },
		Confirm: service.Confirm,
	}, err
}

// verifyStore verifies, with the checkpoints of --checkpoint-dir that a key of the
// log signed, and remembers the outcome. What it finds goes to the log, up to a
// number of findings.
func (c *ledgerFlags) verifyStore(ctx context.Context, store serviceStore, service *ledger.Service, now time.Time, log *slog.Logger) error {
	v := ledger.Verification{}
	if service != nil {
		v.Trusted = service.Current().Verifiers
		v.Outside = c.published(service.Current(), log)
	}
	told := 0
	v.Report = func(f ledger.Finding) {
		if told++; told <= 100 {
			log.Error("verify", "finding", f.Kind, "execution", f.ID, "fields", f.Fields, "detail", f.Detail)
		}
	}
	sum, err := ledger.VerifyLog(ctx, store, v)
	if err != nil {
		return err
	}
	log.Info("verify", "records", sum.Records, "findings", sum.FindingsN)
	return store.PutVerification(ctx, sum.Outcome(now))
}

// published reads the checkpoints of --checkpoint-dir. Files that cannot be read or
// that no key of the log signed prove nothing of the log; their number is logged.
func (c *ledgerFlags) published(keys ledger.Keys, log *slog.Logger) [][]byte {
	if c.CheckpointDir == "" {
		return nil
	}
	all, err := publish.Directory{Path: string(c.CheckpointDir)}.All()
	genuine := slices.DeleteFunc(slices.Clone(all), func(signed []byte) bool {
		_, err := keys.Open(signed)
		return err != nil
	})
	if skipped := len(all) - len(genuine); skipped > 0 || err != nil {
		log.Warn("verify: some files of --checkpoint-dir are not compared with the log", "unsigned", skipped, "error", err)
	}
	return genuine
}
