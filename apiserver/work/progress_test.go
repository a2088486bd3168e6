package work

import (
	"strings"
	"testing"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/apiserver/outcomes"
)

//security:attack worker | a module raises an error whose type or text contains control sequences, and plain kubectl prints the run's progress | the message is one line of limited length without them
func TestProgressMessageIsSafeToPrint(t *testing.T) {
	const evil = "bad\x1b[2J\x1b]0;owned\x07\u009b\u202e\u200b\r\nsecond"
	for _, load := range []bool{true, false} {
		for _, text := range []string{evil, strings.Repeat(evil, 1000)} {
			got := troubleText(outcomes.ErrorText{Type: evil, Message: text}, load)
			if len(got) > maxMessageBytes || !strings.Contains(got, `bad\x1b[2J`) {
				t.Errorf("%d bytes: %.100q", len(got), got)
			}
			for _, r := range got {
				if printable.Unsafe(r) {
					t.Fatalf("%U in %.100q", r, got)
				}
			}
		}
	}
}
