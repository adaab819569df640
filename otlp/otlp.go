// Package otlp reads executions out of OpenTelemetry log records, as they come
// by OTLP over HTTP, and words the answers that the protocol asks for.
// docs/otlp.md lists the attributes.
package otlp

import (
	"encoding/hex"
	"fmt"
	"math"
	"mime"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

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

// Decode reads the log records of an ExportLogsServiceRequest in their order.
// One that is no execution does not keep the others from being read.
func Decode(form Form, raw []byte) ([]Record, error) {
	// The request has the one field of LogsData, in both forms.
	var request logs.LogsData
	var err error
	if form == Protobuf {
		err = proto.Unmarshal(raw, &request)
	} else {
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(raw, &request)
	}
	if err != nil {
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "not an OTLP request for logs: %w", err)
	}
	var all []Record
	for r, resource := range request.GetResourceLogs() {
		for s, scope := range resource.GetScopeLogs() {
			for l, record := range scope.GetLogRecords() {
				entry := Record{Where: fmt.Sprintf("resourceLogs[%d].scopeLogs[%d].logRecords[%d]", r, s, l)}
				entry.Draft, entry.Err = draftOf(form, record, resource.GetResource().GetAttributes(), scope.GetScope().GetAttributes())
				all = append(all, entry)
			}
		}
	}
	return all, nil
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
	d.ID = sandtrail.DerivedID(d.CreatedAt, fmt.Appendf(said, "%d", nanos))
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
