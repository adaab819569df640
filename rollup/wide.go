package rollup

import "math/big"

// wide is a sum of up to 2³¹ numbers from 0 to 2⁶³. No record that a table can
// hold overflows it. A number has one form, so that equal sums are equal.
type wide struct {
	low  int64 // of the lower 32 bits of each
	high int64 // of the others
}

func (w *wide) add(n, factor int64) {
	w.low += factor * (n & (1<<32 - 1))
	w.high += factor * (n >> 32)
}

// per returns the sum divided by a unit, correctly rounded up to 2⁵³ units of
// the sum, nil when it is that of no records.
func (w wide) per(unit float64, records int64) *float64 {
	if records == 0 {
		return nil
	}
	sum := float64(w.low)
	if w.high != 0 {
		all := new(big.Int).Lsh(big.NewInt(w.high), 32)
		sum, _ = all.Add(all, big.NewInt(w.low)).Float64()
	}
	sum /= unit
	return &sum
}
