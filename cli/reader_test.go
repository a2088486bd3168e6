package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// script has the responses to the requests of a reader, in order.
type script struct {
	t       *testing.T
	steps   []step
	queries []url.Values
}

type step struct {
	// lines are the lines of the response, and cut is an incomplete last line. err replaces the response.
	lines []string
	cut   string
	err   error
	// run is the run at the time of the request.
	run *v1alpha1.FunctionRun
}

func (s *script) open(_ context.Context, query url.Values) (io.ReadCloser, error) {
	if len(s.steps) == 0 {
		s.t.Fatalf("unexpected request: %v", query)
	}
	s.queries = append(s.queries, query)
	next := s.steps[0]
	s.steps = s.steps[1:]
	if next.err != nil {
		return nil, next.err
	}
	text := strings.Join(next.lines, "\n")
	if len(next.lines) > 0 {
		text += "\n"
	}
	if next.cut != "" {
		return io.NopCloser(io.MultiReader(strings.NewReader(text+next.cut), brokenReader{})), nil
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// look is the run before the next request.
func (s *script) look(context.Context) (*v1alpha1.FunctionRun, error) {
	if len(s.steps) > 0 && s.steps[0].run != nil {
		return s.steps[0].run, nil
	}
	return finishedRun("r", 4, 0), nil
}

func (s *script) froms() string {
	var all []string
	for _, q := range s.queries {
		text := q.Get("from")
		if q.Get("follow") == "true" {
			text += "f"
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

func TestResultsAreReadOnceAndInOrder(t *testing.T) {
	going, over := runningRun("r", 4, 0), finishedRun("r", 4, 0)
	line := func(i int) string { return outcomeLine(i, "Succeeded") }
	away := apierrors.NewServiceUnavailable("the outcome store is not open")
	reset := &url.Error{Op: "Get", URL: "https://x", Err: errors.New("connection reset by peer")}
	tests := map[string]struct {
		steps     []step
		w         selection
		want      string
		wantFroms string
	}{
		"one response":                           {steps: []step{{lines: []string{line(0), line(1), line(2), line(3)}, run: over}, {run: over}}, want: "0 1 2 3", wantFroms: "0 4"},
		"a response that ends at its time limit": {steps: []step{{lines: []string{line(0), line(1)}, run: over}, {lines: []string{line(2), line(3)}, run: over}, {run: over}}, want: "0 1 2 3", wantFroms: "0 2 4"},
		"a connection that fails within a line": {
			steps: []step{{lines: []string{line(0)}, cut: `{"index":1,"stat`, run: over}, {lines: []string{line(1), line(2), line(3)}, run: over}, {run: over}},
			want:  "0 1 2 3", wantFroms: "0 1 4",
		},
		"a complete line without a line break": {
			steps: []step{{lines: []string{line(0)}, cut: line(1), run: over}, {lines: []string{line(1), line(2), line(3)}, run: over}, {run: over}},
			want:  "0 1 2 3", wantFroms: "0 1 4",
		},
		"a server that is unavailable": {
			steps: []step{{lines: []string{line(0)}, run: over}, {err: away, run: over}, {err: reset, run: over}, {err: away, run: over}, {lines: []string{line(1), line(2), line(3)}, run: over}, {run: over}},
			want:  "0 1 2 3", wantFroms: "0 1 1 1 1 4",
		},
		"a server that starts from the beginning": {
			steps: []step{{lines: []string{line(0), line(1)}, cut: "{", run: over}, {lines: []string{line(0), line(1), line(2), line(3)}, run: over}, {run: over}},
			want:  "0 1 2 3", wantFroms: "0 2 4",
		},
		"following across several responses": {
			w:     selection{follow: true},
			steps: []step{{lines: []string{line(0)}, run: going}, {run: going}, {lines: []string{line(1), line(2)}, run: going}, {lines: []string{line(3)}, run: over}},
			want:  "0 1 2 3", wantFroms: "0f 1f 1f 3",
		},
		"following failed inputs": {
			w:     selection{follow: true, failed: true},
			steps: []step{{lines: []string{outcomeLine(1, "Failed")}, run: going}, {run: going}, {lines: []string{outcomeLine(3, "Failed")}, run: over}},
			want:  "1 3", wantFroms: "0f 2f 2",
		},
		"a limit": {w: selection{limit: 2, from: 1}, steps: []step{{lines: []string{line(1), line(2), line(3)}, run: over}}, want: "1 2", wantFroms: "1"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := &script{t: t, steps: tc.steps}
			r := &resultsReader{open: s.open, run: s.look, notify: func(string, ...any) {}, clock: newFastClock()}
			var got []string
			if err := r.read(t.Context(), tc.w, func(o *outcome) error {
				got = append(got, strconv.Itoa(o.Index))
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("indexes (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantFroms, s.froms()); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadingResultsReportsErrors(t *testing.T) {
	line := func(i int) string { return outcomeLine(i, "Succeeded") }
	other := finishedRun("r", 4, 0)
	other.UID = "another"
	away := apierrors.NewServiceUnavailable("the outcome store is not open")
	many := func(n int, s step) []step {
		steps := make([]step, n)
		for i := range steps {
			steps[i] = s
		}
		return steps
	}
	tests := map[string]struct {
		steps []step
		w     selection
		says  string
	}{
		"another run has the name":                {steps: []step{{lines: []string{line(0)}}, {run: other}}, says: "another run was created under its name"},
		"the server is unavailable for too long":  {steps: append([]step{{lines: []string{line(0)}}}, many(100, step{err: away})...), says: "no response for"},
		"the user lacks permissions":              {steps: []step{{err: apierrors.NewForbidden(v1alpha1.Resource("functionruns"), "r", errors.New("no"))}}, says: "forbidden"},
		"the server omits an index":               {w: selection{follow: true}, steps: []step{{lines: []string{line(0), line(2)}, run: runningRun("r", 4, 1)}}, says: "omitted index 1"},
		"the run has finished without an outcome": {w: selection{follow: true}, steps: []step{{lines: []string{line(0)}}, {}}, says: "index 1 of 4 has no outcome"},
		"the response is not an outcome":          {steps: []step{{lines: []string{"<html>"}}}, says: "is not an outcome"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := &script{t: t, steps: tc.steps}
			r := &resultsReader{open: s.open, run: s.look, notify: func(string, ...any) {}, clock: newFastClock()}
			err := r.read(t.Context(), tc.w, func(*outcome) error { return nil })
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want an error that contains %q", err, tc.says)
			}
		})
	}
}

func TestWriteErrorEndsReading(t *testing.T) {
	s := &script{t: t, steps: []step{{lines: []string{outcomeLine(0, "Succeeded"), outcomeLine(1, "Succeeded")}}}}
	r := &resultsReader{open: s.open, run: s.look, notify: func(string, ...any) {}, clock: newFastClock()}
	full := errors.New("no space left on device")
	if err := r.read(t.Context(), selection{}, func(*outcome) error { return full }); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

func TestReadingContinuesAfterAMinuteOfUnavailability(t *testing.T) {
	away := apierrors.NewServiceUnavailable("not now")
	steps := []step{{lines: []string{outcomeLine(0, "Succeeded")}}}
	for range 11 { // 0.5 + 1 + 2 + 4 + 8 + 6 × 10 seconds
		steps = append(steps, step{err: away})
	}
	steps = append(steps, step{lines: []string{outcomeLine(1, "Succeeded"), outcomeLine(2, "Succeeded"), outcomeLine(3, "Succeeded")}}, step{})
	s := &script{t: t, steps: steps}
	var said []string
	r := &resultsReader{open: s.open, run: s.look, clock: newFastClock(), notify: func(format string, args ...any) {
		said = append(said, fmt.Sprintf(format, args...))
	}}
	count := 0
	if err := r.read(t.Context(), selection{follow: true}, func(*outcome) error { count++; return nil }); err != nil || count != 4 {
		t.Fatalf("%d outcomes, %v", count, err)
	}
	if diff := cmp.Diff([]string{"Cannot reach the results (not now); retrying.", "The server is available again."}, said); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

func TestResultsFollowContinuesAfterAFailedConnection(t *testing.T) {
	f := newFakeCluster(t)
	f.runs["r"] = finishedRun("r", 3, 1)
	for i, status := range []string{"Succeeded", "Succeeded", "Succeeded", "Failed"} {
		f.outcomes["r"] = append(f.outcomes["r"], outcomeLine(i, status))
	}
	broken := false
	f.handle = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/results") || broken {
			return false
		}
		broken = true
		_, _ = io.WriteString(w, outcomeLine(0, "Succeeded")+"\n"+`{"index":1,`)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	got := f.plugin(t, t.Context(), nil, "results", "r", "--follow", "-o", "ndjson")
	got.mustExit(t, ExitFailed, "", "1 of 4 inputs did not succeed (1 failed): indexes 3.")
	if want := strings.Join(f.outcomes["r"], "\n") + "\n"; got.stdout != want {
		t.Errorf("got\n%swant\n%s", got.stdout, want)
	}
}
