package work

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/exchange"
)

// onlyWorker authenticates one worker.
type onlyWorker struct {
	worker Worker
	err    error
}

func (a *onlyWorker) Worker(_ *http.Request, namespace, run string) (Worker, error) {
	if a.err != nil {
		return Worker{}, a.err
	}
	if namespace != a.worker.Namespace || run != a.worker.Run {
		return Worker{}, ErrForbidden
	}
	return a.worker, nil
}

type server struct {
	c     *cluster
	auth  *onlyWorker
	serve http.Handler
}

func newServer(t *testing.T) *server {
	c := newCluster(t, nil)
	auth := &onlyWorker{worker: c.pod(0).worker}
	return &server{c: c, auth: auth, serve: Handler(c.exchange, auth)}
}

const address = "/work/v1/namespaces/ns/runs/run/exchange"

func (s *server) post(body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, address, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for _, change := range change {
		change(r)
	}
	w := httptest.NewRecorder()
	s.serve.ServeHTTP(w, r)
	return w
}

func TestCallOverHTTP(t *testing.T) {
	s := newServer(t)
	w := s.post(`{"protocol": 1, "sequence": 1, "held": "", "want": true, "unknown": [1]}`)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("status %d, %s: %s", w.Code, w.Header(), w.Body)
	}
	want := `{"action":"work","inputs":[{"index":0,"json":[0]}],"leaseSeconds":30,"timeoutSeconds":60,"handBackMillis":200,"liveMillis":302,` +
		`"limits":{"resultBytes":16777216,"outputBytes":262144}}`
	if diff := cmp.Diff(want, w.Body.String()); diff != "" {
		t.Errorf("the answer (-want +got):\n%s", diff)
	}

	w = s.post(`{"protocol": 1, "sequence": 2, "held": "3", "outcomes": [{"index": 0, "status": "Succeeded", "result": {"a":  1.50, "a": null},
		"startTime": 5, "durationMicros": 7, "stdout": "aGk="}]}`)
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"revoked":`) == strings.Contains(w.Body.String(), `"inputs"`) {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	got := s.c.outcomes()[0]
	if string(got.Result) != `{"a":  1.50, "a": null}` || string(got.Stdout) != "hi" || got.CompletionMicros != 12 {
		t.Errorf("the outcome is %+v with the result %s", got, got.Result)
	}
}

//security:attack worker | sends calls to the exchange that are malformed, too large or for another run | each is rejected and nothing of it is stored
func TestRejectedCalls(t *testing.T) {
	call := func(fields string) string { return `{"protocol": 1, "sequence": 2, "held": "", ` + fields + `}` }
	outcome := func(fields string) string {
		return call(`"outcomes": [{"startTime": 1, "durationMicros": 1, ` + fields + `}]`)
	}
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for name, tc := range map[string]struct {
		body    string
		change  func(*http.Request)
		prepare func(*server)
		want    int
		words   string
	}{
		"another method":                {change: func(r *http.Request) { r.Method = http.MethodGet }, want: 405, words: "POST"},
		"another address":               {change: func(r *http.Request) { r.URL.Path = "/work/v1/elsewhere" }, want: 404, words: "does not exist"},
		"no token":                      {prepare: func(s *server) { s.auth.err = fmt.Errorf("x: %w", ErrUnauthenticated) }, want: 401, words: "token"},
		"another run's token":           {change: func(r *http.Request) { r.URL.Path = strings.Replace(address, "runs/run", "runs/other", 1) }, want: 403, words: "not valid for this run"},
		"an authenticator that fails":   {prepare: func(s *server) { s.auth.err = fmt.Errorf("the API is unavailable") }, want: 503, words: "try again"},
		"another content type":          {change: header("Content-Type", "text/plain"), want: 415, words: "application/json"},
		"a compressed body":             {change: header("Content-Encoding", "gzip"), want: 415, words: "compressed"},
		"a body announced as too large": {change: func(r *http.Request) { r.ContentLength = exchange.MaxBody + 1 }, want: 413, words: "32 MiB"},
		"a body that is too large": {change: func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(io.LimitReader(zeros{}, exchange.MaxBody+2)), -1
		}, want: 413, words: "several calls"},
		"a body that cannot be read":          {change: func(r *http.Request) { r.Body = io.NopCloser(brokenBody{}) }, want: 503, words: "try again"},
		"a body that is not JSON":             {body: `nonsense`, want: 400, words: "not a request of the exchange"},
		"something after the JSON":            {body: call(`"want": true`) + "x", want: 400, words: "not a request"},
		"JSON nested 10,001 levels deep":      {body: call(`"x": ` + strings.Repeat("[", 10001) + strings.Repeat("]", 10001)), want: 400, words: "depth"},
		"bytes that are not UTF-8":            {body: call("\"device\": \"\xff\""), want: 400, words: "UTF-8"},
		"a field of another type":             {body: call(`"want": "yes"`), want: 400, words: `the field "want" cannot be a JSON string`},
		"another protocol":                    {body: `{"protocol": 2, "sequence": 1}`, want: 400, words: "protocol is 2; this server supports 1"},
		"no sequence":                         {body: `{"protocol": 1}`, want: 400, words: "sequence is 0"},
		"a wait of minutes":                   {body: call(`"waitSeconds": 100`), want: 400, words: "from 0 to 20"},
		"held that cannot be read":            {body: `{"protocol": 1, "sequence": 2, "held": "1;2"}`, want: 400, words: "17,20-31"},
		"held that is not a string":           {body: `{"protocol": 1, "sequence": 2, "held": [1]}`, want: 400, words: "17,20-31"},
		"held beyond the end":                 {body: `{"protocol": 1, "sequence": 2, "held": "5-10"}`, want: 400, words: "the run has 10 inputs"},
		"executing what is not held":          {body: call(`"executing": 3`), want: 400, words: "executing is 3"},
		"an outcome beyond the end":           {body: outcome(`"index": 10, "status": "Succeeded"`), want: 400, words: "the run has 10 inputs"},
		"an outcome before the beginning":     {body: outcome(`"index": -1, "status": "Succeeded"`), want: 400, words: "index -1"},
		"an outcome with an unknown status":   {body: outcome(`"index": 1, "status": "Cancelled"`), want: 400, words: "Succeeded, Failed or TimedOut"},
		"a crash that succeeded":              {body: outcome(`"index": 1, "status": "Succeeded", "crash": true`), want: 400, words: "a crash is Failed"},
		"an outcome with a negative duration": {body: call(`"outcomes": [{"index": 1, "status": "Succeeded", "startTime": 1, "durationMicros": -1}]`), want: 400, words: "negative"},
		"an index reported twice": {body: call(`"outcomes": [{"index": 1, "status": "Succeeded"}, {"index": 1, "status": "Failed"}]`),
			want: 400, words: "reported twice"},
		"a key given twice":                 {body: call(`"sequence": 3`), want: 400, words: `the key "sequence" is given twice`},
		"a key that differs by case only":   {body: call(`"Sequence": 3`), want: 400, words: `the key "Sequence" is given twice`},
		"a key given twice in an outcome":   {body: outcome(`"index": 1, "index": 2, "status": "Succeeded"`), want: 400, words: `the key "index" is given twice`},
		"JSON nested deeper than 64 levels": {body: call(`"x": ` + strings.Repeat("[", 64) + strings.Repeat("]", 64)), want: 400, words: "depth"},
		"empty outcomes":                    {body: call(`"outcomes": [` + strings.Repeat("{},", 1<<20) + `{}]`), want: 400, words: "status"},
		"too many outcomes": {body: call(`"outcomes": [` + strings.Repeat(`{"index":0,"status":"Failed"},`, exchange.MaxOutcomes) + `{"index":0,"status":"Failed"}]`),
			want: 400, words: "more than 65536"},
		"half a surrogate pair in a list": {body: `{"protocol": 1, "sequence": 2, "held": "\ud800"}`, want: 400, words: "half a surrogate pair"},
		"a number beyond floats":          {body: call(`"x": 1e999`), want: 400, words: "out of the range"},
		"a list of indexes of 2 MiB":      {body: `{"protocol": 1, "sequence": 2, "held": "` + strings.Repeat("1,", 1<<20) + `1"}`, want: 400, words: "at most 1048576"},
		"an older sequence":               {body: `{"protocol": 1, "sequence": 1, "held": ""}`, want: 409, words: "another supervisor"},
		"a deleted run":                   {body: call(`"want": true`), prepare: func(s *server) { s.c.gone = true }, want: 404, words: "the run does not exist"},
		"another run of the same name":    {body: call(`"want": true`), prepare: func(s *server) { s.auth.worker.RunUID = "an earlier one" }, want: 404, words: "the run does not exist"},
		"a pod that has ended": {body: call(`"want": true`), prepare: func(s *server) {
			if err := s.c.exchange.PodEnded(s.c.t.Context(), s.auth.worker, disrupted); err != nil {
				s.c.t.Fatal(err)
			}
		}, want: 409, words: "this pod has ended"},
		"a store that is not open": {body: call(`"want": true`), prepare: func(s *server) { _ = s.c.store.Close() }, want: 503, words: outcomes.ErrNotReady.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			for sequence := 1; sequence <= 2; sequence++ {
				if w := s.post(fmt.Sprintf(`{"protocol": 1, "sequence": %d, "held": ""}`, sequence)); w.Code != http.StatusOK {
					t.Fatalf("the first calls: %d %s", w.Code, w.Body)
				}
			}
			if tc.prepare != nil {
				tc.prepare(s)
			}
			if tc.change == nil {
				tc.change = func(*http.Request) {}
			}
			w := s.post(tc.body, tc.change)
			var refusal struct{ Error string }
			if err := json.Unmarshal(w.Body.Bytes(), &refusal); err != nil {
				t.Fatalf("the body is %q: %v", w.Body, err)
			}
			if w.Code != tc.want || !strings.Contains(refusal.Error, tc.words) {
				t.Errorf("%d %q; want %d with %q", w.Code, refusal.Error, tc.want, tc.words)
			}
			if w.Code == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") != "Bearer" {
				t.Error("401 without WWW-Authenticate")
			}
			if w.Code == http.StatusMethodNotAllowed && w.Header().Get("Allow") != http.MethodPost {
				t.Error("405 without Allow")
			}
			s.c.check() //nolint:errcheck // the store may be closed
			s.c.restartIfClosed()
		})
	}
}

func TestARejectedOutcomeIsNamed(t *testing.T) {
	s := newServer(t)
	for outcome, want := range map[string]string{
		`{"index": 3, "status": "Done"}`:                     `"index":3`,
		`{"index": 12, "status": "Succeeded", "result": 1}`:  `"index":12`,
		`{"index": 3, "status": "Failed", "startTime": "x"}`: `"index":3`,
	} {
		w := s.post(`{"protocol": 1, "sequence": 1, "held": "", "outcomes": [` + outcome + `]}`)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s; want 400 with %s", outcome, w.Code, w.Body, want)
		}
	}
}

func (c *cluster) restartIfClosed() {
	if c.store.Ready() != nil {
		c.start()
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestRequestOfMaximumSizeIsAccepted(t *testing.T) {
	s := newServer(t)
	call := []byte(`{"protocol": 1, "sequence": 1, "held": "", "want": true}`)
	body := append(bytes.Repeat([]byte(" "), exchange.MaxBody-len(call)), call...)
	if w := s.post(string(body)); w.Code != http.StatusOK {
		t.Fatalf("%d bytes got %d %s", len(body), w.Code, w.Body)
	}
}

func TestLargestOutcomeFitsARequest(t *testing.T) {
	outcome := succeeded(1 << 30)
	outcome.Result = nil
	outcome.Stdout = make([]byte, DefaultLimits.OutputBytes)
	outcome.Stderr = outcome.Stdout
	request, err := json.Marshal(exchange.Request{Outcomes: []exchange.Outcome{outcome}})
	if err != nil {
		t.Fatal(err)
	}
	if size := len(request) + DefaultLimits.ResultBytes; size > exchange.MaxBody {
		t.Errorf("the outcome has %d bytes; a request has at most %d", size, exchange.MaxBody)
	}
}
