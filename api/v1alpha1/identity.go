package v1alpha1

import (
	"regexp"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var uuidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// ClaimedUUID returns the UUID in an object's label, in lower case, or "" if it has none.
func ClaimedUUID(object metav1.Object) string {
	if label := object.GetLabels()[LabelUUID]; uuidForm.MatchString(label) {
		return strings.ToLower(label)
	}
	return ""
}

// ClaimsBefore reports whether a, rather than b, owns a UUID that both have: the object with the earlier creationTimestamp, or
// with the smaller UID if they were created in the same second. Clients cannot set either field.
func ClaimsBefore(a, b metav1.Object) bool {
	before, after := a.GetCreationTimestamp(), b.GetCreationTimestamp()
	if !before.Time.Equal(after.Time) {
		return before.Time.Before(after.Time)
	}
	return a.GetUID() < b.GetUID()
}

// JobUUIDPrefix returns the part of a run's UUID that the UUIDs of its jobs share: its first 90 bits that are not version or
// variant bits, as 24 hexadecimal digits. It returns "" if uuid is not a UUID.
func JobUUIDPrefix(uuid string) string {
	if !uuidForm.MatchString(uuid) {
		return ""
	}
	digits := []byte(strings.ToLower(strings.ReplaceAll(uuid, "-", ""))[:24])
	digits[12] = '0' // the version
	digits[16] = "0123"[strings.IndexByte("0123456789abcdef", digits[16])&3]
	return string(digits)
}
