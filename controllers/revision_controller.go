package controllers

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// DefaultRevisionGrace is how long a revision is kept after nothing was seen to name it any more.
const DefaultRevisionGrace = 5 * time.Minute

// RevisionReconciler deletes a revision when neither its Function (the present one and the newest before it, up to
// revisionHistoryLimit) nor an unfinished run names it.
//
// A run may be pinning a revision at this moment, in a pass whose write has not reached this cache. So a revision is
// deleted only when nothing has named it for a while; a manager that starts anew begins that while anew.
type RevisionReconciler struct {
	client.Client
	metrics *Metrics
	clock   clock.PassiveClock
	grace   time.Duration

	mutex   sync.Mutex
	unnamed map[types.NamespacedName]sighting
}

// sighting is when this manager first found a revision named by nothing.
type sighting struct {
	uid   types.UID
	since time.Time
}

// NewRevisionReconciler needs a client that reads from caches, and of ConfigMaps only metadata.
func NewRevisionReconciler(c client.Client, metrics *Metrics, clk clock.PassiveClock, grace time.Duration) *RevisionReconciler {
	return &RevisionReconciler{Client: c, metrics: metrics, clock: clk, grace: grace, unnamed: map[types.NamespacedName]sighting{}}
}

// Reconcile looks at one revision.
func (r *RevisionReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	revision := configMapMetadata()
	if err := r.Get(ctx, request.NamespacedName, revision); apierrors.IsNotFound(err) {
		r.forget(request.NamespacedName)
		return ctrl.Result{}, nil
	} else if err != nil {
		return ctrl.Result{}, fmt.Errorf("reading the revision: %w", err)
	}
	if revision.DeletionTimestamp != nil || revision.Labels[v1alpha1.LabelFunctionUID] == "" {
		r.forget(request.NamespacedName)
		return ctrl.Result{}, nil
	}
	named, err := r.named(ctx, revision)
	if err != nil {
		return ctrl.Result{}, err
	}
	if named {
		r.forget(request.NamespacedName)
		return ctrl.Result{}, nil
	}
	if left := r.graceLeft(request.NamespacedName, revision.UID); left > 0 {
		return ctrl.Result{RequeueAfter: left}, nil
	}
	err = r.Delete(ctx, revision, client.Preconditions{UID: &revision.UID})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return ctrl.Result{}, fmt.Errorf("deleting the revision: %w", err)
	}
	r.forget(request.NamespacedName)
	r.metrics.revisionsDeleted.Inc()
	log.FromContext(ctx).Info("Deleted a revision that nothing names", "revision", klog.KObj(revision))
	return ctrl.Result{}, nil
}

func (r *RevisionReconciler) named(ctx context.Context, revision *metav1.PartialObjectMetadata) (bool, error) {
	// A run that cannot be decoded may name any revision of its namespace.
	for _, key := range []string{revision.Name, anyRevision} {
		runs := &v1alpha1.FunctionRunList{}
		if err := r.List(ctx, runs, client.InNamespace(revision.Namespace), client.MatchingFields{indexRunRevision: key}, client.Limit(1)); err != nil {
			return false, fmt.Errorf("listing the runs that name the revision: %w", err)
		}
		if len(runs.Items) > 0 {
			return true, nil
		}
	}
	function := &v1alpha1.Function{}
	err := r.Get(ctx, client.ObjectKey{Namespace: revision.Namespace, Name: revision.Labels[v1alpha1.LabelFunction]}, function)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the function of the revision: %w", err)
	}
	if string(function.UID) != revision.Labels[v1alpha1.LabelFunctionUID] {
		return false, nil // another function of the same name
	}
	if v1alpha1.DecodeError(function) != "" {
		return true, nil // how many it keeps is not known
	}
	siblings := configMapMetadataList()
	if err := r.List(ctx, siblings, client.InNamespace(revision.Namespace), client.MatchingFields{indexRevisionFunction: string(function.UID)}); err != nil {
		return false, fmt.Errorf("listing the revisions of the function: %w", err)
	}
	return keptRevisions(function, siblings.Items)[revision.Name], nil
}

// keptRevisions are the names of a function's revisions that stay for its own sake: the present one and the newest before
// it.
func keptRevisions(function *v1alpha1.Function, revisions []metav1.PartialObjectMetadata) map[string]bool {
	kept := map[string]bool{}
	if function.Status.Revision != nil {
		kept[function.Status.Revision.Name] = true
	}
	history := slices.DeleteFunc(slices.Clone(revisions), func(r metav1.PartialObjectMetadata) bool { return kept[r.Name] })
	slices.SortFunc(history, func(a, b metav1.PartialObjectMetadata) int {
		// One that was gone back to is newer than it is old.
		if order := cmp.Compare(revisionNumber(&b), revisionNumber(&a)); order != 0 {
			return order
		}
		if order := b.CreationTimestamp.Compare(a.CreationTimestamp.Time); order != 0 {
			return order
		}
		// Of one second: an immutable object that nobody touched has the resource version of its creation.
		if order, err := resourceversion.CompareResourceVersion(b.ResourceVersion, a.ResourceVersion); err == nil && order != 0 {
			return order
		}
		return cmp.Compare(a.Name, b.Name)
	})
	limit := int(within(ptr.Deref(function.Spec.RevisionHistoryLimit, v1alpha1.DefaultHistoryLimit), 1, v1alpha1.MaxHistoryLimit))
	for _, revision := range history[:min(limit, len(history))] {
		kept[revision.Name] = true
	}
	return kept
}

// graceLeft is how long the revision stays yet, counted from when this manager first found it named by nothing.
func (r *RevisionReconciler) graceLeft(key types.NamespacedName, uid types.UID) time.Duration {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	now := r.clock.Now()
	seen, known := r.unnamed[key]
	if !known || seen.uid != uid {
		seen = sighting{uid: uid, since: now}
		r.unnamed[key] = seen
	}
	return r.grace - now.Sub(seen.since)
}

func (r *RevisionReconciler) forget(key types.NamespacedName) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	delete(r.unnamed, key)
}
