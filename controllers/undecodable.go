package controllers

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"k8s.io/utils/lru"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/status"
)

// maxRefusals bounds how many objects are remembered whose conditions the API server refused.
const maxRefusals = 4096

// undecodableReporter writes the conditions of objects whose content cannot be decoded. The controllers have only the metadata of such
// an object. So it is read again without its type, and the conditions are written by a merge patch: an apply would need the whole
// status.
type undecodableReporter struct {
	writer client.Client
	live   client.Reader
	events eventWriter
	clock  clock.PassiveClock
	// refused has the resource version of each object, by uid, whose conditions the API server refused. They are not written again
	// before the object changes.
	refused *lru.Cache
}

func newUndecodableReporter(writer client.Client, live client.Reader, events eventWriter, clk clock.PassiveClock) *undecodableReporter {
	return &undecodableReporter{writer: writer, live: live, events: events, clock: clk, refused: lru.New(maxRefusals)}
}

// report writes the conditions. object is what could be decoded of it.
func (u *undecodableReporter) report(ctx context.Context, object client.Object, kind string) (ctrl.Result, error) {
	if version, found := u.refused.Get(object.GetUID()); found && version == object.GetResourceVersion() {
		return ctrl.Result{}, nil // waiting for a change of the object
	}
	stored := &unstructured.Unstructured{}
	stored.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	if err := u.live.Get(ctx, client.ObjectKeyFromObject(object), stored); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if stored.GetUID() != object.GetUID() {
		return ctrl.Result{}, nil // another object of the same name, which has its own event
	}
	if stored.GetResourceVersion() != object.GetResourceVersion() {
		return ctrl.Result{RequeueAfter: conflictInterval}, nil // it may have been corrected in the meantime
	}
	before := status.StoredConditions(stored)
	conditions, changed := status.UndecodableConditions(object, before, u.clock.Now())
	if equality.Semantic.DeepEqual(before, conditions) {
		return ctrl.Result{}, nil
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": object.GetUID(), "resourceVersion": object.GetResourceVersion()},
		"status":   map[string]any{"observedGeneration": object.GetGeneration(), "conditions": conditions},
	})
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("encoding the conditions: %w", err)
	}
	err = u.writer.Status().Patch(ctx, stored, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(v1alpha1.FieldManagerController))
	return u.afterPatch(ctx, object, changed, err)
}

// afterPatch handles the result of the patch. A patch that is refused because of the object's content would be refused again.
func (u *undecodableReporter) afterPatch(ctx context.Context, object client.Object, changed bool, err error) (ctrl.Result, error) {
	switch {
	case err == nil:
		if changed {
			u.events.state(object, status.NotDecodable(object))
			log.FromContext(ctx).Info("A stored object cannot be decoded", "object", klog.KObj(object), "reason", v1alpha1.DecodeError(object))
		}
		return ctrl.Result{}, nil
	case apierrors.IsConflict(err):
		return ctrl.Result{RequeueAfter: conflictInterval}, nil
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return ctrl.Result{}, nil
	case apierrors.IsNotFound(err):
		// It is gone, or its definition temporarily has no status subresource, and no watch reports when it has one again.
		return ctrl.Result{RequeueAfter: refusedInterval}, nil
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsForbidden(err), apierrors.IsRequestEntityTooLargeError(err):
		u.refused.Add(object.GetUID(), object.GetResourceVersion())
		u.events.state(object, status.NotDecodable(object))
		log.FromContext(ctx).Error(err, "A stored object cannot be decoded, and the API server refused its conditions", "object", klog.KObj(object),
			"reason", v1alpha1.DecodeError(object))
		return ctrl.Result{}, nil // waiting for a change of the object
	}
	return ctrl.Result{}, fmt.Errorf("writing the conditions of an object that cannot be decoded: %w", err)
}
