// Package parquetfile reads Parquet files of flat rows as Sandtrail writes them,
// and believes nothing of them: every length is compared with what is there before
// memory is taken for it. Other codecs, encodings and columns are errors.
package parquetfile

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/sandtrail/sandtrail"
)

// Type is how the values of a column are stored.
type Type int64

// The types, as Parquet numbers them.
const (
	Bool   Type = 0
	Int32  Type = 1
	Int64  Type = 2
	Double Type = 5
	Text   Type = 6
	UUID   Type = 7 // sixteen bytes
)

// Column is a column that a file must have.
type Column struct {
	Name     string
	Type     Type
	Optional bool
}

// Value is a value of a row. Of numbers and truths Int is set, of a Double its
// bits; of texts and UUIDs Bytes, which are valid until the next row.
type Value struct {
	Null  bool
	Int   int64
	Bytes []byte
}

// The bounds of a file.
const (
	maxFooter = 64 << 20  // bytes of the description at its end
	maxNodes  = 500_000   // values in the description: of some thousand row groups
	maxHeader = 16 << 20  // bytes of the description of a page, with the least and the greatest text
	maxPage   = 64 << 20  // bytes of a page, decompressed
	maxValues = 1 << 20   // of a page
	maxHeld   = 192 << 20 // bytes of all columns' pages at once
)

// File is an open file.
type File struct {
	Rows int64

	from    io.ReaderAt
	end     int64 // of the pages
	columns []Column
	groups  []group
	held    int64
}

type group struct {
	rows   int64
	chunks []chunk // one for each column
}

// chunk is where the pages of a column are.
type chunk struct{ offset, end int64 }

const magic = "PAR1"

// Open reads the description at the end of a file of size bytes. Errors are of
// sandtrail.CodeInvalid.
func Open(from io.ReaderAt, size int64, columns []Column) (*File, error) {
	f := &File{from: from, columns: columns}
	about, err := f.footer(size)
	if err == nil {
		err = f.schema(about.field(2).sub)
	}
	if err == nil {
		err = f.rowGroups(about.field(4).sub)
	}
	if err == nil && (f.Rows != about.field(3).num || f.Rows > size) { // ids alone take more
		err = fmt.Errorf("%d rows in %d bytes, said to be %d", f.Rows, size, about.field(3).num)
	}
	if err != nil {
		return nil, unreadable(err)
	}
	return f, nil
}

func unreadable(err error) error {
	return sandtrail.Errorf(sandtrail.CodeInvalid, "it is no archive, or a damaged one: restore it from a copy (%w)", err)
}

func (f *File) footer(size int64) (about node, err error) {
	const ends = 4 + 4 + 4 // magic at both, and the length
	if size < ends {
		return about, fmt.Errorf("it has %d bytes", size)
	}
	var tail [8]byte
	if err := f.read(tail[:], size-8); err != nil {
		return about, err
	}
	length := int64(binary.LittleEndian.Uint32(tail[:]))
	if string(tail[4:]) != magic || length > min(size-ends, maxFooter) {
		return about, fmt.Errorf("its end is no %s file's, or the description before it of %d bytes", magic, length)
	}
	raw := make([]byte, length)
	f.end = size - 8 - length
	if err := f.read(raw, f.end); err != nil {
		return about, err
	}
	t := thrift{rest: raw, left: maxNodes}
	about.sub, err = t.structure(0)
	return about, err
}

func (f *File) read(b []byte, at int64) error {
	if n, err := f.from.ReadAt(b, at); n < len(b) {
		return fmt.Errorf("read %d bytes at %d: %w", len(b), at, err)
	}
	return nil
}

// schema compares the columns with those that a file must have.
func (f *File) schema(elements []node) error {
	if len(elements) != len(f.columns)+1 {
		return fmt.Errorf("it has %d columns and must have %d", len(elements)-1, len(f.columns))
	}
	for i, c := range f.columns {
		is := elements[i+1]
		repetition := int64(0)
		if c.Optional {
			repetition = 1
		}
		if string(is.field(4).bytes) != c.Name || Type(is.field(1).num) != c.Type || is.field(3).num != repetition ||
			len(is.field(5).sub) > 0 || is.field(5).num != 0 || c.Type == UUID && is.field(2).num != 16 {
			return fmt.Errorf("column %d is %q and not the %s that an archive has there", i+1, is.field(4).bytes, c.Name)
		}
	}
	return nil
}

func (f *File) rowGroups(groups []node) error {
	for i, g := range groups {
		columns, rows := g.field(1).sub, g.field(3).num
		if len(columns) != len(f.columns) || rows < 0 || rows > f.end {
			return fmt.Errorf("row group %d has %d columns and %d rows", i+1, len(columns), rows)
		}
		next := group{rows: rows}
		for j, column := range columns {
			c, err := f.chunk(column.field(3), rows)
			if err != nil {
				return fmt.Errorf("row group %d, column %s: %w", i+1, f.columns[j].Name, err)
			}
			next.chunks = append(next.chunks, c)
		}
		f.groups, f.Rows = append(f.groups, next), f.Rows+rows
	}
	return nil
}

func (f *File) chunk(about node, rows int64) (c chunk, err error) {
	const zstd = 6
	if codec := about.field(4).num; codec != zstd {
		return c, fmt.Errorf("it is compressed with codec %d, and an archive with zstd", codec)
	}
	if n := about.field(5).num; n != rows {
		return c, fmt.Errorf("%d values in %d rows", n, rows)
	}
	c.offset = about.field(9).num
	if dictionary := about.field(11).num; dictionary > 0 && dictionary < c.offset {
		c.offset = dictionary
	}
	size := about.field(7).num
	if c.offset < int64(len(magic)) || size < 0 || c.offset > f.end || size > f.end-c.offset {
		return c, fmt.Errorf("%d bytes at %d are not in the file", size, c.offset)
	}
	c.end = c.offset + size
	return c, nil
}
