package workload

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/parameters"
)

// maxFormatBytes is how much of a text its format is detected from.
const maxFormatBytes = 4096

// InputsFor builds the immutable copy of the inputs that a ConfigMap holds. The run owns it.
func InputsFor(run *v1alpha1.FunctionRun, source *corev1.ConfigMap) *corev1.ConfigMap {
	ref := run.Spec.ParametersFrom.ConfigMapKeyRef
	text, _ := v1alpha1.ConfigMapValue(source, ref.Key)
	format := run.Spec.ParametersFrom.Format
	if format == "" {
		format = parameters.FormatOf(ref.Key, string(text[:min(len(text), maxFormatBytes)]))
	}
	inputs := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: run.Namespace,
			Name:      InputsName(run.Name),
			Labels: map[string]string{
				v1alpha1.LabelInputs: string(run.UID),
				labelManagedBy:       managedBy,
			},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(run, v1alpha1.GroupVersion.WithKind("FunctionRun"))},
		},
		Immutable: ptr.To(true),
		Data:      map[string]string{v1alpha1.InputsFormatKey: string(format)},
	}
	if _, isText := source.Data[ref.Key]; isText {
		inputs.Data[v1alpha1.InputsKey] = string(text)
	} else {
		inputs.BinaryData = map[string][]byte{v1alpha1.InputsKey: text}
	}
	return inputs
}

// IsInputsOf reports whether a ConfigMap is the copy that the controller created for the run. The label decides, because a policy
// keeps others from setting it; an owner reference alone proves nothing.
func IsInputsOf(run *v1alpha1.FunctionRun, configMap *corev1.ConfigMap) bool {
	return metav1.IsControlledBy(configMap, run) && configMap.Labels[v1alpha1.LabelInputs] == string(run.UID) && ptr.Deref(configMap.Immutable, false)
}
