package workload

import (
	"math"
	"path"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	coreac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/values"
)

const (
	// workerUser is the user id of a worker whose function sets none.
	workerUser = int64(65532)
	// workerGraceSeconds is what a worker has after SIGTERM to return its leases.
	workerGraceSeconds = int64(30)
	// tokenSeconds is the lifetime of a worker's token. The kubelet renews it after 80 % of this.
	tokenSeconds = int64(3600)

	// A worker gets the files of the operator in one volume: each further one delays the start of every pod.
	mountDir     = "/sharedcloud"
	volumeWorker = "sharedcloud-worker"
	codeDir      = "code"
	runnerDir    = "runner"
	identityDir  = "identity"
)

func podFor(run *v1alpha1.FunctionRun, settings Settings, options Options) *coreac.PodSpecApplyConfiguration {
	pod := podSettings(settings)
	gpus, gpuResource := run.Status.Revision.GPUs, settings.GPUResource
	if run.Status.Revision.GPUResource != "" {
		gpuResource = run.Status.Revision.GPUResource
	}
	around := surroundingsFor(settings, gpus, options.Workers)
	spec := coreac.PodSpec().
		WithRestartPolicy(corev1.RestartPolicyNever).
		WithTerminationGracePeriodSeconds(workerGraceSeconds).
		WithAutomountServiceAccountToken(false).
		WithEnableServiceLinks(false).
		WithSecurityContext(podSecurity(pod)).
		WithNodeSelector(labelTexts(pod.NodeSelector)).
		WithTolerations(tolerations(pod, gpus, gpuResource, options.GPUResource)...).
		WithVolumes(ownVolume(run.Status.Revision.Name, settings)).
		WithVolumes(around.volumes...).
		WithVolumes(userVolumes(pod, options.Workers)...).
		WithContainers(coreac.Container().
			WithName(v1alpha1.WorkerContainer).
			WithImage(settings.Image.RegistryPath).
			WithImagePullPolicy(settings.Image.PullPolicy).
			WithCommand(settings.Command...).
			WithCommand(path.Join(mountDir, runnerDir, settings.RunnerFile)).
			WithEnv(ownEnv(run, settings, options.ExchangeURL)...).
			WithEnv(around.env...).
			WithEnv(userEnv(pod)...).
			WithVolumeMounts(coreac.VolumeMount().WithName(volumeWorker).WithMountPath(mountDir).WithReadOnly(true)).
			WithVolumeMounts(around.mounts...).
			WithVolumeMounts(userMounts(pod)...).
			WithResources(resources(pod, gpuResource, gpus, options.Workers)).
			WithSecurityContext(coreac.SecurityContext().
				WithAllowPrivilegeEscalation(false).
				WithCapabilities(coreac.Capabilities().WithDrop("ALL"))))
	if products := run.Status.Revision.GPUProducts; len(products) > 0 {
		spec.WithAffinity(nodesWith(options.GPUProductLabel, products))
	}
	if class := run.Status.Revision.PriorityClassName; class != "" {
		spec.WithPriorityClassName(class)
	}
	if pod.RuntimeClassName != nil {
		spec.WithRuntimeClassName(*pod.RuntimeClassName)
	}
	for _, secret := range settings.Image.PullSecrets {
		spec.WithImagePullSecrets(coreac.LocalObjectReference().WithName(secret))
	}
	return spec
}

func podSettings(settings Settings) v1alpha1.PodSettings {
	return ptr.Deref(settings.Pod, v1alpha1.PodSettings{})
}

func podSecurity(pod v1alpha1.PodSettings) *coreac.PodSecurityContextApplyConfiguration {
	user := values.Clamp(ptr.Deref(pod.RunAsUser, workerUser), 0, math.MaxInt32)
	security := coreac.PodSecurityContext().
		WithRunAsUser(user).
		WithSeccompProfile(coreac.SeccompProfile().WithType(corev1.SeccompProfileTypeRuntimeDefault))
	if user != 0 {
		security.WithRunAsNonRoot(true)
	}
	for _, volume := range pod.Volumes {
		// The file system of a new claim belongs to root, and the worker is not root.
		if volume.PersistentVolumeClaim != nil && user != 0 {
			return security.WithFSGroup(user).WithFSGroupChangePolicy(corev1.FSGroupChangeOnRootMismatch)
		}
	}
	return security
}

// tolerations adds to the user's tolerations those of the usual taints of GPU nodes: the name of the resource, and for a part of
// a GPU (nvidia.com/mig-1g.10gb) also that of the whole (nvidia.com/gpu).
func tolerations(pod v1alpha1.PodSettings, gpus int32, resources ...string) []*coreac.TolerationApplyConfiguration {
	var list []*coreac.TolerationApplyConfiguration
	if gpus > 0 {
		for _, key := range slices.Compact(resources) {
			list = append(list, coreac.Toleration().
				WithKey(key).
				WithOperator(corev1.TolerationOpExists).
				WithEffect(corev1.TaintEffectNoSchedule))
		}
	}
	for _, t := range pod.Tolerations {
		toleration := coreac.Toleration()
		toleration.Key = values.NonZero(t.Key)
		toleration.Operator = values.NonZero(t.Operator)
		toleration.Value = values.NonZero(t.Value)
		toleration.Effect = values.NonZero(t.Effect)
		toleration.TolerationSeconds = t.TolerationSeconds
		list = append(list, toleration)
	}
	return list
}

// nodesWith requires nodes whose label has one of the values.
func nodesWith(label string, values []string) *coreac.AffinityApplyConfiguration {
	return coreac.Affinity().WithNodeAffinity(coreac.NodeAffinity().
		WithRequiredDuringSchedulingIgnoredDuringExecution(coreac.NodeSelector().
			WithNodeSelectorTerms(coreac.NodeSelectorTerm().
				WithMatchExpressions(coreac.NodeSelectorRequirement().
					WithKey(label).
					WithOperator(corev1.NodeSelectorOpIn).
					WithValues(values...)))))
}

// resources are those of the Function or the defaults, and GPUs. GPUs are set in the limits alone: the API copies the limit of an
// extended resource to its request.
func resources(pod v1alpha1.PodSettings, gpuResource string, gpus int32, defaults WorkerDefaults) *coreac.ResourceRequirementsApplyConfiguration {
	requests, limits := defaults.resources(ptr.Deref(pod.Resources, v1alpha1.Resources{}))
	if gpus > 0 {
		limits[corev1.ResourceName(gpuResource)] = *resource.NewQuantity(int64(gpus), resource.DecimalSI)
	}
	requirements := coreac.ResourceRequirements()
	if len(limits) > 0 {
		requirements.WithLimits(limits)
	}
	if len(requests) > 0 {
		requirements.WithRequests(requests)
	}
	return requirements
}

func amounts(list v1alpha1.ResourceList) corev1.ResourceList {
	converted := make(corev1.ResourceList, len(list))
	for name, quantity := range list {
		converted[name] = quantity.Amount()
	}
	return converted
}

func labelTexts(selector map[string]v1alpha1.LabelValue) map[string]string {
	texts := make(map[string]string, len(selector))
	for label, value := range selector {
		texts[label] = string(value)
	}
	return texts
}
