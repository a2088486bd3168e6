package controllers

import (
	"bytes"
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/parameters"
)

// foundInputs are a run's inputs before it is pinned.
type foundInputs struct {
	count int
	// configMap is the name of the copy; "" where the inputs are in the spec or were uploaded.
	configMap string
	// digest of the copy's content; "" where there is none.
	digest string
}

// inputs finds how many inputs a run has. What lies in a ConfigMap is copied first, into an immutable one of the run's
// own, and counted in the copy: a pass that dies in between, or a source that changes, changes nothing of what is pinned.
// A result that is not nil says that the run has to wait, or is over.
func (r *RunReconciler) inputs(ctx context.Context, p *runPass, counted int) (found foundInputs, wait *ctrl.Result, err error) {
	run := p.run
	if run.Spec.ParametersFrom == nil || run.Spec.ParametersFrom.ConfigMapKeyRef == nil {
		return foundInputs{count: counted}, nil, nil
	}
	name := inputsName(run.Name)
	kept := &corev1.ConfigMap{}
	err = r.live.Get(ctx, client.ObjectKey{Namespace: run.Namespace, Name: name}, kept)
	switch {
	case apierrors.IsNotFound(err):
		var missing *finding
		if kept, missing, err = r.copyInputs(ctx, run, name); err != nil {
			return found, nil, err
		}
		if missing != nil {
			r.describe(p, *missing)
			return found, &ctrl.Result{}, nil // waiting for the ConfigMap; its watch wakes this run
		}
	case err != nil:
		return found, nil, fmt.Errorf("reading the copy of the inputs, %s: %w", name, err)
	case !copyOf(run, kept):
		r.describe(p, finding{standingStalled, v1alpha1.ReasonInputsMissing, fmt.Sprintf(
			"The inputs are to be copied into a ConfigMap %s, and there is one already that is not this run's: delete it, or make the run under another name.", name)})
		return found, &ctrl.Result{}, nil // waiting for it to go; its watch wakes this run
	}
	text, _ := v1alpha1.ConfigMapValue(kept, v1alpha1.InputsKey)
	inputs, err := parameters.Collect(bytes.NewReader(text),
		parameters.Stream{Format: v1alpha1.ParametersFormat(kept.Data[v1alpha1.InputsFormatKey])})
	if err != nil {
		ref := run.Spec.ParametersFrom.ConfigMapKeyRef
		r.finish(p, false, v1alpha1.ReasonParametersInvalid, fmt.Sprintf("The key %s of the ConfigMap %s cannot be read as %s: %s Make a new FunctionRun with inputs that can be read.",
			ref.Key, ref.Name, kept.Data[v1alpha1.InputsFormatKey], sentence(cut(err.Error(), foreignTextLimit))))
		return found, &ctrl.Result{}, nil
	}
	return foundInputs{count: inputs.Len(), configMap: name, digest: v1alpha1.ContentDigest(run.UID, kept)}, nil, nil
}

// copyOf: the ConfigMap is the copy that this controller made for the run. A policy keeps the label from others; the owner
// alone proves nothing.
func copyOf(run *v1alpha1.FunctionRun, configMap *corev1.ConfigMap) bool {
	return metav1.IsControlledBy(configMap, run) && configMap.Labels[v1alpha1.LabelInputs] == string(run.UID) && ptr.Deref(configMap.Immutable, false)
}

// inputsReplaced says in words that the copy of the inputs that the run has pinned is gone, or is another; "" where it is there.
func (r *RunReconciler) inputsReplaced(ctx context.Context, run *v1alpha1.FunctionRun) (string, error) {
	pin := run.Status.Revision
	if pin.InputsConfigMap == "" || pin.InputsDigest == "" {
		return "", nil
	}
	kept := &corev1.ConfigMap{}
	switch err := r.live.Get(ctx, client.ObjectKey{Namespace: run.Namespace, Name: pin.InputsConfigMap}, kept); {
	case apierrors.IsNotFound(err):
		return fmt.Sprintf("The ConfigMap %s, which held the copy of the run's inputs, was deleted: make a new FunctionRun.", pin.InputsConfigMap), nil
	case err != nil:
		return "", fmt.Errorf("reading the copy of the inputs, %s: %w", pin.InputsConfigMap, err)
	case !copyOf(run, kept) || v1alpha1.ContentDigest(run.UID, kept) != pin.InputsDigest:
		return fmt.Sprintf("The ConfigMap %s does not hold the inputs that the run was pinned with: make a new FunctionRun.", pin.InputsConfigMap), nil
	}
	return "", nil
}

// copyInputs makes the copy. finding says what is missing.
func (r *RunReconciler) copyInputs(ctx context.Context, run *v1alpha1.FunctionRun, name string) (*corev1.ConfigMap, *finding, error) {
	ref := run.Spec.ParametersFrom.ConfigMapKeyRef
	source := &corev1.ConfigMap{}
	if err := r.live.Get(ctx, client.ObjectKey{Namespace: run.Namespace, Name: ref.Name}, source); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, &finding{standingProgressing, v1alpha1.ReasonInputsMissing, fmt.Sprintf(
				"There is no ConfigMap %s in the namespace %s: create it, and the run starts.", ref.Name, run.Namespace)}, nil
		}
		return nil, nil, fmt.Errorf("reading the ConfigMap %s: %w", ref.Name, err)
	}
	if _, ok := v1alpha1.ConfigMapValue(source, ref.Key); !ok {
		return nil, &finding{standingProgressing, v1alpha1.ReasonInputsMissing, fmt.Sprintf(
			"The ConfigMap %s in the namespace %s has no key %s: add it, and the run starts.", ref.Name, run.Namespace, ref.Key)}, nil
	}
	kept := inputsFor(run, name, source)
	err := r.Create(ctx, kept, client.FieldOwner(v1alpha1.FieldManagerController))
	if apierrors.IsAlreadyExists(err) {
		// Another pass was faster; what it has stored counts. The next pass reads it.
		return nil, nil, fmt.Errorf("copying the inputs into %s: %w", name, err)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("copying the inputs into the ConfigMap %s: %w", name, err)
	}
	return kept, nil, nil
}

// inputsFor builds the copy. It goes with the run.
func inputsFor(run *v1alpha1.FunctionRun, name string, source *corev1.ConfigMap) *corev1.ConfigMap {
	ref := run.Spec.ParametersFrom.ConfigMapKeyRef
	text, _ := v1alpha1.ConfigMapValue(source, ref.Key)
	format := run.Spec.ParametersFrom.Format
	if format == "" {
		format = parameters.FormatOf(ref.Key, string(text[:min(len(text), 4096)]))
	}
	kept := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: run.Namespace,
			Name:      name,
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
		kept.Data[v1alpha1.InputsKey] = string(text)
	} else {
		kept.BinaryData = map[string][]byte{v1alpha1.InputsKey: text}
	}
	return kept
}
