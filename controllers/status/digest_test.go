package status

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

//security:attack tenant with pods | the kubelet's report of an image holds control sequences, and a printer column shows the digest | the digest is without them
func TestDigestsAreInert(t *testing.T) {
	pod := &corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: v1alpha1.WorkerContainer, ImageID: builders.ControlSequences}}}}
	builders.CheckInert(t, DigestOf(pod))
}
