package rest

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestTextOfJSON(t *testing.T) {
	for _, text := range []string{"", "plain", "\"quoted\" \\ /", "\n\r\t\x00\x1f\x7f", "ä€😀", "a\u2028b\u2029", strings.Repeat("x\n", 1000)} {
		var back string
		if err := json.Unmarshal(appendText(nil, text), &back); err != nil || back != text {
			t.Errorf("%q became %s: %v", text, appendText(nil, text), err)
		}
	}
	if got := string(appendText(nil, "<ä&\xff\u2028>")); got != `"<ä&`+"\ufffd"+`\u2028>"` {
		t.Errorf("%s", got)
	}
}
