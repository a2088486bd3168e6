package values

import "testing"

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
