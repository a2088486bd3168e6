package parameters

import (
	"errors"
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// DropInputs is a transform for informer caches (cache.TransformFunc): of a FunctionRun it keeps the number of inputs,
// or why they can't be read, in place of inputs in its spec, as annotations; managed fields and kubectl's copy of the last
// applied object, which has the inputs in it once more, go too. So a copy from such a cache is for reading: what is
// written back is an apply of the fields that are meant, never the copy.
//
// It changes the run in place, as transforms do, leaves any other object alone, is idempotent, and never panics or
// fails: an informer recovers from neither.
func DropInputs(obj any) (any, error) {
	run, ok := obj.(*v1alpha1.FunctionRun)
	if !ok || run == nil {
		return obj, nil
	}
	if v1alpha1.DecodeError(run) != "" {
		return slimmed(run), nil // it has nothing but metadata
	}
	if !dropped(run) {
		count, err := Count(&run.Spec)
		delete(run.Annotations, v1alpha1.AnnotationInputCount)
		delete(run.Annotations, v1alpha1.AnnotationParametersError)
		if errors.Is(err, ErrElsewhere) {
			return slimmed(run), nil // what names the inputs is small, and stays
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

// CachedCount is Count for a run from a cache or from the API server, also where its inputs are elsewhere: an upload says
// how many they are, and of a ConfigMap it is known once the run is pinned. Before that it is ErrElsewhere.
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
		return 0, errors.New("the annotation " + v1alpha1.AnnotationInputCount + " is the operator's own and is no number: take it off the run")
	}
	return count, nil
}

// uploaded is how many inputs a run says that its upload has.
func uploaded(inputs int32) (int, error) {
	if inputs < 1 || inputs > v1alpha1.MaxInputs {
		return 0, fmt.Errorf("spec.parametersFrom.upload.count is %d and must be between 1 and %d", inputs, v1alpha1.MaxInputs)
	}
	return int(inputs), nil
}

// dropped tells that DropInputs has been here. Annotations of these names that a user set on a run with inputs mean
// nothing. On a run without inputs, which admission refuses, they only take the place of the error that would tell so.
func dropped(run *v1alpha1.FunctionRun) bool {
	if run.Spec.Parameters != nil || run.Spec.ParametersLiteral != nil || run.Spec.ParametersFrom != nil {
		return false
	}
	_, counted := run.Annotations[v1alpha1.AnnotationInputCount]
	_, failed := run.Annotations[v1alpha1.AnnotationParametersError]
	return counted || failed
}
