package workload

import (
	"path"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	coreac "k8s.io/client-go/applyconfigurations/core/v1"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/values"
)

func ownEnv(run *v1alpha1.FunctionRun, settings Settings, exchangeURL string) []*coreac.EnvVarApplyConfiguration {
	exchange := exchangeURL + "/work/v1/namespaces/" + run.Namespace + "/runs/" + run.Name + "/exchange"
	return []*coreac.EnvVarApplyConfiguration{
		coreac.EnvVar().WithName("SHAREDCLOUD_EXCHANGE_URL").WithValue(exchange),
		coreac.EnvVar().WithName("SHAREDCLOUD_TOKEN_FILE").WithValue(path.Join(mountDir, identityDir, "token")),
		coreac.EnvVar().WithName("SHAREDCLOUD_CA_FILE").WithValue(path.Join(mountDir, identityDir, v1alpha1.TrustKey)),
		coreac.EnvVar().WithName("SHAREDCLOUD_CODE").WithValue(path.Join(mountDir, codeDir, settings.HandlerFile)),
	}
}

// ownVolume holds the code, the runner, the worker's token, and the certificates with which it verifies the exchange.
func ownVolume(revision string, settings Settings) *coreac.VolumeApplyConfiguration {
	items := []*coreac.KeyToPathApplyConfiguration{
		coreac.KeyToPath().WithKey(settings.HandlerFile).WithPath(path.Join(codeDir, settings.HandlerFile)),
	}
	for _, name := range settings.Files {
		items = append(items, coreac.KeyToPath().WithKey(name).WithPath(path.Join(codeDir, name)))
	}
	items = append(items, coreac.KeyToPath().WithKey(settings.RunnerFile).WithPath(path.Join(runnerDir, settings.RunnerFile)))
	return coreac.Volume().WithName(volumeWorker).WithProjected(coreac.ProjectedVolumeSource().WithSources(
		coreac.VolumeProjection().WithConfigMap(coreac.ConfigMapProjection().
			WithName(revision).
			WithItems(items...)),
		coreac.VolumeProjection().WithServiceAccountToken(coreac.ServiceAccountTokenProjection().
			WithAudience(v1alpha1.ExchangeAudience).
			WithExpirationSeconds(tokenSeconds).
			WithPath(path.Join(identityDir, "token"))),
		coreac.VolumeProjection().WithConfigMap(coreac.ConfigMapProjection().
			WithName(v1alpha1.TrustConfigMap).
			WithItems(coreac.KeyToPath().WithKey(v1alpha1.TrustKey).WithPath(path.Join(identityDir, v1alpha1.TrustKey))))))
}

// userVolumes are the volumes that a function sets, as volumes of a pod.
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
			source.Medium = values.NonZero(corev1.StorageMedium(v.EmptyDir.Medium))
			if v.EmptyDir.SizeLimitMiB != nil {
				source.WithSizeLimit(*resource.NewQuantity(values.Clamp(*v.EmptyDir.SizeLimitMiB, 1, v1alpha1.MaxSizeLimitMiB)<<20, resource.BinarySI))
			} else if size := defaults.volumeSize(v.EmptyDir); !size.IsZero() {
				source.WithSizeLimit(size)
			}
			volume.WithEmptyDir(source)
		case v.PersistentVolumeClaim != nil:
			source := coreac.PersistentVolumeClaimVolumeSource().WithClaimName(v.PersistentVolumeClaim.ClaimName)
			source.ReadOnly = values.NonZero(v.PersistentVolumeClaim.ReadOnly)
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
		mount.SubPath = values.NonZero(m.SubPath)
		mount.ReadOnly = values.NonZero(m.ReadOnly)
		list = append(list, mount)
	}
	return list
}

// userEnv are the variables that a function sets, as apply configurations.
func userEnv(pod v1alpha1.PodSettings) []*coreac.EnvVarApplyConfiguration {
	list := make([]*coreac.EnvVarApplyConfiguration, 0, len(pod.Env))
	for _, e := range pod.Env {
		variable := coreac.EnvVar().WithName(e.Name)
		variable.Value = values.NonZero(e.Value)
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
		ref.APIVersion = values.NonZero(from.FieldRef.APIVersion)
		source.WithFieldRef(ref)
	case from.ResourceFieldRef != nil:
		ref := coreac.ResourceFieldSelector().WithResource(from.ResourceFieldRef.Resource)
		ref.ContainerName = values.NonZero(from.ResourceFieldRef.ContainerName)
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
