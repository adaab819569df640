package sandtrail

import (
	"encoding/json"
	"strconv"
	"time"
)

// MarshalJSON writes the execution as the tags of the fields say. Another client's
// createdAt may be of a year that RFC 3339 has no room for: see Time. Package
// json reads again all that a method writes, so the members are written at once.
func (e Execution) MarshalJSON() ([]byte, error) {
	w := jsonWriter{b: make([]byte, 0, 512+len(e.Metadata))}
	w.member("id", e.ID.String())
	w.member("userId", e.UserID)
	w.member("strategyId", e.StrategyID)
	w.member("executionType", string(e.Type))
	w.member("success", e.Success)
	w.member("executionTime", e.ExecutionTime)
	w.member("memoryUsed", e.MemoryUsed)
	w.member("cpuUsage", e.CPUUsage)
	w.member("timedOut", e.TimedOut)
	w.member("errorCount", e.ErrorCount)
	w.member("warningCount", e.WarningCount)
	w.member("classesFound", e.Classes)
	w.member("metadata", e.Metadata)
	w.member("createdAt", e.CreatedAt)
	if e.User != nil {
		w.member("user", e.User)
	}
	if e.Strategy != nil {
		w.member("strategy", e.Strategy)
	}
	return append(w.b, '}'), w.err
}

// UnmarshalJSON reads an execution as MarshalJSON writes it.
func (e *Execution) UnmarshalJSON(raw []byte) error {
	type plain Execution
	if json.Unmarshal(raw, (*plain)(e)) != nil {
		into := struct {
			*plain
			CreatedAt Time `json:"createdAt"`
		}{plain: (*plain)(e)}
		if err := json.Unmarshal(raw, &into); err != nil {
			return err
		}
		e.CreatedAt = into.CreatedAt.Time
	}
	if string(e.Metadata) == "null" {
		e.Metadata = nil
	}
	return nil
}

// jsonWriter writes the members of an object.
type jsonWriter struct {
	b   []byte
	err error // the first
}

func (w *jsonWriter) member(name string, value any) {
	separator := byte(',')
	if len(w.b) == 0 {
		separator = '{'
	}
	w.b = append(append(append(w.b, separator, '"'), name...), '"', ':')
	switch v := value.(type) {
	case bool:
		w.b = strconv.AppendBool(w.b, v)
		return
	case int:
		w.b = strconv.AppendInt(w.b, int64(v), 10)
		return
	case json.RawMessage:
		if v != nil {
			w.b = append(w.b, v...) // package json checks it
			return
		}
	case string:
		if isPlain(v) {
			w.b = append(append(append(w.b, '"'), v...), '"')
			return
		}
	case time.Time:
		if isRFC3339(v) {
			w.b = append(v.AppendFormat(append(w.b, '"'), time.RFC3339Nano), '"')
			return
		}
		value = Time{v}
	}
	raw, err := EncodeJSON(value)
	if w.b = append(w.b, raw...); w.err == nil {
		w.err = err
	}
}

// isPlain reports whether a text is its own JSON, between quotes.
func isPlain(text string) bool {
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
