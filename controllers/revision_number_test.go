package controllers

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

func TestTheNumberOfARevision(t *testing.T) {
	wanted := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "f-b", Labels: map[string]string{v1alpha1.LabelFunctionUID: "uid"},
		Annotations: map[string]string{annotationContent: "b"}}}
	sibling := func(name, number string) metav1.PartialObjectMetadata {
		return metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "f-" + name, Labels: wanted.Labels,
			Annotations: map[string]string{annotationContent: name, v1alpha1.AnnotationRevisionNumber: number}}}
	}
	going := sibling("b", "2")
	going.DeletionTimestamp = &metav1.Time{Time: testNow}
	foreign := sibling("b", "2")
	foreign.Annotations[annotationContent] = "other"
	for name, tc := range map[string]struct {
		siblings           []metav1.PartialObjectMetadata
		current            *v1alpha1.FunctionRevision
		want               int64
		wantMade, wantStay bool
	}{
		"the first is 1":                           {want: 1, wantMade: true},
		"the next is one more than the greatest":   {siblings: []metav1.PartialObjectMetadata{sibling("a", "3"), sibling("c", "7")}, want: 8, wantMade: true},
		"an old one that is gone back to gets one": {siblings: []metav1.PartialObjectMetadata{sibling("a", "3"), sibling("b", "2")}, want: 4},
		"the latest keeps its own":                 {siblings: []metav1.PartialObjectMetadata{sibling("a", "3"), sibling("b", "4")}, want: 4, wantStay: true},
		"one that somebody deleted has its own again": {siblings: []metav1.PartialObjectMetadata{sibling("a", "3")},
			current: &v1alpha1.FunctionRevision{Name: "f-b", Number: 4}, want: 4, wantMade: true},
		"what the status knows counts where the present one was deleted": {siblings: []metav1.PartialObjectMetadata{sibling("a", "3")},
			current: &v1alpha1.FunctionRevision{Name: "f-c", Number: 9}, want: 10, wantMade: true},
		"one from before there were numbers gets one": {siblings: []metav1.PartialObjectMetadata{sibling("a", ""), sibling("b", "")},
			current: &v1alpha1.FunctionRevision{Name: "f-b"}, want: 1},
		"one that is going is made again":  {siblings: []metav1.PartialObjectMetadata{going}, want: 3, wantMade: true},
		"one of other content is no match": {siblings: []metav1.PartialObjectMetadata{foreign}, want: 3, wantMade: true},
	} {
		t.Run(name, func(t *testing.T) {
			got := numberFor(wanted, tc.siblings, tc.current)
			if got.number != tc.want || (got.existing == nil) != tc.wantMade || got.stays != tc.wantStay {
				t.Errorf("number %d, made %v, stays %v; want %d, %v, %v", got.number, got.existing == nil, got.stays, tc.want, tc.wantMade, tc.wantStay)
			}
		})
	}
}

func TestGoingBackToARevisionGivesItTheGreatestNumber(t *testing.T) {
	ctx := context.Background()
	w := newWorld(makeFunction("f").Obj(), makeImage("team", "python"))
	r := NewFunctionReconciler(w.client, w.client, testLookup, noEvents{}, NewMetrics(prometheus.NewRegistry()), clocktesting.NewFakePassiveClock(testNow), testOptions)
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
		for range 2 { // a second pass changes nothing
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
		t.Errorf("the revision that was gone back to says %v", revision.Annotations)
	}
}
