package report

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// finished is a run that ended a minute before the tests' clock began.
func finished(own, ofFunction *int32, change ...func(*v1alpha1.FunctionRun)) *v1alpha1.FunctionRun {
	run := makeRun("7", &v1alpha1.RunProgress{Total: 4, Succeeded: 3, Failed: 1, FailedIndexes: "2", Closed: true})
	run.Spec.ResultsTTLSecondsAfterFinished = own
	run.Status.Revision.ResultsTTLSecondsAfterFinished = ofFunction
	run.Status.CompletionTime = ptr.To(metav1.NewTime(time.Date(2026, 11, 24, 11, 59, 0, 0, time.UTC)))
	for _, f := range change {
		f(run)
	}
	return run
}

func TestResultsAreKeptForTheirTime(t *testing.T) {
	second := func(n int32) *int32 { return ptr.To(n) }
	notOver := func(run *v1alpha1.FunctionRun) { run.Status.CompletionTime = nil }
	gone := func(run *v1alpha1.FunctionRun) { run.Status.Progress.ResultsDeleted = true }
	for name, tc := range map[string]struct {
		world       world
		wantAfter   time.Duration
		wantDeleted bool
		wantErr     bool
	}{
		"as long as the run by default":                  {world: world{run: finished(nil, nil)}},
		"until the time of the run":                      {world: world{run: finished(second(100), nil)}, wantAfter: 40 * time.Second},
		"until the time of its function":                 {world: world{run: finished(nil, second(90))}, wantAfter: 30 * time.Second},
		"the run's own time before that of its function": {world: world{run: finished(second(100), second(1))}, wantAfter: 40 * time.Second},
		"no longer than that":                            {world: world{run: finished(second(60), nil)}, wantDeleted: true},
		"not at all with a time of zero":                 {world: world{run: finished(second(0), second(90))}, wantDeleted: true},
		"while its controller has not recorded the end":  {world: world{run: finished(second(0), nil, notOver)}},
		"deleted once":                                   {world: world{run: finished(second(0), nil, gone)}},
		"when the time was raised and the cache is late": {world: world{run: finished(second(0), nil), refreshed: finished(second(100), nil)}, wantAfter: 40 * time.Second},
		"when another server was faster":                 {world: world{run: finished(second(0), nil), refreshed: finished(second(0), nil, gone)}},
		"until deleting works":                           {world: world{run: finished(second(0), nil), problem: errors.New("disk")}, wantErr: true},
		"and deleted again when that was not recorded":   {world: world{run: finished(second(0), nil), failures: []error{errors.New("refused")}}, wantErr: true},
		"never of a new run under the same name":         {world: world{run: finished(second(0), nil), refreshed: finished(second(0), nil, func(run *v1alpha1.FunctionRun) { run.UID = "new" })}},
	} {
		t.Run(name, func(t *testing.T) {
			w := tc.world
			reporter, _ := newReporter(&w)
			after, err := reporter.reconcile(t.Context(), "uid")
			if after != tc.wantAfter || (err != nil) != tc.wantErr {
				t.Errorf("again after %v with the error %v; want after %v, an error %v", after, err, tc.wantAfter, tc.wantErr)
			}
			if tried := tc.wantDeleted || tc.wantErr; (w.deleted > 0) != tried {
				t.Errorf("deleted %d times; want %v", w.deleted, tried)
			}
			var want []string
			if tc.wantDeleted {
				want = []string{head + `{"total":4,"pending":0,"running":0,"succeeded":3,"failed":1,"timedOut":0,"cancelled":0,` +
					`"failedIndexes":"2","closed":true,"resultsDeleted":true}}}`}
			}
			if diff := cmp.Diff(want, w.written); diff != "" {
				t.Errorf("written (-want +got):\n%s", diff)
			}
		})
	}
}
