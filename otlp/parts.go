package otlp

import (
	"errors"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/intake"
)

// decoder takes a request apart without decoding more than one of its messages at
// once: a message of a few bytes can take hundreds in memory.
type decoder struct {
	form  Form
	count int
}

// parts calls a function with each element of a repeated field, named by its number
// in protobuf and by its name in JSON, of a message that holds nothing else but its
// head and text.
func (d *decoder) parts(message []byte, number protowire.Number, name string, each func(i int, part []byte) error) error {
	i := 0
	next := func(part []byte) error {
		if d.count++; d.count > MaxRecords {
			return sandtrail.Errorf(sandtrail.CodeTooLarge, "a request may have %d log records, with the resources and scopes around them; send several", MaxRecords)
		}
		i++
		return each(i-1, part)
	}
	if d.form == Protobuf {
		return fields(message, func(n protowire.Number, value []byte) error {
			if n != number {
				return nil
			}
			return next(value)
		})
	}
	return members(message, name, func(array []byte) error {
		if string(array) == "null" {
			return nil
		}
		if array[0] != '[' {
			return unreadable(errors.New(name + " must be an array"))
		}
		return intake.Elements(array, next)
	})
}

// head decodes the field of a message that says what all of its parts share: the
// first one in protobuf.
func (d *decoder) head(message []byte, name string, into proto.Message) error {
	if d.form == Protobuf {
		return fields(message, func(n protowire.Number, value []byte) error {
			if n != 1 {
				return nil
			}
			return d.message(value, into)
		})
	}
	return members(message, name, func(value []byte) error { return d.message(value, into) })
}

// message decodes one message.
func (d *decoder) message(raw []byte, into proto.Message) (err error) {
	if len(raw) > MaxRecordBytes {
		return sandtrail.Errorf(sandtrail.CodeTooLarge, "a log record, a resource and a scope may have %d bytes each; this one has %d", MaxRecordBytes, len(raw))
	}
	switch {
	case d.form == Protobuf:
		err = proto.UnmarshalOptions{Merge: true}.Unmarshal(raw, into)
	case string(raw) != "null":
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(raw, into)
	}
	if err != nil {
		return unreadable(err)
	}
	return nil
}

// fields calls a function with each field of a protobuf message that has a length.
func fields(message []byte, each func(protowire.Number, []byte) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return unreadable(protowire.ParseError(n))
		}
		message = message[n:]
		size := protowire.ConsumeFieldValue(number, kind, message)
		if size < 0 {
			return unreadable(protowire.ParseError(size))
		}
		if kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(message)
			if err := each(number, value); err != nil {
				return err
			}
		}
		message = message[size:]
	}
	return nil
}

// members calls a function with each member of that name of an object; protobuf's
// own spelling of the name will do, too.
func members(object []byte, name string, each func([]byte) error) error {
	if object[0] != '{' {
		return unreadable(errors.New("must be an object"))
	}
	return intake.Members(object, func(quoted, value []byte) error {
		if string(quoted) != `"`+name+`"` && string(quoted) != `"`+spelled[name]+`"` {
			return nil
		}
		return each(value)
	})
}

// spelled are the names of fields in protobuf where they are others than in JSON.
var spelled = map[string]string{"resourceLogs": "resource_logs", "scopeLogs": "scope_logs", "logRecords": "log_records"}
