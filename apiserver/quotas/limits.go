package quotas

import (
	"regexp"
	"strconv"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// Limits are quotas in bytes; 0 is none.
type Limits struct{ Uploads, Results int64 }

// Defaults are the quotas of a namespace that has no annotation. Both together are less than the volume of config/default,
// so that no namespace fills it alone.
var Defaults = Limits{Uploads: 4608 << 20, Results: 4096 << 20}

// Namespaces knows the cluster's namespaces.
type Namespaces interface {
	// Lookup returns the uid and the annotations of a namespace.
	Lookup(name string) (uid types.UID, annotations map[string]string, found bool)
}

// Unlimited is the value of an annotation that sets no quota.
const Unlimited = "unlimited"

var sizePattern = regexp.MustCompile(`^([1-9][0-9]{0,5})(Mi|Gi|Ti)$`)

// parseLimit reads the value of an annotation: 500Mi, 20Gi, 2Ti, or unlimited.
func parseLimit(text string) (limit int64, ok bool) {
	if text == Unlimited {
		return 0, true
	}
	parts := sizePattern.FindStringSubmatch(text)
	if parts == nil {
		return 0, false
	}
	number, err := strconv.ParseInt(parts[1], 10, 64)
	return number << map[string]int{"Mi": 20, "Gi": 30, "Ti": 40}[parts[2]], err == nil
}

// AnnotationOf is the annotation of a Namespace that says its quota of a kind.
func AnnotationOf(kind Kind) string {
	if kind == Uploads {
		return v1alpha1.AnnotationUploadsQuota
	}
	return v1alpha1.AnnotationResultsQuota
}

// UID is the uid of a namespace. found is false where this server does not know the namespace (yet). Without quotas
// namespaces are told apart by their names only.
func (q *Quotas) UID(namespace string) (uid types.UID, found bool) {
	if q == nil {
		return "", true
	}
	uid, _, found = q.namespaces.Lookup(namespace)
	return uid, found
}

// Of is a namespace's quota of a kind, 0 for none, and the uid of the namespace. An annotation that cannot be read counts as
// none.
func (q *Quotas) Of(kind Kind, namespace string) (types.UID, int64) {
	limit := q.defaults.Results
	if kind == Uploads {
		limit = q.defaults.Uploads
	}
	uid, annotations, _ := q.namespaces.Lookup(namespace)
	text, ok := annotations[AnnotationOf(kind)]
	if !ok {
		return uid, limit
	}
	own, ok := parseLimit(text)
	if !ok {
		q.logOdd(kind, namespace, text)
		return uid, limit
	}
	return uid, own
}

func (q *Quotas) logOdd(kind Kind, namespace, text string) {
	q.mu.Lock()
	id := string(kind) + "/" + namespace + "/" + text
	logged := q.odd[id]
	if len(q.odd) >= maxKnown {
		clear(q.odd)
	}
	q.odd[id] = true
	q.mu.Unlock()
	if !logged {
		klog.Background().Info("A storage quota cannot be read and does not count: write a number of Mi, Gi or Ti, such as 20Gi, or unlimited",
			"namespace", namespace, "annotation", AnnotationOf(kind))
	}
}
