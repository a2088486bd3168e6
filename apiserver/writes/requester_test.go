package writes

import (
	"strings"
	"testing"
	"unicode/utf8"

	"sharedcloud.io/function-operator/api/printable"
)

//security:attack tenant | an identity provider allows control sequences or megabytes in a user name, which clients display from requested-by | the annotation is a short line without control characters
func TestTheRequesterIsAShortLine(t *testing.T) {
	if got := requester("system:serviceaccount:team:program"); got != "system:serviceaccount:team:program" {
		t.Errorf("%q", got)
	}
	for _, name := range []string{"a\x1b[2J\nb\u202e", strings.Repeat("ä\x00", 100_000)} {
		got := requester(name)
		if len(got) > maxRequester || !utf8.ValidString(got) {
			t.Errorf("%d bytes", len(got))
		}
		for _, r := range got {
			if printable.Unsafe(r) {
				t.Fatalf("%U in %q", r, got)
			}
		}
	}
}
