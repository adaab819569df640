package parquetfile

import (
	"encoding/binary"
	"errors"
)

var errValues = errors.New("the values of a page are torn or malformed")

// hybrid reads n numbers of a width in bits, in runs of one value or packed.
func hybrid(b []byte, width, n int) ([]uint32, error) {
	out := make([]uint32, 0, n)
	for len(out) < n {
		head, k := binary.Uvarint(b)
		count, left := head>>1, n-len(out)
		if k <= 0 || count == 0 {
			return nil, errValues
		}
		b = b[k:]
		if head&1 == 1 {
			if count > uint64(left+7)/8 || count*uint64(width) > uint64(len(b)) {
				return nil, errValues
			}
			for i := range min(int(count)*8, left) {
				out = append(out, uint32(bits(b, i*width, width)))
			}
			b = b[int(count)*width:]
			continue
		}
		size := (width + 7) / 8
		if count > uint64(left) || size > len(b) {
			return nil, errValues
		}
		value := uint32(bits(b, 0, width))
		for range count {
			out = append(out, value)
		}
		b = b[size:]
	}
	return out, nil
}

// bits reads a number of up to 64 bits that begins at a bit; the caller has checked
// that it is there.
func bits(b []byte, at, width int) (v uint64) {
	for got := 0; got < width; {
		shift := (at + got) % 8
		v |= uint64(b[(at+got)/8]) >> shift << got
		got += 8 - shift
	}
	if width < 64 {
		v &= 1<<width - 1
	}
	return v
}

// deltas reads n numbers that are packed as differences, and returns what follows
// them.
func deltas(b []byte, n int) (out []int64, rest []byte, err error) {
	t := thrift{rest: b} // which writes numbers likewise
	blockSize, err1 := t.uvarint()
	miniblocks, err2 := t.uvarint()
	total, err3 := t.uvarint()
	first, err4 := t.varint()
	if errors.Join(err1, err2, err3, err4) != nil || total != uint64(n) || blockSize > 1<<16 ||
		miniblocks == 0 || miniblocks > 1<<11 || blockSize%(miniblocks*32) != 0 {
		return nil, nil, errValues
	}
	if n == 0 {
		return nil, t.rest, nil
	}
	size := int(blockSize / miniblocks)
	out = append(make([]int64, 0, n), first)
	for len(out) < n {
		least, err := t.varint()
		widths, err2 := t.take(miniblocks)
		if err != nil || err2 != nil {
			return nil, nil, errValues
		}
		for _, width := range widths {
			if len(out) == n {
				break // the others are not written
			}
			packed, err := t.take(uint64(size) * uint64(width) / 8)
			if err != nil || width > 64 {
				return nil, nil, errValues
			}
			for i := range min(size, n-len(out)) {
				out = append(out, out[len(out)-1]+least+int64(bits(packed, i*int(width), int(width))))
			}
		}
	}
	return out, t.rest, nil
}

// deltaStrings reads n texts: their lengths as differences, then their bytes.
func deltaStrings(b []byte, n int) ([][]byte, error) {
	lengths, rest, err := deltas(b, n)
	if err != nil {
		return nil, err
	}
	out := make([][]byte, n)
	for i, length := range lengths {
		if length < 0 || length > int64(len(rest)) {
			return nil, errValues
		}
		out[i], rest = rest[:length:length], rest[length:]
	}
	return out, nil
}

// plainStrings reads n texts, each behind its length.
func plainStrings(b []byte, n int) ([][]byte, error) {
	if n > len(b)/4 {
		return nil, errValues
	}
	out := make([][]byte, n)
	for i := range out {
		if len(b) < 4 {
			return nil, errValues
		}
		length := binary.LittleEndian.Uint32(b)
		if b = b[4:]; uint64(length) > uint64(len(b)) {
			return nil, errValues
		}
		out[i], b = b[:length:length], b[length:]
	}
	return out, nil
}
