package workload

import (
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/api/v1alpha1"
)

const (
	ownVolumePrefix   = "sharedcloud-"
	ownVariablePrefix = "SHAREDCLOUD_"
	sharedMemoryDir   = "/dev/shm"
)

// reservedDirs may not be mounted over, nor anything below them: the operator's files, the kernel's file systems, and the
// directories of tokens.
var reservedDirs = []string{mountDir, "/proc", "/sys", "/dev", "/var/run/secrets", "/run/secrets"}

// isWithin reports whether a cleaned path is the directory or below it.
func isWithin(dir, cleaned string) bool {
	return cleaned == dir || strings.HasPrefix(cleaned, dir+"/")
}

// reservedDirOf returns which of reservedDirs a cleaned path belongs to, or "".
func reservedDirOf(cleaned string) string {
	if cleaned == "/" {
		return "/"
	}
	if isWithin(sharedMemoryDir, cleaned) { // shared memory of a handler's processes
		return ""
	}
	i := slices.IndexFunc(reservedDirs, func(dir string) bool { return isWithin(dir, cleaned) })
	if i < 0 {
		return ""
	}
	return reservedDirs[i]
}

// CheckPod checks what the schema cannot: that pod settings fit together and do not conflict with the operator's own names and
// paths. Admission checks most of it; objects and revisions may be older than its rules. gpuResources may not be set as
// resources of the pod.
func CheckPod(pod *v1alpha1.PodSettings, gpuResources ...string) *Problem {
	if pod == nil {
		return nil
	}
	if problem := checkNames(pod); problem != nil {
		return problem
	}
	if problem := checkMounts(pod); problem != nil {
		return problem
	}
	if problem := checkResources(pod.Resources, gpuResources); problem != nil {
		return problem
	}
	return checkSharedMemory(pod)
}

func checkNames(pod *v1alpha1.PodSettings) *Problem {
	for i := range pod.Env {
		if strings.HasPrefix(strings.ToUpper(strings.TrimSpace(pod.Env[i].Name)), ownVariablePrefix) {
			return invalid("spec.pod.env[%d] is named %q: names that begin with %s are reserved for the operator. Choose another name.",
				i, printable.Cut(pod.Env[i].Name, 64), ownVariablePrefix)
		}
	}
	for i := range pod.Volumes {
		if strings.HasPrefix(pod.Volumes[i].Name, ownVolumePrefix) {
			return invalid("spec.pod.volumes[%d] is named %q: names that begin with %s are reserved for the operator. Choose another name.",
				i, pod.Volumes[i].Name, ownVolumePrefix)
		}
	}
	return nil
}

func checkMounts(pod *v1alpha1.PodSettings) *Problem {
	seen := map[string]bool{}
	for i := range pod.VolumeMounts {
		mount := &pod.VolumeMounts[i]
		cleaned := path.Clean(mount.MountPath)
		switch {
		case !path.IsAbs(mount.MountPath) || strings.ContainsAny(mount.MountPath, ":\x00\n"):
			return invalid("spec.pod.volumeMounts[%d].mountPath is %q: it must be an absolute path without ':'.", i, printable.Cut(mount.MountPath, 128))
		case reservedDirOf(cleaned) != "":
			return invalid("spec.pod.volumeMounts[%d].mountPath is %s, and nothing may be mounted at %s: choose a path outside %s, such as /data.",
				i, printable.Cut(cleaned, 128), reservedDirOf(cleaned), strings.Join(reservedDirs, ", "))
		case seen[cleaned]:
			return invalid("spec.pod.volumeMounts[%d].mountPath is %s, where another volume is already mounted: choose another path.", i, printable.Cut(cleaned, 128))
		case path.IsAbs(mount.SubPath) || slices.Contains(strings.Split(mount.SubPath, "/"), ".."):
			return invalid("spec.pod.volumeMounts[%d].subPath is %q: it must be a relative path without '..'.", i, printable.Cut(mount.SubPath, 128))
		}
		seen[cleaned] = true
	}
	volumes := map[string]bool{}
	for _, volume := range pod.Volumes {
		volumes[volume.Name] = true
	}
	for _, mount := range pod.VolumeMounts {
		if !volumes[mount.Name] {
			return invalid("spec.pod.volumeMounts mounts %q at %s, and spec.pod.volumes has no volume of that name: add it.", mount.Name, mount.MountPath)
		}
	}
	return nil
}

func checkResources(resources *v1alpha1.Resources, gpuResources []string) *Problem {
	if resources == nil {
		return nil
	}
	for name := range resources.Limits {
		if slices.Contains(gpuResources, string(name)) {
			return invalid("spec.pod.resources.limits names %s: use spec.gpus instead.", name)
		}
	}
	for name, request := range resources.Requests {
		if slices.Contains(gpuResources, string(name)) {
			return invalid("spec.pod.resources.requests names %s: use spec.gpus instead.", name)
		}
		if limit, limited := resources.Limits[name]; limited && request.Cmp(limit) > 0 {
			return invalid("spec.pod.resources.requests.%s is %s, more than the limit %s: lower it or raise the limit.", name, request.String(), limit.String())
		}
	}
	return nil
}

func checkSharedMemory(pod *v1alpha1.PodSettings) *Problem {
	size := pod.SharedMemory
	if size == nil {
		return nil
	}
	if !size.IsZero() && (size.Cmp(minSharedMemory) < 0 || size.Cmp(maxSharedMemory) > 0) {
		return invalid("spec.pod.sharedMemory is %s: it must be 0, which leaves the %s of the container runtime, or between %s and %s, such as 2Gi.",
			size.String(), sharedMemoryDir, minSharedMemory.String(), maxSharedMemory.String())
	}
	for i := range pod.VolumeMounts {
		if path.Clean(pod.VolumeMounts[i].MountPath) == sharedMemoryDir {
			return invalid("spec.pod.sharedMemory is set, and spec.pod.volumeMounts[%d] mounts the volume %s at %s: remove one of the two.",
				i, printable.Cut(pod.VolumeMounts[i].Name, 64), sharedMemoryDir)
		}
	}
	if pod.Resources == nil {
		return nil
	}
	if limit, limited := pod.Resources.Limits[corev1.ResourceMemory]; limited && !limit.IsZero() && size.Cmp(limit) > 0 {
		return invalid("spec.pod.sharedMemory is %s, more than the memory limit %s, towards which it counts: lower it or raise spec.pod.resources.limits.memory.",
			size.String(), limit.String())
	}
	return nil
}
