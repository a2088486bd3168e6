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
	"sharedcloud.io/function-operator/test/builders"
)

func TestKeptRevisions(t *testing.T) {
	// r1 is the oldest.
	revisions := func(n int) []metav1.PartialObjectMetadata {
		var list []metav1.PartialObjectMetadata
		for i := 1; i <= n; i++ {
			list = append(list, metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
				Name: fmt.Sprintf("r%d", i), CreationTimestamp: metav1.NewTime(builders.Now.Add(time.Duration(i) * time.Minute))}})
		}
		return list
	}
	tests := []struct {
		name    string
		current string
		limit   *int32
		n       int
		want    map[string]bool
	}{
		{name: "the current revision and those before it up to the limit", current: "r4", limit: ptr.To[int32](2), n: 4, want: map[string]bool{"r4": true, "r3": true, "r2": true}},
		{name: "an old revision that is current again, and the newest", current: "r1", limit: ptr.To[int32](1), n: 4, want: map[string]bool{"r1": true, "r4": true}},
		{name: "a function that is not ready keeps its history", limit: ptr.To[int32](2), n: 3, want: map[string]bool{"r3": true, "r2": true}},
		{name: "all revisions below the limit", current: "r2", limit: ptr.To[int32](5), n: 2, want: map[string]bool{"r1": true, "r2": true}},
		{name: "ten revisions before the current one by default", current: "r12", n: 12, want: map[string]bool{
			"r2": true, "r3": true, "r4": true, "r5": true, "r6": true, "r7": true, "r8": true, "r9": true, "r10": true, "r11": true, "r12": true}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			function := builders.MakeFunction("f").With(func(f *v1alpha1.Function) { f.Spec.RevisionHistoryLimit = tc.limit }).Obj()
			if tc.current != "" {
				function.Status.Revision = &v1alpha1.FunctionRevision{Name: tc.current}
			}
			if diff := cmp.Diff(tc.want, keptRevisions(function, revisions(tc.n))); diff != "" {
				t.Errorf("kept (-want +got):\n%s", diff)
			}
		})
	}
}

func TestKeptRevisionsAreOrderedByNumber(t *testing.T) {
	var revisions []metav1.PartialObjectMetadata
	for i, number := range []string{"5", "2", "3", "4"} { // r0 is the oldest
		revisions = append(revisions, metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("r%d", i), CreationTimestamp: metav1.NewTime(builders.Now.Add(time.Duration(i) * time.Minute)),
			Annotations: map[string]string{v1alpha1.AnnotationRevisionNumber: number}}})
	}
	function := builders.MakeFunction("f").With(func(f *v1alpha1.Function) {
		f.Spec.RevisionHistoryLimit = ptr.To[int32](1)
		f.Status.Revision = &v1alpha1.FunctionRevision{Name: "r3"}
	}).Obj()
	if diff := cmp.Diff(map[string]bool{"r3": true, "r0": true}, keptRevisions(function, revisions)); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
}

// A creation time has whole seconds, and a user may create two revisions in one of them.
func TestKeptRevisionsOfOneSecondAreOrderedByResourceVersion(t *testing.T) {
	var revisions []metav1.PartialObjectMetadata
	for name, version := range map[string]string{"a": "99", "b": "100", "c": "98", "current": "101"} {
		revisions = append(revisions, metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Name: name, ResourceVersion: version, CreationTimestamp: metav1.NewTime(builders.Now)}})
	}
	function := builders.MakeFunction("f").With(func(f *v1alpha1.Function) {
		f.Spec.RevisionHistoryLimit = ptr.To[int32](2)
		f.Status.Revision = &v1alpha1.FunctionRevision{Name: "current"}
	}).Obj()
	want := map[string]bool{"current": true, "b": true, "a": true}
	if diff := cmp.Diff(want, keptRevisions(function, revisions)); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
}

// A run may have just pinned the revision in a write that has not reached the cache, so nothing is deleted before the grace period.
func TestAnUnusedRevisionIsDeletedAfterTheGracePeriod(t *testing.T) {
	ctx := context.Background()
	revision := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "f-0123456789", Namespace: "team", UID: "revision",
		Labels: map[string]string{v1alpha1.LabelFunction: "f", v1alpha1.LabelFunctionUID: "uid-of-f"}}}
	w := newCluster(revision)
	clk := clocktesting.NewFakePassiveClock(builders.Now)
	r := NewRevisionReconciler(w.client, NewMetrics(prometheus.NewRegistry()), clk, DefaultRevisionGrace)
	key := request("team", revision.Name)
	reconcile := func(wantWait time.Duration, wantGone bool) {
		t.Helper()
		result, err := r.Reconcile(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		if result.RequeueAfter != wantWait {
			t.Errorf("recheck after %v, want %v", result.RequeueAfter, wantWait)
		}
		err = w.client.Get(ctx, key.NamespacedName, &corev1.ConfigMap{})
		if gone := apierrors.IsNotFound(err); gone != wantGone {
			t.Errorf("gone: %v, want %v (%v)", gone, wantGone, err)
		}
	}
	reconcile(DefaultRevisionGrace, false)
	clk.SetTime(builders.Now.Add(4 * time.Minute))
	reconcile(time.Minute, false)

	// A run uses it, and the grace period starts again when that run is gone.
	run := builders.MakeRun("r").Inputs(1).Pinned(revision.Name, 1, 1, 0).Obj()
	if err := w.client.Create(ctx, run); err != nil {
		t.Fatal(err)
	}
	clk.SetTime(builders.Now.Add(10 * time.Minute))
	reconcile(0, false)
	if err := w.client.Delete(ctx, run); err != nil {
		t.Fatal(err)
	}
	reconcile(DefaultRevisionGrace, false)
	clk.SetTime(builders.Now.Add(15 * time.Minute))
	reconcile(0, true)
	reconcile(0, true)
	if len(r.unused) != 0 {
		t.Errorf("the controller still remembers %v", r.unused)
	}
}

func TestRevisionsOfADeletedFunctionAreNotKeptByANewOneOfItsName(t *testing.T) {
	revision := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "f-0123456789", Namespace: "team", UID: "revision",
		Labels: map[string]string{v1alpha1.LabelFunction: "f", v1alpha1.LabelFunctionUID: "uid-of-the-deleted"}}}
	function := builders.MakeFunction("f").Ready("f-0123456789").Obj()
	w := newCluster(revision, function)
	r := NewRevisionReconciler(w.client, NewMetrics(prometheus.NewRegistry()), clocktesting.NewFakePassiveClock(builders.Now), 0)
	if _, err := r.Reconcile(context.Background(), request("team", revision.Name)); err != nil {
		t.Fatal(err)
	}
	if err := w.client.Get(context.Background(), client.ObjectKeyFromObject(revision), &corev1.ConfigMap{}); !apierrors.IsNotFound(err) {
		t.Errorf("the revision of a deleted function still exists: %v", err)
	}
}
