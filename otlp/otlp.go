// Package otlp reads executions out of OpenTelemetry log records, as they come
// by OTLP over HTTP, and words the answers that the protocol asks for.
// docs/otlp.md lists the attributes.
package otlp

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"mime"
	"time"
	"unicode/utf8"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	resources "go.opentelemetry.io/proto/otlp/resource/v1"

	"github.com/sandtrail/sandtrail"
)

// Form is how a request and its answer are written.
type Form string

// The forms, by their media types.
const (
	Protobuf Form = "application/x-protobuf"
	JSON     Form = "application/json"
)

// FormOf tells the form by a Content-Type.
func FormOf(header string) (Form, error) {
	media, _, _ := mime.ParseMediaType(header)
	switch form := Form(media); form {
	case Protobuf, JSON:
		return form, nil
	}
	return JSON, sandtrail.Errorf(sandtrail.CodeInvalid, "Content-Type %q is not understood; send %s or %s", header, Protobuf, JSON)
}

// Record is a log record of a request.
type Record struct {
	Where string          // its place, such as resourceLogs[0].scopeLogs[0].logRecords[3]
	Draft sandtrail.Draft // what it says, if Err is nil
	Err   error           // why it is no execution
}

// Limits of a request.
const (
	MaxRecords     = 100_000 // log records, with the resources and scopes that hold them
	MaxRecordBytes = 1 << 20 // of a log record, a resource or a scope, as it was sent
)

// Decode reads the log records of an ExportLogsServiceRequest in their order, one
// at a time. One that is no execution does not keep the others from being read. An
// error of each ends it.
func Decode(form Form, raw []byte, each func(Record) error) error {
	d := decoder{form: form}
	if form == JSON && !utf8.Valid(raw) {
		return unreadable(errors.New("not valid UTF-8"))
	}
	if form == JSON && !json.Valid(raw) {
		return unreadable(json.Unmarshal(raw, new(json.RawMessage)))
	}
	if form == JSON {
		raw = bytes.TrimSpace(raw)
	}
	return d.parts(raw, 1, "resourceLogs", func(r int, resourceLogs []byte) error {
		var resource resources.Resource
		if err := d.head(resourceLogs, "resource", &resource); err != nil {
			return err
		}
		return d.parts(resourceLogs, 2, "scopeLogs", func(s int, scopeLogs []byte) error {
			var scope common.InstrumentationScope
			if err := d.head(scopeLogs, "scope", &scope); err != nil {
				return err
			}
			return d.parts(scopeLogs, 2, "logRecords", func(l int, part []byte) error {
				var record logs.LogRecord
				if err := d.message(part, &record); err != nil {
					return err
				}
				entry := Record{Where: fmt.Sprintf("resourceLogs[%d].scopeLogs[%d].logRecords[%d]", r, s, l)}
				entry.Draft, entry.Err = draftOf(form, &record, resource.GetAttributes(), scope.GetAttributes())
				return each(entry)
			})
		})
	})
}

func unreadable(err error) error {
	return sandtrail.Errorf(sandtrail.CodeInvalid, "not an OTLP request for logs: %w", err)
}

// draftOf reads an execution out of a log record. What the record does not say
// its scope does, and what neither says the resource.
func draftOf(form Form, record *logs.LogRecord, resource, scope []*common.KeyValue) (sandtrail.Draft, error) {
	var d reading
	for _, attributes := range [][]*common.KeyValue{resource, scope, record.GetAttributes()} {
		for _, a := range attributes {
			if err := d.read(a); err != nil {
				return d.Draft, fmt.Errorf("%s: %w", a.GetKey(), err)
			}
		}
	}
	if d.Type == "" {
		return d.Draft, fmt.Errorf("no execution: it has no attribute %s", typeKey)
	}
	if err := d.finish(form, record); err != nil {
		return d.Draft, err
	}
	return d.Draft, nil
}

// finish fills in what does not come from attributes.
func (d *reading) finish(form Form, record *logs.LogRecord) error {
	nanos := record.GetTimeUnixNano()
	if nanos == 0 {
		nanos = record.GetObservedTimeUnixNano()
	}
	if nanos > math.MaxInt64 {
		return fmt.Errorf("timeUnixNano: %d is out of range", nanos)
	}
	if nanos > 0 {
		d.CreatedAt = time.Unix(0, int64(nanos)).UTC()
	}
	if body := record.GetBody().GetKvlistValue(); body != nil && d.metadata == nil {
		var err error
		if d.metadata, err = object(body.GetValues()); err != nil {
			return fmt.Errorf("body: %w", err)
		}
	}
	d.trace(form, record)
	if err := d.encodeMetadata(); err != nil {
		return fmt.Errorf("%s: %w", metadataKey, err)
	}
	if !d.ID.IsZero() {
		return nil
	}
	// The same log record, sent again, becomes the same execution.
	said, err := d.MarshalJSON()
	if err != nil {
		return err
	}
	d.ID = derivedID(d.CreatedAt, fmt.Appendf(said, "%d", nanos))
	return nil
}

// trace keeps what the record belongs to.
func (d *reading) trace(form Form, record *logs.LogRecord) {
	trace, span := idText(form, record.GetTraceId()), idText(form, record.GetSpanId())
	if trace == "" {
		return
	}
	if d.metadata == nil {
		d.metadata = map[string]any{}
	}
	if _, given := d.metadata["trace"]; !given {
		d.metadata["trace"] = map[string]any{"traceId": trace, "spanId": span}
	}
}

// idText is the id of a trace or span in hexadecimal. OTLP writes it so in
// JSON, which protojson takes for base64: writing base64 gives it back.
func idText(form Form, id []byte) string {
	if form == JSON {
		return toBase64(id)
	}
	return hex.EncodeToString(id)
}

// derivedID makes the id of an execution that brings none from its content, so that
// the same execution always gets the same one: a UUIDv7 where it has a time, else a
// UUIDv8.
func derivedID(at time.Time, content []byte) sandtrail.ID {
	sum := sha256.Sum256(content)
	id, version := sandtrail.ID(sum[:16]), byte(0x80)
	if !at.IsZero() {
		dated := sandtrail.NewID(at)
		copy(id[:6], dated[:6])
		version = 0x70
	}
	id[6] = id[6]&0x0f | version
	id[8] = id[8]&0x3f | 0x80
	return id
}
