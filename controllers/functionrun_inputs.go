package controllers

import (
	"bytes"
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/values"
	"sharedcloud.io/function-operator/controllers/workload"
	"sharedcloud.io/function-operator/parameters"
)

// findInputs counts a run's inputs. Those in a ConfigMap are first copied into an immutable one that the run owns, and counted in the
// copy: neither a failure in between nor a change of the source then changes what is pinned. ready is false if the run has to wait,
// or has finished.
func (r *RunReconciler) findInputs(ctx context.Context, u *runUpdate, counted int) (found workload.Inputs, ready bool, err error) {
	run := u.run
	if run.Spec.ParametersFrom == nil || run.Spec.ParametersFrom.ConfigMapKeyRef == nil {
		return workload.Inputs{Count: counted}, true, nil
	}
	name := workload.InputsName(run.Name)
	stored := &corev1.ConfigMap{}
	err = r.live.Get(ctx, client.ObjectKey{Namespace: run.Namespace, Name: name}, stored)
	switch {
	case apierrors.IsNotFound(err):
		var problem *workload.Problem
		stored, problem, err = r.copyInputs(ctx, run)
		if err != nil {
			return found, false, err
		}
		if problem != nil {
			r.describe(u, stateOf(problem))
			return found, false, nil // waiting for the ConfigMap; its watch triggers the next reconciliation
		}
	case err != nil:
		return found, false, fmt.Errorf("reading the copy of the inputs, %s: %w", name, err)
	case !workload.IsInputsOf(run, stored):
		r.describe(u, stateOf(workload.InputsNameTaken(name)))
		return found, false, nil // waiting for its deletion; its watch triggers the next reconciliation
	}
	format := stored.Data[v1alpha1.InputsFormatKey]
	text, _ := v1alpha1.ConfigMapValue(stored, v1alpha1.InputsKey)
	inputs, err := parameters.Collect(bytes.NewReader(text), parameters.Stream{Format: v1alpha1.ParametersFormat(format)})
	if err != nil {
		ref := run.Spec.ParametersFrom.ConfigMapKeyRef
		r.finish(u, false, v1alpha1.ReasonParametersInvalid, fmt.Sprintf("The key %s of the ConfigMap %s cannot be read as %s: %s Create a new FunctionRun with valid inputs.",
			ref.Key, ref.Name, format, values.Foreign(err.Error())))
		return found, false, nil
	}
	return workload.Inputs{Count: inputs.Len(), ConfigMap: name, Digest: v1alpha1.ContentDigest(run.UID, stored)}, true, nil
}

// copyInputs creates the copy.
func (r *RunReconciler) copyInputs(ctx context.Context, run *v1alpha1.FunctionRun) (*corev1.ConfigMap, *workload.Problem, error) {
	ref := run.Spec.ParametersFrom.ConfigMapKeyRef
	source := &corev1.ConfigMap{}
	if err := r.live.Get(ctx, client.ObjectKey{Namespace: run.Namespace, Name: ref.Name}, source); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, workload.InputsMissing(run, false), nil
		}
		return nil, nil, fmt.Errorf("reading the ConfigMap %s: %w", ref.Name, err)
	}
	if _, found := v1alpha1.ConfigMapValue(source, ref.Key); !found {
		return nil, workload.InputsMissing(run, true), nil
	}
	inputs := workload.InputsFor(run, source)
	// A copy that exists by now was created by another reconciliation: the next one reads it.
	if err := r.Create(ctx, inputs, client.FieldOwner(v1alpha1.FieldManagerController)); err != nil {
		return nil, nil, fmt.Errorf("copying the inputs into the ConfigMap %s: %w", inputs.Name, err)
	}
	return inputs, nil, nil
}

// checkInputs returns why the run cannot use its pinned copy of the inputs, or "".
func (r *RunReconciler) checkInputs(ctx context.Context, run *v1alpha1.FunctionRun) (string, error) {
	pin := run.Status.Revision
	if pin.InputsConfigMap == "" || pin.InputsDigest == "" {
		return "", nil
	}
	stored := &corev1.ConfigMap{}
	switch err := r.live.Get(ctx, client.ObjectKey{Namespace: run.Namespace, Name: pin.InputsConfigMap}, stored); {
	case apierrors.IsNotFound(err):
		return fmt.Sprintf("The ConfigMap %s with the copy of the run's inputs was deleted: create a new FunctionRun.", pin.InputsConfigMap), nil
	case err != nil:
		return "", fmt.Errorf("reading the copy of the inputs, %s: %w", pin.InputsConfigMap, err)
	case !workload.IsInputsOf(run, stored) || v1alpha1.ContentDigest(run.UID, stored) != pin.InputsDigest:
		return fmt.Sprintf("The ConfigMap %s no longer holds the pinned inputs of the run: create a new FunctionRun.", pin.InputsConfigMap), nil
	}
	return "", nil
}
