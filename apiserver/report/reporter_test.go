package report

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-base/metrics/testutil"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/work"
)

// world is the environment of a reporter and the record of its writes.
type world struct {
	client.SubResourceWriter

	run       *v1alpha1.FunctionRun
	refreshed *v1alpha1.FunctionRun
	ending    string
	progress  v1alpha1.RunProgress
	problem   error

	closings []string
	deleted  int
	// failures are the errors of the next writes.
	failures []error
	written  []string
}

func (w *world) CachedUID(uid types.UID) (*v1alpha1.FunctionRun, bool) {
	return w.run, w.run != nil && w.run.UID == uid
}

func (w *world) Refresh(context.Context, string, string) (*v1alpha1.FunctionRun, error) {
	if w.refreshed != nil {
		w.run = w.refreshed
	}
	return w.run, nil
}

func (w *world) Progress(context.Context, work.Run) (v1alpha1.RunProgress, error) {
	return w.progress, w.problem
}

func (w *world) Close(_ context.Context, _ work.Run, reason, message string) error {
	w.closings = append(w.closings, reason+": "+message)
	w.progress.Closed, w.progress.Reason = true, reason
	return nil
}

func (w *world) DeleteResults(context.Context, types.UID) error {
	w.deleted++
	return w.problem
}

func (w *world) Status() client.SubResourceWriter { return w }

func (w *world) Apply(_ context.Context, obj runtime.ApplyConfiguration, options ...client.SubResourceApplyOption) error {
	if len(w.failures) > 0 {
		err := w.failures[0]
		w.failures = w.failures[1:]
		if err != nil {
			return err
		}
	}
	applied := client.SubResourceApplyOptions{}
	applied.ApplyOpts(options)
	if applied.FieldManager != v1alpha1.FieldManagerAPIServer {
		return errors.New("written as " + applied.FieldManager)
	}
	data, err := json.Marshal(obj)
	w.written = append(w.written, string(data))
	return err
}

func (w *world) runOf(run *v1alpha1.FunctionRun) work.Run {
	return work.Run{UID: run.UID, Namespace: run.Namespace, Name: run.Name, Ending: w.ending, EndingMessage: "because"}
}

func makeRun(version string, progress *v1alpha1.RunProgress) *v1alpha1.FunctionRun {
	run := &v1alpha1.FunctionRun{}
	run.Namespace, run.Name, run.UID, run.ResourceVersion = "space", "run", "uid", version
	run.Status.Revision = &v1alpha1.PinnedRevision{InputCount: 4}
	run.Status.Job = &v1alpha1.JobReference{Name: "run-1", Number: 1, UID: "job"}
	run.Status.Progress = progress
	return run
}

func withoutJob(run *v1alpha1.FunctionRun) *v1alpha1.FunctionRun {
	run.Status.Job.UID = ""
	return run
}

func newReporter(w *world) (*Reporter, *testclock.FakeClock) {
	clock := testclock.NewFakeClock(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC))
	return NewReporter(w, w, w, w.runOf, clock), clock
}

const head = `{"kind":"FunctionRun","apiVersion":"sharedcloud.io/v1alpha1","metadata":{"name":"run","namespace":"space","uid":"uid","resourceVersion":"7"},"status":{"progress":`

func TestReports(t *testing.T) {
	some := v1alpha1.RunProgress{Total: 4, Pending: 3, Succeeded: 1}
	notFound := apierrors.NewNotFound(v1alpha1.Resource("functionruns"), "run")
	for name, tc := range map[string]struct {
		world        world
		uid          types.UID
		wantWritten  []string
		wantClosings []string
		wantErr      bool
	}{
		"what is pending, before any worker calls": {
			world:       world{run: makeRun("7", nil), progress: v1alpha1.RunProgress{Total: 4, Pending: 4}},
			wantWritten: []string{head + `{"total":4,"pending":4,"running":0,"succeeded":0,"failed":0,"timedOut":0,"cancelled":0}}}`},
		},
		"every field": {
			world: world{run: makeRun("7", &some), progress: v1alpha1.RunProgress{
				Total: 4, Pending: 1, Running: 1, Succeeded: 1, TimedOut: 1, FailedIndexes: "2", GPUSeconds: 9, Workers: 2, Message: "m",
			}},
			wantWritten: []string{head + `{"total":4,"pending":1,"running":1,"succeeded":1,"failed":0,"timedOut":1,"cancelled":0,` +
				`"failedIndexes":"2","gpuSeconds":9,"workers":2,"message":"m"}}}`},
		},
		"nothing when nothing changed": {world: world{run: makeRun("7", &some), progress: some}},
		"nothing for a run without a revision": {
			world: world{run: func() *v1alpha1.FunctionRun {
				run := makeRun("7", nil)
				run.Status.Revision = nil
				return run
			}(), progress: some},
		},
		"nothing for a run whose Job does not exist yet": {world: world{run: withoutJob(makeRun("7", nil)), progress: v1alpha1.RunProgress{Total: 4, Pending: 4}}},
		"the end of a run that is cancelled before its Job exists": {
			world:        world{run: withoutJob(makeRun("7", nil)), progress: v1alpha1.RunProgress{Total: 4, Cancelled: 4}, ending: "Cancelled"},
			wantClosings: []string{"Cancelled: because"},
			wantWritten: []string{head + `{"total":4,"pending":0,"running":0,"succeeded":0,"failed":0,"timedOut":0,"cancelled":4,` +
				`"closed":true,"reason":"Cancelled"}}}`},
		},
		"nothing for a run that is gone": {world: world{progress: some}},
		"nothing for another run":        {world: world{run: makeRun("7", nil), progress: some}, uid: "other"},
		"nothing for a closed run, whatever the store has": {
			world: world{run: makeRun("7", &v1alpha1.RunProgress{Total: 4, Succeeded: 4, Closed: true}), progress: some, ending: "JobFailed"},
		},
		"the end, when a controller requests it": {
			world:        world{run: makeRun("7", &some), progress: some, ending: "Cancelled"},
			wantClosings: []string{"Cancelled: because"},
			wantWritten: []string{head + `{"total":4,"pending":3,"running":0,"succeeded":1,"failed":0,"timedOut":0,"cancelled":0,` +
				`"closed":true,"reason":"Cancelled"}}}`},
		},
		"the end that came before the request": {
			world:       world{run: makeRun("7", &some), progress: v1alpha1.RunProgress{Total: 4, Succeeded: 4, Closed: true}, ending: "JobFailed"},
			wantWritten: []string{head + `{"total":4,"pending":0,"running":0,"succeeded":4,"failed":0,"timedOut":0,"cancelled":0,"closed":true}}}`},
		},
		"nothing while the store cannot be read":           {world: world{run: makeRun("7", nil), problem: errors.New("disk")}, wantErr: true},
		"nothing for a run that is deleted at that moment": {world: world{run: makeRun("7", nil), progress: some, failures: []error{notFound}}},
		"an error where the API refuses":                   {world: world{run: makeRun("7", nil), progress: some, failures: []error{errors.New("refused")}}, wantErr: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := tc.world
			reporter, _ := newReporter(&w)
			uid := tc.uid
			if uid == "" {
				uid = "uid"
			}
			_, err := reporter.reconcile(t.Context(), uid)
			if (err != nil) != tc.wantErr {
				t.Errorf("error %v", err)
			}
			if diff := cmp.Diff(tc.wantWritten, w.written); diff != "" {
				t.Errorf("written (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantClosings, w.closings); diff != "" {
				t.Errorf("closed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReportsComeAboutOnceASecond(t *testing.T) {
	w := &world{run: makeRun("7", nil), progress: v1alpha1.RunProgress{Total: 4, Pending: 4}}
	reporter, clock := newReporter(w)
	step := func(d time.Duration, change func(*v1alpha1.RunProgress), wantWrites int, wantAfter time.Duration) {
		t.Helper()
		clock.Step(d)
		change(&w.progress)
		after, err := reporter.reconcile(t.Context(), "uid")
		if err != nil || len(w.written) != wantWrites || after != wantAfter {
			t.Fatalf("%d writes, again after %v, %v; want %d, %v", len(w.written), after, err, wantWrites, wantAfter)
		}
	}
	same := func(*v1alpha1.RunProgress) {}
	step(0, same, 1, 0)
	// It is not read again for each of thousands of changes.
	step(10*time.Millisecond, same, 1, 40*time.Millisecond)
	step(90*time.Millisecond, func(p *v1alpha1.RunProgress) { p.Pending, p.Running = 3, 1 }, 1, 900*time.Millisecond)
	// The first outcome is worth a report at once, the second is not.
	step(100*time.Millisecond, func(p *v1alpha1.RunProgress) { p.Succeeded, p.Running = 1, 0 }, 2, 0)
	step(100*time.Millisecond, func(p *v1alpha1.RunProgress) { p.Succeeded = 2 }, 2, 900*time.Millisecond)
	step(900*time.Millisecond, same, 3, 0)
	// The cache has not observed that yet; that is no reason to write it again.
	step(100*time.Millisecond, same, 3, settle-100*time.Millisecond)
	// The end is.
	step(100*time.Millisecond, func(p *v1alpha1.RunProgress) { p.Closed = true }, 4, 0)
	// Another writer has overwritten it, or the cache is very late: write it again.
	step(settle, same, 5, 0)
	w.run = makeRun("8", &v1alpha1.RunProgress{Closed: true})
	step(time.Second, same, 5, 0)
	if len(reporter.written) != 0 {
		t.Errorf("a closed run is remembered: %v", reporter.written)
	}
}

func TestReportsAfterAConflictBuildOnWhatIsStored(t *testing.T) {
	conflict := apierrors.NewConflict(v1alpha1.Resource("functionruns"), "run", errors.New("changed"))
	w := &world{
		run: makeRun("6", nil), refreshed: makeRun("7", nil),
		progress: v1alpha1.RunProgress{Total: 4, Pending: 4}, failures: []error{conflict},
	}
	reporter, clock := newReporter(w)
	if _, err := reporter.reconcile(t.Context(), "uid"); !apierrors.IsConflict(err) {
		t.Fatalf("error %v, want the conflict", err)
	}
	clock.Step(lookInterval)
	if _, err := reporter.reconcile(t.Context(), "uid"); err != nil {
		t.Fatal(err)
	}
	want := []string{head + `{"total":4,"pending":4,"running":0,"succeeded":0,"failed":0,"timedOut":0,"cancelled":0}}}`}
	if diff := cmp.Diff(want, w.written); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}
}

func TestReportsAreCountedOnce(t *testing.T) {
	conflict := apierrors.NewConflict(v1alpha1.Resource("functionruns"), "run", errors.New("changed"))
	w := &world{
		run:      makeRun("7", &v1alpha1.RunProgress{Total: 9, Succeeded: 2, Failed: 3}),
		progress: v1alpha1.RunProgress{Total: 9, Succeeded: 5, Failed: 2, Cancelled: 2, Closed: true},
		failures: []error{conflict, nil},
	}
	reporter, clock := newReporter(w)
	value := func(status string) float64 {
		n, err := testutil.GetCounterMetricValue(outcomesTotal.WithLabelValues(status))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := map[string]float64{}
	for _, status := range []string{"Succeeded", "Failed", "TimedOut", "Cancelled"} {
		before[status] = value(status)
	}
	for range 3 {
		_, _ = reporter.reconcile(t.Context(), "uid")
		clock.Step(lookInterval)
	}
	if len(w.written) != 1 {
		t.Fatalf("%d writes", len(w.written))
	}
	// A store that has lost a failure does not decrease the counter.
	for status, want := range map[string]float64{"Succeeded": 3, "Failed": 0, "TimedOut": 0, "Cancelled": 2} {
		if got := value(status) - before[status]; got != want {
			t.Errorf("%v outcomes %s were counted, want %v", got, status, want)
		}
	}
}

func TestReporterRunsUntilItsContextEnds(t *testing.T) {
	w := &world{run: makeRun("7", nil), progress: v1alpha1.RunProgress{Total: 4, Pending: 4}, failures: []error{errors.New("refused")}}
	reporter, clock := newReporter(w)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		reporter.Run(ctx, 2)
	}()
	reporter.Enqueue("uid")
	// A failed write is retried later.
	deadline := time.After(time.Minute)
	for reporter.writes() == 0 {
		select {
		case <-deadline:
			t.Fatal("nothing was written")
		case <-time.After(time.Millisecond):
			clock.Step(lookInterval)
		}
	}
	cancel()
	<-done
}

// writes is the number of runs that this process has written.
func (r *Reporter) writes() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, last := range r.written {
		if !last.at.IsZero() {
			n++
		}
	}
	return n
}
