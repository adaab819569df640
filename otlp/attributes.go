package otlp

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"

	common "go.opentelemetry.io/proto/otlp/common/v1"

	"github.com/sandtrail/sandtrail"
)

// The attributes that are named elsewhere too.
const (
	typeKey     = "sandtrail.execution.type"
	metadataKey = "sandtrail.metadata"
)

// reading is a draft that is being read.
type reading struct {
	sandtrail.Draft
	metadata map[string]any
}

// attributes are what is read, and how. docs/otlp.md lists them.
var attributes = map[string]func(*reading, *common.AnyValue) error{
	"sandtrail.id":             func(d *reading, v *common.AnyValue) error { return readID(v, &d.ID) },
	"sandtrail.user.id":        func(d *reading, v *common.AnyValue) error { return readText(v, &d.UserID) },
	"sandtrail.strategy.id":    func(d *reading, v *common.AnyValue) error { return readText(v, &d.StrategyID) },
	typeKey:                    func(d *reading, v *common.AnyValue) error { return readText(v, (*string)(&d.Type)) },
	"sandtrail.success":        func(d *reading, v *common.AnyValue) error { d.Success = new(bool); return readBool(v, d.Success) },
	"sandtrail.execution.time": func(d *reading, v *common.AnyValue) error { return readInt(v, &d.ExecutionTime) },
	"sandtrail.memory.used":    func(d *reading, v *common.AnyValue) error { return readInt(v, &d.MemoryUsed) },
	"sandtrail.cpu.usage":      func(d *reading, v *common.AnyValue) error { return readFloat(v, &d.CPUUsage) },
	"sandtrail.timed_out":      func(d *reading, v *common.AnyValue) error { return readBool(v, &d.TimedOut) },
	"sandtrail.error.count":    func(d *reading, v *common.AnyValue) error { return readInt(v, &d.ErrorCount) },
	"sandtrail.warning.count":  func(d *reading, v *common.AnyValue) error { return readInt(v, &d.WarningCount) },
	"sandtrail.classes.found":  func(d *reading, v *common.AnyValue) error { return readTexts(v, &d.Classes) },
	metadataKey:                func(d *reading, v *common.AnyValue) error { return readObject(v, &d.metadata) },
}

// read reads an attribute that is ours.
func (d *reading) read(a *common.KeyValue) error {
	if read, ours := attributes[a.GetKey()]; ours {
		return read(d, a.GetValue())
	}
	return nil
}

func want(what string, v *common.AnyValue) error {
	return fmt.Errorf("must be %s, got %s", what, kind(v))
}

// kind names the type of a value for people.
func kind(v *common.AnyValue) string {
	switch v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return "a string"
	case *common.AnyValue_BoolValue:
		return "a boolean"
	case *common.AnyValue_IntValue, *common.AnyValue_DoubleValue:
		return fmt.Sprintf("the number %v", number(v))
	case *common.AnyValue_ArrayValue:
		return "an array"
	case *common.AnyValue_KvlistValue:
		return "a list of keys and values"
	case *common.AnyValue_BytesValue:
		return "bytes"
	}
	return "nothing"
}

func number(v *common.AnyValue) any {
	if i, ok := v.GetValue().(*common.AnyValue_IntValue); ok {
		return i.IntValue
	}
	return v.GetDoubleValue()
}

func readText(v *common.AnyValue, into *string) error {
	text, ok := v.GetValue().(*common.AnyValue_StringValue)
	if !ok {
		return want("a string", v)
	}
	*into = text.StringValue
	return nil
}

func readID(v *common.AnyValue, into *sandtrail.ID) error {
	var text string
	if err := readText(v, &text); err != nil {
		return err
	}
	id, err := sandtrail.ParseID(text)
	*into = id
	return err
}

func readBool(v *common.AnyValue, into *bool) error {
	b, ok := v.GetValue().(*common.AnyValue_BoolValue)
	if !ok {
		return want("a boolean", v)
	}
	*into = b.BoolValue
	return nil
}

// readInt takes whole numbers of either type.
func readInt(v *common.AnyValue, into **int) error {
	var n int64
	switch number := v.GetValue().(type) {
	case *common.AnyValue_IntValue:
		n = number.IntValue
	case *common.AnyValue_DoubleValue:
		if n = int64(number.DoubleValue); math.Abs(number.DoubleValue) > math.MaxInt32 || float64(n) != number.DoubleValue {
			return want("an integer", v)
		}
	default:
		return want("an integer", v)
	}
	if n < math.MinInt32 || n > math.MaxInt32 {
		return want("an integer of at most 31 bits", v)
	}
	*into = new(int(n))
	return nil
}

func readFloat(v *common.AnyValue, into **float64) error {
	switch number := v.GetValue().(type) {
	case *common.AnyValue_IntValue:
		*into = new(float64(number.IntValue))
	case *common.AnyValue_DoubleValue:
		*into = new(number.DoubleValue)
	default:
		return want("a number", v)
	}
	return nil
}

func readTexts(v *common.AnyValue, into *[]string) error {
	list, ok := v.GetValue().(*common.AnyValue_ArrayValue)
	if !ok {
		return want("an array of strings", v)
	}
	values := list.ArrayValue.GetValues()
	*into = make([]string, len(values))
	for i, value := range values {
		if err := readText(value, &(*into)[i]); err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return nil
}

// readObject takes a list of keys and values, or a string of JSON.
func readObject(v *common.AnyValue, into *map[string]any) (err error) {
	switch value := v.GetValue().(type) {
	case *common.AnyValue_KvlistValue:
		*into, err = object(value.KvlistValue.GetValues())
		return err
	case *common.AnyValue_StringValue:
		*into = nil
		decoder := json.NewDecoder(bytes.NewReader([]byte(value.StringValue)))
		decoder.UseNumber()
		if err := decoder.Decode(into); err != nil || *into == nil || decoder.More() {
			return fmt.Errorf("must be a JSON object")
		}
		return nil
	}
	return want("a list of keys and values, or a string of JSON", v)
}

// maxDepth bounds the nesting of metadata.
const maxDepth = 100

func object(pairs []*common.KeyValue) (map[string]any, error) { return nested(pairs, 0) }

func nested(pairs []*common.KeyValue, depth int) (map[string]any, error) {
	members := make(map[string]any, len(pairs))
	for _, pair := range pairs {
		value, err := plain(pair.GetValue(), depth+1)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", pair.GetKey(), err)
		}
		members[pair.GetKey()] = value
	}
	return members, nil
}

// plain is a value as encoding/json writes it.
func plain(v *common.AnyValue, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	switch value := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return value.StringValue, nil
	case *common.AnyValue_BoolValue:
		return value.BoolValue, nil
	case *common.AnyValue_IntValue:
		return value.IntValue, nil
	case *common.AnyValue_DoubleValue:
		return value.DoubleValue, nil
	case *common.AnyValue_BytesValue:
		return toBase64(value.BytesValue), nil
	case *common.AnyValue_KvlistValue:
		return nested(value.KvlistValue.GetValues(), depth)
	case *common.AnyValue_ArrayValue:
		elements := make([]any, len(value.ArrayValue.GetValues()))
		for i, element := range value.ArrayValue.GetValues() {
			var err error
			if elements[i], err = plain(element, depth+1); err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
		}
		return elements, nil
	}
	return nil, nil
}

func toBase64(raw []byte) string { return base64.StdEncoding.EncodeToString(raw) }

func (d *reading) encodeMetadata() (err error) {
	if d.metadata != nil {
		d.Metadata, err = sandtrail.EncodeJSON(d.metadata)
	}
	return err
}
