package ledger

// bitmap is a set of leaves.
type bitmap []uint64

func (b *bitmap) set(first, last int64) {
	if first < 0 || last < first {
		return
	}
	if need := int(last/64) + 1; need > len(*b) {
		*b = append(*b, make([]uint64, need-len(*b))...)
	}
	for i := first; i <= last; i++ {
		(*b)[i/64] |= 1 << (i % 64)
	}
}

func (b bitmap) has(leaf int64) bool {
	return leaf >= 0 && leaf/64 < int64(len(b)) && b[leaf/64]&(1<<(leaf%64)) != 0
}
