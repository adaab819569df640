// Package publish takes the checkpoints of a ledger to where the operator of its
// database cannot reach: a directory, a webhook, a witness.
package publish

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/durable"
	"github.com/sandtrail/sandtrail/internal/delivery"
	"github.com/sandtrail/sandtrail/ledger"
)

// Checkpoint is a signed checkpoint on its way out.
type Checkpoint struct {
	Origin string `json:"origin"`
	Size   int64  `json:"size"`
	Signed string `json:"checkpoint"`

	// Proof makes the request to a witness that has seen the first old
	// leaves: a C2SP tlog-witness add-checkpoint.
	Proof func(ctx context.Context, old int64) ([]byte, error) `json:"-"`
	// Confirm compares the log with a checkpoint that was published before. The
	// error for one that the log contradicts wraps ledger.ErrContradicted. nil: no
	// file is compared.
	Confirm func(ctx context.Context, signed []byte) error `json:"-"`
}

// maxCheckpoint is how many bytes of a file are read that could be a checkpoint.
const maxCheckpoint = 64 << 10

// Publisher takes a checkpoint to where the operator of the database cannot reach.
// The same one may come again.
type Publisher interface {
	Publish(ctx context.Context, c Checkpoint) error
}

// Directory keeps every checkpoint in a file of its own, durably.
type Directory struct{ Path string }

// Publish writes the checkpoint, unless it is there already. One of another log
// of the same size, such as after a reset, gets a name with its hash. Then Publish
// compares the log with what the directory has of this size and of the largest: a
// checkpoint that the log contradicts is an error that wraps
// ledger.ErrContradicted and names the file.
func (d Directory) Publish(ctx context.Context, c Checkpoint) error {
	name := fmt.Sprintf("checkpoint-%012d.txt", c.Size)
	text, _, _ := strings.Cut(c.Signed, "\n\n") // signatures follow
	there, err := durable.ReadFile(filepath.Join(d.Path, name), maxCheckpoint)
	was, _, _ := strings.Cut(string(there), "\n\n")
	largest, errLargest := d.largest()
	if err == nil && was != text || err != nil && !errors.Is(err, os.ErrNotExist) { // or no checkpoint is there
		errLargest = errors.Join(errLargest, d.confirm(ctx, c, name))
		name = fmt.Sprintf("checkpoint-%012d-%.4x.txt", c.Size, sha256.Sum256([]byte(text)))
	}
	if err := d.write(name, c.Signed); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("publish a checkpoint: %w", err)
	}
	if largest != "" && largest != fmt.Sprintf("checkpoint-%012d.txt", c.Size) {
		errLargest = errors.Join(errLargest, d.confirm(ctx, c, largest))
	}
	return errLargest
}

// largest names the file of the largest checkpoint in the directory, "" for none.
func (d Directory) largest() (string, error) {
	files, err := filepath.Glob(filepath.Join(d.Path, "checkpoint-[0-9]*.txt")) // sorted
	if err != nil || len(files) == 0 {
		return "", err
	}
	return filepath.Base(files[len(files)-1]), nil
}

// All reads every checkpoint that the directory has. A file that is larger than a
// checkpoint is an error, as is one that cannot be read.
func (d Directory) All() (signed [][]byte, err error) {
	files, err := filepath.Glob(filepath.Join(d.Path, "checkpoint-[0-9]*.txt"))
	for _, file := range files {
		text, errRead := durable.ReadFile(file, maxCheckpoint)
		if errRead != nil {
			err = errors.Join(err, errRead)
			continue
		}
		signed = append(signed, text)
	}
	return signed, err
}

// confirm compares the log with a file. One that no key of the log signed proves
// nothing.
func (d Directory) confirm(ctx context.Context, c Checkpoint, name string) error {
	path := filepath.Join(d.Path, name)
	signed, err := durable.ReadFile(path, maxCheckpoint)
	if err == nil && c.Confirm != nil {
		err = c.Confirm(ctx, signed)
	}
	if errors.Is(err, ledger.ErrContradicted) {
		return fmt.Errorf("%s: %w; keep the file, it is evidence, and verify the log with it", path, err)
	}
	return ctx.Err()
}

func (d Directory) write(name, content string) error {
	f, err := durable.Begin(d.Path)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if err = errors.Join(err, f.Chmod(0o644)); err != nil { // all may read it
		return errors.Join(err, f.Discard())
	}
	return f.Create(name)
}

// Webhook posts checkpoints as JSON.
type Webhook struct {
	// Post posts a body once, as notify.Webhook does. The key is the same when it
	// is repeated.
	Post func(ctx context.Context, body []byte, contentType, key string) error
}

// Publish posts the checkpoint, signed as a notice is.
func (w Webhook) Publish(ctx context.Context, c Checkpoint) error {
	body, err := json.Marshal(struct {
		Type string `json:"type"`
		Checkpoint
	}{"sandtrail.checkpoint", c})
	if err != nil {
		return err
	}
	return w.Post(ctx, body, "application/json", fmt.Sprintf("%s/%d", c.Origin, c.Size))
}

// Witness hands checkpoints to a C2SP tlog-witness, such as another Sandtrail.
type Witness struct {
	URL  string       // what add-checkpoint is below
	HTTP *http.Client // nil: the default
}

// Publish has the checkpoint witnessed. That the witness has seen something
// else is an error that says so: the log was cut or rewritten.
func (w Witness) Publish(ctx context.Context, c Checkpoint) error {
	old := int64(0)
	for range 3 { // it may learn of another checkpoint meanwhile
		request, err := c.Proof(ctx, old)
		if err != nil {
			return err
		}
		seen, err := w.add(ctx, request)
		if err != nil || seen < 0 {
			return err
		}
		old = seen
	}
	return sandtrail.Errorf(sandtrail.CodeUnavailable, "the witness %s learns of checkpoints faster than we can prove; it is tried again", delivery.HostOf(w.URL))
}

// add posts a request. It returns the size that the witness has seen when the
// proof must begin there, else -1.
func (w Witness) add(ctx context.Context, body []byte) (seen int64, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(w.URL, "/")+"/add-checkpoint", strings.NewReader(string(body)))
	if err != nil {
		return -1, fmt.Errorf("witness %s: %w", delivery.HostOf(w.URL), delivery.WithoutURL(err))
	}
	request.Header.Set("Content-Type", "text/plain")
	ctx, cancel := context.WithTimeout(ctx, delivery.MaxTime)
	defer cancel()
	response, err := delivery.Send(w.HTTP, request.WithContext(ctx))
	if err != nil {
		return -1, fmt.Errorf("witness %s: %w", delivery.HostOf(w.URL), err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	switch {
	case err != nil:
		return -1, fmt.Errorf("witness %s: %w", delivery.HostOf(w.URL), err)
	case response.StatusCode == http.StatusOK:
		return -1, nil
	case response.StatusCode == http.StatusConflict:
		seen, err := strconv.ParseInt(strings.TrimSpace(string(answer)), 10, 64)
		if err == nil && seen >= 0 {
			return seen, nil
		}
	}
	return -1, fmt.Errorf("witness %s answered %s: %.300s", delivery.HostOf(w.URL), response.Status, answer)
}
