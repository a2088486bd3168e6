package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// namedAtMost is how many objects a finding names.
const namedAtMost = 20

// references looks for the policies that check what objects name, and for objects that are older than they are.
func (d *doctor) references(ctx context.Context) []finding {
	since := map[string]time.Time{}
	for _, name := range v1alpha1.ReferencePolicies {
		for _, kind := range []string{"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"} {
			object := &unstructured.Unstructured{}
			object.SetGroupVersionKind(schema.GroupVersionKind{Group: "admissionregistration.k8s.io", Version: "v1", Kind: kind})
			err := d.Get(ctx, client.ObjectKey{Name: name}, object)
			if apierrors.IsNotFound(err) {
				return []finding{{wrong, fmt.Sprintf("the %s %s is missing", kind, name),
					"Functions and runs that name a Secret, a ConfigMap or a claim are not started, because nothing checks whether their writers may get it: apply config/policy of the operator's version."}}
			}
			if err != nil {
				return []finding{unseen("the "+kind+" "+name, err)}
			}
			if made := object.GetCreationTimestamp().Time; made.After(since[name]) {
				since[name] = made
			}
		}
	}
	all := []finding{ok("the policies that check what objects name are installed")}
	older, everywhere, err := d.olderThanPolicies(ctx, since)
	switch {
	case err != nil:
		return append(all, unseen("objects that are older than the policies that check what they name", err))
	case len(older) > 0:
		return append(all, olderFinding(older, everywhere, d.namespace))
	}
	return all
}

func olderFinding(older []string, everywhere bool, namespace string) finding {
	named := strings.Join(older[:min(len(older), namedAtMost)], ", ")
	if more := len(older) - namedAtMost; more > 0 {
		named += fmt.Sprintf(" and %d more", more)
	}
	where := ""
	if !everywhere {
		where = " in " + namespace
	}
	return finding{unsure, fmt.Sprintf("%s%s named Secrets, ConfigMaps or claims before a policy checked it: %s", counting(len(older), "object"), where, named),
		"Nothing has checked whether their writers may get what they name. Review what each names. To have it checked, create it again: kubectl get KIND NAME -o yaml | kubectl replace --force -f -"}
}

// olderThanPolicies lists objects that name others and whose spec was last written before the policy for them existed: in all
// namespaces, or in the chosen one if the user may not list all.
func (d *doctor) olderThanPolicies(ctx context.Context, since map[string]time.Time) (older []string, everywhere bool, err error) {
	older, err = d.olderIn(ctx, "", since)
	if apierrors.IsForbidden(err) {
		older, err = d.olderIn(ctx, d.namespace, since)
		return older, false, err
	}
	return older, true, err
}

func (d *doctor) olderIn(ctx context.Context, namespace string, since map[string]time.Time) ([]string, error) {
	var older []string
	note := func(kind, policy string, object client.Object, references []v1alpha1.Reference) {
		if len(references) > 0 && writtenBefore(object, since[policy]) {
			older = append(older, fmt.Sprintf("%s %s/%s", kind, object.GetNamespace(), object.GetName()))
		}
	}
	functions := &v1alpha1.FunctionList{}
	err := d.pages(ctx, namespace, functions, func() {
		for i := range functions.Items {
			f := &functions.Items[i]
			note("function", v1alpha1.PolicyFunctionReferences, f, f.References())
		}
	})
	if err != nil {
		return nil, err
	}
	images := &v1alpha1.FunctionImageList{}
	err = d.pages(ctx, namespace, images, func() {
		for i := range images.Items {
			image := &images.Items[i]
			note("functionimage", v1alpha1.PolicyFunctionImageReferences, image, image.References())
		}
	})
	if err != nil {
		return nil, err
	}
	runs := &v1alpha1.FunctionRunList{}
	err = d.pages(ctx, namespace, runs, func() {
		for i := range runs.Items {
			if run := &runs.Items[i]; run.Status.Revision == nil && !finished(run) { // a pinned run has read its inputs already
				note("functionrun", v1alpha1.PolicyFunctionRunReferences, run, run.References())
			}
		}
	})
	return older, err
}

// pages lists all objects of a kind, some at a time.
func (d *doctor) pages(ctx context.Context, namespace string, list client.ObjectList, each func()) error {
	for {
		if err := d.List(ctx, list, client.InNamespace(namespace), client.Limit(100), client.Continue(list.GetContinue())); err != nil {
			return err
		}
		each()
		if list.GetContinue() == "" {
			return nil
		}
	}
}

// writtenBefore says whether an object was made, and its spec last written, before that.
func writtenBefore(object metav1.Object, since time.Time) bool {
	if !object.GetCreationTimestamp().Time.Before(since) {
		return false
	}
	for _, entry := range object.GetManagedFields() {
		if entry.Subresource != "" || entry.Time == nil || entry.Time.Time.Before(since) || entry.FieldsV1 == nil {
			continue
		}
		fields := map[string]json.RawMessage{}
		if err := json.NewDecoder(entry.FieldsV1.GetRawReader()).Decode(&fields); err != nil {
			continue // what cannot be read is no proof
		}
		if _, spec := fields["f:spec"]; spec {
			return false
		}
	}
	return true
}
