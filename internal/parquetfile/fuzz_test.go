package parquetfile

import (
	"bytes"
	"context"
	"os"
	"testing"
)

// sampleColumns are those of testdata/archive.parquet, which has ten executions.
var sampleColumns = []Column{
	{"id", UUID, false},
	{"user_id", Text, false},
	{"strategy_id", Text, false},
	{"execution_type", Text, false},
	{"success", Bool, false},
	{"execution_time", Int32, false},
	{"memory_used", Int32, true},
	{"cpu_usage", Double, true},
	{"timed_out", Bool, false},
	{"error_count", Int32, false},
	{"warning_count", Int32, false},
	{"classes_found", Text, true},
	{"metadata", Text, true},
	{"created_at", Int64, false},
}

// FuzzFile reads damaged files.
func FuzzFile(f *testing.F) {
	good, err := os.ReadFile("testdata/archive.parquet")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, raw []byte) {
		file, err := Open(bytes.NewReader(raw), int64(len(raw)), sampleColumns)
		if err != nil {
			return
		}
		rows := int64(0)
		err = file.Each(context.Background(), func([]Value) error { rows++; return nil })
		if err == nil && rows != file.Rows || rows > int64(len(raw)) {
			t.Errorf("%d rows of %d in %d bytes, %v", rows, file.Rows, len(raw), err)
		}
	})
}

// FuzzPage reads damaged values, of which a file's checksums would tell.
func FuzzPage(f *testing.F) {
	f.Add([]byte("\x80\x01\x04\x03\x02\x00\x01\x00\x00\x00\x55abcdef"), 3, int64(encodingDelta))
	f.Add([]byte("\x02\x03\x10"), 4, int64(encodingDictionary))
	f.Add([]byte("\x01\x00\x00\x00a"), 1, int64(encodingPlain))
	f.Fuzz(func(t *testing.T, raw []byte, n int, encoding int64) {
		n = min(max(n, 0), 10_000)
		for _, column := range sampleColumns {
			c := cursor{column: column, dictionary: [][]byte{{1}, {2}, {3}}, values: n, chunk: chunk{end: 1}}
			if err := c.decode(raw, n, encoding); err != nil {
				continue
			}
			for range n {
				if _, err := c.next(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := hybrid(raw, 1, n); err != nil {
			return
		}
	})
}
