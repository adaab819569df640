package rollup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/remedy"
)

// The encoding of each blob begins with its version. Integers are varints,
// signed ones zigzag. A cell is its kind, then, unless it is empty, its
// counters, the number of bins, and per bin the key, as the distance from the
// key before, and the count.
const (
	version = 2
	// recounted begins a day as version 1 encoded it, without costs. A migration
	// has put its live records into the changes, so that they are not read here.
	recounted = 0
)

const (
	emptyCell       = 0
	exactCell       = 1
	logarithmicCell = 2
)

var errMalformed = errors.New("malformed roll-up")

// MarshalBinary encodes the cell, for a total. It never fails.
func (c Cell) MarshalBinary() ([]byte, error) { return c.append([]byte{version}), nil }

// UnmarshalBinary decodes a total. No bytes at all are the empty cell.
func (c *Cell) UnmarshalBinary(b []byte) error {
	if len(b) == 0 {
		*c = Cell{}
		return nil
	}
	d := newDecoder(b)
	d.cell(c)
	return d.finish("total")
}

// MarshalSummary encodes the counts of the whole day.
func (d *Day) MarshalSummary() []byte { return d.Summary.append([]byte{version}) }

// UnmarshalSummary decodes the counts of the whole day and leaves the slots
// alone. No bytes at all are the empty day.
func (d *Day) UnmarshalSummary(b []byte) error {
	if len(b) == 0 {
		d.Summary = Part{}
		return nil
	}
	dec := newDecoder(b)
	dec.part(&d.Summary)
	return dec.finish("day")
}

// MarshalSlots encodes the slots of the day.
func (d *Day) MarshalSlots() []byte {
	b := binary.AppendUvarint([]byte{version}, uint64(len(d.slots)))
	for i := range d.slots {
		b = append(b, byte(d.slots[i].index))
		b = d.slots[i].append(b)
	}
	return b
}

// UnmarshalSlots decodes the slots of the day and leaves the summary alone. No
// bytes at all are no slots.
func (d *Day) UnmarshalSlots(b []byte) error {
	d.slots = d.slots[:0]
	var s slot
	return eachSlot(b, &s, func() {
		d.slots = append(d.slots, s)
		s = slot{}
	})
}

// eachSlot decodes the slots of a day one by one into s, whose room for bins
// it reuses, and calls f after each.
func eachSlot(b []byte, s *slot, f func()) error {
	if len(b) == 0 {
		return nil
	}
	dec := newDecoder(b)
	last := -1
	for n := dec.uvarint(); n > 0; n-- {
		s.index = int(dec.byte())
		if s.index <= last || s.index >= SlotsPerDay {
			dec.fail()
		}
		last = s.index
		if dec.part(&s.Part); dec.err != nil {
			break
		}
		f()
	}
	return dec.finish("slots of a day")
}

func (p *Part) append(b []byte) []byte { return p.Retired.append(p.Live.append(b)) }

func (c *Cell) append(b []byte) []byte {
	if c.IsEmpty() {
		return append(b, emptyCell)
	}
	kind := byte(exactCell)
	if c.times.logarithmic {
		kind = logarithmicCell
	}
	b = append(b, kind)
	for _, field := range c.fields() {
		b = binary.AppendVarint(b, *field)
	}
	b = binary.AppendUvarint(b, uint64(len(c.times.bins)))
	var last int64
	for _, bin := range c.times.bins {
		b = binary.AppendVarint(b, bin.key-last)
		b = binary.AppendVarint(b, bin.count)
		last = bin.key
	}
	return b
}

// decoder reads a blob; after a fault it yields zeros.
type decoder struct {
	rest      []byte
	err       error
	recounted bool
}

func newDecoder(b []byte) *decoder {
	d := &decoder{rest: b}
	switch v := d.byte(); v {
	case version:
	case recounted:
		d.recounted = true
	case 1:
		d.refuse(sandtrail.Errorf(sandtrail.CodeUnavailable, "the roll-ups are those of an older Sandtrail; migrate the database").
			With(sandtrail.Remedy{Act: remedy.Migrate}))
	default:
		d.refuse(fmt.Errorf("roll-up of unknown version %d: written by a newer Sandtrail?", v))
	}
	return d
}

func (d *decoder) refuse(err error) { d.err, d.rest = err, nil }

func (d *decoder) fail() {
	if d.err == nil {
		d.refuse(errMalformed)
	}
}

func (d *decoder) finish(what string) error {
	if d.err == nil && len(d.rest) > 0 {
		d.fail()
	}
	if d.err != nil {
		return fmt.Errorf("decode %s: %w", what, d.err)
	}
	return nil
}

func (d *decoder) byte() byte {
	if len(d.rest) == 0 {
		d.fail()
		return 0
	}
	b := d.rest[0]
	d.rest = d.rest[1:]
	return b
}

func (d *decoder) uvarint() uint64 {
	if len(d.rest) > 0 && d.rest[0] < 0x80 { // most are small
		v := d.rest[0]
		d.rest = d.rest[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) varint() int64 {
	v := d.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

func (d *decoder) part(p *Part) {
	d.cell(&p.Live)
	if d.recounted {
		p.Live = Cell{times: sketch{bins: p.Live.times.bins[:0]}}
	}
	d.cell(&p.Retired)
}

// cell reuses the room for bins that c has.
func (d *decoder) cell(c *Cell) {
	*c = Cell{times: sketch{bins: c.times.bins[:0]}}
	switch d.byte() {
	case emptyCell:
		return
	case exactCell:
	case logarithmicCell:
		c.times.logarithmic = true
	default:
		d.fail()
		return
	}
	fields := c.fields()
	encoded := fields[:]
	if d.recounted {
		encoded = fields[:len(fields)-costFields]
	}
	for _, field := range encoded {
		*field = d.varint()
	}
	d.bins(&c.times)
}

func (d *decoder) bins(s *sketch) {
	n := d.uvarint()
	if n > uint64(len(d.rest)/2) || (!s.logarithmic && n > ExactTimes) {
		d.fail()
		return
	}
	s.bins = slices.Grow(s.bins, int(n))
	last := int64(math.MinInt64)
	for range n {
		step := d.varint()
		b := bin{key: step, count: d.varint()}
		if last != math.MinInt64 {
			b.key = last + step
		}
		if b.key <= last || b.count == 0 || (s.logarithmic && (b.key < 0 || b.key > maxLogKey)) {
			d.fail()
			return
		}
		s.bins = append(s.bins, b)
		last = b.key
	}
}
