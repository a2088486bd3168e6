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
	"sharedcloud.io/function-operator/controllers/values"
	"sharedcloud.io/function-operator/controllers/workload"
)

// DefaultRevisionGrace is how long a revision is kept after it was first seen unused.
const DefaultRevisionGrace = 5 * time.Minute

// RevisionReconciler deletes a revision that neither its Function (the current revision and the newest before it, up to
// revisionHistoryLimit) nor an unfinished run uses.
//
// A run may have just pinned the revision, in a write that has not reached this cache. So a revision is deleted only after it was unused
// for the grace period, which starts again when the manager restarts.
type RevisionReconciler struct {
	client.Client
	metrics *Metrics
	clock   clock.PassiveClock
	grace   time.Duration

	mutex  sync.Mutex
	unused map[types.NamespacedName]sighting
}

// sighting is when this manager first found a revision unused.
type sighting struct {
	uid   types.UID
	since time.Time
}

// NewRevisionReconciler needs a client that reads from caches, which hold only the metadata of ConfigMaps.
func NewRevisionReconciler(c client.Client, metrics *Metrics, clk clock.PassiveClock, grace time.Duration) *RevisionReconciler {
	return &RevisionReconciler{Client: c, metrics: metrics, clock: clk, grace: grace, unused: map[types.NamespacedName]sighting{}}
}

// Reconcile deletes one revision if it is unused.
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
	used, err := r.isUsed(ctx, revision)
	if err != nil {
		return ctrl.Result{}, err
	}
	if used {
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
	log.FromContext(ctx).Info("Deleted an unused revision", "revision", klog.KObj(revision))
	return ctrl.Result{}, nil
}

func (r *RevisionReconciler) isUsed(ctx context.Context, revision *metav1.PartialObjectMetadata) (bool, error) {
	// A run that cannot be decoded may use any revision of its namespace.
	for _, key := range []string{revision.Name, anyRevision} {
		runs := &v1alpha1.FunctionRunList{}
		if err := r.List(ctx, runs, client.InNamespace(revision.Namespace), client.MatchingFields{indexRunRevision: key}, client.Limit(1)); err != nil {
			return false, fmt.Errorf("listing the runs that use the revision: %w", err)
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
		return true, nil // the length of its history is unknown
	}
	siblings := configMapMetadataList()
	if err := r.List(ctx, siblings, client.InNamespace(revision.Namespace), client.MatchingFields{indexRevisionFunction: string(function.UID)}); err != nil {
		return false, fmt.Errorf("listing the revisions of the function: %w", err)
	}
	return keptRevisions(function, siblings.Items)[revision.Name], nil
}

// keptRevisions are the names of the revisions that a function keeps: the current one and the newest before it.
func keptRevisions(function *v1alpha1.Function, revisions []metav1.PartialObjectMetadata) map[string]bool {
	kept := map[string]bool{}
	if function.Status.Revision != nil {
		kept[function.Status.Revision.Name] = true
	}
	history := slices.DeleteFunc(slices.Clone(revisions), func(r metav1.PartialObjectMetadata) bool { return kept[r.Name] })
	slices.SortFunc(history, func(a, b metav1.PartialObjectMetadata) int {
		// A restored revision counts by its number, not by its age.
		if order := cmp.Compare(workload.RevisionNumber(&b), workload.RevisionNumber(&a)); order != 0 {
			return order
		}
		if order := b.CreationTimestamp.Compare(a.CreationTimestamp.Time); order != 0 {
			return order
		}
		// Created in the same second: an immutable object without later writes has the resource version of its creation.
		if order, err := resourceversion.CompareResourceVersion(b.ResourceVersion, a.ResourceVersion); err == nil && order != 0 {
			return order
		}
		return cmp.Compare(a.Name, b.Name)
	})
	limit := int(values.Clamp(ptr.Deref(function.Spec.RevisionHistoryLimit, v1alpha1.DefaultHistoryLimit), 1, v1alpha1.MaxHistoryLimit))
	for _, revision := range history[:min(limit, len(history))] {
		kept[revision.Name] = true
	}
	return kept
}

// graceLeft is the rest of the grace period, which starts when this manager first finds the revision unused.
func (r *RevisionReconciler) graceLeft(key types.NamespacedName, uid types.UID) time.Duration {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	now := r.clock.Now()
	seen, known := r.unused[key]
	if !known || seen.uid != uid {
		seen = sighting{uid: uid, since: now}
		r.unused[key] = seen
	}
	return r.grace - now.Sub(seen.since)
}

func (r *RevisionReconciler) forget(key types.NamespacedName) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	delete(r.unused, key)
}
