package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/workload"
)

// ensureRevision makes sure that the revision exists and has its number, before the status names it. A ConfigMap of its name is
// the revision if it is immutable and has the same content; annotations and labels only help to find it. A ConfigMap that claims
// to be this revision and is not is deleted, and the revision is created again.
func (r *FunctionReconciler) ensureRevision(ctx context.Context, function *v1alpha1.Function, revision *corev1.ConfigMap, current *v1alpha1.FunctionRevision) (int64, *workload.Problem, error) {
	if current != nil && current.Name == revision.Name && current.Number > 0 {
		if unchanged, err := r.isStored(ctx, function, revision, current.Number); err != nil || unchanged {
			return current.Number, nil, err
		}
	}
	// Another revision becomes the current one. The cache may not have the latest one yet.
	siblings := configMapMetadataList()
	if err := r.live.List(ctx, siblings, client.InNamespace(function.Namespace), client.MatchingLabels{v1alpha1.LabelFunctionUID: string(function.UID)}); err != nil {
		return 0, nil, fmt.Errorf("listing the revisions of the function: %w", err)
	}
	n := workload.NumberFor(revision, siblings.Items, current)
	if n.Existing != nil {
		genuine, err := r.isGenuine(ctx, function, revision)
		switch {
		case err != nil:
			return 0, nil, err
		case !genuine:
			if err := r.deleteForgery(ctx, function, n.Existing); err != nil {
				return 0, nil, err
			}
		case n.Unchanged:
			return n.Number, nil, nil
		default:
			return n.Number, nil, r.renumber(ctx, function, n)
		}
	}
	return r.createRevision(ctx, function, revision, n.Number)
}

// isStored reports whether the revision exists with that number.
func (r *FunctionReconciler) isStored(ctx context.Context, function *v1alpha1.Function, revision *corev1.ConfigMap, number int64) (bool, error) {
	known := configMapMetadata()
	err := r.Get(ctx, client.ObjectKeyFromObject(revision), known)
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("looking up the revision %s: %w", revision.Name, err)
	case known.DeletionTimestamp != nil || workload.RevisionNumber(known) != number || !workload.SameRevision(known.Annotations, known.Labels, revision):
		return false, nil
	}
	return r.isGenuine(ctx, function, revision)
}

// isGenuine reports whether the ConfigMap that now has the revision's name has its content.
func (r *FunctionReconciler) isGenuine(ctx context.Context, function *v1alpha1.Function, revision *corev1.ConfigMap) (bool, error) {
	_, err := r.revisions.readNow(ctx, revisionRef{function.Namespace, revision.Name, v1alpha1.ContentDigest(function.UID, revision), function.UID})
	if apierrors.IsNotFound(err) || isNotTheRevision(err) {
		return false, nil
	}
	return err == nil, err
}

// deleteForgery deletes a ConfigMap that claims to be a revision of the function and has another content. Who may write ConfigMaps
// with the operator's labels is an administrator's decision; this repairs the result where no policy enforces it.
func (r *FunctionReconciler) deleteForgery(ctx context.Context, function *v1alpha1.Function, forgery client.Object) error {
	uid := forgery.GetUID()
	err := r.Delete(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: function.Namespace, Name: forgery.GetName()}}, client.Preconditions{UID: &uid})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting the ConfigMap %s, whose content is not that of the revision: %w", forgery.GetName(), err)
	}
	text := fmt.Sprintf("Deleted the ConfigMap %s, which claimed to be a revision and had another content", forgery.GetName())
	r.events.warning(function, eventRevisionReplaced, actionReconcile, text)
	log.FromContext(ctx).Info("Deleted a ConfigMap that claimed to be a revision", "function", klog.KObj(function), "revision", forgery.GetName())
	return nil
}

// renumber makes an old revision the latest.
func (r *FunctionReconciler) renumber(ctx context.Context, function *v1alpha1.Function, n workload.Numbering) error {
	n.Existing.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMap")) // an item of a list has none
	renumbered := n.Existing.DeepCopy()
	workload.SetNumber(renumbered, n.Number, function.Generation, r.clock.Now())
	if err := r.Patch(ctx, renumbered, client.MergeFrom(n.Existing), client.FieldOwner(v1alpha1.FieldManagerController)); err != nil {
		return fmt.Errorf("numbering the revision %s: %w", n.Existing.Name, err)
	}
	text := fmt.Sprintf("Restored the revision %s as number %d", n.Existing.Name, n.Number)
	r.events.normal(function, eventRevisionCreated, actionReconcile, text)
	log.FromContext(ctx).Info("Restored a revision", "function", klog.KObj(function), "revision", n.Existing.Name, "number", n.Number)
	return nil
}

func (r *FunctionReconciler) createRevision(ctx context.Context, function *v1alpha1.Function, revision *corev1.ConfigMap, number int64) (int64, *workload.Problem, error) {
	name := revision.Name
	created := revision.DeepCopy()
	workload.SetNumber(created, number, function.Generation, r.clock.Now())
	switch err := r.Create(ctx, created, client.FieldOwner(v1alpha1.FieldManagerController)); {
	case err == nil:
		r.metrics.revisionsCreated.Inc()
		r.events.normal(function, eventRevisionCreated, actionCreate, fmt.Sprintf("Created the revision %s, number %d", name, number))
		log.FromContext(ctx).Info("Created the revision", "function", klog.KObj(function), "revision", name, "number", number)
		return number, nil, nil
	case apierrors.IsInvalid(err) || apierrors.IsRequestEntityTooLargeError(err):
		return 0, workload.RevisionRefused(err), nil
	case !apierrors.IsAlreadyExists(err):
		return 0, nil, fmt.Errorf("creating the revision %s: %w", name, err)
	}
	genuine, err := r.isGenuine(ctx, function, revision)
	if err != nil {
		return 0, nil, err
	}
	existing := configMapMetadata()
	if err := r.live.Get(ctx, client.ObjectKeyFromObject(revision), existing); err != nil {
		return 0, nil, fmt.Errorf("reading the revision %s: %w", name, err)
	}
	if !genuine || !workload.SameRevision(existing.Annotations, existing.Labels, revision) {
		return 0, workload.RevisionNameTaken(name), nil
	}
	return workload.RevisionNumber(existing), nil, nil // just created or being deleted: the next reconciliation sees which
}
