package controllers

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// pin decides what the run executes. The pass stores that and ends: the Job is built from a stored pin alone, so a manager
// that dies in between builds the same one.
func (r *RunReconciler) pin(ctx context.Context, p *runPass, inputs foundInputs) (ctrl.Result, error) {
	run := p.run
	function := &v1alpha1.Function{}
	key := client.ObjectKey{Namespace: run.Namespace, Name: run.Spec.FunctionRef.Name}
	if err := r.Get(ctx, key, function); apierrors.IsNotFound(err) {
		r.describe(p, functionMissing(run))
		return ctrl.Result{}, nil // waiting for the Function; its watch wakes this run
	} else if err != nil {
		return ctrl.Result{}, fmt.Errorf("reading the Function %s: %w", key.Name, err)
	}
	if !functionReady(function) {
		r.describe(p, functionNotReady(function))
		return ctrl.Result{}, nil // waiting for the Function's controller; the Function's watch wakes this run
	}
	settings, err := r.revisions.read(ctx, refOfFunction(function))
	if apierrors.IsNotFound(err) || notTheRevision(err) {
		r.describe(p, functionNotReady(function))
		return ctrl.Result{RequeueAfter: revisionPause}, nil // deleted or replaced; the Function's controller makes it again
	} else if err != nil {
		return ctrl.Result{}, err
	}
	image, err := imageNamed(ctx, r.Client, function, r.options.CatalogueNamespace)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !settings.Image.is(image) {
		// Compared here and not later: what a run executes never changes under it.
		r.describe(p, imageDiffers(function, settings.Image))
		return ctrl.Result{RequeueAfter: revisionPause}, nil // the Function's controller makes a revision of what it is now
	}
	references := append(append(function.References(), settings.Pod.References()...), imageReferences(settings.Image)...)
	if held, err := r.holdUnchecked(ctx, p, references); held || err != nil {
		return ctrl.Result{RequeueAfter: policyPause}, err
	}
	pinned := pinFor(run, function, settings, inputs)
	if wrong := r.options.refuse(settings, pinned.PriorityClassName); wrong != nil {
		r.describe(p, *wrong)
		return ctrl.Result{}, nil // waiting for an administrator: the manager restarts with other flags
	}
	run.Status.Revision = pinned
	// The first Job's name is decided in the same breath: it follows from the run's name.
	run.Status.Job = &v1alpha1.JobReference{Name: jobName(run.Name, 1), Number: 1}
	// Every condition makes this write dearer, and the Job waits for it: here only what kstatus reads. The next write, which
	// nobody waits for, has them all.
	next := finding{standingProgressing, v1alpha1.ReasonPinned, fmt.Sprintf("The revision %s is pinned; the Job comes next.", run.Status.Revision.Name)}
	runConditions(run, p.now).stand(next.standing, next.reason, next.message)
	return ctrl.Result{}, nil // the write wakes the next pass
}

// holdUnchecked describes a run whose references nothing checks, and says whether it is one.
func (r *RunReconciler) holdUnchecked(ctx context.Context, p *runPass, references []v1alpha1.Reference) (bool, error) {
	wrong, err := uncheckedFinding(ctx, r.policies, references)
	if wrong != nil {
		r.describe(p, *wrong)
	}
	return wrong != nil, err
}

// pinFor is what the run says itself, else the function.
func pinFor(run *v1alpha1.FunctionRun, function *v1alpha1.Function, settings Settings, inputs foundInputs) *v1alpha1.PinnedRevision {
	count := int32(within(inputs.count, 0, int(v1alpha1.MaxInputs)))
	return &v1alpha1.PinnedRevision{
		Name:            function.Status.Revision.Name,
		Digest:          function.Status.Revision.Digest,
		FunctionUID:     function.UID,
		Generation:      function.Status.Revision.Generation,
		RegistryPath:    settings.Image.RegistryPath,
		InputsConfigMap: inputs.configMap,
		InputsDigest:    inputs.digest,
		InputCount:      count,
		Workers:         min(count, within(ptr.Deref(run.Spec.Workers, settings.Workers), 1, v1alpha1.MaxWorkers)),
		GPUs:            within(ptr.Deref(run.Spec.GPUs, settings.GPUs), 0, v1alpha1.MaxGPUs),
		GPUProducts:     eitherSet(run.Spec.GPUProducts, settings.GPUProducts),
		TimeoutSeconds:  within(ptr.Deref(run.Spec.TimeoutSeconds, settings.TimeoutSeconds), 1, v1alpha1.MaxTimeoutSeconds),
		Retries:         within(ptr.Deref(run.Spec.Retries, settings.Retries), 0, v1alpha1.MaxRetries),
		BatchSize:       within(ptr.Deref(unlessIs(1, either(run.Spec.BatchSize, settings.BatchSize)), 0), 0, v1alpha1.MaxBatchSize),

		RetryDelaySeconds: ptr.To(within(ptr.Deref(either(run.Spec.RetryDelaySeconds, settings.RetryDelaySeconds),
			v1alpha1.DefaultRetryDelaySeconds), 0, v1alpha1.MaxRetryDelaySeconds)),
		NonRetryableErrors:    eitherSet(run.Spec.NonRetryableErrors, settings.NonRetryableErrors),
		MaxFailures:           either(run.Spec.MaxFailures, settings.MaxFailures),
		ActiveDeadlineSeconds: either(run.Spec.ActiveDeadlineSeconds, settings.ActiveDeadlineSeconds),
		PriorityClassName:     ptr.Deref(either(run.Spec.PriorityClassName, settings.PriorityClassName), ""),
		GPUResource:           ptr.Deref(run.Spec.GPUResource, ""),
		// Not among the settings: how long something is kept shapes nothing that is executed, and is no new revision.
		TTLSecondsAfterFinished:        function.Spec.TTLSecondsAfterFinished,
		ResultsTTLSecondsAfterFinished: function.Spec.ResultsTTLSecondsAfterFinished,
	}
}

// either is what the run says, else what the function does, else nil.
func either[T any](run, function *T) *T {
	if run != nil {
		return run
	}
	return function
}

func eitherSet(run, function []string) []string {
	if len(run) > 0 {
		return sorted(run)
	}
	return function
}

// functionReady: the controller has looked at what the function says now, and found nothing missing.
func functionReady(function *v1alpha1.Function) bool {
	return function.DeletionTimestamp == nil &&
		function.Status.ObservedGeneration == function.Generation &&
		function.Status.Revision != nil && function.Status.Revision.Digest != "" &&
		meta.IsStatusConditionTrue(function.Status.Conditions, v1alpha1.ConditionReady)
}

func functionMissing(run *v1alpha1.FunctionRun) finding {
	return finding{standingProgressing, v1alpha1.ReasonFunctionMissing, fmt.Sprintf(
		"There is no Function %q in the namespace %s: create it, and the run starts.", run.Spec.FunctionRef.Name, run.Namespace)}
}

func imageDiffers(function *v1alpha1.Function, image ImageSettings) finding {
	return finding{standingProgressing, v1alpha1.ReasonFunctionNotReady, fmt.Sprintf(
		"The Function %s is not ready: its revision %s is of the image %s (%s/%s), which is not what the FunctionImage %s says now.",
		function.Name, function.Status.Revision.Name, cut(image.RegistryPath, 256), image.Namespace, image.Name, function.Spec.Image)}
}

func functionNotReady(function *v1alpha1.Function) finding {
	why := "its controller has not looked at it yet."
	if problem := v1alpha1.DecodeError(function); problem != "" {
		why = "the stored object cannot be decoded (" + trimStop(problem) + "). Correct it, and the run starts."
	}
	ready := meta.FindStatusCondition(function.Status.Conditions, v1alpha1.ConditionReady)
	if ready != nil && ready.Status != "True" && function.Status.ObservedGeneration == function.Generation {
		why = cut(ready.Message, foreignTextLimit)
	}
	return finding{standingProgressing, v1alpha1.ReasonFunctionNotReady, fmt.Sprintf(
		"The Function %s is not ready: %s", function.Name, why)}
}
