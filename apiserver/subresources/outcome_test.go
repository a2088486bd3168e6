package subresources

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sharedcloud.io/function-operator/apiserver/outcomes"
)

var began = time.Date(2026, 11, 24, 12, 0, 0, 120_000_000, time.UTC).UnixMicro()

func TestTheJSONOfOutcomes(t *testing.T) {
	for name, tc := range map[string]struct {
		outcome outcomes.Outcome
		output  bool
		want    string
	}{
		"a result": {
			outcome: outcomes.Outcome{
				Index: 7, Status: outcomes.Succeeded, Result: []byte(`{"a": [1, 2.50, "<&>"]}`), Attempts: 1,
				StartMicros: began, CompletionMicros: began + 1_500_001, PodName: "run-1-0-abcde", Node: "node",
				Stdout: []byte("not requested"),
			},
			want: `{"index":7,"status":"Succeeded","result":{"a":[1,2.50,"<&>"]},"attempts":1,` +
				`"startTime":"2026-11-24T12:00:00.120000Z","completionTime":"2026-11-24T12:00:01.620001Z","worker":"run-1-0-abcde","node":"node"}`,
		},
		"null is a result": {
			outcome: outcomes.Outcome{Status: outcomes.Succeeded, Result: []byte(`null`), Attempts: 2},
			want:    `{"index":0,"status":"Succeeded","result":null,"attempts":2}`,
		},
		"a value that JSON cannot represent is its text": {
			outcome: outcomes.Outcome{Status: outcomes.Succeeded, ResultText: []byte("nan"), Attempts: 1},
			want:    `{"index":0,"status":"Succeeded","result":"nan","attempts":1}`,
		},
		"an empty text is written": {
			outcome: outcomes.Outcome{Status: outcomes.Succeeded, ResultText: []byte{}, Attempts: 1},
			want:    `{"index":0,"status":"Succeeded","result":"","attempts":1}`,
		},
		"JSON takes precedence over the text": {
			outcome: outcomes.Outcome{Status: outcomes.Succeeded, Result: []byte(`true`), ResultText: []byte("True"), Attempts: 1},
			want:    `{"index":0,"status":"Succeeded","result":true,"attempts":1}`,
		},
		"a large integer keeps its digits": {
			outcome: outcomes.Outcome{Status: outcomes.Succeeded, Result: []byte(`1234567890123456789012345678901234567890`), Attempts: 1},
			want:    `{"index":0,"status":"Succeeded","result":1234567890123456789012345678901234567890,"attempts":1}`,
		},
		"a stored result that is not JSON does not break the response": {
			outcome: outcomes.Outcome{Status: outcomes.Succeeded, Result: []byte("{\"a\":1}\n{"), Attempts: 1},
			want:    `{"index":0,"status":"Succeeded","result":"{\"a\":1}\n{","attempts":1}`,
		},
		"an exception": {
			outcome: outcomes.Outcome{Status: outcomes.Failed, Error: &outcomes.ErrorText{Type: "ValueError", Message: "a \"b\"\n\x00", Traceback: "line 1"}, Attempts: 3},
			want:    `{"index":0,"status":"Failed","error":{"type":"ValueError","message":"a \"b\"\n\u0000","traceback":"line 1"},"attempts":3}`,
		},
		"an error without a traceback": {
			outcome: outcomes.Outcome{Status: outcomes.TimedOut, Error: &outcomes.ErrorText{Type: "Timeout", Message: "m"}, Attempts: 1},
			want:    `{"index":0,"status":"TimedOut","error":{"type":"Timeout","message":"m"},"attempts":1}`,
		},
		"an input that was never executed": {
			outcome: outcomes.Outcome{Status: outcomes.Cancelled, ByClosing: true, CompletionMicros: began, Error: &outcomes.ErrorText{Type: "Cancelled"}},
			want:    `{"index":0,"status":"Cancelled","error":{"type":"Cancelled","message":""},"attempts":0,"completionTime":"2026-11-24T12:00:00.120000Z"}`,
		},
		"output, if requested": {
			outcome: outcomes.Outcome{Status: outcomes.Succeeded, Result: []byte(`1`), Attempts: 1, Stdout: []byte("a\xff\n"), StdoutDropped: 12},
			output:  true,
			want:    `{"index":0,"status":"Succeeded","result":1,"attempts":1,"stdout":"a\ufffd\n","stdoutDropped":12,"stderr":""}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			encoder := newEncoder(tc.output)
			encoder.encode(&outcomes.Outcome{Index: 99, Result: []byte(`"what came before"`)})
			got := string(encoder.encode(&tc.outcome))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("JSON (-want +got):\n%s", diff)
			}
			if !json.Valid([]byte(got)) || strings.ContainsRune(got, '\n') {
				t.Errorf("not one line of JSON: %s", got)
			}
		})
	}
}
