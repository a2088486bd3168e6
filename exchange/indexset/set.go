// Package indexset implements sets of indexes as sorted ranges, "0-3,17": which inputs a worker has leased, which are returned, which
// failed.
//
// A set is a value: no function changes a set that it was given. The time of every operation but All is linear in the number of ranges,
// not of indexes, and Parse bounds the set that untrusted text can describe. The package does not know what an index means.
package indexset

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
)

const (
	// MaxIndex is the greatest index of a set: a run's number of inputs is an int32.
	MaxIndex = math.MaxInt32 - 1
	// MaxRanges is the maximum number of ranges that Parse accepts.
	MaxRanges = 1 << 16
	// MaxText is the maximum length of a text that Parse accepts, in bytes.
	MaxText = 1 << 20
)

// Range is the indexes from First to Last, both included.
type Range struct {
	First, Last int
}

// Len returns the number of indexes in the range.
func (r Range) Len() int { return r.Last - r.First + 1 }

// Set is a set of indexes. The zero value is the empty set.
type Set struct {
	// ranges are ascending, and at least one index apart from each other, so that a set has one form only.
	ranges []Range
}

// Of returns the set of the given indexes, which may come in any order.
func Of(indexes ...int) Set {
	ranges := make([]Range, len(indexes))
	for i, index := range indexes {
		ranges[i] = Range{index, index}
	}
	return normal(ranges)
}

// Span returns the set of the indexes from first to last, both included; the empty set if last is less than first.
func Span(first, last int) Set {
	if last < first {
		return Set{}
	}
	return Set{[]Range{{first, last}}}
}

// normal makes a set of ranges in any order, overlapping or not. It keeps the slice.
func normal(ranges []Range) Set {
	if !sort.SliceIsSorted(ranges, func(i, j int) bool { return ranges[i].First < ranges[j].First }) {
		slices.SortFunc(ranges, func(a, b Range) int { return a.First - b.First })
	}
	kept := ranges[:0]
	for _, r := range ranges {
		kept = appended(kept, r)
	}
	return Set{kept}
}

// appended adds a range that starts no earlier than the last one of ranges.
func appended(ranges []Range, r Range) []Range {
	if n := len(ranges); n > 0 && r.First <= ranges[n-1].Last+1 {
		ranges[n-1].Last = max(ranges[n-1].Last, r.Last)
		return ranges
	}
	return append(ranges, r)
}

// Parse parses the text form: "" is the empty set, "17,20-31" has thirteen indexes. Ranges may be unordered and may overlap.
func Parse(text string) (Set, error) {
	if text == "" {
		return Set{}, nil
	}
	if len(text) > MaxText {
		return Set{}, fmt.Errorf("a list of indexes has %d bytes; at most %d are allowed", len(text), MaxText)
	}
	count := strings.Count(text, ",") + 1
	if count > MaxRanges {
		return Set{}, fmt.Errorf("a list of indexes has %d ranges; at most %d are allowed", count, MaxRanges)
	}
	ranges := make([]Range, 0, count)
	for part := range strings.SplitSeq(text, ",") {
		r, err := parseRange(part)
		if err != nil {
			return Set{}, err
		}
		ranges = append(ranges, r)
	}
	return normal(ranges), nil
}

var errForm = errors.New(`indexes are written like "17,20-31"`)

func parseRange(text string) (Range, error) {
	first, last, both := strings.Cut(text, "-")
	a, err := parseIndex(first)
	if err != nil {
		return Range{}, err
	}
	if !both {
		return Range{a, a}, nil
	}
	b, err := parseIndex(last)
	if err != nil {
		return Range{}, err
	}
	if b < a {
		return Range{}, fmt.Errorf("the range %d-%d ends before it starts: %w", a, b, errForm)
	}
	return Range{a, b}, nil
}

func parseIndex(text string) (int, error) {
	// MaxIndex has ten digits. strconv would also accept a sign, and its errors repeat the whole text.
	if text == "" || len(text) > 10 {
		return 0, errForm
	}
	value := 0
	for _, c := range []byte(text) {
		if c < '0' || c > '9' {
			return 0, errForm
		}
		value = value*10 + int(c-'0')
	}
	if value > MaxIndex {
		return 0, fmt.Errorf("the index %d is greater than %d", value, MaxIndex)
	}
	return value, nil
}

// String returns the text form, which Parse accepts.
func (s Set) String() string {
	if len(s.ranges) == 0 {
		return ""
	}
	text := make([]byte, 0, 12*len(s.ranges))
	for i, r := range s.ranges {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendInt(text, int64(r.First), 10)
		if r.Last > r.First {
			text = append(text, '-')
			text = strconv.AppendInt(text, int64(r.Last), 10)
		}
	}
	return string(text)
}

// Empty reports whether the set has no index.
func (s Set) Empty() bool { return len(s.ranges) == 0 }

// Len returns the number of indexes in the set.
func (s Set) Len() int {
	n := 0
	for _, r := range s.ranges {
		n += r.Len()
	}
	return n
}

// Min returns the smallest index, or -1 if the set is empty.
func (s Set) Min() int {
	if len(s.ranges) == 0 {
		return -1
	}
	return s.ranges[0].First
}

// Max returns the greatest index, or -1 if the set is empty.
func (s Set) Max() int {
	if len(s.ranges) == 0 {
		return -1
	}
	return s.ranges[len(s.ranges)-1].Last
}

// Contains reports whether the index is in the set.
func (s Set) Contains(index int) bool {
	i := sort.Search(len(s.ranges), func(i int) bool { return s.ranges[i].Last >= index })
	return i < len(s.ranges) && s.ranges[i].First <= index
}

// Equal reports whether both sets have the same indexes.
func (s Set) Equal(t Set) bool { return slices.Equal(s.ranges, t.ranges) }

// Ranges yields the ranges in ascending order.
func (s Set) Ranges() iter.Seq[Range] { return slices.Values(s.ranges) }

// All yields the indexes in ascending order.
func (s Set) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for _, r := range s.ranges {
			for index := r.First; index <= r.Last; index++ {
				if !yield(index) {
					return
				}
			}
		}
	}
}

// Union returns the indexes that are in either set.
func (s Set) Union(t Set) Set {
	switch {
	case s.Empty():
		return t
	case t.Empty():
		return s
	}
	ranges := make([]Range, 0, len(s.ranges)+len(t.ranges))
	i, j := 0, 0
	for i < len(s.ranges) || j < len(t.ranges) {
		if j == len(t.ranges) || (i < len(s.ranges) && s.ranges[i].First <= t.ranges[j].First) {
			ranges = appended(ranges, s.ranges[i])
			i++
		} else {
			ranges = appended(ranges, t.ranges[j])
			j++
		}
	}
	return Set{ranges}
}

// Minus returns the indexes that are in s and not in t.
func (s Set) Minus(t Set) Set {
	if s.Empty() || t.Empty() {
		return s
	}
	ranges := make([]Range, 0, len(s.ranges)+len(t.ranges))
	j := 0
	for _, r := range s.ranges {
		for j < len(t.ranges) && t.ranges[j].Last < r.First {
			j++
		}
		first := r.First
		for k := j; k < len(t.ranges) && t.ranges[k].First <= r.Last; k++ {
			if t.ranges[k].First > first {
				ranges = append(ranges, Range{first, t.ranges[k].First - 1})
			}
			first = t.ranges[k].Last + 1
			j = k
		}
		if first <= r.Last {
			ranges = append(ranges, Range{first, r.Last})
		}
	}
	return Set{ranges}
}

// And returns the indexes that are in both sets.
func (s Set) And(t Set) Set {
	if s.Empty() || t.Empty() {
		return Set{}
	}
	var ranges []Range
	i, j := 0, 0
	for i < len(s.ranges) && j < len(t.ranges) {
		first := max(s.ranges[i].First, t.ranges[j].First)
		last := min(s.ranges[i].Last, t.ranges[j].Last)
		if first <= last {
			ranges = append(ranges, Range{first, last})
		}
		if s.ranges[i].Last < t.ranges[j].Last {
			i++
		} else {
			j++
		}
	}
	return Set{ranges}
}

// Take splits the set into its n smallest indexes and the rest.
func (s Set) Take(n int) (taken, rest Set) {
	if n <= 0 {
		return Set{}, s
	}
	for i, r := range s.ranges {
		if n > r.Len() {
			n -= r.Len()
			continue
		}
		if n == r.Len() {
			return Set{slices.Clip(s.ranges[:i+1])}, Set{s.ranges[i+1:]}
		}
		taken := append(slices.Clone(s.ranges[:i]), Range{r.First, r.First + n - 1})
		rest := append([]Range{{r.First + n, r.Last}}, s.ranges[i+1:]...)
		return Set{taken}, Set{rest}
	}
	return s, Set{}
}

// Cut splits the set after the longest prefix whose text form has at most limit bytes.
func (s Set) Cut(limit int) (kept, rest Set) {
	length := 0
	for i, r := range s.ranges {
		length += len(Set{[]Range{r}}.String())
		if i > 0 {
			length++
		}
		if length > limit {
			return Set{slices.Clip(s.ranges[:i])}, Set{s.ranges[i:]}
		}
	}
	return s, Set{}
}
