package identity

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// ReferenceError names the objects in a spec that the caller may not get. As an API status it is Forbidden.
type ReferenceError struct{ Message string }

func (e *ReferenceError) Error() string { return e.Message }

// Status implements apierrors.APIStatus.
func (e *ReferenceError) Status() metav1.Status {
	return metav1.Status{Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: e.Message}
}

var errNoCaller = errors.New("the references of an object cannot be checked: the request has no caller")

// MayUse checks that the caller in the context may get each object that a spec names in its namespace.
// It checks what the policies in config/policy check when the caller writes the object directly: the right to get all objects of
// a kind, and otherwise each by its name, up to MaxReferences different ones. The error is a *ReferenceError or ErrUnavailable.
func (r *Rules) MayUse(ctx context.Context, namespace string, references []v1alpha1.Reference) error {
	if len(references) == 0 {
		return nil
	}
	caller, ok := apirequest.UserFrom(ctx)
	if !ok {
		return errNoCaller
	}
	byName, err := r.onlyByName(ctx, caller, namespace, references)
	if err != nil {
		return err
	}
	if len(byName) > v1alpha1.MaxReferences {
		return &ReferenceError{fmt.Sprintf(
			"it names more than %d different Secrets, ConfigMaps and PersistentVolumeClaims, and you may not get all of such a kind in the namespace %s, so each would have to be checked: name fewer, or let a user write it who may get all of them",
			v1alpha1.MaxReferences, namespace)}
	}
	for _, reference := range byName {
		allowed, err := r.ask(ctx, caller, "get", "", reference.Resource, namespace, reference.Name)
		if err != nil {
			return err
		}
		if !allowed {
			return &ReferenceError{fmt.Sprintf(
				"%s names the %s %q in the namespace %s, which you may not get: name one that you may get, or ask for the right to get it",
				reference.Field, reference.Kind, reference.Name, namespace)}
		}
	}
	return nil
}

// onlyByName lists the distinct objects of the kinds of which the caller may not get all, in order.
func (r *Rules) onlyByName(ctx context.Context, caller user.Info, namespace string, references []v1alpha1.Reference) ([]v1alpha1.Reference, error) {
	type object struct{ resource, name string }
	all, seen := map[string]bool{}, map[object]bool{}
	var rest []v1alpha1.Reference
	for _, reference := range references {
		allowed, asked := all[reference.Resource]
		if !asked {
			var err error
			if allowed, err = r.ask(ctx, caller, "get", "", reference.Resource, namespace, ""); err != nil {
				return nil, err
			}
			all[reference.Resource] = allowed
		}
		if key := (object{reference.Resource, reference.Name}); !allowed && !seen[key] {
			seen[key] = true
			rest = append(rest, reference)
		}
	}
	return rest, nil
}
