package exchange

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLoadOutputIsAddedToTheErrorOfTheLoad(t *testing.T) {
	const header = "\n\nThe module printed this to "
	tests := map[string]struct {
		output *LoadOutput
		err    ErrorText
		want   string
	}{
		"nothing was printed":             {nil, ErrorText{"E", "m", "tb"}, "tb"},
		"an empty output":                 {&LoadOutput{}, ErrorText{"E", "m", "tb"}, "tb"},
		"both streams follow a traceback": {&LoadOutput{"out\n", "err\n"}, ErrorText{"E", "m", "tb\n"}, "tb" + header + "stdout while it was loaded:\nout" + header + "stderr while it was loaded:\nerr\n"},
		"without a traceback the message": {&LoadOutput{Stdout: "out"}, ErrorText{"ProcessExited", "exit 3", ""}, "ProcessExited: exit 3" + header + "stdout while it was loaded:\nout\n"},
		"without a message the type":      {&LoadOutput{Stdout: "out"}, ErrorText{"E", "", ""}, "E" + header + "stdout while it was loaded:\nout\n"},
		"what the traceback contains":     {&LoadOutput{Stderr: "same\n"}, ErrorText{"E", "m", "tb\nsame\n"}, "tb\nsame\n"},
		"a traceback that was printed":    {&LoadOutput{Stderr: "warning\ntb 1\ntb 2\n"}, ErrorText{"E", "m", "tb 1\ntb 2\n"}, "tb 1\ntb 2" + header + "stderr while it was loaded:\nwarning\n"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := tc.output.AddTo(tc.err)
			if diff := cmp.Diff(ErrorText{tc.err.Type, tc.err.Message, tc.want}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadOutputIsDecodedWithinItsLimit(t *testing.T) {
	tests := map[string]struct {
		text string
		want *LoadOutput
	}{
		"both streams":            {`{"stdout":"a\n","stderr":"b"}`, &LoadOutput{"a\n", "b"}},
		"null":                    {`null`, nil},
		"a null stream":           {`{"stdout":null,"stderr":"b","later":[1]}`, &LoadOutput{"", "b"}},
		"half a surrogate pair":   {`{"stdout":"\ud800x"}`, &LoadOutput{"\ufffdx", ""}},
		"the end of a longer one": {`{"stdout":"` + strings.Repeat("ä", MaxLoadOutput) + `z"}`, &LoadOutput{strings.Repeat("ä", MaxLoadOutput/2-1) + "z", ""}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			request, err := ParseRequest([]byte(`{"protocol":1,"sequence":1,"held":"","loadOutput":` + tc.text + `}`))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, request.LoadOutput); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, wrong := range []string{`"text"`, `[]`, `{"stdout":1}`, `{"stdout":"a","stdout":"b"}`, `{"stdout":"a","Stdout":"b"}`} {
		if _, err := ParseRequest([]byte(`{"protocol":1,"sequence":1,"held":"","loadOutput":` + wrong + `}`)); err == nil {
			t.Errorf("%s is accepted", wrong)
		}
	}
}
