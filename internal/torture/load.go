//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/client"
)

const (
	user, strategy = "ada", "momentum"
	// callLimit is how long a client waits for an answer.
	callLimit = 15 * time.Second
	// writePause is how long a client waits between two batches: the campaign is
	// after faults, not after speed.
	writePause = 60 * time.Millisecond
)

// writer is a client of one kind. Its calls are one after another.
type writer struct {
	*campaign
	kind string
	rng  *rand.Rand
	n    int // batches
}

// made is a record to be sent; some break a rule, and must be refused.
type made struct {
	id     sandtrail.ID
	time   int
	faulty bool
}

// make makes records and notes that they are about to be sent. Of every tenth
// batch the last breaks a rule.
func (w *writer) make(count int) []made {
	w.n++
	batch := make([]made, count)
	for i := range batch {
		batch[i] = made{sandtrail.NewID(time.Now()), w.rng.IntN(60_000), w.n%10 == 0 && i == count-1}
		w.oracle.sends(w.kind, batch[i].id.String(), batch[i].time)
	}
	return batch
}

func keys(batch []made) []string {
	var all []string
	for _, m := range batch {
		all = append(all, m.id.String())
	}
	return all
}

// write sends batches until the load ends. A call that is under way is finished.
func (w *writer) write(load context.Context, send func(ctx context.Context) error) {
	for load.Err() == nil {
		ctx, cancel := context.WithTimeout(w.ctx, callLimit)
		err := send(ctx)
		cancel()
		if err != nil && w.ctx.Err() == nil && w.kind != "sql" && w.kind != "copy" { // a driver's words are not ours
			w.told(w.kind, err)
		}
		pause(load, writePause/2+upTo(w.rng, writePause))
	}
}

func draftOf(m made) sandtrail.Draft {
	d := sandtrail.Draft{
		ID: m.id, UserID: user, StrategyID: strategy, Type: sandtrail.Validation,
		Success: new(m.time%3 > 0), ExecutionTime: &m.time,
	}
	if m.faulty {
		d.Success, d.TimedOut = new(true), true
	}
	return d
}

// api sends batches through the Go client, which repeats what had no answer.
func (w *writer) api(c *client.Client) func(context.Context) error {
	return func(ctx context.Context) error {
		batch := w.make(1 + w.rng.IntN(8))
		drafts := make([]sandtrail.Draft, len(batch))
		for i, m := range batch {
			drafts[i] = draftOf(m)
		}
		faulty := batch[len(batch)-1].faulty
		_, err := c.Record(ctx, drafts...)
		switch {
		case err == nil && faulty:
			w.found("the API took an execution that breaks a rule: %s", batch[len(batch)-1].id)
		case err == nil:
			w.oracle.becomes(stored, keys(batch)...)
		case faulty: // whatever the reason: none of it may be there
			w.oracle.becomes(refused, keys(batch)...)
		}
		if faulty && errors.Is(err, sandtrail.CodeInvalid) {
			return nil
		}
		return err
	}
}

// post makes a request of a client that does not repeat, and returns status and
// answer.
func post(ctx context.Context, c *http.Client, url, contentType string, body []byte) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", contentType)
	response, err := c.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return response.StatusCode, answer, err
}

// ndjson sends a stream of lines. What stands before a faulty line is stored.
func (w *writer) ndjson(c *http.Client, url string) func(context.Context) error {
	return func(ctx context.Context) error {
		batch := w.make(10 + w.rng.IntN(40))
		var body bytes.Buffer
		for _, m := range batch {
			line, err := json.Marshal(draftOf(m))
			if err != nil {
				return err
			}
			body.Write(append(line, '\n'))
		}
		status, answer, err := post(ctx, c, url+"/v1/executions", "application/x-ndjson", body.Bytes())
		last := len(batch) - 1
		switch {
		case batch[last].faulty:
			w.oracle.becomes(refused, batch[last].id.String())
			batch = batch[:last]
			if err == nil && status == http.StatusUnprocessableEntity {
				w.oracle.becomes(stored, keys(batch)...)
				return nil
			}
		case err == nil && status < 300:
			w.oracle.becomes(stored, keys(batch)...)
			return nil
		}
		return answered(status, answer, err)
	}
}

// answered is the error that a server has answered a request with. Those of the
// connection are not Sandtrail's.
func answered(status int, answer []byte, err error) error {
	if err == nil && status >= 300 {
		return fmt.Errorf("status %d: %s", status, answer)
	}
	return nil
}

// otlp sends log records as a sandbox's exporter does.
func (w *writer) otlp(c *http.Client, url string) func(context.Context) error {
	return func(ctx context.Context) error {
		batch := w.make(1 + w.rng.IntN(8))
		records := make([]any, len(batch))
		for i, m := range batch {
			records[i] = logRecord(m)
		}
		body, err := json.Marshal(map[string]any{"resourceLogs": []any{map[string]any{"scopeLogs": []any{map[string]any{"logRecords": records}}}}})
		if err != nil {
			return err
		}
		status, answer, err := post(ctx, c, url+"/v1/logs", "application/json", body)
		last := len(batch) - 1
		most := 0 // how many may be rejected
		if batch[last].faulty {
			w.oracle.becomes(refused, batch[last].id.String())
			batch, most = batch[:last], 1
		}
		if err == nil && status < 300 {
			if n := rejected(answer); n > most {
				return fmt.Errorf("status %d: %s", status, answer)
			}
			w.oracle.becomes(stored, keys(batch)...)
		}
		return answered(status, answer, err)
	}
}

// rejected is how many log records the server's answer says were rejected.
func rejected(answer []byte) int {
	var a struct {
		PartialSuccess struct {
			RejectedLogRecords int `json:",string"`
		}
	}
	_ = json.Unmarshal(answer, &a) // "{}" says none
	return a.PartialSuccess.RejectedLogRecords
}

func logRecord(m made) any {
	text := func(key, value string) any {
		return map[string]any{"key": key, "value": map[string]any{"stringValue": value}}
	}
	flag := func(key string, value bool) any {
		return map[string]any{"key": key, "value": map[string]any{"boolValue": value}}
	}
	return map[string]any{"timeUnixNano": fmt.Sprint(time.Now().UnixNano()), "attributes": []any{
		text("sandtrail.execution.type", "VALIDATION"), text("sandtrail.user.id", user), text("sandtrail.strategy.id", strategy),
		text("sandtrail.id", m.id.String()), flag("sandtrail.success", m.faulty || m.time%3 > 0), flag("sandtrail.timed_out", m.faulty),
		map[string]any{"key": "sandtrail.execution.time", "value": map[string]any{"intValue": fmt.Sprint(m.time)}},
	}}
}

// plainSQL writes rows in transactions, of which every fifth is given up.
func (w *writer) plainSQL(ctx context.Context) error {
	w.plain.RLock()
	defer w.plain.RUnlock()
	batch := w.make(1 + w.rng.IntN(4))
	tx, err := w.database.pool().BeginTx(ctx, nil)
	if err != nil {
		w.oracle.becomes(refused, keys(batch)...)
		return err
	}
	for _, m := range batch {
		time := m.time
		if m.faulty {
			time = -1
		}
		if _, err = tx.ExecContext(ctx, insert, m.id.String(), user, strategy, m.time%3 > 0, time); err != nil {
			break
		}
	}
	faulty := batch[len(batch)-1].faulty
	switch {
	case err != nil || w.n%5 == 0:
		w.oracle.becomes(refused, keys(batch)...)
		rolledBack := tx.Rollback()
		if faulty {
			return rolledBack
		}
		return errors.Join(err, rolledBack)
	case faulty:
		w.found("the table took an execution with a negative executionTime: %s", batch[len(batch)-1].id)
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	w.oracle.becomes(stored, keys(batch)...)
	return nil
}

// copied writes rows by COPY.
func (w *writer) copied(ctx context.Context) error {
	w.plain.RLock()
	defer w.plain.RUnlock()
	batch := w.make(20 + w.rng.IntN(60))
	rows := make([][]any, len(batch))
	for i, m := range batch {
		rows[i] = []any{[16]byte(m.id), user, strategy, "VALIDATION", m.time%3 > 0, m.time, m.faulty}
		if m.faulty {
			rows[i][5] = -1
		}
	}
	conn, err := w.database.pool().Conn(ctx)
	if err != nil {
		w.oracle.becomes(refused, keys(batch)...)
		return err
	}
	defer conn.Close()
	err = conn.Raw(func(driver any) error {
		columns := []string{"id", "user_id", "strategy_id", "execution_type", "success", "execution_time", "timed_out"}
		_, err := driver.(*stdlib.Conn).Conn().CopyFrom(ctx, pgx.Identifier{"sandbox_execution_logs"}, columns, pgx.CopyFromRows(rows))
		return err
	})
	faulty := batch[len(batch)-1].faulty
	switch {
	case faulty:
		w.oracle.becomes(refused, keys(batch)...)
		if err == nil {
			w.found("COPY brought an execution with a negative executionTime: %s", batch[len(batch)-1].id)
		}
		return nil
	case err == nil:
		w.oracle.becomes(stored, keys(batch)...)
	}
	return err
}
