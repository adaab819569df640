package database

import (
	"bytes"
	"encoding/json"
	"strings"
)

// JoinClasses is the classes_found column for a list of classes: nil for nil,
// "" for none.
func JoinClasses(classes []string) *string {
	if classes == nil {
		return nil
	}
	joined := strings.Join(classes, ",")
	return &joined
}

// MetadataFromColumn is the metadata of a row that another program may have written. A
// JSON object is returned as it is, any other text under the key "text": readers always
// get an object.
func MetadataFromColumn(column *string) json.RawMessage {
	if column == nil {
		return nil
	}
	if raw := json.RawMessage(*column); bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{")) && json.Valid(raw) {
		return raw
	}
	text, _ := json.Marshal(map[string]string{"text": *column})
	return text
}
