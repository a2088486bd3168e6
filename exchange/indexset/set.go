// Package indexset is sets of indexes as sorted ranges: what a worker holds, what was handed back, what failed.
//
// A set is a value: no function changes one that it was given. Every operation is linear in the number of ranges, never
// in the number of indexes, and Parse bounds what a hostile text can make of it. Nothing here knows what an index means.
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
	// MaxIndex is the greatest index a set can hold: a run's number of inputs is an int32.
	MaxIndex = math.MaxInt32 - 1
	// MaxRanges is how many ranges Parse accepts in one text.
	MaxRanges = 1 << 16
	// MaxText is how many bytes Parse accepts in one text.
	MaxText = 1 << 20
)

// Range is the indexes from First to Last, both included.
type Range struct {
	First, Last int
}

// Len is how many indexes the range has.
func (r Range) Len() int { return r.Last - r.First + 1 }

// Set is a set of indexes. The zero value is the empty set.
type Set struct {
	// ranges are ascending, and at least one index apart from each other, so that a set has one form only.
	ranges []Range
}

// Of is the set of the given indexes, in any order.
func Of(indexes ...int) Set {
	ranges := make([]Range, len(indexes))
	for i, index := range indexes {
		ranges[i] = Range{index, index}
	}
	return normal(ranges)
}

// Span is the set of the indexes from first to last, both included: the empty set when last is before first.
func Span(first, last int) Set {
	if last < first {
		return Set{}
	}
	return Set{[]Range{{first, last}}}
}

// normal takes ranges in any order, overlapping or not, and makes them a set. It keeps the slice.
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

// appended adds a range that begins no earlier than the last one of ranges.
func appended(ranges []Range, r Range) []Range {
	if n := len(ranges); n > 0 && r.First <= ranges[n-1].Last+1 {
		ranges[n-1].Last = max(ranges[n-1].Last, r.Last)
		return ranges
	}
	return append(ranges, r)
}

// Parse reads the text form: "" is the empty set, "17,20-31" has thirteen indexes. Order and overlap don't matter.
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
		return Range{}, fmt.Errorf("the range %d-%d runs backwards: %w", a, b, errForm)
	}
	return Range{a, b}, nil
}

func parseIndex(text string) (int, error) {
	// Ten digits hold MaxIndex; strconv would also take a sign, and its errors repeat the whole text.
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

// String is the text form that Parse reads.
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

// Empty says whether the set has no index.
func (s Set) Empty() bool { return len(s.ranges) == 0 }

// Len is how many indexes the set has.
func (s Set) Len() int {
	n := 0
	for _, r := range s.ranges {
		n += r.Len()
	}
	return n
}

// Min is the smallest index; -1 when there is none.
func (s Set) Min() int {
	if len(s.ranges) == 0 {
		return -1
	}
	return s.ranges[0].First
}

// Max is the greatest index; -1 when there is none.
func (s Set) Max() int {
	if len(s.ranges) == 0 {
		return -1
	}
	return s.ranges[len(s.ranges)-1].Last
}

// Contains says whether the index is in the set.
func (s Set) Contains(index int) bool {
	i := sort.Search(len(s.ranges), func(i int) bool { return s.ranges[i].Last >= index })
	return i < len(s.ranges) && s.ranges[i].First <= index
}

// Equal says whether both have the same indexes.
func (s Set) Equal(t Set) bool { return slices.Equal(s.ranges, t.ranges) }

// Ranges yields the ranges in ascending order.
func (s Set) Ranges() iter.Seq[Range] { return slices.Values(s.ranges) }

// All yields the indexes in ascending order. It is the one operation that is not linear in ranges.
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

// Union has what is in either.
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

// Minus has what is in s and not in t.
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

// And has what is in both.
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

// Take parts the set into its n smallest indexes and the rest.
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

// Cut gives the longest beginning of the set whose text has at most limit bytes, and what is left.
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
