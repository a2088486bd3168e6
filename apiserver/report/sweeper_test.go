package report

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// shelf is a fake store.
type shelf struct {
	names     map[types.UID]types.NamespacedName
	forgotten []types.UID
	refuse    error
}

func (s *shelf) Names(context.Context) (map[types.UID]types.NamespacedName, error) {
	return s.names, nil
}

func (s *shelf) Forget(_ context.Context, uid types.UID) error {
	if s.refuse != nil {
		return s.refuse
	}
	delete(s.names, uid)
	s.forgotten = append(s.forgotten, uid)
	return nil
}

// answers is a fake API with one answer for each read.
type answers struct {
	client.Reader
	uids []any // a uid, or an error
}

func (a *answers) Get(_ context.Context, _ client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	next := a.uids[0]
	a.uids = a.uids[1:]
	if err, ok := next.(error); ok {
		return err
	}
	obj.SetUID(types.UID(next.(string)))
	return nil
}

func TestSweepsOnlyRunsThatAreGoneTwice(t *testing.T) {
	gone := apierrors.NewNotFound(v1alpha1.Resource("functionruns"), "run")
	noKind := apierrors.NewGenericServerResponse(404, "GET", v1alpha1.Resource("functionruns"), "run", "404 page not found", 0, true)
	away := errors.New("connection refused")
	for name, tc := range map[string]struct {
		looks []any
		// cached are the checks at which the cache has the run.
		cached []bool
		steps  []time.Duration
		want   []types.UID
	}{
		"gone twice":                        {looks: []any{gone, gone}, want: []types.UID{"uid"}},
		"another run under the name, twice": {looks: []any{"other", "other"}, want: []types.UID{"uid"}},
		"gone, then another under the name": {looks: []any{gone, "other"}, want: []types.UID{"uid"}},
		"gone once":                         {looks: []any{gone}},
		"there":                             {looks: []any{"uid", "uid"}},
		"gone, there, gone: a cluster being restored": {looks: []any{gone, "uid", gone}},
		"gone, no answer, gone":                       {looks: []any{gone, away, gone}},
		"gone, then in the cache, then gone":          {looks: []any{gone, gone}, cached: []bool{false, true, false}},
		"gone twice, at once":                         {looks: []any{gone, gone}, steps: []time.Duration{time.Minute}},
		"gone three times, the last after an hour":    {looks: []any{gone, gone, gone}, steps: []time.Duration{time.Minute, time.Hour}, want: []types.UID{"uid"}},
		"the kind is not installed":                   {looks: []any{noKind, noKind}},
	} {
		t.Run(name, func(t *testing.T) {
			clock := testclock.NewFakeClock(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC))
			store := &shelf{names: map[types.UID]types.NamespacedName{"uid": {Namespace: "space", Name: "run"}}}
			look := 0
			cached := func(types.UID) bool { return look < len(tc.cached) && tc.cached[look] }
			var forgotten []types.UID
			sweeper := NewSweeper(store, &answers{uids: tc.looks}, cached, func(uid types.UID) { forgotten = append(forgotten, uid) }, time.Hour, clock)
			for ; look < max(len(tc.looks), len(tc.cached)); look++ {
				_ = sweeper.sweep(t.Context())
				if look < len(tc.steps) {
					clock.Step(tc.steps[look])
				} else {
					clock.Step(time.Hour)
				}
			}
			if diff := cmp.Diff(tc.want, store.forgotten); diff != "" {
				t.Errorf("swept (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.want, forgotten); diff != "" {
				t.Errorf("forgotten (-want +got):\n%s", diff)
			}
			if len(tc.want) > 0 && len(sweeper.gone) > 0 {
				t.Errorf("swept runs are still kept: %v", sweeper.gone)
			}
		})
	}
}

func TestSweepRetriesFailures(t *testing.T) {
	gone := apierrors.NewNotFound(v1alpha1.Resource("functionruns"), "run")
	clock := testclock.NewFakeClock(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC))
	store := &shelf{names: map[types.UID]types.NamespacedName{"uid": {Namespace: "space", Name: "run"}}, refuse: errors.New("disk")}
	sweeper := NewSweeper(store, &answers{uids: []any{gone, gone, gone}}, func(types.UID) bool { return false }, func(types.UID) {}, time.Hour, clock)
	var errs []bool
	for range 3 {
		errs = append(errs, sweeper.sweep(t.Context()) != nil)
		clock.Step(time.Hour)
		if len(errs) == 2 {
			store.refuse = nil
		}
	}
	if diff := cmp.Diff([]bool{false, true, false}, errs); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
	if len(store.forgotten) != 1 {
		t.Errorf("swept: %v", store.forgotten)
	}
}
