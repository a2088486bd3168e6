package controllers

import (
	"math"
	"path"
	"slices"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	batchac "k8s.io/client-go/applyconfigurations/batch/v1"
	coreac "k8s.io/client-go/applyconfigurations/core/v1"
	metaac "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

const (
	workerContainer = "worker"
	// The user that a worker is unless the function says otherwise.
	workerUser = int64(65532)
	// What a worker has after SIGTERM to hand back what it holds.
	workerGraceSeconds = int64(30)
	// The kubelet renews the worker's token when 80 % of this is over.
	tokenSeconds = int64(3600)

	// All that a worker gets from the operator is one volume: each one more costs the kubelet time at every start.
	mountDir     = "/sharedcloud"
	volumeWorker = "sharedcloud-worker"
	codeDir      = "code"
	runnerDir    = "runner"
	identityDir  = "identity"

	// annotationImage names the FunctionImage, NAMESPACE/NAME, that a pod runs; its digest is recorded there.
	annotationImage = "sharedcloud.io/image"
	// annotationRevision names the revision that a Job was built from.
	annotationRevision = "sharedcloud.io/revision"
	// annotationNumber is k: the Job's number among its run's.
	annotationNumber = "sharedcloud.io/job-number"
	// annotationOutcomes is how many outcomes the run had when the Job was built, annotationFruitless how many Jobs in a
	// row before it were over without adding one.
	annotationOutcomes  = "sharedcloud.io/outcomes-before"
	annotationFruitless = "sharedcloud.io/fruitless-jobs"
	// annotationMade is when the Job was built, µs since 1970: creationTimestamp has whole seconds.
	annotationMade = "sharedcloud.io/made"

	// A Job begins with so many workers; see resize.
	firstWorkers = int32(1)

	// Failures of pods never end a Job: the exchange counts them and ends the run.
	outOfReach = int32(1_000_000)
)

// jobFor builds the latest Job of a run, as status.job names it, from what the run has pinned. It is written once: what it
// leaves out is the API's to default and, as spec.suspend, somebody else's to own.
func jobFor(run *v1alpha1.FunctionRun, settings Settings, options Options, fruitlessBefore int32, now time.Time) *batchac.JobApplyConfiguration {
	pin := run.Status.Revision
	labels := map[string]string{
		v1alpha1.LabelRun:      run.Name,
		v1alpha1.LabelRunUID:   string(run.UID),
		v1alpha1.LabelFunction: run.Spec.FunctionRef.Name,
		labelManagedBy:         managedBy,
	}
	return batchac.Job(run.Status.Job.Name, run.Namespace).
		WithLabels(labels).
		WithAnnotations(map[string]string{
			annotationRevision:  pin.Name,
			annotationNumber:    strconv.Itoa(int(run.Status.Job.Number)),
			annotationOutcomes:  strconv.Itoa(int(outcomes(run))),
			annotationFruitless: strconv.Itoa(int(fruitlessBefore)),
			annotationMade:      strconv.FormatInt(now.UnixMicro(), 10),
		}).
		WithOwnerReferences(metaac.OwnerReference().
			WithAPIVersion(v1alpha1.GroupVersion.String()).
			WithKind("FunctionRun").
			WithName(run.Name).
			WithUID(run.UID).
			WithController(true).
			WithBlockOwnerDeletion(true)).
		WithSpec(batchac.JobSpec().
			WithCompletionMode(batchv1.IndexedCompletion).
			WithCompletions(wantedWorkers(run)).
			WithParallelism(min(wantedWorkers(run), firstWorkers)).
			WithBackoffLimitPerIndex(outOfReach).
			WithPodReplacementPolicy(batchv1.Failed).
			WithPodFailurePolicy(batchac.PodFailurePolicy().
				WithRules(batchac.PodFailurePolicyRule().
					WithAction(batchv1.PodFailurePolicyActionIgnore).
					WithOnPodConditions(batchac.PodFailurePolicyOnPodConditionsPattern().
						WithType(corev1.DisruptionTarget).
						WithStatus(corev1.ConditionTrue)))).
			WithTemplate(coreac.PodTemplateSpec().
				WithLabels(labels).
				WithAnnotations(map[string]string{
					annotationImage:    settings.Image.Namespace + "/" + settings.Image.Name,
					annotationRevision: pin.Name,
				}).
				WithSpec(podFor(run, settings, options))))
}

func podFor(run *v1alpha1.FunctionRun, settings Settings, options Options) *coreac.PodSpecApplyConfiguration {
	pod := podSettings(settings)
	gpus, gpuResource := run.Status.Revision.GPUs, settings.GPUResource
	if run.Status.Revision.GPUResource != "" {
		gpuResource = run.Status.Revision.GPUResource
	}
	spec := coreac.PodSpec().
		WithRestartPolicy(corev1.RestartPolicyNever).
		WithTerminationGracePeriodSeconds(workerGraceSeconds).
		WithAutomountServiceAccountToken(false).
		WithEnableServiceLinks(false).
		WithSecurityContext(podSecurity(pod)).
		WithNodeSelector(labelTexts(pod.NodeSelector)).
		WithTolerations(tolerations(pod, gpus, gpuResource, options.GPUResource)...).
		WithVolumes(ownVolume(run.Status.Revision.Name, settings)).
		WithVolumes(userVolumes(pod, options.Workers)...).
		WithContainers(coreac.Container().
			WithName(workerContainer).
			WithImage(settings.Image.RegistryPath).
			WithImagePullPolicy(settings.Image.PullPolicy).
			WithCommand(settings.Command...).
			WithCommand(path.Join(mountDir, runnerDir, settings.RunnerFile)).
			WithEnv(ownEnv(run, settings, options.ExchangeURL)...).
			WithEnv(userEnv(pod)...).
			WithVolumeMounts(coreac.VolumeMount().WithName(volumeWorker).WithMountPath(mountDir).WithReadOnly(true)).
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
	user := within(ptr.Deref(pod.RunAsUser, workerUser), 0, math.MaxInt32)
	security := coreac.PodSecurityContext().
		WithRunAsUser(user).
		WithSeccompProfile(coreac.SeccompProfile().WithType(corev1.SeccompProfileTypeRuntimeDefault))
	if user != 0 {
		security.WithRunAsNonRoot(true)
	}
	for _, volume := range pod.Volumes {
		// A claim's file system belongs to root until somebody says otherwise, and the worker is not root.
		if volume.PersistentVolumeClaim != nil && user != 0 {
			return security.WithFSGroup(user).WithFSGroupChangePolicy(corev1.FSGroupChangeOnRootMismatch)
		}
	}
	return security
}

// tolerations adds to the user's own those for the taints that GPU nodes usually carry: the name of the resource, and
// where that is a part of a GPU (nvidia.com/mig-1g.10gb), of the whole (nvidia.com/gpu).
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
		toleration.Key = nonZero(t.Key)
		toleration.Operator = nonZero(t.Operator)
		toleration.Value = nonZero(t.Value)
		toleration.Effect = nonZero(t.Effect)
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

// resources are those of the Function, defaults where it sets none, and GPUs in the limits alone: an extended resource's request
// follows its limit.
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

func ownEnv(run *v1alpha1.FunctionRun, settings Settings, exchangeURL string) []*coreac.EnvVarApplyConfiguration {
	exchange := exchangeURL + "/work/v1/namespaces/" + run.Namespace + "/runs/" + run.Name + "/exchange"
	return []*coreac.EnvVarApplyConfiguration{
		coreac.EnvVar().WithName("SHAREDCLOUD_EXCHANGE_URL").WithValue(exchange),
		coreac.EnvVar().WithName("SHAREDCLOUD_TOKEN_FILE").WithValue(path.Join(mountDir, identityDir, "token")),
		coreac.EnvVar().WithName("SHAREDCLOUD_CA_FILE").WithValue(path.Join(mountDir, identityDir, v1alpha1.TrustKey)),
		coreac.EnvVar().WithName("SHAREDCLOUD_CODE").WithValue(path.Join(mountDir, codeDir, settings.HandlerFile)),
	}
}

// ownVolume is the code, the runner and what a worker identifies itself and the exchange with.
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

// nonZero is a pointer to the value, or nil where nothing was set: never own a zero value.
func nonZero[T comparable](value T) *T {
	var zero T
	if value == zero {
		return nil
	}
	return &value
}
