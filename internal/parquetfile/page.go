package parquetfile

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Each calls a function with every row, whose values are in the order of the
// columns and valid until it returns.
func (f *File) Each(ctx context.Context, use func(row []Value) error) error {
	inflate, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(maxPage), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return err
	}
	defer inflate.Close()
	row := make([]Value, len(f.columns))
	for i, g := range f.groups {
		cursors := make([]cursor, len(g.chunks))
		for j, c := range g.chunks {
			cursors[j] = cursor{file: f, column: f.columns[j], chunk: c, inflate: inflate}
		}
		for range g.rows {
			for j := range cursors {
				if row[j], err = cursors[j].next(ctx); err != nil {
					return f.at(ctx, i, j, err)
				}
			}
			if err := use(row); err != nil {
				return err
			}
		}
		f.held = 0
	}
	return nil
}

func (f *File) at(ctx context.Context, group, column int, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return unreadable(fmt.Errorf("row group %d, column %s: %w", group+1, f.columns[column].Name, err))
}

// cursor goes through the pages of a column.
type cursor struct {
	file   *File
	column Column
	chunk
	inflate    *zstd.Decoder
	dictionary [][]byte
	held       int64 // bytes of the page, and of what became of it

	null   []uint32 // for each value whether it is there; nil: all are
	texts  [][]byte
	fixed  []byte // the values of other types
	values int    // of the page
	at     int    // the next of them
	there  int    // how many before it are not null
}

func (c *cursor) next(ctx context.Context) (v Value, err error) {
	for c.at == c.values {
		if err := ctx.Err(); err != nil {
			return v, err
		}
		if c.offset >= c.end {
			return v, io.ErrUnexpectedEOF
		}
		if err := c.page(); err != nil {
			return v, fmt.Errorf("page at %d: %w", c.offset, err)
		}
	}
	i := c.at
	if c.at++; c.null != nil && c.null[i] == 0 {
		return Value{Null: true}, nil
	}
	n := c.there
	c.there++
	switch c.column.Type {
	case Text:
		v.Bytes = c.texts[n]
	case UUID:
		v.Bytes = c.fixed[16*n : 16*n+16]
	case Bool:
		v.Int = int64(c.fixed[n/8] >> (n % 8) & 1)
	case Int32:
		v.Int = int64(int32(binary.LittleEndian.Uint32(c.fixed[4*n:])))
	default:
		v.Int = int64(binary.LittleEndian.Uint64(c.fixed[8*n:]))
	}
	return v, nil
}

// The kinds of pages and encodings, as Parquet numbers them.
const (
	pageDictionary = 2
	pageData       = 3 // of version 2

	encodingPlain      = 0
	encodingDelta      = 6
	encodingDictionary = 8
)

// page reads the next page.
func (c *cursor) page() error {
	about, start, err := c.header()
	if err != nil {
		return err
	}
	packed, size := about.field(3).num, about.field(2).num
	if packed < 0 || packed > c.end-start || size < 0 || size > maxPage {
		return fmt.Errorf("%d bytes, %d decompressed, are not in the file or more than are read of a page", packed, size)
	}
	if err := c.hold(packed + size); err != nil {
		return err
	}
	raw := make([]byte, packed)
	if err := c.file.read(raw, start); err != nil {
		return err
	}
	if sum := about.field(4); sum.kind != 0 && uint32(sum.num) != crc32.ChecksumIEEE(raw) {
		return fmt.Errorf("its checksum is another")
	}
	switch kind := about.field(1).num; kind {
	case pageDictionary:
		err = c.readDictionary(about.field(7), raw, size)
	case pageData:
		err = c.readData(about.field(8), raw, size)
	default:
		err = fmt.Errorf("it is of kind %d", kind)
	}
	c.offset = start + packed
	return err
}

// textSize is how many bytes a value takes beside its own: the text, its level and
// its place in the dictionary.
const textSize = 32

// hold counts the bytes of the page that comes in place of the one before it.
func (c *cursor) hold(bytes int64) error {
	c.file.held += bytes - c.held
	if c.held = bytes; c.file.held > maxHeld {
		return fmt.Errorf("the pages of all columns take more than %d bytes", maxHeld)
	}
	return nil
}

// header reads what is said of the next page, and where the page begins.
func (c *cursor) header() (about node, start int64, err error) {
	for size := int64(4 << 10); ; size = min(16*size, maxHeader) {
		raw := make([]byte, min(size, c.end-c.offset))
		if err := c.file.read(raw, c.offset); err != nil {
			return about, 0, err
		}
		t := thrift{rest: raw, left: 1000}
		if about.sub, err = t.structure(0); err == nil {
			return about, c.offset + int64(len(raw)-len(t.rest)), nil
		}
		if int64(len(raw)) < size || size == maxHeader {
			return about, 0, err
		}
	}
}

// decompress returns the values of a page.
func (c *cursor) decompress(packed []byte, size int64) ([]byte, error) {
	b, err := c.inflate.DecodeAll(packed, make([]byte, 0, size))
	if err == nil && int64(len(b)) != size {
		err = fmt.Errorf("%d bytes were packed and not %d", len(b), size)
	}
	return b, err
}

func (c *cursor) readDictionary(about node, raw []byte, size int64) error {
	n := about.field(1).num
	if c.column.Type != Text || c.dictionary != nil || about.field(2).num != encodingPlain || n < 0 || n > maxValues {
		return fmt.Errorf("a dictionary of %d values is not one of an archive", n)
	}
	if err := c.hold(int64(len(raw)) + size + n*textSize); err != nil {
		return err
	}
	b, err := c.decompress(raw, size)
	if err == nil {
		c.dictionary, err = plainStrings(b, int(n))
	}
	c.held = 0 // it stays, beside the pages
	return err
}

func (c *cursor) readData(about node, raw []byte, size int64) (err error) {
	n, nulls, levels := about.field(1).num, about.field(2).num, about.field(5).num
	packed := about.field(7)
	if n < 1 || n > maxValues || nulls < 0 || nulls > n || about.field(3).num != n || about.field(6).num != 0 ||
		levels < 0 || levels > min(int64(len(raw)), size) || (levels > 0) != c.column.Optional {
		return fmt.Errorf("%d values in %d rows, %d of them null, are not a page of an archive", n, about.field(3).num, nulls)
	}
	if err := c.hold(int64(len(raw)) + size + n*textSize); err != nil {
		return err
	}
	c.values, c.at, c.there, c.null = int(n), 0, 0, nil
	if c.column.Optional {
		if c.null, err = hybrid(raw[:levels], 1, c.values); err != nil {
			return err
		}
		there := int64(0)
		for _, is := range c.null {
			there += int64(is)
		}
		if there != n-nulls {
			return fmt.Errorf("%d of %d values are there, and %d are said to be null", there, n, nulls)
		}
	}
	b := raw[levels:]
	if packed.kind != kindFalse {
		if b, err = c.decompress(b, size-levels); err != nil {
			return err
		}
	}
	return c.decode(b, int(n-nulls), about.field(4).num)
}

// decode reads the n values of a page that are not null.
func (c *cursor) decode(b []byte, n int, encoding int64) (err error) {
	switch {
	case c.column.Type == Text && encoding == encodingDelta:
		c.texts, err = deltaStrings(b, n)
	case c.column.Type == Text && encoding == encodingPlain:
		c.texts, err = plainStrings(b, n)
	case c.column.Type == Text && encoding == encodingDictionary:
		err = c.lookUp(b, n)
	case c.column.Type != Text && encoding == encodingPlain:
		if c.fixed = b; len(b) < (n*c.column.bits()+7)/8 {
			err = errValues
		}
	default:
		err = fmt.Errorf("encoding %d is not one of an archive's %s", encoding, c.column.Name)
	}
	return err
}

func (c Column) bits() int {
	return map[Type]int{Bool: 1, Int32: 32, Int64: 64, Double: 64, UUID: 128}[c.Type]
}

// lookUp reads values that are places in the dictionary.
func (c *cursor) lookUp(b []byte, n int) error {
	c.texts = make([][]byte, n)
	if n == 0 {
		return nil
	}
	if len(b) == 0 || b[0] > 32 {
		return errValues
	}
	places, err := hybrid(b[1:], int(b[0]), n)
	if err != nil {
		return err
	}
	for i, place := range places {
		if int(place) >= len(c.dictionary) {
			return errValues
		}
		c.texts[i] = c.dictionary[place]
	}
	return nil
}
