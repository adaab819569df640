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
	Classes []string // nil: it is not Python, nobody looked
}

// maxScanBytes bounds the Python source that is looked at for classes; all of
// any source is hashed.
const maxScanBytes = 16 << 20

func readSource(path string) (Source, error) {
	f, err := durable.OpenNamed(path)
	if err != nil {
		return Source{}, err
	}
	defer f.Close()
	var text bytes.Buffer
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(hash, &limitedBuffer{&text, maxScanBytes}), f)
	if err != nil {
		return Source{}, fmt.Errorf("read the source: %w", err)
	}
	s := Source{SHA256: hex.EncodeToString(hash.Sum(nil)), Bytes: n}
	if n <= maxScanBytes && isPython(path, text.Bytes()) {
		s.Classes = PythonClasses(text.Bytes())
	}
	return s, nil
}

func isPython(path string, text []byte) bool {
	firstLine, _, _ := bytes.Cut(text, []byte("\n"))
	return slices.Contains([]string{".py", ".pyi", ".pyw"}, strings.ToLower(filepath.Ext(path))) ||
		bytes.HasPrefix(firstLine, []byte("#!")) && bytes.Contains(firstLine, []byte("python"))
}

// limitedBuffer keeps the beginning of what is written to it.
type limitedBuffer struct {
	buf  *bytes.Buffer
	left int
}

func (l *limitedBuffer) Write(p []byte) (int, error) {
	kept := p[:min(l.left, len(p))]
	l.left -= len(kept)
	l.buf.Write(kept)
	return len(p), nil
}
