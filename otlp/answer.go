package otlp

import (
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sandtrail/sandtrail"
)

// Response is an ExportLogsServiceResponse: of full success when nothing was
// rejected.
func Response(form Form, rejected int, message string) ([]byte, error) {
	if form == JSON {
		answer := map[string]any{}
		if rejected > 0 {
			answer["partialSuccess"] = map[string]string{"rejectedLogRecords": strconv.Itoa(rejected), "errorMessage": message}
		}
		return sandtrail.EncodeJSON(answer)
	}
	if rejected == 0 {
		return nil, nil
	}
	partial := numberField(nil, 1, uint64(rejected))
	return textField(nil, 1, textField(partial, 2, []byte(message))), nil
}

// Status is the google.rpc.Status by which a request is refused.
func Status(form Form, code sandtrail.Code, message string) ([]byte, error) {
	number := statusCode(code)
	if form == JSON {
		return sandtrail.EncodeJSON(map[string]any{"code": number, "message": message})
	}
	return textField(numberField(nil, 1, number), 2, []byte(message)), nil
}

// statusCode is the google.rpc.Code of an error.
func statusCode(code sandtrail.Code) uint64 {
	switch code {
	case sandtrail.CodeInvalid:
		return 3
	case sandtrail.CodeForbidden:
		return 7
	case sandtrail.CodeRateLimited, sandtrail.CodeTooLarge:
		return 8
	case sandtrail.CodeUnavailable:
		return 14
	case sandtrail.CodeUnauthorized:
		return 16
	}
	return 13
}

func numberField(b []byte, field protowire.Number, n uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), n)
}

func textField(b []byte, field protowire.Number, text []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), text)
}
