// Package values holds small functions of texts, numbers and pointers that the packages of the controllers share.
//
// It imports nothing of this module and knows no kind of object.
package values

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// MaxForeignText is how many bytes a condition repeats of a text from elsewhere: the scheduler, the kubelet, an exception.
const MaxForeignText = 512

// Cut shortens a text to at most limit bytes without splitting a character, and marks that it did.
func Cut(text string, limit int) string {
	const mark = "…"
	if len(text) <= limit {
		return text
	}
	end := max(limit-len(mark), 0)
	for end > 0 && text[end]&0xC0 == 0x80 {
		end--
	}
	return text[:end] + mark
}

// Foreign is a text from elsewhere, cut to MaxForeignText and ended by one full stop.
func Foreign(text string) string { return WithFullStop(Cut(text, MaxForeignText)) }

// WithFullStop ends a text with exactly one full stop. An empty text stays empty.
func WithFullStop(text string) string {
	if text == "" {
		return ""
	}
	return TrimFullStop(text) + "."
}

// TrimFullStop removes full stops and blanks from the end of a text.
func TrimFullStop(text string) string { return strings.TrimRight(text, " .\n") }

// Capitalize turns the first letter of a text into upper case.
func Capitalize(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// Clamp returns the value, or the bound that it exceeds.
func Clamp[T cmp.Ordered](value, low, high T) T { return min(max(value, low), high) }

// NonZero returns a pointer to the value, or nil for the zero value: server-side apply must not own fields that are not set.
func NonZero[T comparable](value T) *T {
	var zero T
	if value == zero {
		return nil
	}
	return &value
}

// Hash is the SHA-256 of a text, hexadecimal.
func Hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
