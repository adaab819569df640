package sandtrail

import (
	"bytes"
	"encoding/json"
)

// AdmitJSON reads one execution as Draft.UnmarshalJSON does and admits it, in
// less time than both take one after the other. It also tells whether the JSON
// has an id; where it has none, one was made. Errors are those of the two.
func (a Admission) AdmitJSON(raw []byte) (one Admitted, hasID bool, err error) {
	var d Draft
	if err := d.UnmarshalJSON(raw); err != nil {
		return Admitted{}, false, err
	}
	a.wasRead = true
	admitted, err := a.Admit(d)
	if err != nil {
		return Admitted{}, false, err
	}
	return admitted[0], !d.ID.IsZero(), nil
}

// compactJSON takes the blanks between the tokens of valid JSON out. JSON without
// any is returned itself, not copied.
func compactJSON(valid []byte) []byte {
	var compact []byte
	from := 0
	for i := 0; i < len(valid); i++ {
		switch valid[i] {
		case '"':
			i += valueEnd(valid[i:]) - 1
		case ' ', '\t', '\r', '\n':
			compact = append(compact, valid[from:i]...)
			from = i + 1
		}
	}
	if from == 0 {
		return valid
	}
	return append(compact, valid[from:]...)
}

// isPlainFinding reports whether a value, which is valid JSON without blanks
// outside of strings, is a finding as most are. Others are decoded to tell what
// is wrong, if anything is.
func isPlainFinding(value json.RawMessage) (plain bool) {
	for rest := value[1:]; value[0] == '{' && rest[0] != '}'; rest = bytes.TrimPrefix(rest, []byte(",")) {
		end := valueEnd(rest)
		name := string(rest[1 : end-1])
		rest = rest[end+len(":"):]
		end = valueEnd(rest)
		switch name {
		case "message":
			plain = true
			fallthrough
		case "severity", "code", "traceback", "suggestion":
			if rest[0] != '"' {
				return false
			}
		case "line", "column":
			if end > 9 || len(bytes.Trim(rest[:end], "0123456789")) > 0 {
				return false
			}
		default:
			return false
		}
		rest = rest[end:]
	}
	return plain
}
