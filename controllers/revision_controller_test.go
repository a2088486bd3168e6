package controllers

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

func TestKeptRevisions(t *testing.T) {
	// r1 is the oldest.
	revisions := func(n int) []metav1.PartialObjectMetadata {
		var list []metav1.PartialObjectMetadata
		for i := 1; i <= n; i++ {
			list = append(list, metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
				Name: fmt.Sprintf("r%d", i), CreationTimestamp: metav1.NewTime(testNow.Add(time.Duration(i) * time.Minute))}})
		}
		return list
	}
	tests := []struct {
		name    string
		present string
		limit   *int32
		n       int
		want    map[string]bool
	}{
		{name: "the present one and those before it up to the limit", present: "r4", limit: ptr.To[int32](2), n: 4, want: map[string]bool{"r4": true, "r3": true, "r2": true}},
		{name: "an old one that is present again stays beside the newest", present: "r1", limit: ptr.To[int32](1), n: 4, want: map[string]bool{"r1": true, "r4": true}},
		{name: "a function that is not ready keeps its history", limit: ptr.To[int32](2), n: 3, want: map[string]bool{"r3": true, "r2": true}},
		{name: "fewer than the limit all stay", present: "r2", limit: ptr.To[int32](5), n: 2, want: map[string]bool{"r1": true, "r2": true}},
		{name: "ten before the present one stay by default", present: "r12", n: 12, want: map[string]bool{
			"r2": true, "r3": true, "r4": true, "r5": true, "r6": true, "r7": true, "r8": true, "r9": true, "r10": true, "r11": true, "r12": true}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			function := makeFunction("f").With(func(f *v1alpha1.Function) { f.Spec.RevisionHistoryLimit = tc.limit }).Obj()
			if tc.present != "" {
				function.Status.Revision = &v1alpha1.FunctionRevision{Name: tc.present}
			}
			if diff := cmp.Diff(tc.want, keptRevisions(function, revisions(tc.n))); diff != "" {
				t.Errorf("kept (-want +got):\n%s", diff)
			}
		})
	}
}

func TestARevisionThatWasGoneBackToIsNewerThanItIsOld(t *testing.T) {
	var revisions []metav1.PartialObjectMetadata
	for i, number := range []string{"5", "2", "3", "4"} { // r0 is the oldest
		revisions = append(revisions, metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("r%d", i), CreationTimestamp: metav1.NewTime(testNow.Add(time.Duration(i) * time.Minute)),
			Annotations: map[string]string{v1alpha1.AnnotationRevisionNumber: number}}})
	}
	function := makeFunction("f").With(func(f *v1alpha1.Function) {
		f.Spec.RevisionHistoryLimit = ptr.To[int32](1)
		f.Status.Revision = &v1alpha1.FunctionRevision{Name: "r3"}
	}).Obj()
	if diff := cmp.Diff(map[string]bool{"r3": true, "r0": true}, keptRevisions(function, revisions)); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
}

// A time of creation has whole seconds, and a person who saves twice in one of them has two revisions of it.
func TestOfRevisionsOfOneSecondTheLaterOneIsNewer(t *testing.T) {
	var revisions []metav1.PartialObjectMetadata
	for name, version := range map[string]string{"a": "99", "b": "100", "c": "98", "present": "101"} {
		revisions = append(revisions, metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Name: name, ResourceVersion: version, CreationTimestamp: metav1.NewTime(testNow)}})
	}
	function := makeFunction("f").With(func(f *v1alpha1.Function) {
		f.Spec.RevisionHistoryLimit = ptr.To[int32](2)
		f.Status.Revision = &v1alpha1.FunctionRevision{Name: "present"}
	}).Obj()
	want := map[string]bool{"present": true, "b": true, "a": true}
	if diff := cmp.Diff(want, keptRevisions(function, revisions)); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
}

// A run may be pinning a revision in a pass whose write the cache has not seen: nothing is deleted before its time.
func TestARevisionIsDeletedOnlyWhenNothingHasNamedItForAWhile(t *testing.T) {
	ctx := context.Background()
	revision := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "f-0123456789", Namespace: "team", UID: "revision",
		Labels: map[string]string{v1alpha1.LabelFunction: "f", v1alpha1.LabelFunctionUID: "uid-of-f"}}}
	w := newWorld(revision)
	clk := clocktesting.NewFakePassiveClock(testNow)
	r := NewRevisionReconciler(w.client, NewMetrics(prometheus.NewRegistry()), clk, DefaultRevisionGrace)
	key := request("team", revision.Name)
	look := func(wantWait time.Duration, wantGone bool) {
		t.Helper()
		result, err := r.Reconcile(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		if result.RequeueAfter != wantWait {
			t.Errorf("looks again after %v, want %v", result.RequeueAfter, wantWait)
		}
		err = w.client.Get(ctx, key.NamespacedName, &corev1.ConfigMap{})
		if gone := apierrors.IsNotFound(err); gone != wantGone {
			t.Errorf("gone: %v, want %v (%v)", gone, wantGone, err)
		}
	}
	look(DefaultRevisionGrace, false)
	clk.SetTime(testNow.Add(4 * time.Minute))
	look(time.Minute, false)

	// A run names it, and the time begins anew when that run is over.
	run := makeRun("r").Inputs(1).Pinned(revision.Name, 1, 1, 0).Obj()
	if err := w.client.Create(ctx, run); err != nil {
		t.Fatal(err)
	}
	clk.SetTime(testNow.Add(10 * time.Minute))
	look(0, false)
	if err := w.client.Delete(ctx, run); err != nil {
		t.Fatal(err)
	}
	look(DefaultRevisionGrace, false)
	clk.SetTime(testNow.Add(15 * time.Minute))
	look(0, true)
	look(0, true)
	if len(r.unnamed) != 0 {
		t.Errorf("the controller remembers %v of what is gone", r.unnamed)
	}
}

func TestANamesakeOfADeletedFunctionDoesNotKeepItsRevisions(t *testing.T) {
	revision := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "f-0123456789", Namespace: "team", UID: "revision",
		Labels: map[string]string{v1alpha1.LabelFunction: "f", v1alpha1.LabelFunctionUID: "uid-of-the-deleted"}}}
	function := makeFunction("f").Ready("f-0123456789").Obj()
	w := newWorld(revision, function)
	r := NewRevisionReconciler(w.client, NewMetrics(prometheus.NewRegistry()), clocktesting.NewFakePassiveClock(testNow), 0)
	if _, err := r.Reconcile(context.Background(), request("team", revision.Name)); err != nil {
		t.Fatal(err)
	}
	if err := w.client.Get(context.Background(), client.ObjectKeyFromObject(revision), &corev1.ConfigMap{}); !apierrors.IsNotFound(err) {
		t.Errorf("the revision of a function that is gone stays: %v", err)
	}
}
