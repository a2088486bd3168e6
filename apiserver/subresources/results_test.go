package subresources

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/core"
	"sharedcloud.io/function-operator/apiserver/outcomes"
)

// runsFunc is a RunGetter.
type runsFunc func(name string) (*v1alpha1.FunctionRun, error)

func (f runsFunc) Get(_ context.Context, _, name string) (*v1alpha1.FunctionRun, error) {
	return f(name)
}

func theRun(inputs int32) runsFunc {
	run := &v1alpha1.FunctionRun{}
	run.Name, run.Namespace, run.UID = "run", "space", "uid"
	run.Status.Revision = &v1alpha1.PinnedRevision{InputCount: inputs}
	return func(string) (*v1alpha1.FunctionRun, error) { return run, nil }
}

// readerFunc is an OutcomeReader.
type readerFunc func(ctx context.Context, from, limit int, yield func(*outcomes.Outcome) bool) error

func (f readerFunc) Read(ctx context.Context, _ types.UID, selected outcomes.Selection, limit int, yield func(*outcomes.Outcome) bool) error {
	most := limit
	return f(ctx, selected.First, 0, func(o *outcomes.Outcome) bool {
		if o.Index > selected.Last {
			return false
		}
		if selected.Unsuccessful && o.Status == outcomes.Succeeded {
			return true
		}
		more := yield(o)
		most--
		return more && most != 0
	})
}

// these yields the outcomes of the given indexes.
func these(indexes ...int) readerFunc {
	return func(ctx context.Context, from, limit int, yield func(*outcomes.Outcome) bool) error {
		for _, index := range indexes {
			if index < from {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			o := &outcomes.Outcome{Index: index, Status: outcomes.Succeeded, Result: []byte("0"), Attempts: 1}
			if index%10 == 3 { // every index that ends in 3 fails
				o.Status, o.Result = outcomes.Failed, nil
			}
			if !yield(o) {
				return nil
			}
			if limit--; limit == 0 {
				return nil
			}
		}
		return nil
	}
}

// said is a response.
type said struct {
	status  int
	kind    string
	body    string
	refused error
	aborted bool
}

type responder struct{ said *said }

func (r responder) Object(int, runtime.Object) {}
func (r responder) Error(err error)            { r.said.refused = err }

func ask(t *testing.T, results *Results, query string) (answer said) {
	t.Helper()
	ctx := apirequest.WithNamespace(t.Context(), "space")
	handler, err := results.Connect(ctx, "run", nil, responder{&answer})
	if err != nil {
		return said{refused: err}
	}
	recorder := httptest.NewRecorder()
	defer func() {
		if p := recover(); p != nil {
			err, ok := p.(error)
			if !ok || !errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			answer.aborted = true
		}
		answer.status, answer.body = recorder.Code, recorder.Body.String()
		answer.kind = recorder.Header().Get("Content-Type")
	}()
	handler.ServeHTTP(recorder, httptest.NewRequestWithContext(ctx, http.MethodGet, "/?"+query, nil))
	return answer
}

func indexes(t *testing.T, body string) []int {
	t.Helper()
	var parsed []struct{ Index int }
	if err := json.Unmarshal([]byte(body), &parsed); err != nil {
		t.Fatalf("not a JSON array: %v\n%s", err, body)
	}
	got := []int{}
	for _, o := range parsed {
		got = append(got, o.Index)
	}
	return got
}

func TestResultsAreAnArrayOrLines(t *testing.T) {
	const zero, two = `{"index":0,"status":"Succeeded","result":0,"attempts":1}`, `{"index":2,"status":"Succeeded","result":0,"attempts":1}`
	for name, tc := range map[string]struct {
		reader readerFunc
		query  string
		want   said
	}{
		"no outcome yet":                                {these(), "", said{status: 200, kind: "application/json", body: "[]\n"}},
		"no outcome yet, in lines":                      {these(), "format=ndjson", said{status: 200, kind: "application/x-ndjson"}},
		"two, and one between them that has no outcome": {these(0, 2), "", said{status: 200, kind: "application/json", body: "[\n" + zero + ",\n" + two + "\n]\n"}},
		"two in lines":                                  {these(0, 2), "format=ndjson", said{status: 200, kind: "application/x-ndjson", body: zero + "\n" + two + "\n"}},
		"from an index":                                 {these(0, 2), "from=1", said{status: 200, kind: "application/json", body: "[\n" + two + "\n]\n"}},
		"some indexes":                                  {these(0, 1, 2), "indexes=0,2", said{status: 200, kind: "application/json", body: "[\n" + zero + ",\n" + two + "\n]\n"}},
		"some indexes, from an index and with a limit":  {these(0, 1, 2, 3), "indexes=0,2-3&from=1&limit=1", said{status: 200, kind: "application/json", body: "[\n" + two + "\n]\n"}},
		"only what failed":                              {these(0, 2, 3, 4, 13), "failed=true&format=ndjson", said{status: 200, kind: "application/x-ndjson", body: `{"index":3,"status":"Failed","attempts":1}` + "\n" + `{"index":13,"status":"Failed","attempts":1}` + "\n"}},
		"only what failed, followed":                    {these(0, 1, 2, 3, 4), "failed=true&format=ndjson&follow=true", said{status: 200, kind: "application/x-ndjson", body: `{"index":3,"status":"Failed","attempts":1}` + "\n"}},
		"CSV":                                           {these(0, 3), "format=csv", said{status: 200, kind: "text/csv", body: "index,status,result,error_type,error_message,attempts,start_time,completion_time,worker,node\n0,Succeeded,0,,,1,,,,\n3,Failed,,,,1,,,,\n"}},
		"CSV without outcomes":                          {these(), "format=csv", said{status: 200, kind: "text/csv", body: "index,status,result,error_type,error_message,attempts,start_time,completion_time,worker,node\n"}},
		"with a limit":                                  {these(0, 2), "limit=1", said{status: 200, kind: "application/json", body: "[\n" + zero + "\n]\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := ask(t, NewResults(t.Context(), theRun(5), tc.reader, clock.RealClock{}), tc.query)
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(said{})); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFollowReturnsIndexesInOrder(t *testing.T) {
	// One more outcome with each read, not in the order of the indexes.
	order := []int{2, 0, 3, 1, 4}
	looks := 0
	reader := readerFunc(func(ctx context.Context, from, limit int, yield func(*outcomes.Outcome) bool) error {
		looks++
		there := map[int]bool{}
		for _, index := range order[:min(looks, len(order))] {
			there[index] = true
		}
		var sorted []int
		for index := range 5 {
			if there[index] {
				sorted = append(sorted, index)
			}
		}
		return these(sorted...)(ctx, from, limit, yield)
	})
	for query, want := range map[string][]int{
		"follow=true":                {0, 1, 2, 3, 4},
		"follow=true&from=3":         {3, 4},
		"follow=true&from=1&limit=2": {1, 2},
		"follow=true&from=9":         {},
	} {
		t.Run(query, func(t *testing.T) {
			looks = 0
			got := ask(t, NewResults(t.Context(), theRun(5), reader, clock.RealClock{}), query)
			if diff := cmp.Diff(want, indexes(t, got.body)); diff != "" {
				t.Errorf("indexes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestResultsEndCleanlyAtTheirTimeLimit(t *testing.T) {
	endless := readerFunc(func(ctx context.Context, from, limit int, yield func(*outcomes.Outcome) bool) error {
		for index := from; ; index++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			if !yield(&outcomes.Outcome{Index: index, Status: outcomes.Succeeded, Result: []byte("0")}) {
				return nil
			}
		}
	})
	ended, end := context.WithCancel(t.Context())
	end()
	for name, tc := range map[string]struct {
		ending context.Context
		reader readerFunc
		query  string
	}{
		"a response that takes too long":              {t.Context(), endless, ""},
		"waiting for an outcome until the time limit": {t.Context(), these(0), "follow=true"},
		"waiting when the server stops":               {ended, these(0), "follow=true"},
	} {
		t.Run(name, func(t *testing.T) {
			results := NewResults(tc.ending, theRun(1<<30), tc.reader, clock.RealClock{})
			results.timeout = 500 * time.Millisecond
			got := ask(t, results, tc.query)
			if got.refused != nil || got.aborted || len(indexes(t, got.body)) == 0 && tc.ending.Err() == nil {
				t.Errorf("answer %+v", got)
			}
		})
	}
}

func TestResultsErrors(t *testing.T) {
	notFound := apierrors.NewNotFound(v1alpha1.Resource("functionruns"), "run")
	failing := func(err error, after ...int) readerFunc {
		return func(ctx context.Context, from, limit int, yield func(*outcomes.Outcome) bool) error {
			_ = these(after...)(ctx, from, limit, yield)
			return err
		}
	}
	for name, tc := range map[string]struct {
		runs   runsFunc
		reader readerFunc
		query  string
		want   func(error) bool
		says   string
	}{
		"an unknown run":                     {func(string) (*v1alpha1.FunctionRun, error) { return nil, notFound }, these(), "", apierrors.IsNotFound, `functionruns.sharedcloud.io "run" not found`},
		"too many live reads":                {func(string) (*v1alpha1.FunctionRun, error) { return nil, core.ErrBusy }, these(), "", apierrors.IsTooManyRequests, "retry in a second"},
		"the Kubernetes API does not answer": {func(string) (*v1alpha1.FunctionRun, error) { return nil, errors.New("refused") }, these(), "", apierrors.IsServiceUnavailable, "reading the FunctionRun from the Kubernetes API failed: refused"},
		"an invalid parameter":               {theRun(1), these(), "from=x", apierrors.IsBadRequest, "the parameter from"},
		"a store that is not open":           {theRun(1), failing(fmt.Errorf("%w: another server has it", outcomes.ErrNotReady)), "", apierrors.IsServiceUnavailable, "another server has it"},
		"a disk that cannot be read":         {theRun(1), failing(outcomes.ErrDisk), "", apierrors.IsServiceUnavailable, "the disk of the outcome store"},
		"deleted results":                    {theRun(1), failing(&outcomes.ResultsDeletedError{At: time.Unix(7, 0)}), "", apierrors.IsResourceExpired, "were deleted at 1970-01-01T00:00:07Z because resultsTTLSecondsAfterFinished has passed"},
		"a store that fails during follow":   {theRun(1), failing(outcomes.ErrDisk), "follow=true", apierrors.IsServiceUnavailable, "the disk of the outcome store"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ask(t, NewResults(t.Context(), tc.runs, tc.reader, clock.RealClock{}), tc.query)
			if got.refused == nil || !tc.want(got.refused) || !strings.Contains(got.refused.Error(), tc.says) {
				t.Errorf("error %v, want one that says %q", got.refused, tc.says)
			}
		})
	}
	t.Run("an error after the start of the response aborts the connection", func(t *testing.T) {
		got := ask(t, NewResults(t.Context(), theRun(3), failing(outcomes.ErrDisk, 0, 1), clock.RealClock{}), "")
		if !got.aborted {
			t.Errorf("answer %+v", got)
		}
	})
	t.Run("the number of concurrent requests is limited", func(t *testing.T) {
		results := NewResults(t.Context(), theRun(3), these(), clock.RealClock{})
		leave := taken(t, results.slots.reads)
		if got := ask(t, results, ""); !apierrors.IsTooManyRequests(got.refused) {
			t.Errorf("error %v", got.refused)
		}
		leave()
		if got := ask(t, results, ""); got.refused != nil {
			t.Errorf("error %v after a request has finished", got.refused)
		}
	})
}

// broken is a client that disconnects after a number of bytes.
type broken struct {
	header http.Header
	left   int
}

func (b *broken) Header() http.Header { return b.header }
func (b *broken) WriteHeader(int)     {}
func (b *broken) Write(data []byte) (int, error) {
	if b.left -= len(data); b.left < 0 {
		return 0, errors.New("broken pipe")
	}
	return len(data), nil
}

func TestResultsStopReadingForADisconnectedClient(t *testing.T) {
	read := 0
	reader := readerFunc(func(_ context.Context, from, _ int, yield func(*outcomes.Outcome) bool) error {
		large := []byte(`"` + strings.Repeat("x", streamBuffer) + `"`)
		for ; read < 1000; read++ {
			if !yield(&outcomes.Outcome{Index: from + read, Status: outcomes.Succeeded, Result: large}) {
				return nil
			}
		}
		return nil
	})
	results := NewResults(t.Context(), theRun(3), reader, clock.RealClock{})
	ctx := apirequest.WithNamespace(t.Context(), "space")
	handler, err := results.Connect(ctx, "run", nil, responder{&said{}})
	if err != nil {
		t.Fatal(err)
	}
	handler.ServeHTTP(&broken{header: http.Header{}, left: 3 * streamBuffer}, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
	if read > 5 {
		t.Errorf("%d outcomes were read for a caller that took three", read)
	}
}
