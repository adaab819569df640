package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/otlp"
)

// otlpPath is where OpenTelemetry's exporters send logs.
const otlpPath = "/v1/logs"

func (s *Server) registerOTLP() {
	s.HandleFunc("POST "+otlpPath, s.receiveLogs)
	op := operation("POST "+otlpPath, "exportLogs", "Store the executions among OpenTelemetry log records", otlpText)
	message := map[string]*huma.MediaType{
		string(otlp.Protobuf): {Schema: &huma.Schema{Type: huma.TypeString}},
		string(otlp.JSON):     {Schema: &huma.Schema{Type: huma.TypeObject}},
	}
	op.RequestBody = &huma.RequestBody{Required: true, Description: "An ExportLogsServiceRequest.", Content: message}
	answer := func(description string) *huma.Response {
		return &huma.Response{Description: description, Content: message}
	}
	op.Responses = map[string]*huma.Response{
		"200":     answer("Stored, but for the log records that partialSuccess counts. An ExportLogsServiceResponse."),
		"default": answer("A google.rpc.Status. 429 and 503 may be sent again."),
	}
	s.api.OpenAPI().AddOperation(&op)
}

const otlpText = `OTLP over HTTP, in protobuf or JSON. Log records with the attribute sandtrail.execution.type become executions by the rules that all others obey; the rest is rejected, and the answer says how many and why.

A log record that is sent again becomes the same execution.`

func (s *Server) receiveLogs(w http.ResponseWriter, r *http.Request) {
	form, err := otlp.FormOf(r.Header.Get("Content-Type"))
	var rejected rejections
	if err == nil {
		err = s.takeLogs(w, r, form, &rejected)
	}
	if err != nil {
		s.writeProblem(w, r, err, "")
		return
	}
	s.metrics.rejectedLogs.Add(float64(rejected.count))
	answer, err := otlp.Response(form, rejected.count, rejected.message())
	if err != nil {
		s.writeProblem(w, r, err, "")
		return
	}
	sendOTLP(w, http.StatusOK, form, answer)
}

func (s *Server) takeLogs(w http.ResponseWriter, r *http.Request, form otlp.Form, rejected *rejections) error {
	kept, err := s.receiveWhole(w, r, s.cfg.Limits.BodyBytes)
	if err != nil {
		return err
	}
	defer kept.free()
	return s.inSlot(w, r, 0, func(ctx context.Context) error {
		asked := newPayload(ctx, s, kept, r.Header.Get("Content-Encoding"))
		raw, cost, err := asked.bytes()
		if err != nil {
			return err
		}
		defer s.memory.give(kept.who, cost)
		l := logs{server: s, admission: s.admission(), rejected: rejected}
		l.check = func() error { return otlp.Decode(form, raw, func(otlp.Record) error { return ctx.Err() }) }
		if err := otlp.Decode(form, raw, func(record otlp.Record) error { return l.add(ctx, record) }); err != nil {
			return err
		}
		return l.flush(ctx)
	})
}

// logsBytes is about how many bytes of log records are stored together.
const logsBytes = 4 << 20

// logs are log records on their way into the store.
type logs struct {
	server    *Server
	admission sandtrail.Admission
	rejected  *rejections
	check     func() error // reads the whole request, before a part of it is stored; nil: it was
	good      []otlpRecord
	bytes     int
}

func (l *logs) add(ctx context.Context, record otlp.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	admitted, err := l.admission.Admit(record.Draft)
	if record.Err != nil {
		err = record.Err
	}
	if err != nil {
		l.rejected.add(record.Where, err)
		return nil
	}
	l.good = append(l.good, otlpRecord{record.Where, admitted[0]})
	l.bytes += recordCost + len(admitted[0].Execution.Metadata)
	if len(l.good) < sandtrail.MaxBatch && l.bytes < 2*logsBytes {
		return nil
	}
	if l.check != nil {
		if err := l.check(); err != nil {
			return err
		}
		l.check = nil
	}
	return l.flush(ctx)
}

func (l *logs) flush(ctx context.Context) error {
	good := l.good
	l.good, l.bytes = nil, 0
	if len(good) == 0 {
		return nil
	}
	return l.server.storeLogs(ctx, good, l.rejected)
}

// otlpRecord is a log record that passed the rules.
type otlpRecord struct {
	where    string
	admitted sandtrail.Admitted
}

// storeLogs stores records, but for those that the store refuses for what
// they are.
func (s *Server) storeLogs(ctx context.Context, records []otlpRecord, rejected *rejections) error {
	batch := make([]sandtrail.Admitted, len(records))
	for i, r := range records {
		batch[i] = r.admitted
	}
	_, err := s.committer.Append(ctx, batch)
	switch code := sandtrail.CodeOf(err); {
	case err == nil:
		return nil
	case code != sandtrail.CodeInvalid && code != sandtrail.CodeConflict && code != sandtrail.CodeTooLarge:
		return err
	case len(records) == 1:
		rejected.add(records[0].where, err)
		return nil
	}
	half := len(records) / 2
	if err := s.storeLogs(ctx, records[:half], rejected); err != nil {
		return err
	}
	return s.storeLogs(ctx, records[half:], rejected)
}

// rejections are the log records that were not stored.
type rejections struct {
	count int
	first []string
}

func (r *rejections) add(where string, why error) {
	const shown = 5
	if r.count++; r.count > shown {
		return
	}
	reason := why.Error()
	var e *sandtrail.Error
	if errors.As(why, &e) {
		reason = e.Public()
	}
	r.first = append(r.first, where+": "+reason)
}

func (r *rejections) message() string {
	message := strings.Join(r.first, "; ")
	if more := r.count - len(r.first); more > 0 {
		message += fmt.Sprintf("; and %d more", more)
	}
	return message
}

// sendStatus answers an exporter in the way that OTLP prescribes for errors.
func sendStatus(w http.ResponseWriter, r *http.Request, p *api.Problem) {
	form, _ := otlp.FormOf(r.Header.Get("Content-Type")) // one that is unknown is answered in JSON
	answer, err := otlp.Status(form, p.Code, p.Detail)
	if err != nil {
		answer = nil // the status says enough
	}
	status := p.Status
	if p.Code == sandtrail.CodeInvalid {
		status = http.StatusBadRequest
	}
	retryHeaders(w, status)
	sendOTLP(w, status, form, answer)
}

func sendOTLP(w http.ResponseWriter, status int, form otlp.Form, answer []byte) {
	w.Header().Set("Content-Type", string(form))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(answer) // a caller that is gone needs no answer
}
