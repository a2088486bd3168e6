package controllers

import (
	"context"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// revisionNumber is what a revision says of itself; 0 where it was made before there were numbers.
func revisionNumber(revision metav1.Object) int64 {
	return numberOf(revision.GetAnnotations(), v1alpha1.AnnotationRevisionNumber, v1alpha1.MaxCount)
}

// numbering is what follows for a revision that is to become the present one.
type numbering struct {
	// number it gets.
	number int64
	// existing is its ConfigMap; nil where that is to be made.
	existing *metav1.PartialObjectMetadata
	// stays: it has that number.
	stays bool
}

// numberFor decides the number of a revision that is to become the present one, as Deployments do: an old one that is gone
// back to gets a new number, the greatest. One that is the latest already keeps its own: it was the present one before,
// or a pass died between its making and the status.
func numberFor(revision *corev1.ConfigMap, siblings []metav1.PartialObjectMetadata, current *v1alpha1.FunctionRevision) numbering {
	var n numbering
	var greatest int64
	for i := range siblings {
		sibling := &siblings[i]
		greatest = max(greatest, revisionNumber(sibling))
		if sibling.Name == revision.Name && sibling.DeletionTimestamp == nil && sameRevision(sibling.Annotations, sibling.Labels, revision) {
			n.existing = sibling
		}
	}
	if current != nil {
		greatest = max(greatest, min(current.Number, v1alpha1.MaxCount))
	}
	own := int64(0)
	switch {
	case n.existing != nil:
		own = revisionNumber(n.existing)
	case current != nil && current.Name == revision.Name:
		own = current.Number // somebody deleted it
	}
	n.number = min(greatest+1, v1alpha1.MaxCount)
	if own > 0 && own == greatest {
		n.number = own
	}
	n.stays = n.existing != nil && own == n.number
	return n
}

// numbered sets what a revision says of itself beside its content.
func numbered(revision metav1.Object, number, generation int64, now time.Time) {
	annotations := revision.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[v1alpha1.AnnotationRevisionNumber] = strconv.FormatInt(number, 10)
	annotations[v1alpha1.AnnotationRevisionGeneration] = strconv.FormatInt(generation, 10)
	annotations[v1alpha1.AnnotationRevisionCurrentSince] = now.UTC().Format(time.RFC3339)
	revision.SetAnnotations(annotations)
}

// ensure sees to it that the revision exists and has its number. It is stored before the status names it. A ConfigMap of its
// name is the revision if it is immutable and has the same content; annotations and labels only say where to look. One that
// says of itself that it is this revision and is not is deleted, and the revision is made again.
func (r *FunctionReconciler) ensure(ctx context.Context, function *v1alpha1.Function, revision *corev1.ConfigMap, current *v1alpha1.FunctionRevision) (int64, *finding, error) {
	known := configMapMetadata()
	err := r.Get(ctx, client.ObjectKeyFromObject(revision), known)
	if err != nil && !apierrors.IsNotFound(err) {
		return 0, nil, fmt.Errorf("looking up the revision %s: %w", revision.Name, err)
	}
	if err == nil && sameRevision(known.Annotations, known.Labels, revision) && known.DeletionTimestamp == nil &&
		current != nil && current.Name == revision.Name && current.Number > 0 && revisionNumber(known) == current.Number {
		if genuine, err := r.genuine(ctx, function, revision); err != nil || genuine {
			return current.Number, nil, err
		}
	}
	// Another one becomes the present one. The cache may not know the latest of them.
	siblings := configMapMetadataList()
	if err := r.live.List(ctx, siblings, client.InNamespace(function.Namespace), client.MatchingLabels{v1alpha1.LabelFunctionUID: string(function.UID)}); err != nil {
		return 0, nil, fmt.Errorf("listing the revisions of the function: %w", err)
	}
	n := numberFor(revision, siblings.Items, current)
	if n.existing != nil {
		genuine, err := r.genuine(ctx, function, revision)
		switch {
		case err != nil:
			return 0, nil, err
		case !genuine:
			if err := r.removeImpostor(ctx, function, n.existing); err != nil {
				return 0, nil, err
			}
		case n.stays:
			return n.number, nil, nil
		default:
			return n.number, nil, r.renumber(ctx, function, n)
		}
	}
	return r.makeRevision(ctx, function, revision, n.number)
}

// genuine: the ConfigMap that has the revision's name now has its content.
func (r *FunctionReconciler) genuine(ctx context.Context, function *v1alpha1.Function, revision *corev1.ConfigMap) (bool, error) {
	_, err := r.revisions.readNow(ctx, revisionRef{function.Namespace, revision.Name, v1alpha1.ContentDigest(function.UID, revision), function.UID})
	if apierrors.IsNotFound(err) || notTheRevision(err) {
		return false, nil
	}
	return err == nil, err
}

// removeImpostor deletes what says of itself that it is a revision of the function and has another content. Who may write
// ConfigMaps with the operator's labels is an administrator's decision; where that is not enforced it is made good here.
func (r *FunctionReconciler) removeImpostor(ctx context.Context, function *v1alpha1.Function, impostor client.Object) error {
	uid := impostor.GetUID()
	err := r.Delete(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: function.Namespace, Name: impostor.GetName()}}, client.Preconditions{UID: &uid})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting the ConfigMap %s, which is not the revision that it says it is: %w", impostor.GetName(), err)
	}
	text := fmt.Sprintf("The ConfigMap %s said that it is a revision and had another content: deleted it", impostor.GetName())
	r.tell.warning(function, eventRevisionReplaced, actionReconcile, text)
	log.FromContext(ctx).Info("Deleted a ConfigMap that is not the revision that it says it is", "function", klog.KObj(function), "revision", impostor.GetName())
	return nil
}

// renumber makes an old revision the latest.
func (r *FunctionReconciler) renumber(ctx context.Context, function *v1alpha1.Function, n numbering) error {
	n.existing.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMap")) // an item of a list has none
	renumbered := n.existing.DeepCopy()
	numbered(renumbered, n.number, function.Generation, r.clock.Now())
	if err := r.Patch(ctx, renumbered, client.MergeFrom(n.existing), client.FieldOwner(v1alpha1.FieldManagerController)); err != nil {
		return fmt.Errorf("numbering the revision %s: %w", n.existing.Name, err)
	}
	text := fmt.Sprintf("Went back to the revision %s, which is number %d now", n.existing.Name, n.number)
	r.tell.normal(function, eventRevisionCreated, actionReconcile, text)
	log.FromContext(ctx).Info("Went back to a revision", "function", klog.KObj(function), "revision", n.existing.Name, "number", n.number)
	return nil
}

func (r *FunctionReconciler) makeRevision(ctx context.Context, function *v1alpha1.Function, revision *corev1.ConfigMap, number int64) (int64, *finding, error) {
	name := revision.Name
	made := revision.DeepCopy()
	numbered(made, number, function.Generation, r.clock.Now())
	switch err := r.Create(ctx, made, client.FieldOwner(v1alpha1.FieldManagerController)); {
	case err == nil:
		r.metrics.revisionsCreated.Inc()
		r.tell.normal(function, eventRevisionCreated, actionCreate, fmt.Sprintf("Created the revision %s, number %d", name, number))
		log.FromContext(ctx).Info("Made the revision", "function", klog.KObj(function), "revision", name, "number", number)
		return number, nil, nil
	case apierrors.IsInvalid(err) || apierrors.IsRequestEntityTooLargeError(err):
		return 0, &finding{standingStalled, v1alpha1.ReasonInvalid,
			"The revision cannot be stored: " + sentence(cut(err.Error(), foreignTextLimit))}, nil
	case !apierrors.IsAlreadyExists(err):
		return 0, nil, fmt.Errorf("making the revision %s: %w", name, err)
	}
	genuine, err := r.genuine(ctx, function, revision)
	if err != nil {
		return 0, nil, err
	}
	existing := configMapMetadata()
	if err := r.live.Get(ctx, client.ObjectKeyFromObject(revision), existing); err != nil {
		return 0, nil, fmt.Errorf("reading the revision %s: %w", name, err)
	}
	if !genuine || !sameRevision(existing.Annotations, existing.Labels, revision) {
		taken := revisionNameTaken(name)
		return 0, &taken, nil
	}
	return revisionNumber(existing), nil, nil // made in this moment, or on its way out: the next pass sees which
}

func sameRevision(annotations, labels map[string]string, revision *corev1.ConfigMap) bool {
	return annotations[annotationContent] == revision.Annotations[annotationContent] &&
		labels[v1alpha1.LabelFunctionUID] == revision.Labels[v1alpha1.LabelFunctionUID]
}
