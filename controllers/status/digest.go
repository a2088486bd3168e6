package status

import (
	corev1 "k8s.io/api/core/v1"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/api/v1alpha1"
)

// maxDigest is how many bytes of a kubelet's report are kept.
const maxDigest = 1024

// DigestOf is the digest that the kubelet reports for the worker's image; empty until it does.
func DigestOf(pod *corev1.Pod) string {
	if status := workerStatus(pod); status != nil {
		return printable.Cut(printable.Line(status.ImageID), maxDigest)
	}
	return ""
}

// RecordDigest records the digest of a run's image from the first worker that reports it.
func RecordDigest(run *v1alpha1.FunctionRun, pods []corev1.Pod) {
	for i := range pods {
		if run.Status.ImageDigest != "" {
			return
		}
		if IsWorker(&pods[i], run) {
			run.Status.ImageDigest = DigestOf(&pods[i])
		}
	}
}

// LatestDigest is the digest that the latest of the pods reports which run the image under its present path. Without such a pod the
// recorded digest stays, unless the path has changed since.
func LatestDigest(image *v1alpha1.FunctionImage, recorded v1alpha1.FunctionImageStatus, pods []corev1.Pod) string {
	digest, latest := "", (*corev1.Pod)(nil)
	for i := range pods {
		pod := &pods[i]
		if DigestOf(pod) == "" || !runsImage(pod, image.Spec.RegistryPath) {
			continue
		}
		if latest == nil || latest.CreationTimestamp.Before(&pod.CreationTimestamp) {
			digest, latest = DigestOf(pod), pod
		}
	}
	if latest == nil && recorded.ObservedGeneration == image.Generation {
		return recorded.Digest
	}
	return digest
}

func runsImage(pod *corev1.Pod, registryPath string) bool {
	for _, container := range pod.Spec.Containers {
		if container.Name == v1alpha1.WorkerContainer {
			return container.Image == registryPath
		}
	}
	return false
}
