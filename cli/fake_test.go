package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// fastClock fires timers at once, and advances the time accordingly.
type fastClock struct{ *clocktesting.FakeClock }

func newFastClock() fastClock {
	return fastClock{clocktesting.NewFakeClock(time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC))}
}

func (c fastClock) NewTimer(d time.Duration) clock.Timer {
	timer := c.FakeClock.NewTimer(d)
	c.Step(d)
	return timer
}

// fakeCluster serves the API of a cluster with runs, as far as the plugin uses it.
type fakeCluster struct {
	url string
	// aggregated reports whether the cluster has the aggregated API.
	aggregated bool
	// handle serves a request if it returns true.
	handle func(w http.ResponseWriter, r *http.Request) bool

	mu       sync.Mutex
	runs     map[string]*v1alpha1.FunctionRun
	outcomes map[string][]string
	asked    []string
	uploaded string
}

func newFakeCluster(t *testing.T) *fakeCluster {
	t.Helper()
	f := &fakeCluster{aggregated: true, runs: map[string]*v1alpha1.FunctionRun{}, outcomes: map[string][]string{}}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

const (
	pathRuns = "/apis/sharedcloud.io/v1alpha1/namespaces/ns/functionruns/"
	pathSub  = "/apis/subresources.sharedcloud.io/v1alpha1"
)

func (f *fakeCluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.asked = append(f.asked, r.Method+" "+r.URL.RequestURI())
	f.mu.Unlock()
	if f.handle != nil && f.handle(w, r) {
		return
	}
	path := r.URL.Path
	name, isRun := strings.CutPrefix(path, pathRuns)
	sub, isSub := strings.CutPrefix(path, pathSub)
	switch {
	case isSub && !f.aggregated:
		http.NotFound(w, r)
	case isSub && sub == "":
		reply(w, http.StatusOK, metav1.APIResourceList{})
	case isSub:
		f.subresource(w, r, strings.Split(strings.TrimPrefix(sub, "/namespaces/ns/"), "/"))
	case isRun:
		f.mu.Lock()
		defer f.mu.Unlock()
		if run := f.runs[name]; run != nil {
			reply(w, http.StatusOK, run)
			return
		}
		refuse(w, apierrors.NewNotFound(v1alpha1.Resource("functionruns"), name))
	default:
		refuse(w, apierrors.NewNotFound(v1alpha1.Resource("functions"), "other"))
	}
}

// subresource serves functions/run and functionruns/results.
func (f *fakeCluster) subresource(w http.ResponseWriter, r *http.Request, parts []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(parts) != 3 {
		http.NotFound(w, r)
		return
	}
	switch parts[2] {
	case "run":
		body, _ := io.ReadAll(r.Body)
		f.uploaded = string(body)
		run := finishedRun(r.URL.Query().Get("name"), 2, 0)
		f.runs[run.Name] = run
		reply(w, http.StatusCreated, run)
	case "results":
		from, _ := strconv.Atoi(r.URL.Query().Get("from"))
		for _, line := range f.outcomes[parts[1]] {
			var o outcome
			_ = json.Unmarshal([]byte(line), &o)
			if o.Index >= from && (r.URL.Query().Get("failed") != "true" || o.Status != "Succeeded") {
				_, _ = io.WriteString(w, line+"\n")
			}
		}
	default:
		http.NotFound(w, r)
	}
}

func reply(w http.ResponseWriter, status int, object any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(object)
}

func refuse(w http.ResponseWriter, err *apierrors.StatusError) {
	err.ErrStatus.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	reply(w, int(err.ErrStatus.Code), err.ErrStatus)
}

// finishedRun is a run that has finished.
func finishedRun(name string, succeeded, failed int32) *v1alpha1.FunctionRun {
	run := &v1alpha1.FunctionRun{
		TypeMeta:   metav1.TypeMeta{Kind: "FunctionRun", APIVersion: v1alpha1.GroupVersion.String()},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns", UID: "uid-" + "1"},
	}
	total := succeeded + failed
	run.Status.Revision = &v1alpha1.PinnedRevision{InputCount: total}
	run.Status.Progress = &v1alpha1.RunProgress{Total: total, Succeeded: succeeded, Failed: failed, Closed: true}
	reason, complete, unsuccessful := v1alpha1.ReasonSucceeded, metav1.ConditionTrue, metav1.ConditionFalse
	if failed > 0 {
		reason, complete, unsuccessful = v1alpha1.ReasonInputsFailed, metav1.ConditionFalse, metav1.ConditionTrue
		run.Status.Progress.FailedIndexes = strconv.Itoa(int(total - 1))
	}
	for kind, status := range map[string]metav1.ConditionStatus{v1alpha1.ConditionFinished: metav1.ConditionTrue, v1alpha1.ConditionReady: complete,
		v1alpha1.ConditionComplete: complete, v1alpha1.ConditionFailed: unsuccessful} {
		run.Status.Conditions = append(run.Status.Conditions, metav1.Condition{Type: kind, Status: status, Reason: reason, Message: "It has finished."})
	}
	return run
}

// runningRun is a run with total inputs of which done have an outcome.
func runningRun(name string, total, done int32) *v1alpha1.FunctionRun {
	run := finishedRun(name, total, 0)
	run.Status.Progress = &v1alpha1.RunProgress{Total: total, Succeeded: done, Pending: total - done}
	run.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonRunning, Message: "Workers are running."}}
	return run
}

func outcomeLine(index int, status string) string {
	if status != "Succeeded" {
		return fmt.Sprintf(`{"index":%d,"status":%q,"error":{"type":"ValueError","message":"bad %d"},"attempts":1}`, index, status, index)
	}
	return fmt.Sprintf(`{"index":%d,"status":"Succeeded","result":%d,"attempts":1,"startTime":"2026-11-26T12:00:00.000000Z","completionTime":"2026-11-26T12:00:01.500000Z","worker":"w","node":"n"}`, index, index*10)
}

// commandResult is the exit code and the output of a command line.
type commandResult struct {
	code           int
	stdout, stderr string
}

// plugin runs a command line against the cluster.
func (f *fakeCluster) plugin(t *testing.T, ctx context.Context, stdin io.Reader, args ...string) commandResult {
	t.Helper()
	return command(t, ctx, stdin, append(args, "--server", f.url, "-n", "ns")...)
}

// connectTo is a client of the cluster for the namespace ns.
func connectTo(t *testing.T, f *fakeCluster) (*cluster, error) {
	t.Helper()
	t.Setenv("KUBECONFIG", os.DevNull)
	o := newOptions(genericiooptions.IOStreams{In: strings.NewReader(""), Out: io.Discard, ErrOut: io.Discard})
	*o.config.APIServer, *o.config.Namespace = f.url, "ns"
	return o.connect()
}

func command(t *testing.T, ctx context.Context, stdin io.Reader, args ...string) commandResult {
	t.Helper()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", kubeconfig)
	var stdout, stderr bytes.Buffer
	if stdin == nil {
		stdin = strings.NewReader("")
	}
	code := Main(ctx, args, genericiooptions.IOStreams{In: stdin, Out: &stdout, ErrOut: &stderr})
	return commandResult{code, stdout.String(), stderr.String()}
}

// mustExit checks the exit code, and that the output contains the texts.
func (e commandResult) mustExit(t *testing.T, code int, stdout, stderr string) {
	t.Helper()
	if e.code != code || !strings.Contains(e.stdout, stdout) || !strings.Contains(e.stderr, stderr) {
		t.Errorf("exit %d, stdout:\n%s\nstderr:\n%s\nwant exit %d, stdout with %q, stderr with %q", e.code, e.stdout, e.stderr, code, stdout, stderr)
	}
}
