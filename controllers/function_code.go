package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/workload"
	"sharedcloud.io/function-operator/runtimes"
)

// imageNamed finds a function's image, first in the function's namespace and then in the catalogue. It is nil if there is none.
func imageNamed(ctx context.Context, reader client.Reader, function *v1alpha1.Function, catalogue string) (*v1alpha1.FunctionImage, error) {
	for _, namespace := range []string{function.Namespace, catalogue} {
		image := &v1alpha1.FunctionImage{}
		err := reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: function.Spec.Image}, image)
		if err == nil {
			return image, nil
		}
		if !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("looking up the image %s in %s: %w", function.Spec.Image, namespace, err)
		}
	}
	return nil, nil
}

// codeOf reads the function's code, byte for byte.
func (r *FunctionReconciler) codeOf(ctx context.Context, function *v1alpha1.Function, runtime runtimes.Runtime) (workload.Code, *workload.Problem, error) {
	if function.Spec.Code != nil {
		code, problem := workload.InlineCode(function, runtime)
		return code, problem, nil
	}
	if function.Spec.CodeFrom == nil || function.Spec.CodeFrom.ConfigMapName() == "" {
		return workload.Code{}, workload.CodeMissing(), nil
	}
	configMap := &corev1.ConfigMap{}
	name := function.Spec.CodeFrom.ConfigMapName()
	if err := r.live.Get(ctx, client.ObjectKey{Namespace: function.Namespace, Name: name}, configMap); err != nil {
		if apierrors.IsNotFound(err) {
			return workload.Code{}, workload.ConfigMapMissing(function.Namespace, *function.Spec.CodeFrom), nil
		}
		return workload.Code{}, nil, fmt.Errorf("reading the ConfigMap %s: %w", name, err)
	}
	code, problem := workload.CodeIn(configMap, *function.Spec.CodeFrom, runtime)
	return code, problem, nil
}
