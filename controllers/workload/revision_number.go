package workload

import (
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// numberIn reads an integer from an annotation. It is 0 if there is none, or one that is not between 0 and maxNumber.
func numberIn(annotations map[string]string, key string, maxNumber int64) int64 {
	number, err := strconv.ParseInt(annotations[key], 10, 64)
	if err != nil || number < 0 || number > maxNumber {
		return 0
	}
	return number
}

// RevisionNumber is the number in a revision's annotation; 0 for a revision without one.
func RevisionNumber(revision metav1.Object) int64 {
	return numberIn(revision.GetAnnotations(), v1alpha1.AnnotationRevisionNumber, v1alpha1.MaxCount)
}

// Numbering is what to do with a revision that becomes the current one.
type Numbering struct {
	// Number that the revision gets.
	Number int64
	// Existing is its ConfigMap, or nil if that must be created.
	Existing *metav1.PartialObjectMetadata
	// Unchanged is true if Existing has that number already.
	Unchanged bool
}

// NumberFor decides the number of a revision that becomes the current one. As with Deployments, an old revision that becomes
// current again gets a new number, the greatest. The revision that is already the latest keeps its number: it was current before,
// or a reconciliation ended between the creation of the ConfigMap and the write of the status.
func NumberFor(revision *corev1.ConfigMap, siblings []metav1.PartialObjectMetadata, current *v1alpha1.FunctionRevision) Numbering {
	var n Numbering
	var greatest int64
	for i := range siblings {
		sibling := &siblings[i]
		greatest = max(greatest, RevisionNumber(sibling))
		if sibling.Name == revision.Name && sibling.DeletionTimestamp == nil && SameRevision(sibling.Annotations, sibling.Labels, revision) {
			n.Existing = sibling
		}
	}
	if current != nil {
		greatest = max(greatest, min(current.Number, v1alpha1.MaxCount))
	}
	own := int64(0)
	switch {
	case n.Existing != nil:
		own = RevisionNumber(n.Existing)
	case current != nil && current.Name == revision.Name:
		own = current.Number // its ConfigMap was deleted
	}
	n.Number = min(greatest+1, v1alpha1.MaxCount)
	if own > 0 && own == greatest {
		n.Number = own
	}
	n.Unchanged = n.Existing != nil && own == n.Number
	return n
}

// SetNumber sets the annotations of a revision that becomes the current one.
func SetNumber(revision metav1.Object, number, generation int64, now time.Time) {
	annotations := revision.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[v1alpha1.AnnotationRevisionNumber] = strconv.FormatInt(number, 10)
	annotations[v1alpha1.AnnotationRevisionGeneration] = strconv.FormatInt(generation, 10)
	annotations[v1alpha1.AnnotationRevisionCurrentSince] = now.UTC().Format(time.RFC3339)
	revision.SetAnnotations(annotations)
}
