package controllers

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/status"
	"sharedcloud.io/function-operator/controllers/workload"
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
	indexIdentity         = "identity"

	// anyRevision is the key, in indexRunRevision, of a run that cannot be decoded and so may use any revision. No ConfigMap can
	// have this name.
	anyRevision = "*"
)

// index is an index over the cache of one kind.
type index struct {
	object client.Object
	name   string
	keys   client.IndexerFunc
}

// indexes over the caches. Their functions run in informers, so they must accept any object.
func indexes() []index {
	list := []index{
		{&v1alpha1.Function{}, indexFunctionImage, func(object client.Object) []string {
			if function, ok := object.(*v1alpha1.Function); ok {
				return nonEmpty(function.Spec.Image)
			}
			return nil
		}},
		{&v1alpha1.Function{}, indexFunctionSource, func(object client.Object) []string {
			if function, ok := object.(*v1alpha1.Function); ok && function.Spec.CodeFrom != nil {
				return nonEmpty(function.Spec.CodeFrom.ConfigMapName())
			}
			return nil
		}},
		{&v1alpha1.FunctionRun{}, indexRunFunction, func(object client.Object) []string {
			if run, ok := object.(*v1alpha1.FunctionRun); ok && run.Status.Revision == nil && !status.RunFinished(run) {
				return nonEmpty(run.Spec.FunctionRef.Name)
			}
			return nil
		}},
		{&v1alpha1.FunctionRun{}, indexRunInputs, func(object client.Object) []string {
			run, ok := object.(*v1alpha1.FunctionRun)
			if !ok || run.Status.Revision != nil || status.RunFinished(run) || run.Spec.ParametersFrom == nil || run.Spec.ParametersFrom.ConfigMapKeyRef == nil {
				return nil
			}
			return []string{run.Spec.ParametersFrom.ConfigMapKeyRef.Name, workload.InputsName(run.Name)}
		}},
		{&v1alpha1.FunctionRun{}, indexRunRevision, func(object client.Object) []string {
			run, ok := object.(*v1alpha1.FunctionRun)
			switch {
			case !ok:
				return nil
			case v1alpha1.DecodeError(run) != "":
				return []string{anyRevision}
			case run.Status.Revision != nil && !status.RunFinished(run):
				return []string{run.Status.Revision.Name}
			}
			return nil
		}},
		{&batchv1.Job{}, indexJobRun, func(object client.Object) []string {
			return nonEmpty(string(workload.RunOfJob(object)))
		}},
		{&corev1.Pod{}, indexPodRun, func(object client.Object) []string {
			return nonEmpty(object.GetLabels()[v1alpha1.LabelRunUID])
		}},
		{&corev1.Pod{}, indexPodImage, func(object client.Object) []string {
			if pod, ok := object.(*corev1.Pod); ok && status.DigestOf(pod) != "" {
				return nonEmpty(pod.Annotations[v1alpha1.AnnotationImage])
			}
			return nil
		}},
		{configMapMetadata(), indexRevisionFunction, func(object client.Object) []string {
			return nonEmpty(object.GetLabels()[v1alpha1.LabelFunctionUID])
		}},
	}
	for _, kind := range identityKinds {
		list = append(list, index{kind.object, indexIdentity, kind.identityKeys})
	}
	return list
}

func nonEmpty(key string) []string {
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
