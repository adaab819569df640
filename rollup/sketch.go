package rollup

import (
	"math"
	"slices"

	"github.com/DataDog/sketches-go/ddsketch/mapping"
)

const (
	// ExactTimes is how many different execution times a cell tells apart.
	// Once it has seen more, it keeps them on a logarithmic scale.
	ExactTimes = 128
	// Accuracy is the relative error of percentiles on that scale.
	Accuracy = 0.01
)

// scale is never nil: the accuracy is a valid constant.
var scale, _ = mapping.NewLogarithmicMapping(Accuracy)

// sketch is a multiset of execution times that can be merged and subtracted.
// Its bins are ordered by key, and none is empty. While exact, a key is the
// time itself; on the logarithmic scale, which is never left again, it is the
// index of a range of times. The zero sketch is empty.
type sketch struct {
	bins        []bin
	logarithmic bool
}

type bin struct {
	key   int64
	count int64 // negative in a difference
}

func (s *sketch) add(time, count int64) {
	key := time
	if s.logarithmic {
		key = logKey(time)
	}
	i, found := slices.BinarySearchFunc(s.bins, key, func(b bin, key int64) int { return compare(b.key, key) })
	if !found {
		s.bins = slices.Insert(s.bins, i, bin{key, count})
		s.collapseIfLarge()
		return
	}
	if s.bins[i].count += count; s.bins[i].count == 0 {
		s.bins = slices.Delete(s.bins, i, i+1)
	}
}

// merge adds factor times other; factor is 1 or −1.
func (s *sketch) merge(other *sketch, factor int64) {
	switch {
	case s.logarithmic == other.logarithmic:
		s.mergeBins(other.bins, factor)
	case s.logarithmic:
		converted := sketch{bins: slices.Clone(other.bins)}
		converted.collapse()
		s.mergeBins(converted.bins, factor)
	default:
		s.collapse()
		s.mergeBins(other.bins, factor)
	}
	s.collapseIfLarge()
}

// mergeBins works in place from the back: it first makes room for the keys
// that are new, which are few when many days are merged into one answer.
func (s *sketch) mergeBins(other []bin, factor int64) {
	if len(s.bins) == 0 && factor == 1 {
		s.bins = append(s.bins, other...)
		return
	}
	missing, emptied := 0, false
	for i, j := 0, 0; j < len(other); j++ {
		for i < len(s.bins) && s.bins[i].key < other[j].key {
			i++
		}
		if i == len(s.bins) || s.bins[i].key != other[j].key {
			missing++
		}
	}
	i, j := len(s.bins)-1, len(other)-1
	s.bins = slices.Grow(s.bins, missing)[:len(s.bins)+missing]
	for k := len(s.bins) - 1; j >= 0; k-- {
		switch {
		case i >= 0 && s.bins[i].key > other[j].key:
			s.bins[k] = s.bins[i]
			i--
		case i >= 0 && s.bins[i].key == other[j].key:
			s.bins[k] = bin{other[j].key, s.bins[i].count + factor*other[j].count}
			emptied = emptied || s.bins[k].count == 0
			i, j = i-1, j-1
		default:
			s.bins[k] = bin{other[j].key, factor * other[j].count}
			j--
		}
	}
	if emptied {
		s.dropEmpty()
	}
}

func (s *sketch) dropEmpty() {
	s.bins = slices.DeleteFunc(s.bins, func(b bin) bool { return b.count == 0 })
}

func (s *sketch) collapseIfLarge() {
	if !s.logarithmic && len(s.bins) > ExactTimes {
		s.collapse()
	}
}

// collapse moves an exact sketch to the logarithmic scale.
func (s *sketch) collapse() {
	s.logarithmic = true
	merged := s.bins[:0]
	for _, b := range s.bins {
		key := logKey(b.key)
		if last := len(merged) - 1; last >= 0 && merged[last].key == key {
			merged[last].count += b.count
		} else {
			merged = append(merged, bin{key, b.count})
		}
	}
	s.bins = merged
	s.dropEmpty()
}

// logKey is 0 for no time at all and at least 1 for times of 1 ms and more.
func logKey(time int64) int64 {
	if time < 1 {
		return 0
	}
	return 1 + int64(scale.Index(float64(time)))
}

// maxLogKey is the key of the longest time an integer holds.
var maxLogKey = logKey(math.MaxInt64)

// logValue is the time that stands for a key. Below 1/(2×Accuracy) the
// nearest integer is the only time it can be.
func logValue(key int64) float64 {
	if key == 0 {
		return 0
	}
	value := scale.Value(int(key - 1))
	if value < 1/(2*Accuracy) {
		return math.Round(value)
	}
	return value
}

// at returns the time of a rank, counted from 1; nil when there are fewer.
func (s *sketch) at(rank int64) *float64 {
	for _, b := range s.bins {
		if rank -= b.count; rank > 0 {
			continue
		}
		value := float64(b.key)
		if s.logarithmic {
			value = logValue(b.key)
		}
		return &value
	}
	return nil
}

func compare(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
