package printable

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
