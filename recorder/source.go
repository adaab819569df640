package recorder

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sandtrail/sandtrail/durable"
)

// Source is the code that a command runs, as it was before the start.
type Source struct {
	SHA256  string // hexadecimal
	Bytes   int64
	Classes []string // nil: it is not Python, or in an encoding that is not read
}

// MaxSourceBytes bounds the source that is read: a larger one is neither hashed
// nor looked at for classes, and the record says so.
const MaxSourceBytes = 64 << 20

func readSource(path string) (Source, error) {
	f, err := durable.OpenNamed(path)
	if err != nil {
		return Source{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxSourceBytes+1))
	if err != nil {
		return Source{}, fmt.Errorf("read the source: %w", err)
	}
	if len(text) > MaxSourceBytes {
		return Source{}, fmt.Errorf("it is larger than %d MiB, and is neither hashed nor looked at", MaxSourceBytes>>20)
	}
	hash := sha256.Sum256(text)
	s := Source{SHA256: hex.EncodeToString(hash[:]), Bytes: int64(len(text))}
	if isPython(path, text) {
		s.Classes = PythonClasses(text)
	}
	return s, nil
}

func isPython(path string, text []byte) bool {
	firstLine, _, _ := bytes.Cut(text, []byte("\n"))
	return slices.Contains([]string{".py", ".pyi", ".pyw"}, strings.ToLower(filepath.Ext(path))) ||
		bytes.HasPrefix(firstLine, []byte("#!")) && bytes.Contains(firstLine, []byte("python"))
}
