package controllers

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// Names of the indexes over the caches.
const (
	indexFunctionImage    = "function.spec.image"
	indexFunctionSource   = "function.spec.codeFrom.configMap"
	indexRunFunction      = "run.waitsForFunction"
	indexRunInputs        = "run.waitsForConfigMap"
	indexRunRevision      = "run.needsRevision"
	indexJobRun           = "job.controller"
	indexPodRun           = "pod.runUID"
	indexPodImage         = "pod.reportsImage"
	indexRevisionFunction = "revision.functionUID"

	// anyRevision is the key, in indexRunRevision, of a run that cannot be decoded: which revision it names is not known. It
	// is the name of no ConfigMap.
	anyRevision = "*"
)

// index is one index over the cache of one kind.
type index struct {
	object client.Object
	name   string
	keys   client.IndexerFunc
}

// indexes over the caches. Their functions run in informers: they must bear any object.
func indexes() []index {
	return []index{
		{&v1alpha1.Function{}, indexFunctionImage, func(object client.Object) []string {
			if function, ok := object.(*v1alpha1.Function); ok {
				return present(function.Spec.Image)
			}
			return nil
		}},
		{&v1alpha1.Function{}, indexFunctionSource, func(object client.Object) []string {
			if function, ok := object.(*v1alpha1.Function); ok && function.Spec.CodeFrom != nil {
				return present(function.Spec.CodeFrom.ConfigMapName())
			}
			return nil
		}},
		{&v1alpha1.FunctionRun{}, indexRunFunction, func(object client.Object) []string {
			if run, ok := object.(*v1alpha1.FunctionRun); ok && run.Status.Revision == nil && !runFinished(run) {
				return present(run.Spec.FunctionRef.Name)
			}
			return nil
		}},
		{&v1alpha1.FunctionRun{}, indexRunInputs, func(object client.Object) []string {
			run, ok := object.(*v1alpha1.FunctionRun)
			if !ok || run.Status.Revision != nil || runFinished(run) || run.Spec.ParametersFrom == nil || run.Spec.ParametersFrom.ConfigMapKeyRef == nil {
				return nil
			}
			return []string{run.Spec.ParametersFrom.ConfigMapKeyRef.Name, inputsName(run.Name)}
		}},
		{&v1alpha1.FunctionRun{}, indexRunRevision, func(object client.Object) []string {
			run, ok := object.(*v1alpha1.FunctionRun)
			switch {
			case !ok:
				return nil
			case v1alpha1.DecodeError(run) != "":
				return []string{anyRevision}
			case run.Status.Revision != nil && !runFinished(run):
				return []string{run.Status.Revision.Name}
			}
			return nil
		}},
		{&batchv1.Job{}, indexJobRun, func(object client.Object) []string {
			if owner := metav1.GetControllerOf(object); owner != nil {
				return []string{string(owner.UID)}
			}
			return nil
		}},
		{&corev1.Pod{}, indexPodRun, func(object client.Object) []string {
			return present(object.GetLabels()[v1alpha1.LabelRunUID])
		}},
		{&corev1.Pod{}, indexPodImage, func(object client.Object) []string {
			if pod, ok := object.(*corev1.Pod); ok && digestOf(pod) != "" {
				return present(pod.Annotations[annotationImage])
			}
			return nil
		}},
		{configMapMetadata(), indexRevisionFunction, func(object client.Object) []string {
			return present(object.GetLabels()[v1alpha1.LabelFunctionUID])
		}},
	}
}

func present(key string) []string {
	if key == "" {
		return nil
	}
	return []string{key}
}

func addIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	for _, i := range indexes() {
		if err := indexer.IndexField(ctx, i.object, i.name, i.keys); err != nil {
			return fmt.Errorf("adding the index %s: %w", i.name, err)
		}
	}
	return nil
}
