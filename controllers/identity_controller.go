package controllers

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	metaac "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"sharedcloud.io/function-operator/api/v1alpha1"
	ac "sharedcloud.io/function-operator/api/v1alpha1/applyconfiguration/api/v1alpha1"
)

// identityKind is how the identities of one kind of object work.
type identityKind struct {
	name string
	// plural is its resource name for kubectl.
	plural string
	object client.Object
	list   client.ObjectList
	// unique is the part of a uuid that only one object may have.
	unique func(uuid string) string
	// shared is true if the objects of the catalogue are visible in every namespace.
	shared     bool
	conditions func(client.Object) []metav1.Condition
	status     func(object client.Object, conditions ...*metaac.ConditionApplyConfiguration) runtime.ApplyConfiguration
}

var identityKinds = []identityKind{
	{
		name: "function", plural: "functions", object: &v1alpha1.Function{}, list: &v1alpha1.FunctionList{}, unique: whole,
		conditions: func(object client.Object) []metav1.Condition {
			if f, ok := object.(*v1alpha1.Function); ok {
				return f.Status.Conditions
			}
			return nil
		},
		status: func(o client.Object, conditions ...*metaac.ConditionApplyConfiguration) runtime.ApplyConfiguration {
			return ac.Function(o.GetName(), o.GetNamespace()).WithUID(o.GetUID()).WithStatus(ac.FunctionStatus().WithConditions(conditions...))
		},
	},
	{
		name: "functionrun", plural: "functionruns", object: &v1alpha1.FunctionRun{}, list: &v1alpha1.FunctionRunList{}, unique: v1alpha1.JobUUIDPrefix,
		conditions: func(object client.Object) []metav1.Condition {
			if r, ok := object.(*v1alpha1.FunctionRun); ok {
				return r.Status.Conditions
			}
			return nil
		},
		status: func(o client.Object, conditions ...*metaac.ConditionApplyConfiguration) runtime.ApplyConfiguration {
			return ac.FunctionRun(o.GetName(), o.GetNamespace()).WithUID(o.GetUID()).WithStatus(ac.FunctionRunStatus().WithConditions(conditions...))
		},
	},
	{
		name: "functionimage", plural: "functionimages", object: &v1alpha1.FunctionImage{}, list: &v1alpha1.FunctionImageList{}, unique: whole, shared: true,
		conditions: func(object client.Object) []metav1.Condition {
			if i, ok := object.(*v1alpha1.FunctionImage); ok {
				return i.Status.Conditions
			}
			return nil
		},
		status: func(o client.Object, conditions ...*metaac.ConditionApplyConfiguration) runtime.ApplyConfiguration {
			return ac.FunctionImage(o.GetName(), o.GetNamespace()).WithUID(o.GetUID()).WithStatus(ac.FunctionImageStatus().WithConditions(conditions...))
		},
	},
}

func whole(uuid string) string { return uuid }

// identityKeys are the keys of an object in indexIdentity: the uuid that its label claims, and its uid.
func (k identityKind) identityKeys(object client.Object) []string {
	keys := []string{byUID + k.unique(string(object.GetUID()))}
	if claimed := v1alpha1.ClaimedUUID(object); claimed != "" {
		keys = append(keys, byLabel+k.unique(claimed))
	}
	return keys
}

const byUID, byLabel = "uid/", "label/"

// IdentityReconciler sets the condition UUIDUnique of an object whose label claims the uuid of another object. REST uses the same rule:
// the object that was created first keeps the uuid, and the other one has its metadata.uid. It owns only this condition.
type IdentityReconciler struct {
	client.Client
	clock     clock.PassiveClock
	kind      identityKind
	catalogue string
}

func newIdentityReconcilers(c client.Client, clk clock.PassiveClock, catalogue string) []*IdentityReconciler {
	list := make([]*IdentityReconciler, 0, len(identityKinds))
	for _, kind := range identityKinds {
		list = append(list, &IdentityReconciler{Client: c, clock: clk, kind: kind, catalogue: catalogue})
	}
	return list
}

// Reconcile sets or removes the condition of one object.
func (r *IdentityReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	object, ok := r.kind.object.DeepCopyObject().(client.Object)
	if !ok {
		return ctrl.Result{}, fmt.Errorf("%s has no metadata", r.kind.name)
	}
	if err := r.Get(ctx, request.NamespacedName, object); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	duplicate, err := r.isDuplicate(ctx, object)
	if err != nil || object.GetDeletionTimestamp() != nil {
		return ctrl.Result{}, err
	}
	condition := meta.FindStatusCondition(r.kind.conditions(object), v1alpha1.ConditionUUIDUnique)
	if duplicate == (condition != nil) {
		return ctrl.Result{}, nil
	}
	var conditions []*metaac.ConditionApplyConfiguration
	if duplicate {
		conditions = append(conditions, metaac.Condition().
			WithType(v1alpha1.ConditionUUIDUnique).
			WithStatus(metav1.ConditionFalse).
			WithObservedGeneration(object.GetGeneration()).
			WithLastTransitionTime(metav1.NewTime(r.clock.Now())).
			WithReason(v1alpha1.ReasonDuplicateUUID).
			WithMessage(r.message(object)))
	}
	err = r.Status().Apply(ctx, r.kind.status(object, conditions...), client.FieldOwner(v1alpha1.FieldManagerIdentity), client.ForceOwnership)
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("writing the condition %s: %w", v1alpha1.ConditionUUIDUnique, err)
	}
	return ctrl.Result{}, nil
}

func (r *IdentityReconciler) message(object client.Object) string {
	return fmt.Sprintf("The label %s is the identity of another object, which was created first (kubectl get %s -l %s=%s): in REST this object has its metadata.uid, %s, as its identity. To change that, create it again with another label or without.",
		v1alpha1.LabelUUID, r.kind.plural, v1alpha1.LabelUUID, object.GetLabels()[v1alpha1.LabelUUID], object.GetUID())
}

// isDuplicate reports whether the uuid in the object's label belongs to another object.
func (r *IdentityReconciler) isDuplicate(ctx context.Context, object client.Object) (bool, error) {
	claimed := v1alpha1.ClaimedUUID(object)
	if claimed == "" {
		return false, nil
	}
	unique := r.kind.unique(claimed)
	owners, err := r.find(ctx, object.GetNamespace(), byUID+unique)
	if err != nil {
		return false, err
	}
	spaces := []string{object.GetNamespace()}
	if r.kind.shared && object.GetNamespace() != r.catalogue {
		spaces = append(spaces, r.catalogue)
	}
	for _, space := range spaces {
		claimants, err := r.find(ctx, space, byLabel+unique)
		if err != nil {
			return false, err
		}
		for _, other := range claimants {
			if v1alpha1.ClaimsBefore(other, object) {
				return true, nil
			}
		}
	}
	for _, owner := range owners {
		if owner.GetUID() != object.GetUID() {
			return true, nil
		}
	}
	return false, nil
}

// find lists the objects of a namespace, or of all for "", that have a key. They belong to the cache and must not be changed.
func (r *IdentityReconciler) find(ctx context.Context, namespace, key string) ([]client.Object, error) {
	list, ok := r.kind.list.DeepCopyObject().(client.ObjectList)
	if !ok {
		return nil, fmt.Errorf("the list of %s has no metadata", r.kind.plural)
	}
	if err := r.List(ctx, list, client.InNamespace(namespace), client.MatchingFields{indexIdentity: key}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the %s that claim a uuid: %w", r.kind.plural, err)
	}
	var objects []client.Object
	err := meta.EachListItem(list, func(item runtime.Object) error {
		if object, ok := item.(client.Object); ok {
			objects = append(objects, object)
		}
		return nil
	})
	return objects, err
}

// nextOwners returns the objects whose condition may change because another object was created or deleted: the first that claims the
// uuid, in each namespace where that object was visible.
func (r *IdentityReconciler) nextOwners(ctx context.Context, object client.Object) []reconcile.Request {
	claimed := v1alpha1.ClaimedUUID(object)
	if claimed == "" {
		return nil
	}
	namespace := object.GetNamespace()
	if r.kind.shared && namespace == r.catalogue {
		namespace = ""
	}
	claimants, err := r.find(ctx, namespace, byLabel+r.kind.unique(claimed))
	if err != nil {
		log.FromContext(ctx).Error(err, "Looking for the next owner of a uuid")
		return nil
	}
	first := map[string]client.Object{}
	for _, other := range claimants {
		if known := first[other.GetNamespace()]; known == nil || v1alpha1.ClaimsBefore(other, known) {
			first[other.GetNamespace()] = other
		}
	}
	requests := make([]reconcile.Request, 0, len(first))
	for _, other := range first {
		requests = append(requests, request(other.GetNamespace(), other.GetName()))
	}
	return requests
}

func (r *IdentityReconciler) setup(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("identity-"+r.kind.name).
		For(r.kind.object, builder.WithPredicates(predicate.LabelChangedPredicate{})).
		Watches(r.kind.object, handler.EnqueueRequestsFromMapFunc(r.nextOwners), builder.WithPredicates(predicate.LabelChangedPredicate{})).
		WithOptions(concurrency(1)).
		Complete(r)
}
