package workload

import (
	"path"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	coreac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

const (
	// podVersion is the PodVersion of new revisions. 1 adds the home directory and, for workers with GPUs, shared memory.
	podVersion = int32(1)

	// The home directory lies below the directory that no Function can mount over. The kubelet creates its mount point in the
	// read-only volume.
	homeDir            = mountDir + "/home"
	volumeHome         = "sharedcloud-home"
	volumeSharedMemory = "sharedcloud-shm"

	// The values of SHAREDCLOUD_SHARED_MEMORY_OWNER. The runner removes what a dead process left in /dev/shm only if nothing but
	// the worker uses it.
	ownedByWorker = "worker"
	ownedByUser   = "user"
)

var (
	minSharedMemory = v1alpha1.MustParseQuantity("1Mi")
	maxSharedMemory = v1alpha1.MustParseQuantity("1Pi")

	// runtimeSharedMemory is the size of the /dev/shm of container runtimes.
	runtimeSharedMemory = resource.MustParse("64Mi")
)

// surroundings are what a worker has beside the code, the runner and the settings of its Function, because images seldom have
// it: a home directory, and enough shared memory for the processes of a handler.
type surroundings struct {
	env     []*coreac.EnvVarApplyConfiguration
	volumes []*coreac.VolumeApplyConfiguration
	mounts  []*coreac.VolumeMountApplyConfiguration
}

func surroundingsFor(settings Settings, gpus int32, defaults WorkerDefaults) surroundings {
	pod := podSettings(settings)
	var s surroundings
	if settings.PodVersion >= podVersion {
		s.env = []*coreac.EnvVarApplyConfiguration{
			coreac.EnvVar().WithName("SHAREDCLOUD_HOME").WithValue(homeDir),
			coreac.EnvVar().WithName("SHAREDCLOUD_SHARED_MEMORY_OWNER").WithValue(sharedMemoryOwner(pod)),
		}
		s.add(volumeHome, homeDir, "", defaults.DiskVolume)
	}
	if size, wanted := sharedMemory(settings, gpus, defaults); wanted {
		s.add(volumeSharedMemory, sharedMemoryDir, corev1.StorageMediumMemory, size)
	}
	return s
}

// add mounts an emptyDir. A size of zero is no limit.
func (s *surroundings) add(name, dir string, medium corev1.StorageMedium, size resource.Quantity) {
	source := coreac.EmptyDirVolumeSource()
	if medium != "" {
		source.WithMedium(medium)
	}
	if !size.IsZero() {
		source.WithSizeLimit(size)
	}
	s.volumes = append(s.volumes, coreac.Volume().WithName(name).WithEmptyDir(source))
	s.mounts = append(s.mounts, coreac.VolumeMount().WithName(name).WithMountPath(dir))
}

// sharedMemoryOwner is the user if a volume of the Function is mounted at /dev/shm or below it.
func sharedMemoryOwner(pod v1alpha1.PodSettings) string {
	if slices.ContainsFunc(pod.VolumeMounts, func(m v1alpha1.VolumeMount) bool { return isWithin(sharedMemoryDir, path.Clean(m.MountPath)) }) {
		return ownedByUser
	}
	return ownedByWorker
}

// sharedMemory returns the size of the volume at /dev/shm, and false where the worker keeps that of the container runtime or a
// volume of the Function. Memory in such a volume counts towards the memory limit of the container.
func sharedMemory(settings Settings, gpus int32, defaults WorkerDefaults) (resource.Quantity, bool) {
	pod := podSettings(settings)
	limit, limited := memoryLimit(pod, defaults)
	var size resource.Quantity
	switch {
	case mountsSharedMemory(pod):
		return size, false
	case pod.SharedMemory != nil:
		if size = pod.SharedMemory.Amount(); size.Sign() <= 0 {
			return size, false
		}
	case settings.PodVersion < podVersion || gpus == 0:
		return size, false
	case limited:
		size = *resource.NewQuantity(limit.Value()/2, resource.BinarySI)
		if size.Cmp(runtimeSharedMemory) < 0 {
			size = runtimeSharedMemory
		}
	default:
		return defaults.MemoryVolume, true
	}
	if limited && size.Cmp(limit) > 0 {
		size = limit
	}
	return size, true
}

// mountsSharedMemory reports whether a volume of the Function is mounted at /dev/shm.
func mountsSharedMemory(pod v1alpha1.PodSettings) bool {
	return slices.ContainsFunc(pod.VolumeMounts, func(m v1alpha1.VolumeMount) bool { return path.Clean(m.MountPath) == sharedMemoryDir })
}

// memoryLimit is the memory limit of the container, at most the greatest size of shared memory.
func memoryLimit(pod v1alpha1.PodSettings, defaults WorkerDefaults) (resource.Quantity, bool) {
	_, limits := defaults.resources(ptr.Deref(pod.Resources, v1alpha1.Resources{}))
	limit, limited := limits[corev1.ResourceMemory]
	if !limited || limit.Sign() <= 0 {
		return limit, false
	}
	if greatest := maxSharedMemory.Amount(); limit.Cmp(greatest) > 0 {
		limit = greatest
	}
	return limit, true
}
