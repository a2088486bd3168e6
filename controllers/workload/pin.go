package workload

import (
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/values"
)

// Inputs are the inputs of a run that is being pinned.
type Inputs struct {
	Count int
	// ConfigMap is the name of their copy; "" if the inputs are in the spec or were uploaded.
	ConfigMap string
	// Digest is that of the copy's content; "" without a copy.
	Digest string
}

// PinFor combines what the run sets with what its function sets; the run takes precedence. Numbers are clamped because the
// stored objects may be older than the schema's bounds.
func PinFor(run *v1alpha1.FunctionRun, function *v1alpha1.Function, settings Settings, inputs Inputs) *v1alpha1.PinnedRevision {
	count := int32(values.Clamp(inputs.Count, 0, int(v1alpha1.MaxInputs)))
	return &v1alpha1.PinnedRevision{
		Name:            function.Status.Revision.Name,
		Digest:          function.Status.Revision.Digest,
		FunctionUID:     function.UID,
		Generation:      function.Status.Revision.Generation,
		RegistryPath:    settings.Image.RegistryPath,
		InputsConfigMap: inputs.ConfigMap,
		InputsDigest:    inputs.Digest,
		InputCount:      count,
		Workers:         min(count, values.Clamp(ptr.Deref(run.Spec.Workers, settings.Workers), 1, v1alpha1.MaxWorkers)),
		GPUs:            values.Clamp(ptr.Deref(run.Spec.GPUs, settings.GPUs), 0, v1alpha1.MaxGPUs),
		GPUProducts:     firstSet(run.Spec.GPUProducts, settings.GPUProducts),
		TimeoutSeconds:  values.Clamp(ptr.Deref(run.Spec.TimeoutSeconds, settings.TimeoutSeconds), 1, v1alpha1.MaxTimeoutSeconds),
		Retries:         values.Clamp(ptr.Deref(run.Spec.Retries, settings.Retries), 0, v1alpha1.MaxRetries),
		BatchSize:       values.Clamp(ptr.Deref(unlessDefault(first(run.Spec.BatchSize, settings.BatchSize), 1), 0), 0, v1alpha1.MaxBatchSize),

		RetryDelaySeconds: ptr.To(values.Clamp(ptr.Deref(first(run.Spec.RetryDelaySeconds, settings.RetryDelaySeconds),
			v1alpha1.DefaultRetryDelaySeconds), 0, v1alpha1.MaxRetryDelaySeconds)),
		NonRetryableErrors:    firstSet(run.Spec.NonRetryableErrors, settings.NonRetryableErrors),
		MaxFailures:           first(run.Spec.MaxFailures, settings.MaxFailures),
		ActiveDeadlineSeconds: first(run.Spec.ActiveDeadlineSeconds, settings.ActiveDeadlineSeconds),
		PriorityClassName:     ptr.Deref(first(run.Spec.PriorityClassName, settings.PriorityClassName), ""),
		GPUResource:           ptr.Deref(run.Spec.GPUResource, ""),
		// Not part of the settings: how long objects are kept does not change what is executed, and makes no new revision.
		TTLSecondsAfterFinished:        function.Spec.TTLSecondsAfterFinished,
		ResultsTTLSecondsAfterFinished: function.Spec.ResultsTTLSecondsAfterFinished,
	}
}

// first is the run's value, or else the function's, or else nil.
func first[T any](run, function *T) *T {
	if run != nil {
		return run
	}
	return function
}

func firstSet(run, function []string) []string {
	if len(run) > 0 {
		return sorted(run)
	}
	return function
}
