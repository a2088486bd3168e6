package printable

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadableJSON(t *testing.T) {
	for name, tc := range map[string]struct{ text, readable, value string }{
		"text in another script":    {`{"\u540d":"\u4e2d\u6587"}`, `{"名":"中文"}`, `{"名":"中文"}`},
		"a string":                  {`"\u4e2d\u6587 \u00fc"`, `"中文 ü"`, "中文 ü"},
		"a pair of surrogates":      {`["\ud83d\ude00"]`, `["😀"]`, `["😀"]`},
		"what HTML encoders write":  {`["\u003cb\u003e \u0026 \u0027"]`, `["<b> & '"]`, `["<b> & '"]`},
		"a slash":                   {`["a\/b"]`, `["a/b"]`, `["a/b"]`},
		"capital digits":            {`["\u00FC"]`, `["ü"]`, `["ü"]`},
		"text that is readable":     {`["中文", 1.50]`, `["中文", 1.50]`, `["中文", 1.50]`},
		"halves of a pair":          {`["\ud83d","\ude00","\ud83d\ud83d\ude00x"]`, `["\ud83d","\ude00","\ud83d😀x"]`, `["\ud83d","\ude00","\ud83d😀x"]`},
		"halves in a string":        {`"\ud83d \uDE00\n\u4e2d"`, `"\ud83d \uDE00\n中"`, "\\ud83d \\uDE00\n中"},
		"a string with a half only": {`"\ud83d"`, `"\ud83d"`, `\ud83d`},
		"quotes and backslashes":    {`["\u0022\u005c\"\\u4e2d"]`, `["\u0022\u005c\"\\u4e2d"]`, `["\u0022\u005c\"\\u4e2d"]`},
		"a backslash in a string":   {`"\\u4e2d\\ud83d"`, `"\\u4e2d\\ud83d"`, `\u4e2d\ud83d`},
		"control characters":        {`["\u001b[2J\u0000\u007f\u009b"]`, `["\u001b[2J\u0000\u007f\u009b"]`, `["\u001b[2J\u0000\u007f\u009b"]`},
		"direction and width":       {`["\u202e\u200b\ufeff\u2028\ud83d\udc68\u200d\udb40\udc41"]`, `["\u202e\u200b\ufeff\u2028👨\u200d\udb40\udc41"]`, `["\u202e\u200b\ufeff\u2028👨\u200d\udb40\udc41"]`},
		"an empty text":             {``, ``, ``},
	} {
		t.Run(name, func(t *testing.T) {
			got := string(Readable([]byte(tc.text)))
			if diff := cmp.Diff([]any{tc.readable, tc.value, len(tc.readable)}, []any{got, Value([]byte(tc.text)), ReadableSize([]byte(tc.text))}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzReadable(f *testing.F) {
	for _, seed := range []string{`"\u4e2d"`, `["\ud83d\ude00\ud83d"]`, `"\\u0041\/"`, `{"\u003c":"\u0022"}`, `\`, `"\u12"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		readable := Readable([]byte(text))
		if len(readable) != ReadableSize([]byte(text)) {
			t.Errorf("%q has %d bytes, not %d", readable, len(readable), ReadableSize([]byte(text)))
		}
		_ = Value([]byte(text))
		var want, got any
		if json.Unmarshal([]byte(text), &want) != nil {
			return
		}
		if err := json.Unmarshal(readable, &got); err != nil {
			t.Fatalf("%s became %s: %v", text, readable, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s became %s (-want +got):\n%s", text, readable, diff)
		}
	})
}

func BenchmarkReadableSize(b *testing.B) {
	text := []byte(`["` + strings.Repeat(`loss 0.25 `, 100_000) + `"]`)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		ReadableSize(text)
	}
}
