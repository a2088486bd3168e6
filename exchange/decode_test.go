package exchange

import (
	"encoding/json"
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
