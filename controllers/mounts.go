package controllers

import (
	"path"
	"slices"
	"strings"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

const (
	ownVolumes = "sharedcloud-"
	ownEnvs    = "SHAREDCLOUD_"
	sharedDir  = "/dev/shm"
)

// ownFolders are folders where nothing may be mounted, nor below them: the operator's files, the kernel's file systems, and
// where tokens are mounted.
var ownFolders = []string{mountDir, "/proc", "/sys", "/dev", "/var/run/secrets", "/run/secrets"}

// isWithin: the cleaned path is the folder, or below it.
func isWithin(folder, cleaned string) bool {
	return cleaned == folder || strings.HasPrefix(cleaned, folder+"/")
}

// reservedMount says of which of ownFolders a cleaned path is a part, or "".
func reservedMount(cleaned string) string {
	if cleaned == "/" {
		return "/"
	}
	if isWithin(sharedDir, cleaned) { // shared memory between the processes of a handler
		return ""
	}
	i := slices.IndexFunc(ownFolders, func(folder string) bool { return isWithin(folder, cleaned) })
	if i < 0 {
		return ""
	}
	return ownFolders[i]
}

// namesFinding checks names and paths of the pod settings that would conflict with the operator's own. Admission checks most of
// this; objects and revisions may be older than its rules. It returns nil if nothing conflicts.
func namesFinding(pod *v1alpha1.PodSettings) *finding {
	for i := range pod.Env {
		if strings.HasPrefix(strings.ToUpper(strings.TrimSpace(pod.Env[i].Name)), ownEnvs) {
			return invalidSource("spec.pod.env[%d] is named %q: names that begin with %s are the operator's own. Choose another name.", i, cut(pod.Env[i].Name, 64), ownEnvs)
		}
	}
	for i := range pod.Volumes {
		if strings.HasPrefix(pod.Volumes[i].Name, ownVolumes) {
			return invalidSource("spec.pod.volumes[%d] is named %q: names that begin with %s are the operator's own. Choose another name.", i, pod.Volumes[i].Name, ownVolumes)
		}
	}
	seen := map[string]bool{}
	for i := range pod.VolumeMounts {
		mount := &pod.VolumeMounts[i]
		cleaned := path.Clean(mount.MountPath)
		switch {
		case !path.IsAbs(mount.MountPath) || strings.ContainsAny(mount.MountPath, ":\x00\n"):
			return invalidSource("spec.pod.volumeMounts[%d].mountPath is %q: it must be an absolute path without ':'.", i, cut(mount.MountPath, 128))
		case reservedMount(cleaned) != "":
			return invalidSource("spec.pod.volumeMounts[%d].mountPath is %s, and nothing may be mounted at %s: choose a path outside %s, such as /data.",
				i, cut(cleaned, 128), reservedMount(cleaned), strings.Join(ownFolders, ", "))
		case seen[cleaned]:
			return invalidSource("spec.pod.volumeMounts[%d].mountPath is %s, where another volume is mounted already: choose another path.", i, cut(cleaned, 128))
		case path.IsAbs(mount.SubPath) || slices.Contains(strings.Split(mount.SubPath, "/"), ".."):
			return invalidSource("spec.pod.volumeMounts[%d].subPath is %q: it must be a relative path without '..'.", i, cut(mount.SubPath, 128))
		}
		seen[cleaned] = true
	}
	return nil
}
