package status

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	metaac "k8s.io/client-go/applyconfigurations/meta/v1"

	"sharedcloud.io/function-operator/api/v1alpha1"
	ac "sharedcloud.io/function-operator/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/values"
)

// The functions of this file return the apply configuration of all fields of a status that the controllers own. Server-side apply
// unsets fields that their owner leaves out, so each configuration carries all of them, changed or not. Each also names the uid and
// the resourceVersion that it was decided from: the API server then refuses a decision from a stale cache, instead of unsetting
// what was stored since.

// ownConditions are the types that the controllers write. Conditions of other writers are left to them.
var ownConditions = sets.New(
	v1alpha1.ConditionReady, v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled,
	v1alpha1.ConditionComplete, v1alpha1.ConditionFailed, v1alpha1.ConditionFinished,
	v1alpha1.ConditionSuspended, v1alpha1.ConditionEnding)

// FunctionConfiguration is the status of a Function.
func FunctionConfiguration(function *v1alpha1.Function) *ac.FunctionApplyConfiguration {
	status := ac.FunctionStatus().
		WithObservedGeneration(function.Status.ObservedGeneration).
		WithConditions(conditionConfigurations(function.Status.Conditions)...)
	if revision := function.Status.Revision; revision != nil {
		present := ac.FunctionRevision().
			WithName(revision.Name).
			WithGeneration(revision.Generation).
			WithRegistryPath(revision.RegistryPath)
		present.Digest = values.NonZero(revision.Digest)
		present.Number = values.NonZero(revision.Number)
		status.WithRevision(present)
	}
	return ac.Function(function.Name, function.Namespace).
		WithUID(function.UID).
		WithResourceVersion(function.ResourceVersion).
		WithStatus(status)
}

// FunctionImageConfiguration is the status of a FunctionImage.
func FunctionImageConfiguration(image *v1alpha1.FunctionImage) *ac.FunctionImageApplyConfiguration {
	status := ac.FunctionImageStatus().
		WithObservedGeneration(image.Status.ObservedGeneration).
		WithConditions(conditionConfigurations(image.Status.Conditions)...)
	if image.Status.Digest != "" {
		status.WithDigest(image.Status.Digest)
	}
	return ac.FunctionImage(image.Name, image.Namespace).
		WithUID(image.UID).
		WithResourceVersion(image.ResourceVersion).
		WithStatus(status)
}

// RunConfiguration is the status of a FunctionRun without status.progress, which the API server owns.
func RunConfiguration(run *v1alpha1.FunctionRun) *ac.FunctionRunApplyConfiguration {
	status := ac.FunctionRunStatus().
		WithObservedGeneration(run.Status.ObservedGeneration).
		WithConditions(conditionConfigurations(run.Status.Conditions)...)
	if pin := run.Status.Revision; pin != nil {
		pinned := ac.PinnedRevision().
			WithName(pin.Name).
			WithFunctionUID(pin.FunctionUID).
			WithGeneration(pin.Generation).
			WithRegistryPath(pin.RegistryPath).
			WithInputCount(pin.InputCount).
			WithWorkers(pin.Workers).
			WithGPUs(pin.GPUs).
			WithGPUProducts(pin.GPUProducts...).
			WithTimeoutSeconds(pin.TimeoutSeconds).
			WithRetries(pin.Retries).
			WithNonRetryableErrors(pin.NonRetryableErrors...)
		pinned.Digest = values.NonZero(pin.Digest)
		pinned.InputsConfigMap = values.NonZero(pin.InputsConfigMap)
		pinned.InputsDigest = values.NonZero(pin.InputsDigest)
		pinned.BatchSize = values.NonZero(pin.BatchSize)
		pinned.RetryDelaySeconds = pin.RetryDelaySeconds
		pinned.MaxFailures = pin.MaxFailures
		pinned.ActiveDeadlineSeconds = pin.ActiveDeadlineSeconds
		pinned.TTLSecondsAfterFinished = pin.TTLSecondsAfterFinished
		pinned.ResultsTTLSecondsAfterFinished = pin.ResultsTTLSecondsAfterFinished
		pinned.PriorityClassName = values.NonZero(pin.PriorityClassName)
		pinned.GPUResource = values.NonZero(pin.GPUResource)
		status.WithRevision(pinned)
	}
	if job := run.Status.Job; job != nil {
		reference := ac.JobReference().WithName(job.Name).WithNumber(job.Number)
		reference.UID = values.NonZero[types.UID](job.UID)
		status.WithJob(reference)
	}
	status.Workers = values.NonZero(run.Status.Workers)
	if run.Status.ImageDigest != "" {
		status.WithImageDigest(run.Status.ImageDigest)
	}
	status.StartTime = run.Status.StartTime
	status.CompletionTime = run.Status.CompletionTime
	return ac.FunctionRun(run.Name, run.Namespace).
		WithUID(run.UID).
		WithResourceVersion(run.ResourceVersion).
		WithStatus(status)
}

func conditionConfigurations(conditions []metav1.Condition) []*metaac.ConditionApplyConfiguration {
	list := make([]*metaac.ConditionApplyConfiguration, 0, len(conditions))
	for _, condition := range conditions {
		if !ownConditions.Has(condition.Type) {
			continue
		}
		list = append(list, metaac.Condition().
			WithType(condition.Type).
			WithStatus(condition.Status).
			WithObservedGeneration(condition.ObservedGeneration).
			WithLastTransitionTime(condition.LastTransitionTime).
			WithReason(condition.Reason).
			WithMessage(condition.Message))
	}
	return list
}
