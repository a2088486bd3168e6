package controllers

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

func TestARestoredRevisionGetsTheGreatestNumber(t *testing.T) {
	ctx := context.Background()
	w := newCluster(builders.MakeFunction("f").Obj(), builders.MakeImage("team", "python"))
	r := NewFunctionReconciler(w.client, w.client, builders.Lookup, noEvents{}, NewMetrics(prometheus.NewRegistry()), clocktesting.NewFakePassiveClock(builders.Now), testOptions)
	revise := func(code string) *v1alpha1.FunctionRevision {
		t.Helper()
		function := &v1alpha1.Function{}
		key := client.ObjectKey{Namespace: "team", Name: "f"}
		if err := w.client.Get(ctx, key, function); err != nil {
			t.Fatal(err)
		}
		function.Spec.Code = ptr.To(code)
		function.Generation++
		if err := w.client.Update(ctx, function); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second reconciliation changes nothing
			if _, err := r.Reconcile(ctx, request("team", "f")); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.client.Get(ctx, key, function); err != nil {
			t.Fatal(err)
		}
		return function.Status.Revision
	}
	first, second := revise("# 1"), revise("# 2")
	again, last := revise("# 1"), revise("# 3")
	if first.Number != 1 || second.Number != 2 || again.Number != 3 || last.Number != 4 || again.Name != first.Name {
		t.Errorf("the numbers are %d, %d, %d and %d", first.Number, second.Number, again.Number, last.Number)
	}
	revision := &corev1.ConfigMap{}
	if err := w.client.Get(ctx, client.ObjectKey{Namespace: "team", Name: first.Name}, revision); err != nil {
		t.Fatal(err)
	}
	if revision.Annotations[v1alpha1.AnnotationRevisionNumber] != "3" || revision.Annotations[v1alpha1.AnnotationRevisionGeneration] != "4" ||
		revision.Annotations[v1alpha1.AnnotationRevisionCurrentSince] != "2026-11-24T12:00:00Z" || revision.Annotations[annotationContent] == "" ||
		revision.Data["handler.py"] != "# 1" {
		t.Errorf("the restored revision has the annotations %v", revision.Annotations)
	}
}
