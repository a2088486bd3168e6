package controllers

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/trust"
	"sharedcloud.io/function-operator/parameters"
)

// annotationLastApplied is kubectl's copy of a whole object, including code and inputs.
const annotationLastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// CacheOptions limit what the manager keeps in memory: no code, no inputs of runs, only the metadata of ConfigMaps, only Jobs and pods
// of runs, and of Secrets only the certificate authority in the operator's namespace, by its name.
//
// The transforms run in informers, where a panic ends the manager: they must accept any object that the API server can hold.
func CacheOptions(namespace string) cache.Options {
	ofRuns := mustHaveLabel(v1alpha1.LabelRunUID)
	return cache.Options{
		ReaderFailOnMissingInformer: true,
		DefaultTransform:            stripped(nil),
		ByObject: map[client.Object]cache.ByObject{
			&v1alpha1.FunctionRun{}: {Transform: dropInputs},
			&v1alpha1.Function{}:    {Transform: stripped(dropCode)},
			&batchv1.Job{}:          {Label: ofRuns, Transform: stripped(dropTemplate)},
			&corev1.Pod{}:           {Label: ofRuns, Transform: stripped(keepPod)},
			// Requested as metadata alone; they include revisions and the sources of code.
			&corev1.ConfigMap{}: {Transform: stripped(nil)},
			&corev1.Secret{}: {Namespaces: map[string]cache.Config{
				namespace: {FieldSelector: trust.Named(trust.AuthoritySecret)},
			}},
			&apiregistrationv1.APIService{}: {Label: labels.SelectorFromSet(labels.Set{trust.LabelPartOf: trust.PartOf})},
		},
	}
}

func mustHaveLabel(label string) labels.Selector {
	requirement, err := labels.NewRequirement(label, selection.Exists, nil)
	if err != nil {
		panic(err) // a constant that is not a valid label
	}
	return labels.NewSelector().Add(*requirement)
}

// stripped is a transform that drops large metadata that no controller reads, and then applies drop.
func stripped(drop func(any)) func(any) (any, error) {
	return func(obj any) (any, error) {
		if object, ok := obj.(metav1.Object); ok {
			object.SetManagedFields(nil)
			if annotations := object.GetAnnotations(); annotations[annotationLastApplied] != "" {
				delete(annotations, annotationLastApplied)
				object.SetAnnotations(annotations)
			}
			if drop != nil {
				drop(obj)
			}
		}
		return obj, nil
	}
}

// dropInputs replaces the inputs of a run by their count.
func dropInputs(obj any) (any, error) {
	dropped, err := parameters.DropInputs(obj)
	if err != nil {
		return nil, err
	}
	return stripped(nil)(dropped)
}

func dropCode(obj any) {
	function, ok := obj.(*v1alpha1.Function)
	if !ok {
		return
	}
	if function.Spec.Code != nil {
		function.Spec.Code = ptr.To("")
	}
	function.Spec.Files = nil
}

func dropTemplate(obj any) {
	if job, ok := obj.(*batchv1.Job); ok {
		job.Spec.Template = corev1.PodTemplateSpec{}
		job.Status.CompletedIndexes, job.Status.FailedIndexes = "", nil
		job.Status.UncountedTerminatedPods = nil
	}
}

// keepPod keeps the parts of a pod that status.WorkersOf and the digests of images need.
func keepPod(obj any) {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return
	}
	var containers []corev1.Container
	for _, container := range pod.Spec.Containers {
		containers = append(containers, corev1.Container{Name: container.Name, Image: container.Image})
	}
	pod.Spec = corev1.PodSpec{Containers: containers}
	pod.Finalizers = nil
	var conditions []corev1.PodCondition
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled || condition.Type == corev1.DisruptionTarget {
			conditions = append(conditions, condition)
		}
	}
	for i := range pod.Status.ContainerStatuses {
		// These hold quantities, whose comparison is not bounded.
		status := &pod.Status.ContainerStatuses[i]
		status.AllocatedResources, status.Resources = nil, nil
	}
	pod.Status = corev1.PodStatus{
		Phase:             pod.Status.Phase,
		Reason:            pod.Status.Reason,
		Message:           pod.Status.Message,
		Conditions:        conditions,
		ContainerStatuses: pod.Status.ContainerStatuses,
	}
}
