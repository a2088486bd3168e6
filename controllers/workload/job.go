package workload

import (
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	batchac "k8s.io/client-go/applyconfigurations/batch/v1"
	coreac "k8s.io/client-go/applyconfigurations/core/v1"
	metaac "k8s.io/client-go/applyconfigurations/meta/v1"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

const (
	// annotationRevision is the revision that a Job was built from.
	annotationRevision = "sharedcloud.io/revision"
	// annotationNumber is the Job's number among its run's Jobs, from 1.
	annotationNumber = "sharedcloud.io/job-number"
	// annotationOutcomes is how many outcomes the run had when the Job was built, annotationWithoutProgress how many consecutive
	// Jobs before it completed without adding one.
	annotationOutcomes        = "sharedcloud.io/outcomes-before"
	annotationWithoutProgress = "sharedcloud.io/jobs-without-progress"
	// annotationBuilt is when the Job was built, µs since 1970: creationTimestamp has whole seconds.
	annotationBuilt = "sharedcloud.io/built-at"

	// firstWorkers is the parallelism of a new Job; see NextSize.
	firstWorkers = int32(1)

	// backoffLimitPerIndex is never reached: the exchange counts the deaths of workers and ends the run.
	backoffLimitPerIndex = int32(1_000_000)
)

// JobFor builds the Job that status.job names, from what the run has pinned. It is written once, so it leaves out the fields
// that the API defaults, and those that others own, such as spec.suspend. withoutProgress is JobsWithoutProgress of the Job
// before it.
func JobFor(run *v1alpha1.FunctionRun, settings Settings, options Options, withoutProgress int32, now time.Time) *batchac.JobApplyConfiguration {
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
			annotationRevision:        pin.Name,
			annotationNumber:          strconv.Itoa(int(run.Status.Job.Number)),
			annotationOutcomes:        strconv.Itoa(int(run.Outcomes())),
			annotationWithoutProgress: strconv.Itoa(int(withoutProgress)),
			annotationBuilt:           strconv.FormatInt(now.UnixMicro(), 10),
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
			WithCompletions(run.WantedWorkers()).
			WithParallelism(min(run.WantedWorkers(), firstWorkers)).
			WithBackoffLimitPerIndex(backoffLimitPerIndex).
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
					v1alpha1.AnnotationImage: settings.Image.Namespace + "/" + settings.Image.Name,
					annotationRevision:       pin.Name,
				}).
				WithSpec(podFor(run, settings, options))))
}
