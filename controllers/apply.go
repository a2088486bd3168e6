package controllers

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	metaac "k8s.io/client-go/applyconfigurations/meta/v1"

	"sharedcloud.io/function-operator/api/v1alpha1"
	ac "sharedcloud.io/function-operator/api/v1alpha1/applyconfiguration/api/v1alpha1"
)

// The functions of this file turn a status into the apply configuration of everything in it that these controllers own.
// Server-side apply unsets what an owner leaves out, so each carries all of it, also what did not change; and each names
// the uid and the resourceVersion that it was decided from, so that a decision made on a stale cache is refused whole
// instead of unsetting what was stored since.

// ownConditions are the types that these controllers write. Another's condition on the same object stays another's.
var ownConditions = sets.New(
	v1alpha1.ConditionReady, v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled,
	v1alpha1.ConditionComplete, v1alpha1.ConditionFailed, v1alpha1.ConditionFinished,
	v1alpha1.ConditionSuspended, v1alpha1.ConditionEnding)

func functionStatus(function *v1alpha1.Function) *ac.FunctionApplyConfiguration {
	status := ac.FunctionStatus().
		WithObservedGeneration(function.Status.ObservedGeneration).
		WithConditions(conditionConfigurations(function.Status.Conditions)...)
	if revision := function.Status.Revision; revision != nil {
		present := ac.FunctionRevision().
			WithName(revision.Name).
			WithGeneration(revision.Generation).
			WithRegistryPath(revision.RegistryPath)
		present.Digest = nonZero(revision.Digest)
		present.Number = nonZero(revision.Number)
		status.WithRevision(present)
	}
	return ac.Function(function.Name, function.Namespace).
		WithUID(function.UID).
		WithResourceVersion(function.ResourceVersion).
		WithStatus(status)
}

func functionImageStatus(image *v1alpha1.FunctionImage) *ac.FunctionImageApplyConfiguration {
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

// runStatus leaves out status.progress: that is the API server's.
func runStatus(run *v1alpha1.FunctionRun) *ac.FunctionRunApplyConfiguration {
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
		pinned.Digest = nonZero(pin.Digest)
		pinned.InputsConfigMap = nonZero(pin.InputsConfigMap)
		pinned.InputsDigest = nonZero(pin.InputsDigest)
		pinned.BatchSize = nonZero(pin.BatchSize)
		pinned.RetryDelaySeconds = pin.RetryDelaySeconds
		pinned.MaxFailures = pin.MaxFailures
		pinned.ActiveDeadlineSeconds = pin.ActiveDeadlineSeconds
		pinned.TTLSecondsAfterFinished = pin.TTLSecondsAfterFinished
		pinned.ResultsTTLSecondsAfterFinished = pin.ResultsTTLSecondsAfterFinished
		pinned.PriorityClassName = nonZero(pin.PriorityClassName)
		pinned.GPUResource = nonZero(pin.GPUResource)
		status.WithRevision(pinned)
	}
	if job := run.Status.Job; job != nil {
		reference := ac.JobReference().WithName(job.Name).WithNumber(job.Number)
		reference.UID = nonZero[types.UID](job.UID)
		status.WithJob(reference)
	}
	status.Workers = nonZero(run.Status.Workers)
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
