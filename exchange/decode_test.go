package exchange

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHandlerDataIsKeptUnchanged(t *testing.T) {
	deep := strings.Repeat("[", 2001) + strings.Repeat("]", 2001)
	for _, result := range []string{`{"a":1,"a":2}`, `"\ud800"`, `"\u0000"`, `9007199254740993`, strings.Repeat("9", 5000), deep, "1e999", `{"b":1, "a":2.50}`, "null"} {
		request, err := ParseRequest([]byte(`{"protocol":1,"sequence":1,"held":"","outcomes":[{"index":0,"status":"Succeeded","result":` + result +
			`,"resultText":"x\ud800\ud83d\ude00"},{"index":1,"status":"Failed","error":{"type":"E","message":"\udc00","traceback":null}}]}`))
		if err != nil {
			t.Errorf("%.40s: %v", result, err)
			continue
		}
		if got := string(request.Outcomes[0].Result); got != result {
			t.Errorf("%.40s became %.40s", result, got)
		}
		if got := *request.Outcomes[0].ResultText; got != "x\ufffd\U0001f600" {
			t.Errorf("the text became %q", got)
		}
		if got := request.Outcomes[1].Error.Message; got != "\ufffd" {
			t.Errorf("the message became %q", got)
		}
	}
}

func TestAResultThatIsNestedTooDeeplyFailsAlone(t *testing.T) {
	nested := func(levels int, begin, inner, end string) string {
		return strings.Repeat(begin, levels) + inner + strings.Repeat(end, levels)
	}
	call := func(outcome string) string {
		return `{"protocol":1,"sequence":1,"held":"","outcomes":[{"index":0,"status":"Succeeded","result":1},` + outcome + `,{"index":9,"status":"Succeeded","result":[2]}]}`
	}
	for name, tc := range map[string]struct{ outcome, kind string }{
		"a list":                          {`{"index":4,"status":"Succeeded","result":` + nested(10_001, "[", "1", "]") + `,"resultText":"x"}`, ErrorResultNotSerializable},
		"an object":                       {`{"index":4,"status":"Succeeded","result":` + nested(10_001, `{"a":`, "1", "}") + `}`, ErrorResultNotSerializable},
		"brackets in a string":            {`{"index":4,"status":"Succeeded","result":` + nested(10_001, "[", `"]]}\\\"["`, "]") + `}`, ErrorResultNotSerializable},
		"before the index and the status": {`{"result":` + nested(20_000, "[", "", "]") + `,"status":"Succeeded","index":4}`, ErrorResultNotSerializable},
		"of an input that failed":         {`{"index":4,"status":"Failed","error":{"type":"E"},"result":` + nested(10_001, "[", "", "]") + `}`, "E"},
	} {
		t.Run(name, func(t *testing.T) {
			request, err := ParseRequest([]byte(call(tc.outcome)))
			if err != nil {
				t.Fatal(err)
			}
			o := request.Outcomes[1]
			if o.Index != 4 || o.Status != "Failed" || o.Result != nil || o.ResultText != nil || o.Error == nil || o.Error.Type != tc.kind {
				t.Errorf("the outcome is %d %s %v", o.Index, o.Status, o.Error)
			}
			if string(request.Outcomes[0].Result) != "1" || string(request.Outcomes[2].Result) != "[2]" {
				t.Errorf("the others are %s and %s", request.Outcomes[0].Result, request.Outcomes[2].Result)
			}
		})
	}
	for _, wrong := range []string{nested(10_001, "[", "", "}"), nested(10_001, "[", `"`, "]"), strings.Repeat("[", 10_001)} {
		if _, err := ParseRequest([]byte(call(`{"index":4,"status":"Succeeded","result":` + wrong + `}`))); err == nil {
			t.Errorf("%.5s… is accepted", wrong)
		}
	}
}

func TestARefusedOutcomeIsNamed(t *testing.T) {
	const fine = `{"index":7,"status":"Succeeded","result":1},`
	for name, tc := range map[string]struct {
		outcomes string
		index    int
		words    string
	}{
		"a field of another type":       {fine + `{"index":4,"status":"Succeeded","result":1,"startTime":"x"}`, 4, `outcomes[1], index 4: the outcome is not valid: the field "startTime"`},
		"a key given twice":             {fine + `{"index":4,"status":"Succeeded","status":"Failed"}`, 4, `the key "status" is given twice`},
		"output that is not base64":     {fine + `{"index":4,"status":"Succeeded","stdout":"!"}`, 4, "outcomes[1], index 4"},
		"a result that is not JSON":     {fine + `{"index":4,"status":"Succeeded","result":NaN}`, 4, "outcomes[1], index 4"},
		"an unknown status":             {fine + `{"index":4,"status":"Done"}`, 4, "the outcome of index 4 has status"},
		"an unknown status, index last": {fine + `{"status":"Done","index":4}`, 4, "the outcome of index 4 has status"},
		"a negative duration":           {fine + `{"index":4,"status":"Failed","durationMicros":-1}`, 4, "negative"},
		"an index given twice":          {fine + `{"index":7,"status":"Failed"}`, 7, "the index 7 is reported twice"},
		"an index that is not known":    {fine + `{"startTime":"x","index":4}`, -1, "outcomes[1]: the outcome is not valid"},
		"a negative index":              {fine + `{"index":-1,"status":"Failed"}`, -1, "outcomes[1]: an outcome has index -1"},
		"an error outside the outcomes": {fine + `{"index":4,"status":"Failed"}],"want":["x"`, -1, `the field "want"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseRequest([]byte(`{"protocol":1,"sequence":1,"held":"","outcomes":[` + tc.outcomes + `]}`))
			var refused *RequestError
			if !errors.As(err, &refused) || !strings.Contains(refused.Message, tc.words) {
				t.Fatalf("the error is %v", err)
			}
			index := -1
			if refused.Index != nil {
				index = *refused.Index
			}
			if index != tc.index {
				t.Errorf("the index is %d, want %d: %v", index, tc.index, err)
			}
		})
	}
}

//security:attack worker | A call of 31 MiB of empty outcomes, of small outcomes, of indexes, of unknown fields, or of brackets. | Memory stays within a small multiple of the bytes that were read, also if the call is rejected.
func TestDecodingMemoryIsProportionalToTheCall(t *testing.T) {
	const size = 4 << 20
	filled := func(begin, part, end string) string {
		return begin + strings.Repeat(part, (size-len(begin)-len(end))/len(part)) + end
	}
	var small strings.Builder
	for i := range MaxOutcomes {
		fmt.Fprintf(&small, `{"index":%d,"status":"Failed"},`, i)
	}
	call := `{"protocol":1,"sequence":1,"held":"",`
	for name, text := range map[string]string{
		"empty outcomes":           filled(call+`"outcomes":[`, "{},", `{}]}`),
		"small outcomes":           call + `"outcomes":[` + strings.TrimSuffix(small.String(), ",") + `]}`,
		"outcomes of one index":    filled(call+`"outcomes":[`, `{"index":0,"status":"Failed"},`, `{"index":0,"status":"Failed"}]}`),
		"empty errors":             filled(call+`"outcomes":[`, `{"index":0,"status":"Failed","error":{}},`, `{"index":0,"status":"Failed"}]}`),
		"a result of tiny objects": filled(call+`"outcomes":[{"index":0,"status":"Succeeded","result":[`, "{},", `{}]}]}`),
		"unknown tiny objects":     filled(call+`"x":[`, "{},", `{}]}`),
		"a result of brackets":     filled(call+`"outcomes":[{"index":0,"status":"Succeeded","result":`, "[", ""),
		"brackets":                 filled(call+`"x":`, "[", ""),
		"suspects":                 filled(`{"protocol":1,"sequence":1,"held":"","suspects":"`, "1,", `1"}`),
		"held indexes":             filled(`{"protocol":1,"sequence":1,"held":"`, "1,", `1"}`),
		"live output":              filled(`{"protocol":1,"sequence":1,"held":"1","executing":1,"live":{"index":1,"stdout":"`, "aaaa", `"}}`),
		"escapes":                  filled(call+`"device":"`, `\n`, `"}`),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			request, err := ParseRequest([]byte(text))
			runtime.ReadMemStats(&after)
			used := after.TotalAlloc - before.TotalAlloc
			if limit := 10 * uint64(len(text)); used > limit {
				t.Errorf("%d bytes were allocated for %d of a call (%v)", used, len(text), err)
			}
			runtime.KeepAlive(request)
		})
	}
}

// A call is rejected, or encoding and decoding it again does not change it.
func FuzzParseRequest(f *testing.F) {
	for _, seed := range []string{
		`{"protocol":1,"sequence":2,"held":"1,3-5","executing":3,"want":true,"waitSeconds":5,"live":{"index":3,"stdout":"aGk="},"suspects":"7"}`,
		`{"protocol":1,"sequence":1,"held":"","outcomes":[{"index":0,"status":"Succeeded","result":{"a":1},"resultText":"x","startTime":5,"durationMicros":7}]}`,
		`{"protocol":1,"sequence":1,"outcomes":[{"index":0,"status":"Failed","crash":true,"error":{"type":"E","message":"\ud800"}}],"loadError":{"type":"x"}}`,
		`{"protocol":1,"protocol":1}`, `{"protocol":1,"sequence":1,"outcomes":[null]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		request, err := ParseRequest(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		// Results are compared as encoded, without white space.
		read, err := ParseRequest(again)
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		third, err := json.Marshal(read)
		if diff := cmp.Diff(string(again), string(third)); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})
}
