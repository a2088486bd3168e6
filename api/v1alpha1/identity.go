package v1alpha1

import (
	"regexp"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var uuidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// ClaimedUUID is the uuid that an object's label claims, in lower case; "" where there is none.
func ClaimedUUID(object metav1.Object) string {
	if label := object.GetLabels()[LabelUUID]; uuidForm.MatchString(label) {
		return strings.ToLower(label)
	}
	return ""
}

// ClaimsBefore says whether a keeps a uuid that both claim: the first by creationTimestamp, and by uid among those of one second.
// No client can set these.
func ClaimsBefore(a, b metav1.Object) bool {
	before, after := a.GetCreationTimestamp(), b.GetCreationTimestamp()
	if !before.Time.Equal(after.Time) {
		return before.Time.Before(after.Time)
	}
	return a.GetUID() < b.GetUID()
}

// JobUUIDPrefix is the part of a run's uuid that the uuids of its jobs have, and that is unique therefore: the first 90 bits that
// are free, as 24 hexadecimal digits. "" for what is no uuid.
func JobUUIDPrefix(uuid string) string {
	if !uuidForm.MatchString(uuid) {
		return ""
	}
	digits := []byte(strings.ToLower(strings.ReplaceAll(uuid, "-", ""))[:24])
	digits[12] = '0' // the version
	digits[16] = "0123"[strings.IndexByte("0123456789abcdef", digits[16])&3]
	return string(digits)
}
