package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/parameters"
)

// receiver serves functions/run for inputs in several requests.
type receiver struct {
	mu    sync.Mutex
	lines []string
	// calls are the offsets of the requests, and finals is the number of requests that create the run.
	calls  []string
	finals int
	name   string
	// cut is after how many lines the connection of a request fails, or -1.
	cut func(call int) int
	// lose and loseAfter are how many last requests fail, before and after the run is created.
	lose, loseAfter int
	made            *v1alpha1.FunctionRun
}

func (u *receiver) handle(w http.ResponseWriter, r *http.Request) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if r.Method == http.MethodGet && u.made != nil && strings.HasSuffix(r.URL.Path, "/functionruns/"+u.made.Name) {
		reply(w, http.StatusOK, u.made)
		return true
	}
	query := r.URL.Query()
	if r.Method != http.MethodPost {
		return false
	}
	u.calls = append(u.calls, query.Get("offset"))
	if u.name == "" {
		u.name = query.Get("upload")
	}
	offset, err := strconv.Atoi(query.Get("offset"))
	if err != nil || len(u.name) != 36 || query.Get("upload") != u.name || query.Get("format") != "ndjson" {
		refuse(w, apierrors.NewBadRequest("asked with "+r.URL.RawQuery))
		return true
	}
	left := -1
	if u.cut != nil {
		left = u.cut(len(u.calls))
	}
	if offset > len(u.lines) {
		refuse(w, apierrors.NewConflict(v1alpha1.Resource("functions"), "f", errors.New("beyond the end")))
		return true
	}
	body := bufio.NewReader(r.Body)
	for at := offset; ; at++ {
		line, err := body.ReadString('\n')
		if errors.Is(err, io.EOF) && line == "" {
			break
		}
		if err != nil || left == 0 {
			panic(http.ErrAbortHandler)
		}
		left--
		if at >= len(u.lines) {
			u.lines = append(u.lines, line)
		}
	}
	if query.Get("more") == "true" {
		reply(w, http.StatusOK, map[string]any{"upload": u.name, "inputs": len(u.lines)})
		return true
	}
	u.finals++
	if u.lose > 0 {
		u.lose--
		panic(http.ErrAbortHandler)
	}
	u.made = finishedRun(query.Get("name"), int32(len(u.lines)), 0)
	u.made.Spec.ParametersFrom = &v1alpha1.ParametersSource{Upload: &v1alpha1.UploadReference{Count: int32(len(u.lines))}}
	if u.loseAfter > 0 {
		u.loseAfter--
		panic(http.ErrAbortHandler)
	}
	reply(w, http.StatusCreated, u.made)
	return true
}

// has checks the inputs that were received.
func (u *receiver) has(t *testing.T, n int) {
	t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.lines) != n {
		t.Fatalf("received %d inputs, want %d", len(u.lines), n)
	}
	for i, line := range u.lines {
		if !strings.HasPrefix(line, fmt.Sprintf("[%d,", i)) || !strings.HasSuffix(line, "]\n") {
			t.Fatalf("input %d is %.40q", i, line)
		}
	}
}

func numberedLines(n, size int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "[ %d, %q ]\n", i, strings.Repeat("x", size))
	}
	return text.String()
}

func TestManyInputsAreSentInSeveralRequests(t *testing.T) {
	const n = 20_000
	text := numberedLines(n, 1000)
	for name, tc := range map[string]struct {
		args  []string
		stdin string
		u     *receiver
	}{
		"lines":    {stdin: text},
		"an array": {stdin: "[" + strings.TrimSuffix(strings.ReplaceAll(text, "\n", ",\n"), ",\n") + "]"},
		"requests that fail": {stdin: text, u: &receiver{cut: func(call int) int {
			if call == 1 {
				return -1
			}
			return 7001 // all of them; asking has no lines
		}}},
		"a last request that is lost":           {stdin: text, u: &receiver{lose: 1}},
		"a last request whose response is lost": {stdin: text, u: &receiver{loseAfter: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeCluster(t)
			if tc.u == nil {
				tc.u = &receiver{}
			}
			f.handle = tc.u.handle
			f.plugin(t, t.Context(), strings.NewReader(tc.stdin), "run", "f", "--file", "-", "--name", "r").
				mustExit(t, ExitOK, "functionrun.sharedcloud.io/r started over 20000 inputs", "")
			tc.u.has(t, n)
			tc.u.mu.Lock()
			defer tc.u.mu.Unlock()
			if tc.u.finals != 1 && name != "a last request that is lost" || len(tc.u.calls) < 4 {
				t.Errorf("%d calls for a run; all: %v", tc.u.finals, tc.u.calls)
			}
		})
	}
}

func TestNoRunIsCreatedForInvalidInputs(t *testing.T) {
	f, u := newFakeCluster(t), &receiver{}
	f.handle = u.handle
	f.plugin(t, t.Context(), strings.NewReader(numberedLines(3000, 1000)+"[oops\n"), "run", "f", "--file", "-").
		mustExit(t, ExitUsage, "", "the inputs in standard input are not valid NDJSON: line 3001: it is no JSON")
	other := &receiver{}
	f = newFakeCluster(t)
	f.handle = other.handle
	f.plugin(t, t.Context(), io.MultiReader(strings.NewReader(numberedLines(3000, 1000)), iotest.ErrReader(errors.New("the disk broke"))), "run", "f", "--file", "-").
		mustExit(t, ExitUsage, "", "cannot read the inputs in standard input: the disk broke: no run was created")
	for _, u := range []*receiver{u, other} {
		u.mu.Lock()
		defer u.mu.Unlock()
	}
	if u.finals+other.finals != 0 {
		t.Error("a run was requested")
	}
}

func TestInterruptedUploadReportsThatNoRunWasCreated(t *testing.T) {
	f, u := newFakeCluster(t), &receiver{}
	ctx, interrupt := context.WithCancel(t.Context())
	u.cut = func(call int) int {
		if call == 3 {
			interrupt()
		}
		return -1
	}
	f.handle = u.handle
	f.plugin(t, ctx, strings.NewReader(numberedLines(20_000, 1000)), "run", "f", "--file", "-").mustExit(t, ExitInterrupted, "", "no run was created")
}

// sending is a sender of a text to a receiver, with small requests.
func sending(t *testing.T, u *receiver, text io.Reader) *sender {
	t.Helper()
	f := newFakeCluster(t)
	f.handle = u.handle
	spool := newSpool(4000)
	go func() {
		spool.fill(t.Context(), parameters.NewReader(text, parameters.Stream{Format: v1alpha1.FormatNDJSON}))
	}()
	return &sender{
		spool: spool, notify: t.Logf, clock: newFastClock(), callBytes: 2000, callTime: time.Minute,
		call: func(ctx context.Context, have int, more bool, body io.Reader) (*http.Response, error) {
			s := &subresources{client: http.DefaultClient, base: f.url, namespace: "ns"}
			query := map[string][]string{"offset": {strconv.Itoa(have)}, "more": {strconv.FormatBool(more)}, "format": {"ndjson"}, "upload": {strings.Repeat("u", 36)}}
			return s.call(ctx, http.MethodPost, "functions", "f", "run", query, body)
		},
	}
}

func TestUploadContinuesAfterFailedRequests(t *testing.T) {
	const n = 2000
	for name, cut := range map[string]func(int) int{
		"never":                              nil,
		"each at its end":                    func(int) int { return 150 },
		"each in the middle":                 func(int) int { return 9 },
		"after one input":                    func(int) int { return 1 },
		"some before the first input":        func(call int) int { return call%3 - 1 },
		"the first requests":                 func(call int) int { return min(0, -2+call) - 1 },
		"every third before the first input": func(call int) int { return []int{0, -1, 5}[call%3] },
	} {
		t.Run(name, func(t *testing.T) {
			u := &receiver{cut: cut}
			have, err := sending(t, u, strings.NewReader(numberedLines(n, 10))).send(t.Context())
			if have != n || err != nil {
				t.Errorf("%d inputs were sent, %v", have, err)
			}
			u.has(t, n)
		})
	}
}

func TestUploadEndsIfTheServerAcceptsNothing(t *testing.T) {
	u := &receiver{cut: func(call int) int {
		if call < 5 {
			return -1
		}
		return 0
	}}
	_, err := sending(t, u, strings.NewReader(numberedLines(2000, 10))).send(t.Context())
	if err == nil || !strings.Contains(err.Error(), "no response for") {
		t.Errorf("the error is %v", err)
	}
}

func TestUploadDetectsLostInputs(t *testing.T) {
	u := &receiver{}
	u.cut = func(call int) int {
		if call == 4 {
			u.lines = nil
		}
		return -1
	}
	_, err := sending(t, u, strings.NewReader(numberedLines(2000, 10))).send(t.Context())
	if err == nil || !strings.Contains(err.Error(), "the server no longer has the uploaded inputs") {
		t.Errorf("the error is %v", err)
	}
}

func TestSlowInputsAreSentAsTheyArrive(t *testing.T) {
	reader, writer := io.Pipe()
	u := &receiver{}
	s := sending(t, u, reader)
	s.clock, s.callTime = clock.RealClock{}, 50*time.Millisecond
	ended := make(chan error, 1)
	go func() {
		_, err := s.send(t.Context())
		ended <- err
	}()
	for i := range 5 {
		if _, err := fmt.Fprintf(writer, "[%d,0]\n", i); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(20 * time.Second); ; <-time.After(5 * time.Millisecond) {
			u.mu.Lock()
			have := len(u.lines)
			u.mu.Unlock()
			if have == i+1 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("received %d inputs, want %d", have, i+1)
			}
		}
	}
	_ = writer.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	u.has(t, 5)
}
