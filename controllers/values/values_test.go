package values

import "testing"

func TestCut(t *testing.T) {
	tests := []struct {
		name, text string
		limit      int
		want       string
	}{
		{name: "a text within the limit is unchanged", text: "abc", limit: 3, want: "abc"},
		{name: "a longer text is marked", text: "abcdefgh", limit: 7, want: "abcd…"},
		{name: "no character is split", text: "ääääääää", limit: 8, want: "ää…"},
		{name: "a limit below the mark leaves the mark", text: "abcdef", limit: 1, want: "…"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := Cut(tc.text, tc.limit); got != tc.want {
				t.Errorf("Cut(%q, %d) = %q, want %q", tc.text, tc.limit, got, tc.want)
			}
		})
	}
}

func TestTextsEndWithOneFullStop(t *testing.T) {
	for text, want := range map[string]string{"": "", "a": "a.", "a.": "a.", "a. \n": "a.", "a...": "a."} {
		if got := WithFullStop(text); got != want {
			t.Errorf("WithFullStop(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestClamp(t *testing.T) {
	for value, want := range map[int]int{-1: 0, 0: 0, 3: 3, 5: 5, 6: 5} {
		if got := Clamp(value, 0, 5); got != want {
			t.Errorf("Clamp(%d, 0, 5) = %d, want %d", value, got, want)
		}
	}
}

func TestNonZero(t *testing.T) {
	if got := NonZero(0); got != nil {
		t.Errorf("the zero value is %d, want nil", *got)
	}
	if got := NonZero("x"); got == nil || *got != "x" {
		t.Errorf("got %v, want x", got)
	}
}
