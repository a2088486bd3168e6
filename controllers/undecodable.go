package controllers

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"k8s.io/utils/lru"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

const (
	// refusalsKept bounds what is remembered of objects whose conditions the API server refuses.
	refusalsKept = 4096
	// conditionsKept is the limit of the schema.
	conditionsKept = 16
)

// undecodables writes the conditions of objects whose content cannot be decoded. Of such an object these controllers have
// the metadata alone, so it is read once more without its type, and the conditions are written by a merge patch: an apply
// would have to send the whole status.
type undecodables struct {
	writer client.Client
	live   client.Reader
	tell   announcer
	clock  clock.PassiveClock
	// refused has the resource version of each object, by uid, whose conditions the API server refused: it is not asked
	// again before the object changes.
	refused *lru.Cache
}

func newUndecodables(writer client.Client, live client.Reader, tell announcer, clk clock.PassiveClock) *undecodables {
	return &undecodables{writer: writer, live: live, tell: tell, clock: clk, refused: lru.New(refusalsKept)}
}

// report writes the conditions. object is what was decoded of it.
func (u *undecodables) report(ctx context.Context, object client.Object, kind string) (ctrl.Result, error) {
	if version, found := u.refused.Get(object.GetUID()); found && version == object.GetResourceVersion() {
		return ctrl.Result{}, nil // waiting for a change of the object
	}
	stored := &unstructured.Unstructured{}
	stored.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	if err := u.live.Get(ctx, client.ObjectKeyFromObject(object), stored); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if stored.GetUID() != object.GetUID() {
		return ctrl.Result{}, nil // another one, whose own event comes
	}
	if stored.GetResourceVersion() != object.GetResourceVersion() {
		return ctrl.Result{RequeueAfter: conflictPause}, nil // it may have been corrected meanwhile
	}
	found := notDecodable(object)
	before := storedConditions(stored)
	conditions, changed := undecodableConditions(before, found, conditionWriter{generation: object.GetGeneration(), now: u.clock.Now()})
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
	return u.written(ctx, object, found, changed, err)
}

// written tells what became of the write. One that is refused for what the object is will be refused again.
func (u *undecodables) written(ctx context.Context, object client.Object, found finding, changed bool, err error) (ctrl.Result, error) {
	switch {
	case err == nil:
		if changed {
			u.tell.standing(object, found)
			log.FromContext(ctx).Info("A stored object cannot be decoded", "object", klog.KObj(object), "reason", v1alpha1.DecodeError(object))
		}
		return ctrl.Result{}, nil
	case apierrors.IsConflict(err):
		return ctrl.Result{RequeueAfter: conflictPause}, nil
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return ctrl.Result{}, nil
	case apierrors.IsNotFound(err):
		// It is gone; or its definition has no subresource status for now, and nothing tells when it has one again.
		return ctrl.Result{RequeueAfter: refusedPause}, nil
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsForbidden(err), apierrors.IsRequestEntityTooLargeError(err):
		u.refused.Add(object.GetUID(), object.GetResourceVersion())
		u.tell.standing(object, found)
		log.FromContext(ctx).Error(err, "A stored object cannot be decoded, and its conditions were refused", "object", klog.KObj(object),
			"reason", v1alpha1.DecodeError(object))
		return ctrl.Result{}, nil // waiting for a change of the object
	}
	return ctrl.Result{}, fmt.Errorf("writing the conditions of an object that cannot be decoded: %w", err)
}

func notDecodable(object metav1.Object) finding {
	return finding{standingStalled, v1alpha1.ReasonNotDecodable, fmt.Sprintf(
		"The stored object cannot be decoded: %s. Correct it (kubectl edit) or delete it; until then nothing is done for it.",
		trimStop(v1alpha1.DecodeError(object)))}
}

// undecodableConditions are those that the object gets: the others that it has stay, since a run's say that it has finished.
func undecodableConditions(before []metav1.Condition, found finding, w conditionWriter) (after []metav1.Condition, changed bool) {
	after = append(after, before...)
	w.conditions = &after
	changed = w.stand(found.standing, found.reason, found.message)
	return after, changed
}

// storedConditions are those conditions of an object that can be decoded.
func storedConditions(stored *unstructured.Unstructured) []metav1.Condition {
	list, _, err := unstructured.NestedFieldNoCopy(stored.Object, "status", "conditions")
	entries, ok := list.([]any)
	if err != nil || !ok {
		return nil
	}
	var conditions []metav1.Condition
	for _, entry := range entries {
		encoded, err := json.Marshal(entry)
		var condition metav1.Condition
		if err != nil || json.Unmarshal(encoded, &condition) != nil || !wellFormed(&condition) ||
			meta.FindStatusCondition(conditions, condition.Type) != nil || len(conditions) == conditionsKept-3 {
			continue
		}
		conditions = append(conditions, condition)
	}
	return conditions
}

// wellFormed says whether the schema takes the condition.
func wellFormed(c *metav1.Condition) bool {
	return ownConditions.Has(c.Type) && reasonPattern.MatchString(c.Reason) && len(c.Reason) <= 1024 && len(c.Message) <= 32768 &&
		(c.Status == metav1.ConditionTrue || c.Status == metav1.ConditionFalse || c.Status == metav1.ConditionUnknown) &&
		c.ObservedGeneration >= 0 && c.ObservedGeneration <= v1alpha1.MaxCount && !c.LastTransitionTime.IsZero() &&
		c.LastTransitionTime.UTC().Year() <= 9999
}

// restored writes Ready, Reconciling and Stalled of a finished run anew that could not be decoded for a while: nothing else
// of a finished run is decided any more.
func restored(run *v1alpha1.FunctionRun, w conditionWriter) {
	ready := meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionReady)
	end := meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionFinished)
	if ready == nil || end == nil || ready.Reason != v1alpha1.ReasonNotDecodable {
		return
	}
	at := standingStalled
	if runIs(run, v1alpha1.ConditionComplete) {
		at = standingReady
	}
	w.stand(at, end.Reason, end.Message)
}
