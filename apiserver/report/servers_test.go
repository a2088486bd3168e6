package report

import (
	"context"
	"testing"
	"time"

	toolscache "k8s.io/client-go/tools/cache"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

func TestAReportOfAnotherServerCountsAsOne(t *testing.T) {
	progress := func(succeeded int32) v1alpha1.RunProgress {
		return v1alpha1.RunProgress{Total: 100, Pending: 100 - succeeded, Succeeded: succeeded}
	}
	first := progress(1)
	w := &world{run: makeRun("7", &first), progress: progress(2)}
	reporter, clock := newReporter(w)
	look := func(wantWrites int, wantAfter time.Duration) {
		t.Helper()
		after, err := reporter.reconcile(t.Context(), "uid")
		if err != nil || len(w.written) != wantWrites || after != wantAfter {
			t.Fatalf("%d writes, again after %v, %v; want %d, %v", len(w.written), after, err, wantWrites, wantAfter)
		}
	}
	look(1, 0)
	// The cache still has the previous write of this process: that is not a report of another server.
	clock.Step(interval)
	w.progress = progress(3)
	look(2, 0)
	// Another server reports: this one waits for its turn, as if the report were its own.
	clock.Step(interval)
	foreign := progress(4)
	w.run, w.progress = makeRun("8", &foreign), progress(5)
	look(2, interval)
	clock.Step(interval)
	look(3, 0)
}

// TestProgressThatACrashedServerNeverReportedIsRecovered: no event comes, and nothing is enqueued.
func TestProgressThatACrashedServerNeverReportedIsRecovered(t *testing.T) {
	some := v1alpha1.RunProgress{Total: 4, Pending: 3, Succeeded: 1}
	w := &world{run: makeRun("7", &some), progress: some}
	reporter, clock := newReporter(w)
	informer := toolscache.NewSharedIndexInformer(&toolscache.ListWatch{}, &v1alpha1.FunctionRun{}, 0, toolscache.Indexers{})
	if _, err := reporter.Watch(informer); err != nil {
		t.Fatal(err)
	}
	if err := informer.GetStore().Add(w.run); err != nil {
		t.Fatal(err)
	}
	w.progress = v1alpha1.RunProgress{Total: 4, Succeeded: 4, Closed: true}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		reporter.Run(ctx, 1)
	}()
	deadline := time.After(20 * time.Second)
	for reporter.writes() == 0 {
		select {
		case <-deadline:
			t.Fatal("nothing was written")
		case <-time.After(time.Millisecond):
			clock.Step(time.Second)
		}
	}
	cancel()
	<-done
}
