package workload

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// WorkerDefaults are the resources of workers whose Function sets none. Zero means none.
type WorkerDefaults struct {
	// CPURequest and MemoryRequest apply when neither a request nor a limit is set, so that the scheduler counts every worker.
	CPURequest, MemoryRequest resource.Quantity
	// MemoryLimit applies when no memory limit is set.
	MemoryLimit resource.Quantity
	// MemoryVolume and DiskVolume are the sizes of emptyDir volumes, in memory and on the node's disk, those of the operator
	// included.
	MemoryVolume, DiskVolume resource.Quantity
}

func (d WorkerDefaults) validate() error {
	for flag, quantity := range map[string]resource.Quantity{
		"default-cpu-request": d.CPURequest, "default-memory-request": d.MemoryRequest, "default-memory-limit": d.MemoryLimit,
		"default-memory-volume-size": d.MemoryVolume, "default-disk-volume-size": d.DiskVolume,
	} {
		if quantity.Sign() < 0 {
			return fmt.Errorf("--%s must not be negative, but is %s", flag, quantity.String())
		}
	}
	return nil
}

// resources returns the Function's resources with the defaults, in new maps.
func (d WorkerDefaults) resources(user v1alpha1.Resources) (requests, limits corev1.ResourceList) {
	requests, limits = amounts(user.Requests), amounts(user.Limits)
	for name, quantity := range map[corev1.ResourceName]resource.Quantity{corev1.ResourceCPU: d.CPURequest, corev1.ResourceMemory: d.MemoryRequest} {
		_, requested := requests[name]
		_, limited := limits[name] // Kubernetes defaults the request to the limit
		if !requested && !limited && !quantity.IsZero() {
			requests[name] = quantity
		}
	}
	if _, limited := limits[corev1.ResourceMemory]; !limited && !d.MemoryLimit.IsZero() {
		limit := d.MemoryLimit
		if request, requested := requests[corev1.ResourceMemory]; requested && request.Cmp(limit) > 0 {
			limit = request // a limit below the request would be invalid
		}
		limits[corev1.ResourceMemory] = limit
	}
	return requests, limits
}

// volumeSize is the size of a volume that sets none.
func (d WorkerDefaults) volumeSize(volume *v1alpha1.EmptyDir) resource.Quantity {
	if corev1.StorageMedium(volume.Medium) == corev1.StorageMediumMemory {
		return d.MemoryVolume
	}
	return d.DiskVolume
}
