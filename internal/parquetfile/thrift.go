package parquetfile

import (
	"encoding/binary"
	"errors"
)

// node is a value of Thrift's compact protocol: a number, bytes, or what a list or
// a struct holds.
type node struct {
	id    int16 // of a field
	kind  byte
	num   int64
	bytes []byte
	sub   []node
}

// The kinds of values, as the protocol numbers them.
const (
	kindTrue   = 1
	kindFalse  = 2
	kindByte   = 3
	kindI64    = 6
	kindDouble = 7
	kindBinary = 8
	kindList   = 9
	kindSet    = 10
	kindStruct = 12
)

var errThrift = errors.New("the description is torn or malformed")

// field returns a field of a struct; zero when it has none.
func (n node) field(id int16) node {
	for _, f := range n.sub {
		if f.id == id {
			return f
		}
	}
	return node{}
}

// thrift reads nodes, and no more than it may: each takes some hundred bytes of
// memory, and one byte of input.
type thrift struct {
	rest []byte
	left int // nodes
}

const maxThriftDepth = 12

func (t *thrift) byte() (byte, error) {
	if len(t.rest) == 0 {
		return 0, errThrift
	}
	b := t.rest[0]
	t.rest = t.rest[1:]
	return b, nil
}

func (t *thrift) uvarint() (uint64, error) {
	v, n := binary.Uvarint(t.rest)
	if n <= 0 {
		return 0, errThrift
	}
	t.rest = t.rest[n:]
	return v, nil
}

func (t *thrift) varint() (int64, error) {
	v, err := t.uvarint()
	return int64(v>>1) ^ -int64(v&1), err
}

func (t *thrift) take(n uint64) ([]byte, error) {
	if n > uint64(len(t.rest)) {
		return nil, errThrift
	}
	b := t.rest[:n:n]
	t.rest = t.rest[n:]
	return b, nil
}

// structure reads the fields of a struct.
func (t *thrift) structure(depth int) (fields []node, err error) {
	for id := int64(0); ; {
		head, err := t.byte()
		if err != nil || head == 0 {
			return fields, err
		}
		if delta := int64(head >> 4); delta > 0 {
			id += delta
		} else if id, err = t.varint(); err != nil {
			return nil, err
		}
		if id != int64(int16(id)) {
			return nil, errThrift
		}
		f := node{id: int16(id), kind: head & 15}
		if f.kind == kindTrue || f.kind == kindFalse {
			f.num = int64(kindFalse - f.kind)
		} else if err = t.value(&f, depth); err != nil {
			return nil, err
		}
		fields = append(fields, f)
	}
}

func (t *thrift) value(n *node, depth int) (err error) {
	if t.left--; t.left < 0 || depth > maxThriftDepth {
		return errThrift
	}
	switch {
	case n.kind <= kindByte: // in a list also the truths
		var b byte
		b, err = t.byte()
		n.num = int64(b)
	case n.kind <= kindI64:
		n.num, err = t.varint()
	case n.kind == kindDouble:
		n.bytes, err = t.take(8)
	case n.kind == kindBinary:
		var length uint64
		if length, err = t.uvarint(); err == nil {
			n.bytes, err = t.take(length)
		}
	case n.kind == kindList, n.kind == kindSet:
		err = t.list(n, depth)
	case n.kind == kindStruct:
		n.sub, err = t.structure(depth + 1)
	default: // maps are not used
		err = errThrift
	}
	return err
}

func (t *thrift) list(n *node, depth int) error {
	head, err := t.byte()
	if err != nil {
		return err
	}
	size, kind := uint64(head>>4), head&15
	if size == 15 {
		if size, err = t.uvarint(); err != nil {
			return err
		}
	}
	if size > uint64(len(t.rest)) || size > uint64(t.left) { // each takes a byte and a node
		return errThrift
	}
	n.sub = make([]node, size)
	for i := range n.sub {
		n.sub[i].kind = kind
		if err := t.value(&n.sub[i], depth+1); err != nil {
			return err
		}
	}
	return nil
}
