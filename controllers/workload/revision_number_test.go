package workload

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

func TestNumberFor(t *testing.T) {
	wanted := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "f-b", Labels: map[string]string{v1alpha1.LabelFunctionUID: "uid"},
		Annotations: map[string]string{annotationContent: "b"}}}
	sibling := func(name, number string) metav1.PartialObjectMetadata {
		return metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "f-" + name, Labels: wanted.Labels,
			Annotations: map[string]string{annotationContent: name, v1alpha1.AnnotationRevisionNumber: number}}}
	}
	deleted := sibling("b", "2")
	deleted.DeletionTimestamp = &metav1.Time{Time: builders.Now}
	foreign := sibling("b", "2")
	foreign.Annotations[annotationContent] = "other"
	for name, tc := range map[string]struct {
		siblings                   []metav1.PartialObjectMetadata
		current                    *v1alpha1.FunctionRevision
		want                       int64
		wantCreated, wantUnchanged bool
	}{
		"the first revision is number 1":           {want: 1, wantCreated: true},
		"a new revision gets the next number":      {siblings: []metav1.PartialObjectMetadata{sibling("a", "3"), sibling("c", "7")}, want: 8, wantCreated: true},
		"a restored revision gets the next number": {siblings: []metav1.PartialObjectMetadata{sibling("a", "3"), sibling("b", "2")}, want: 4},
		"the latest revision keeps its number":     {siblings: []metav1.PartialObjectMetadata{sibling("a", "3"), sibling("b", "4")}, want: 4, wantUnchanged: true},
		"a deleted revision keeps its number": {siblings: []metav1.PartialObjectMetadata{sibling("a", "3")},
			current: &v1alpha1.FunctionRevision{Name: "f-b", Number: 4}, want: 4, wantCreated: true},
		"the number in the status counts if the current revision was deleted": {siblings: []metav1.PartialObjectMetadata{sibling("a", "3")},
			current: &v1alpha1.FunctionRevision{Name: "f-c", Number: 9}, want: 10, wantCreated: true},
		"a revision without a number gets one": {siblings: []metav1.PartialObjectMetadata{sibling("a", ""), sibling("b", "")},
			current: &v1alpha1.FunctionRevision{Name: "f-b"}, want: 1},
		"a revision that is being deleted is created again": {siblings: []metav1.PartialObjectMetadata{deleted}, want: 3, wantCreated: true},
		"a revision of other content does not match":        {siblings: []metav1.PartialObjectMetadata{foreign}, want: 3, wantCreated: true},
	} {
		t.Run(name, func(t *testing.T) {
			got := NumberFor(wanted, tc.siblings, tc.current)
			if got.Number != tc.want || (got.Existing == nil) != tc.wantCreated || got.Unchanged != tc.wantUnchanged {
				t.Errorf("number %d, created %v, unchanged %v; want %d, %v, %v", got.Number, got.Existing == nil, got.Unchanged, tc.want, tc.wantCreated, tc.wantUnchanged)
			}
		})
	}
}

//security:attack tenant with ConfigMaps | writes numbers beyond 64 bits, negative ones and the greatest into a revision's and a Job's annotations | they count as none, or the next number stays within bounds
func TestNumbersInAnnotationsAreBounded(t *testing.T) {
	for text, want := range map[string]int64{
		"7": 7, "": 0, "-1": 0, "x": 0, "1e3": 0, "9007199254740991": v1alpha1.MaxCount, "9007199254740992": 0, "9223372036854775808": 0, strings.Repeat("9", 100_000): 0,
	} {
		object := &metav1.ObjectMeta{Annotations: map[string]string{v1alpha1.AnnotationRevisionNumber: text}}
		if got := RevisionNumber(object); got != want {
			t.Errorf("%.30s is the number %d, want %d", text, got, want)
		}
	}
	sibling := metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "forged", Annotations: map[string]string{v1alpha1.AnnotationRevisionNumber: "9007199254740991"}}}
	if n := NumberFor(&corev1.ConfigMap{}, []metav1.PartialObjectMetadata{sibling}, nil); n.Number != v1alpha1.MaxCount {
		t.Errorf("the next number is %d, want %d", n.Number, v1alpha1.MaxCount)
	}
	if got := NextJobNumber(v1alpha1.MaxJobNumber); got != v1alpha1.MaxJobNumber {
		t.Errorf("the Job after the last is %d", got)
	}
}
