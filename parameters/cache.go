package parameters

import (
	"errors"
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// DropInputs is a transform for informer caches (cache.TransformFunc). It replaces the inputs in a FunctionRun's spec with an
// annotation that holds their number, or the reason why they cannot be read. It also removes managed fields and kubectl's
// last-applied annotation, which contains the inputs again. A copy from such a cache must not be written back: use apply with
// the intended fields.
//
// Like every transform, it changes the run in place. It ignores other objects, is idempotent, and never panics or fails, because
// an informer does not recover from either.
func DropInputs(obj any) (any, error) {
	run, ok := obj.(*v1alpha1.FunctionRun)
	if !ok || run == nil {
		return obj, nil
	}
	if v1alpha1.DecodeError(run) != "" {
		return slimmed(run), nil // the run has metadata only
	}
	if !dropped(run) {
		count, err := Count(&run.Spec)
		delete(run.Annotations, v1alpha1.AnnotationInputCount)
		delete(run.Annotations, v1alpha1.AnnotationParametersError)
		if errors.Is(err, ErrElsewhere) {
			return slimmed(run), nil // the reference to the inputs is small and is kept
		}
		if run.Annotations == nil {
			run.Annotations = map[string]string{}
		}
		if err != nil {
			run.Annotations[v1alpha1.AnnotationParametersError] = err.Error()
		} else {
			run.Annotations[v1alpha1.AnnotationInputCount] = strconv.Itoa(count)
		}
		run.Spec.Parameters, run.Spec.ParametersLiteral, run.Spec.ParametersFrom = nil, nil, nil
	}
	return slimmed(run), nil
}

func slimmed(run *v1alpha1.FunctionRun) *v1alpha1.FunctionRun {
	delete(run.Annotations, corev1.LastAppliedConfigAnnotation)
	run.ManagedFields = nil
	return run
}

// CachedCount is Count for a run from a cache or from the API server, including runs whose inputs are not in the spec. The
// number of an upload is in its reference; the number of a ConfigMap's inputs is known once the run is pinned. Before that,
// CachedCount returns ErrElsewhere.
func CachedCount(run *v1alpha1.FunctionRun) (int, error) {
	if problem := v1alpha1.DecodeError(run); problem != "" {
		return 0, errors.New("the stored FunctionRun cannot be decoded: " + problem)
	}
	if !dropped(run) {
		count, err := Count(&run.Spec)
		switch {
		case !errors.Is(err, ErrElsewhere):
			return count, err
		case run.Spec.ParametersFrom.Upload != nil:
			return uploaded(run.Spec.ParametersFrom.Upload.Count)
		case run.Status.Revision != nil:
			return int(run.Status.Revision.InputCount), nil
		}
		return 0, err
	}
	if problem, ok := run.Annotations[v1alpha1.AnnotationParametersError]; ok {
		return 0, errors.New(problem)
	}
	count, err := strconv.Atoi(run.Annotations[v1alpha1.AnnotationInputCount])
	if err != nil || count < 1 || count > int(v1alpha1.MaxInputs) {
		return 0, errors.New("the annotation " + v1alpha1.AnnotationInputCount + " is reserved and is not a valid number: remove it from the run")
	}
	return count, nil
}

// uploaded validates the number of inputs in an upload reference.
func uploaded(inputs int32) (int, error) {
	if inputs < 1 || inputs > v1alpha1.MaxInputs {
		return 0, fmt.Errorf("spec.parametersFrom.upload.count is %d and must be between 1 and %d", inputs, v1alpha1.MaxInputs)
	}
	return int(inputs), nil
}

// dropped reports whether DropInputs has processed the run. Annotations of these names that a user set on a run with inputs have
// no effect. On a run without inputs, which admission rejects, they only replace the error message.
func dropped(run *v1alpha1.FunctionRun) bool {
	if run.Spec.Parameters != nil || run.Spec.ParametersLiteral != nil || run.Spec.ParametersFrom != nil {
		return false
	}
	_, counted := run.Annotations[v1alpha1.AnnotationInputCount]
	_, failed := run.Annotations[v1alpha1.AnnotationParametersError]
	return counted || failed
}
