package localexchange

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sharedcloud.io/function-operator/exchange"
)

// worker makes calls as a supervisor does.
type worker struct {
	t *testing.T
	e *Exchange
}

func start(t *testing.T, n int, report func(exchange.Outcome)) worker {
	t.Helper()
	var inputs []exchange.Input
	for i := range n {
		inputs = append(inputs, exchange.Input{Index: i, Literal: "(1,)"})
	}
	e, err := New(inputs, 60, 1, report, func(exchange.LoadOutput) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return worker{t, e}
}

func (w worker) post(token, body string) (int, string) {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.e.URL(), strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// call returns the action and the indexes that were handed out.
func (w worker) call(body string) (string, []int) {
	w.t.Helper()
	status, text := w.post(w.e.Token(), body)
	var a exchange.Answer
	if err := json.Unmarshal([]byte(text), &a); err != nil || status != http.StatusOK {
		w.t.Fatalf("%d %s: %v", status, text, err)
	}
	var given []int
	for _, input := range a.Inputs {
		given = append(given, input.Index)
	}
	return string(a.Action), given
}

func TestOneWorkerWorksThroughARun(t *testing.T) {
	var got []int
	w := start(t, 3, func(o exchange.Outcome) { got = append(got, o.Index) })
	check := func(body, action string, given ...int) {
		t.Helper()
		gotAction, gotGiven := w.call(body)
		if gotAction != action || !cmp.Equal(gotGiven, given) {
			t.Errorf("%s: %s %v, want %s %v", body, gotAction, gotGiven, action, given)
		}
	}
	check(`{"protocol":1,"sequence":1,"want":true}`, "work", 0)
	check(`{"protocol":1,"sequence":1,"want":true}`, "work", 0) // its answer was lost
	check(`{"protocol":1,"sequence":2,"held":"0","executing":0}`, "work")
	check(`{"protocol":1,"sequence":3,"want":true,"outcomes":[{"index":0,"status":"Succeeded","durationMicros":5}]}`, "work", 1, 2)
	check(`{"protocol":1,"sequence":4,"held":"2","outcomes":[{"index":1,"status":"Failed"},{"index":0,"status":"Failed"}]}`, "work")
	check(`{"protocol":1,"sequence":5,"held":"","want":true}`, "work", 2) // 2 was handed back
	check(`{"protocol":1,"sequence":6,"want":true,"outcomes":[{"index":2,"status":"Succeeded"}]}`, "finished")
	if diff := cmp.Diff([]int{0, 1, 2}, got); diff != "" {
		t.Errorf("reported, each once (-want +got):\n%s", diff)
	}
	if w.e.Left() != 0 {
		t.Errorf("%d are left", w.e.Left())
	}
}

func TestWhatIsNoCallIsRefused(t *testing.T) {
	w := start(t, 1, func(exchange.Outcome) {})
	w.call(`{"protocol":1,"sequence":2,"want":true}`)
	tests := map[string]struct {
		token, body string
		want        int
	}{
		"an unknown token":      {"guessed", `{"protocol":1,"sequence":3}`, http.StatusUnauthorized},
		"no JSON":               {w.e.Token(), `hello`, http.StatusBadRequest},
		"another protocol":      {w.e.Token(), `{"protocol":2,"sequence":3}`, http.StatusBadRequest},
		"an older sequence":     {w.e.Token(), `{"protocol":1,"sequence":1}`, http.StatusConflict},
		"held that is none":     {w.e.Token(), `{"protocol":1,"sequence":3,"held":"x"}`, http.StatusBadRequest},
		"a status that is none": {w.e.Token(), `{"protocol":1,"sequence":3,"outcomes":[{"index":0,"status":"Done"}]}`, http.StatusBadRequest},
		"a body over the limit": {w.e.Token(), strings.Repeat(" ", exchange.MaxBody+1), http.StatusRequestEntityTooLarge},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got, text := w.post(tc.token, tc.body); got != tc.want {
				t.Errorf("%d %s, want %d", got, text, tc.want)
			}
		})
	}
}

func TestAModuleThatCannotBeLoadedEndsTheRun(t *testing.T) {
	w := start(t, 1, func(exchange.Outcome) { t.Error("there is an outcome") })
	if action, _ := w.call(`{"protocol":1,"sequence":1,"loadError":{"type":"SyntaxError","message":"m"}}`); action != "stop" {
		t.Errorf("the answer is %s", action)
	}
	if got := w.e.LoadError(); got == nil || got.Type != "SyntaxError" || got.Traceback != "" {
		t.Errorf("%+v", got)
	}
}

func TestTheOutputOfALoadIsReportedOnceOrInItsError(t *testing.T) {
	var got []exchange.LoadOutput
	e, err := New([]exchange.Input{{Index: 0, Literal: "(1,)"}}, 60, 1, func(exchange.Outcome) {}, func(l exchange.LoadOutput) { got = append(got, l) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	w := worker{t, e}
	for range 2 {
		w.call(`{"protocol":1,"sequence":1,"want":true,"loadOutput":{"stdout":"weights\n"}}`)
	}
	w.call(`{"protocol":1,"sequence":2,"held":"0"}`)
	w.call(`{"protocol":1,"sequence":3,"held":"0","loadOutput":{"stderr":"boom\n"},"loadError":{"type":"ProcessExited","message":"m"}}`)
	if diff := cmp.Diff([]exchange.LoadOutput{{Stdout: "weights\n"}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if want := "ProcessExited: m\n\nThe module printed this to stderr while it was loaded:\nboom\n"; e.LoadError() == nil || e.LoadError().Traceback != want {
		t.Errorf("%+v", e.LoadError())
	}
}
