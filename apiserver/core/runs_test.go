package core

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	toolscache "k8s.io/client-go/tools/cache"
	testclock "k8s.io/utils/clock/testing"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

func newRuns(t *testing.T, reader *gets) (*Runs, *testclock.FakeClock) {
	t.Helper()
	clock := testclock.NewFakeClock(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC))
	runs, err := NewRuns(idle(&v1alpha1.FunctionRun{}), reader, clock)
	if err != nil {
		t.Fatal(err)
	}
	return runs, clock
}

func TestRunsAreReadFromTheCacheOrLive(t *testing.T) {
	reader := newGets(t, makeRun("live", "uid-live", ""))
	runs, _ := newRuns(t, reader)
	add(t, runs.informer, makeRun("cached", "uid-cached", "5"))
	ctx := t.Context()

	if run, err := runs.Get(ctx, "space", "cached"); err != nil || run.UID != "uid-cached" {
		t.Errorf("the cached run: %v, %v", run, err)
	}
	if reader.count != 0 {
		t.Errorf("%d live reads of a cached run", reader.count)
	}
	run, err := runs.Get(ctx, "space", "live")
	if err != nil || run.UID != "uid-live" {
		t.Fatalf("a run that is not cached yet: %v, %v", run, err)
	}
	if run.Spec.Parameters != nil || run.Annotations[v1alpha1.AnnotationInputCount] != "2" {
		t.Errorf("the run's inputs were not dropped: %+v %v", run.Spec, run.Annotations)
	}
	if _, err := runs.Get(ctx, "space", "live"); err != nil || reader.count != 1 {
		t.Errorf("the result of a live read is not cached: %d reads, %v", reader.count, err)
	}
	if _, err := runs.Get(ctx, "space", "nowhere"); !apierrors.IsNotFound(err) {
		t.Errorf("a run that does not exist: %v", err)
	}
}

func TestRunsCacheLiveReads(t *testing.T) {
	read := func(version string) *v1alpha1.FunctionRun { return makeRun("run", "uid", version) }
	for name, tc := range map[string]struct {
		act         func(t *testing.T, runs *Runs, clock *testclock.FakeClock)
		wantVersion string
	}{
		"an older informer state does not replace it": {
			act:         func(*testing.T, *Runs, *testclock.FakeClock) {},
			wantVersion: "999",
		},
		"the informer's state replaces it once it is as new": {
			act: func(t *testing.T, runs *Runs, _ *testclock.FakeClock) {
				add(t, runs.informer, read("1001"))
				runs.caughtUp(read("1001"), false)
			},
			wantVersion: "1001",
		},
		"a delayed event does not replace it": {
			act:         func(_ *testing.T, runs *Runs, _ *testclock.FakeClock) { runs.caughtUp(read("500"), false) },
			wantVersion: "999",
		},
		"a deletion removes it": {
			act: func(t *testing.T, runs *Runs, _ *testclock.FakeClock) {
				if err := runs.informer.GetIndexer().Delete(read("1")); err != nil {
					t.Fatal(err)
				}
				runs.caughtUp(toolscache.DeletedFinalStateUnknown{Obj: read("998")}, true)
			},
		},
		"it expires": {
			act:         func(_ *testing.T, _ *Runs, clock *testclock.FakeClock) { clock.Step(newerTTL + time.Second) },
			wantVersion: "1",
		},
		"an event without an object is ignored": {
			act: func(_ *testing.T, runs *Runs, _ *testclock.FakeClock) {
				runs.caughtUp(nil, false)
				runs.caughtUp((*v1alpha1.FunctionRun)(nil), true)
				runs.caughtUp(toolscache.DeletedFinalStateUnknown{}, true)
			},
			wantVersion: "999",
		},
	} {
		t.Run(name, func(t *testing.T) {
			// The fake API assigns resource versions from 999.
			runs, clock := newRuns(t, newGets(t, read("")))
			add(t, runs.informer, read("1"))
			if _, err := runs.Refresh(t.Context(), "space", "run"); err != nil {
				t.Fatal(err)
			}
			tc.act(t, runs, clock)
			got := ""
			if run, ok := runs.Cached("space", "run"); ok {
				got = run.ResourceVersion
			}
			if diff := cmp.Diff(tc.wantVersion, got); diff != "" {
				t.Errorf("resource version (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLiveReadsAreBounded(t *testing.T) {
	reader := newGets(t)
	runs, _ := newRuns(t, reader)
	var last error
	begun := time.Now()
	for range 2000 {
		if _, last = runs.Get(t.Context(), "space", "guess"); errors.Is(last, ErrBusy) {
			break
		}
	}
	if !errors.Is(last, ErrBusy) {
		t.Errorf("2000 look-ups of guessed names caused live reads: %v", last)
	}
	if limit := 101 + int(50*time.Since(begun).Seconds()); reader.count > limit {
		t.Errorf("%d live reads, want at most %d", reader.count, limit)
	}
}

func TestTransformsNeverPanic(t *testing.T) {
	broken := makeRun("run", "uid", "1")
	broken.Spec.ParametersLiteral = new(string)
	for name, obj := range map[string]any{
		"nothing":                          nil,
		"a tombstone":                      toolscache.DeletedFinalStateUnknown{Key: "a/b"},
		"a run with two sources of inputs": broken,
		"an empty run":                     &v1alpha1.FunctionRun{},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := slimRun(obj); err != nil {
				t.Errorf("slimRun: %v", err)
			}
			if _, err := slimPod(obj); err != nil {
				t.Errorf("slimPod: %v", err)
			}
		})
	}
}
