package writes

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/core"
)

// FunctionFields is the part of a Function that REST owns.
type FunctionFields struct {
	Name, Runtime, Code string
	// Image is the name of a FunctionImage.
	Image string
}

// CreateFunction creates a Function. repeated is true if an earlier request with the same key has created it.
func (w *Writer) CreateFunction(ctx context.Context, namespace string, fields FunctionFields, by Requester) (f *v1alpha1.Function, repeated bool, err error) {
	f = &v1alpha1.Function{
		ObjectMeta: w.metadata(namespace, by),
		Spec:       v1alpha1.FunctionSpec{Name: fields.Name, Runtime: fields.Runtime, Image: fields.Image, Code: &fields.Code},
	}
	repeated, err = w.create(ctx, f, by, func() { f.Name = newName(fields.Name, "function") })
	if err != nil {
		return nil, false, err
	}
	w.cluster.RememberFunction(f)
	return f, repeated, nil
}

// The paths of FunctionFields, and of the other fields that REST writes.
var (
	pathName        = []string{"spec", "name"}
	pathRuntime     = []string{"spec", "runtime"}
	pathImage       = []string{"spec", "image"}
	pathCode        = []string{"spec", "code"}
	pathRequestedBy = []string{"metadata", "annotations", v1alpha1.AnnotationRequestedBy}
	restPaths       = [][]string{pathName, pathRuntime, pathImage, pathCode,
		{"metadata", "labels", v1alpha1.LabelUUID},
		{"metadata", "annotations", v1alpha1.AnnotationCreated},
		{"metadata", "annotations", v1alpha1.AnnotationRequestHash},
		pathRequestedBy}
)

// ChangeFunction changes a function to the fields that decide returns for its present state. decide may be called several times, each
// time with the current function; its error is returned unchanged. If nothing changes, nothing is written. If another field manager owns a
// field that would change, the error is an *OwnedError.
func (w *Writer) ChangeFunction(ctx context.Context, cached *v1alpha1.Function, by Requester,
	decide func(current *v1alpha1.Function, present FunctionFields) (FunctionFields, error),
) (*v1alpha1.Function, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for range maxAttempts {
		current := &v1alpha1.Function{}
		if err := w.cluster.Client.Get(ctx, client.ObjectKeyFromObject(cached), current); err != nil {
			return nil, core.APIError("reading the Function", err)
		}
		if current.UID != cached.UID || current.DeletionTimestamp != nil {
			return nil, core.ErrNotFound
		}
		if err := core.Decodable(current); err != nil {
			return nil, err
		}
		code, err := w.code.Of(ctx, current)
		if err != nil {
			return nil, err
		}
		present := FunctionFields{Name: core.FunctionName(current), Runtime: current.Spec.Runtime, Image: current.Spec.Image, Code: code}
		wanted, err := decide(current, present)
		if err != nil {
			return nil, err
		}
		// Check all references: new code can read everything that the function can read. REST changes none of the references itself.
		if wanted != present {
			if err := w.access.MayUse(ctx, current.Namespace, current.References()); err != nil {
				return nil, err
			}
		}
		function, err := w.applyFunction(ctx, current, present, wanted, by)
		if apierrors.IsConflict(err) {
			continue // another client changed it
		}
		if err != nil {
			return nil, core.APIError("changing the Function", err)
		}
		w.cluster.RememberFunction(function)
		return function, nil
	}
	return nil, ErrChanged
}

// applyFunction writes the fields that differ by server-side apply, and repeats those that REST owns already, because an apply removes
// owned fields that it omits. The apply is forced: no other manager owns these fields at this resource version.
func (w *Writer) applyFunction(ctx context.Context, current *v1alpha1.Function, present, wanted FunctionFields, by Requester) (*v1alpha1.Function, error) {
	if wanted == present {
		return current, nil
	}
	var changed [][]string
	for _, field := range []struct {
		path          []string
		wanted, found string
	}{{pathName, wanted.Name, present.Name}, {pathRuntime, wanted.Runtime, present.Runtime},
		{pathImage, wanted.Image, present.Image}, {pathCode, wanted.Code, present.Code}} {
		if field.wanted != field.found {
			changed = append(changed, field.path)
		}
	}
	if owned := ownedBy(current.ManagedFields, changed); owned != nil {
		return nil, owned
	}
	if source := current.Spec.CodeFrom; source != nil && wanted.Code != present.Code {
		return nil, &OwnedError{Field: "spec.code", Owner: "ConfigMap " + source.ConfigMapName()}
	}
	content := map[string]any{}
	for _, path := range append(append(ownFields(current.ManagedFields, restPaths), changed...), pathRequestedBy) {
		var value string
		switch {
		case path[len(path)-1] == v1alpha1.AnnotationRequestedBy:
			value = requester(by.User)
		case path[0] == "metadata" && path[1] == "labels":
			value = current.Labels[path[2]]
		case path[0] == "metadata":
			value = current.Annotations[path[2]]
		case path[1] == "name":
			value = wanted.Name
		case path[1] == "runtime":
			value = wanted.Runtime
		case path[1] == "image":
			value = wanted.Image
		default:
			value = wanted.Code
		}
		if err := unstructured.SetNestedField(content, value, path...); err != nil {
			return nil, fmt.Errorf("writing %v: %w", path, err)
		}
	}
	applied := &unstructured.Unstructured{Object: content}
	applied.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Function"))
	applied.SetNamespace(current.Namespace)
	applied.SetName(current.Name)
	applied.SetUID(current.UID)
	applied.SetResourceVersion(current.ResourceVersion)
	err := w.cluster.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(applied),
		client.FieldOwner(v1alpha1.FieldManagerREST), client.ForceOwnership)
	if err != nil {
		return nil, err
	}
	function := &v1alpha1.Function{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(applied.Object, function); err != nil {
		return nil, fmt.Errorf("decoding the response of the Kubernetes API: %w", err)
	}
	return function, nil
}

// DeleteFunction deletes the runs of a function, then the function.
func (w *Writer) DeleteFunction(ctx context.Context, f *v1alpha1.Function) error {
	for _, run := range w.cluster.RunsOf(f) {
		if err := w.DeleteRun(ctx, run); err != nil {
			return err
		}
	}
	if err := w.remove(ctx, f); err != nil {
		return err
	}
	w.cluster.ForgetFunction(f.UID)
	return nil
}
