package indexset

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	for name, tc := range map[string]struct {
		text    string
		want    string
		wantLen int
		wantErr string
	}{
		"the empty text is the empty set":                {text: "", want: ""},
		"single indexes and ranges":                      {text: "17,20-31", want: "17,20-31", wantLen: 13},
		"neighbours become one range":                    {text: "1,2,3-4", want: "1-4", wantLen: 4},
		"order and overlap do not matter":                {text: "9,1-5,3-7", want: "1-7,9", wantLen: 8},
		"a range within another adds nothing":            {text: "1-9,3-4", want: "1-9", wantLen: 9},
		"leading zeros are read as decimal":              {text: "007", want: "7", wantLen: 1},
		"the greatest index":                             {text: "2147483646", want: "2147483646", wantLen: 1},
		"an index over the greatest is rejected":         {text: "2147483647", wantErr: "greater than 2147483646"},
		"an index of eleven digits is rejected":          {text: "00000000001", wantErr: `written like "17,20-31"`},
		"a range that ends before it starts is rejected": {text: "5-3", wantErr: "ends before it starts"},
		"a sign is rejected":                             {text: "-3", wantErr: "written like"},
		"a space is rejected":                            {text: "1, 2", wantErr: "written like"},
		"a comma at the end is rejected":                 {text: "1,", wantErr: "written like"},
		"two dashes are refused":                         {text: "1-2-3", wantErr: "written like"},
		"more ranges than the maximum are rejected":      {text: strings.Repeat("1,", MaxRanges) + "1", wantErr: "ranges"},
		"more text than the maximum is rejected":         {text: strings.Repeat("1", MaxText+1), wantErr: "bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(tc.text)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("the error is %v; want one with %q", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != tc.want || got.Len() != tc.wantLen {
				t.Errorf("got %q with %d; want %q with %d", got, got.Len(), tc.want, tc.wantLen)
			}
		})
	}
}

// TestOperationsAgreeWithSetsOfSingleIndexes compares every operation with the same one on lists of indexes, for random sets.
func TestOperationsAgreeWithSetsOfSingleIndexes(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	const space = 24
	some := func() ([]int, Set) {
		var indexes []int
		for index := range space {
			if random.IntN(2) == 0 {
				indexes = append(indexes, index)
			}
		}
		shuffled := slices.Clone(indexes)
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		return indexes, Of(shuffled...)
	}
	filter := func(in []int, keep func(int) bool) (out []int) {
		for _, index := range in {
			if keep(index) {
				out = append(out, index)
			}
		}
		return out
	}
	all := make([]int, space)
	for index := range all {
		all[index] = index
	}
	for range 500 {
		a, sa := some()
		b, sb := some()
		n := random.IntN(space + 2)
		taken, rest := sa.Take(n)
		before := sa.String() + "|" + sb.String()
		for name, pair := range map[string][2][]int{
			"the set":  {a, slices.Collect(sa.All())},
			"union":    {filter(all, func(i int) bool { return slices.Contains(a, i) || slices.Contains(b, i) }), slices.Collect(sa.Union(sb).All())},
			"minus":    {filter(a, func(i int) bool { return !slices.Contains(b, i) }), slices.Collect(sa.Minus(sb).All())},
			"and":      {filter(a, func(i int) bool { return slices.Contains(b, i) }), slices.Collect(sa.And(sb).All())},
			"contains": {a, filter(all, sa.Contains)},
			"taken":    {a[:min(n, len(a))], slices.Collect(taken.All())},
			"rest":     {a[min(n, len(a)):], slices.Collect(rest.All())},
			"text":     {a, slices.Collect(mustParse(t, sa.String()).All())},
			"length":   {{len(a)}, {sa.Len()}},
		} {
			if diff := cmp.Diff(pair[0], pair[1], cmp.Transformer("", func(in []int) string { return Of(in...).String() })); diff != "" {
				t.Fatalf("seed %d: %s of %q and %q, %d (-want +got):\n%s", seed, name, sa, sb, n, diff)
			}
		}
		if got := sa.Union(sb); !got.Equal(mustParse(t, got.String())) {
			t.Fatalf("seed %d: %q has two forms", seed, got)
		}
		if after := sa.String() + "|" + sb.String(); after != before {
			t.Fatalf("seed %d: an operation changed its operands from %s to %s", seed, before, after)
		}
	}
}

func mustParse(t *testing.T, text string) Set {
	t.Helper()
	set, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestCutKeepsTheLongestBeginningThatFits(t *testing.T) {
	set := mustParse(t, "1,3-10,200")
	for limit, want := range map[int][2]string{
		0: {"", "1,3-10,200"}, 1: {"1", "3-10,200"}, 5: {"1", "3-10,200"}, 6: {"1,3-10", "200"}, 9: {"1,3-10", "200"}, 10: {"1,3-10,200", ""},
	} {
		kept, rest := set.Cut(limit)
		if diff := cmp.Diff(want, [2]string{kept.String(), rest.String()}); diff != "" {
			t.Errorf("cut at %d (-want +got):\n%s", limit, diff)
		}
	}
}

func TestSpanMinAndMax(t *testing.T) {
	if got := Span(5, 4); !got.Empty() || got.Min() != -1 || got.Max() != -1 {
		t.Errorf("a span that ends before it starts is %q", got)
	}
	if got := mustParse(t, "3-4,8"); got.Min() != 3 || got.Max() != 8 {
		t.Errorf("min and max of %q are %d and %d", got, got.Min(), got.Max())
	}
}

func FuzzParse(f *testing.F) {
	f.Add("17,20-31")
	f.Add("1,,2")
	f.Fuzz(func(t *testing.T, text string) {
		set, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(set.String())
		if err != nil || !again.Equal(set) {
			t.Errorf("%q became %q and then %q, %v", text, set, again, err)
		}
	})
}
