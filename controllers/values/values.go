// Package values holds small functions of texts, numbers and pointers that the packages of the controllers share.
//
// It knows no kind of object.
package values

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"sharedcloud.io/function-operator/api/printable"
)

// MaxForeignText is how many bytes a condition repeats of a text from elsewhere: the scheduler, the kubelet, an exception.
const MaxForeignText = 512

// Foreign is a text from elsewhere, cut to MaxForeignText and ended by one full stop.
func Foreign(text string) string { return WithFullStop(printable.Cut(text, MaxForeignText)) }

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
