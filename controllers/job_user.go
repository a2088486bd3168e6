package controllers

import (
	"path"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	coreac "k8s.io/client-go/applyconfigurations/core/v1"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// userVolumes are the volumes of a function's allow-list as a pod has them.
func userVolumes(pod v1alpha1.PodSettings, defaults WorkerDefaults) []*coreac.VolumeApplyConfiguration {
	list := make([]*coreac.VolumeApplyConfiguration, 0, len(pod.Volumes))
	for _, v := range pod.Volumes {
		volume := coreac.Volume().WithName(v.Name)
		switch {
		case v.ConfigMap != nil:
			volume.WithConfigMap(coreac.ConfigMapVolumeSource().WithName(v.ConfigMap.Name))
		case v.Secret != nil:
			volume.WithSecret(coreac.SecretVolumeSource().WithSecretName(v.Secret.Name))
		case v.EmptyDir != nil:
			source := coreac.EmptyDirVolumeSource()
			source.Medium = nonZero(corev1.StorageMedium(v.EmptyDir.Medium))
			if v.EmptyDir.SizeLimitMiB != nil {
				source.WithSizeLimit(*resource.NewQuantity(within(*v.EmptyDir.SizeLimitMiB, 1, v1alpha1.MaxSizeLimitMiB)<<20, resource.BinarySI))
			} else if size := defaults.volumeSize(v.EmptyDir); !size.IsZero() {
				source.WithSizeLimit(size)
			}
			volume.WithEmptyDir(source)
		case v.PersistentVolumeClaim != nil:
			source := coreac.PersistentVolumeClaimVolumeSource().WithClaimName(v.PersistentVolumeClaim.ClaimName)
			source.ReadOnly = nonZero(v.PersistentVolumeClaim.ReadOnly)
			volume.WithPersistentVolumeClaim(source)
		}
		list = append(list, volume)
	}
	return list
}

func userMounts(pod v1alpha1.PodSettings) []*coreac.VolumeMountApplyConfiguration {
	list := make([]*coreac.VolumeMountApplyConfiguration, 0, len(pod.VolumeMounts))
	for _, m := range pod.VolumeMounts {
		mount := coreac.VolumeMount().WithName(m.Name).WithMountPath(path.Clean(m.MountPath))
		mount.SubPath = nonZero(m.SubPath)
		mount.ReadOnly = nonZero(m.ReadOnly)
		list = append(list, mount)
	}
	return list
}

// userEnv copies the variables that a function sets, field by field: an apply configuration has no other way.
func userEnv(pod v1alpha1.PodSettings) []*coreac.EnvVarApplyConfiguration {
	list := make([]*coreac.EnvVarApplyConfiguration, 0, len(pod.Env))
	for _, e := range pod.Env {
		variable := coreac.EnvVar().WithName(e.Name)
		variable.Value = nonZero(e.Value)
		if e.ValueFrom != nil {
			variable.WithValueFrom(envSource(e.ValueFrom))
		}
		list = append(list, variable)
	}
	return list
}

func envSource(from *v1alpha1.EnvVarSource) *coreac.EnvVarSourceApplyConfiguration {
	source := coreac.EnvVarSource()
	switch {
	case from.ConfigMapKeyRef != nil:
		ref := coreac.ConfigMapKeySelector().WithName(from.ConfigMapKeyRef.Name).WithKey(from.ConfigMapKeyRef.Key)
		ref.Optional = from.ConfigMapKeyRef.Optional
		source.WithConfigMapKeyRef(ref)
	case from.SecretKeyRef != nil:
		ref := coreac.SecretKeySelector().WithName(from.SecretKeyRef.Name).WithKey(from.SecretKeyRef.Key)
		ref.Optional = from.SecretKeyRef.Optional
		source.WithSecretKeyRef(ref)
	case from.FieldRef != nil:
		ref := coreac.ObjectFieldSelector().WithFieldPath(from.FieldRef.FieldPath)
		ref.APIVersion = nonZero(from.FieldRef.APIVersion)
		source.WithFieldRef(ref)
	case from.ResourceFieldRef != nil:
		ref := coreac.ResourceFieldSelector().WithResource(from.ResourceFieldRef.Resource)
		ref.ContainerName = nonZero(from.ResourceFieldRef.ContainerName)
		if !from.ResourceFieldRef.Divisor.IsZero() {
			ref.WithDivisor(from.ResourceFieldRef.Divisor.Amount())
		}
		source.WithResourceFieldRef(ref)
	case from.FileKeyRef != nil:
		ref := coreac.FileKeySelector().
			WithVolumeName(from.FileKeyRef.VolumeName).
			WithPath(from.FileKeyRef.Path).
			WithKey(from.FileKeyRef.Key)
		ref.Optional = from.FileKeyRef.Optional
		source.WithFileKeyRef(ref)
	}
	return source
}
