package quotas

import (
	"regexp"
	"strconv"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// Limits are quotas in bytes; 0 means no quota.
type Limits struct{ Uploads, Results int64 }

// Defaults are the quotas of a namespace without an annotation. Their sum is less than the volume of config/default, so that
// one namespace cannot fill it.
var Defaults = Limits{Uploads: 4608 << 20, Results: 4096 << 20}

// Namespaces looks up the cluster's namespaces.
type Namespaces interface {
	// Lookup returns the UID and the annotations of a namespace.
	Lookup(name string) (uid types.UID, annotations map[string]string, found bool)
}

// Unlimited is the value of an annotation for no quota.
const Unlimited = "unlimited"

var sizePattern = regexp.MustCompile(`^([1-9][0-9]{0,5})(Mi|Gi|Ti)$`)

// parseLimit parses the value of an annotation: 500Mi, 20Gi, 2Ti, or unlimited.
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

// AnnotationOf returns the annotation of a Namespace that sets its quota of a kind.
func AnnotationOf(kind Kind) string {
	if kind == Uploads {
		return v1alpha1.AnnotationUploadsQuota
	}
	return v1alpha1.AnnotationResultsQuota
}

// UID returns the UID of a namespace. found is false if this server has not seen the namespace yet. Without quotas,
// namespaces are identified by name only.
func (q *Quotas) UID(namespace string) (uid types.UID, found bool) {
	if q == nil {
		return "", true
	}
	uid, _, found = q.namespaces.Lookup(namespace)
	return uid, found
}

// Of returns a namespace's UID and its quota of a kind, 0 for none. An annotation with an invalid value is ignored.
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
		q.logInvalid(kind, namespace, text)
		return uid, limit
	}
	return uid, own
}

func (q *Quotas) logInvalid(kind Kind, namespace, text string) {
	q.mu.Lock()
	id := string(kind) + "/" + namespace + "/" + text
	logged := q.invalid[id]
	if len(q.invalid) >= maxKnown {
		clear(q.invalid)
	}
	q.invalid[id] = true
	q.mu.Unlock()
	if !logged {
		klog.Background().Info("Ignored an invalid storage quota: use a number of Mi, Gi or Ti, such as 20Gi, or unlimited",
			"namespace", namespace, "annotation", AnnotationOf(kind))
	}
}
