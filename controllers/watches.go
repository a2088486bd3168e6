package controllers

import (
	"context"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/status"
)

// requestMapper maps a changed object to the objects that must be reconciled. It covers everything that a reconciler waits for, so that
// nothing has to poll.
type requestMapper struct {
	cached client.Reader
	// catalogue is the namespace of the images that every namespace may use.
	catalogue string
}

func request(namespace, name string) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}
}

// functionsOfImage returns the functions that name the image: in its namespace, or in all for an image of the catalogue.
func (m requestMapper) functionsOfImage(ctx context.Context, image client.Object) []reconcile.Request {
	options := []client.ListOption{client.MatchingFields{indexFunctionImage: image.GetName()}}
	if image.GetNamespace() != m.catalogue {
		options = append(options, client.InNamespace(image.GetNamespace()))
	}
	return m.functions(ctx, options...)
}

// functionsOfConfigMap returns the functions whose code is in it, and the one whose revision it is.
func (m requestMapper) functionsOfConfigMap(ctx context.Context, configMap client.Object) []reconcile.Request {
	requests := m.functions(ctx, client.InNamespace(configMap.GetNamespace()),
		client.MatchingFields{indexFunctionSource: configMap.GetName()})
	if labels := configMap.GetLabels(); labels[v1alpha1.LabelFunctionUID] != "" && labels[v1alpha1.LabelFunction] != "" {
		requests = append(requests, request(configMap.GetNamespace(), labels[v1alpha1.LabelFunction]))
	}
	return requests
}

func (m requestMapper) functions(ctx context.Context, options ...client.ListOption) []reconcile.Request {
	list := &v1alpha1.FunctionList{}
	if err := m.cached.List(ctx, list, options...); err != nil {
		log.FromContext(ctx).Error(err, "Listing functions to reconcile")
		return nil
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, request(list.Items[i].Namespace, list.Items[i].Name))
	}
	return requests
}

// runsOfFunction returns the runs that have not pinned a revision yet.
func (m requestMapper) runsOfFunction(ctx context.Context, function client.Object) []reconcile.Request {
	return m.runs(ctx, client.InNamespace(function.GetNamespace()), client.MatchingFields{indexRunFunction: function.GetName()})
}

// runsOfConfigMap returns the runs that have not pinned their inputs yet, and those that execute the revision of that name, which may
// have been replaced.
func (m requestMapper) runsOfConfigMap(ctx context.Context, configMap client.Object) []reconcile.Request {
	space := client.InNamespace(configMap.GetNamespace())
	return append(m.runs(ctx, space, client.MatchingFields{indexRunInputs: configMap.GetName()}),
		m.runs(ctx, space, client.MatchingFields{indexRunRevision: configMap.GetName()})...)
}

// runsOfNamespace returns all runs of a namespace that is being deleted: their Jobs must be deleted.
func (m requestMapper) runsOfNamespace(ctx context.Context, namespace client.Object) []reconcile.Request {
	return m.runs(ctx, client.InNamespace(namespace.GetName()))
}

func (m requestMapper) runs(ctx context.Context, options ...client.ListOption) []reconcile.Request {
	list := &v1alpha1.FunctionRunList{}
	if err := m.cached.List(ctx, list, options...); err != nil {
		log.FromContext(ctx).Error(err, "Listing runs to reconcile")
		return nil
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, request(list.Items[i].Namespace, list.Items[i].Name))
	}
	return requests
}

func runOfPod(_ context.Context, pod client.Object) []reconcile.Request {
	if name := pod.GetLabels()[v1alpha1.LabelRun]; name != "" {
		return []reconcile.Request{request(pod.GetNamespace(), name)}
	}
	return nil
}

// imageOfPod returns the image whose digest the pod reports.
func imageOfPod(_ context.Context, object client.Object) []reconcile.Request {
	pod, ok := object.(*corev1.Pod)
	if !ok || status.DigestOf(pod) == "" {
		return nil
	}
	namespace, name, found := strings.Cut(pod.Annotations[v1alpha1.AnnotationImage], "/")
	if !found {
		return nil
	}
	return []reconcile.Request{request(namespace, name)}
}

// revisionsOfFunction returns all of them, because another one may be current now.
func (m requestMapper) revisionsOfFunction(ctx context.Context, function client.Object) []reconcile.Request {
	return m.revisions(ctx, client.InNamespace(function.GetNamespace()), client.MatchingFields{indexRevisionFunction: string(function.GetUID())})
}

// revisionsOfRun returns the revision that a finished or deleted run no longer needs, and all revisions of the namespace for a run that
// could not be decoded.
func (m requestMapper) revisionsOfRun(ctx context.Context, object client.Object) []reconcile.Request {
	if v1alpha1.DecodeError(object) != "" {
		return m.revisions(ctx, client.InNamespace(object.GetNamespace()), client.HasLabels{v1alpha1.LabelFunctionUID})
	}
	if run, ok := object.(*v1alpha1.FunctionRun); ok && run.Status.Revision != nil {
		return []reconcile.Request{request(run.Namespace, run.Status.Revision.Name)}
	}
	return nil
}

func (m requestMapper) revisions(ctx context.Context, options ...client.ListOption) []reconcile.Request {
	list := configMapMetadataList()
	if err := m.cached.List(ctx, list, options...); err != nil {
		log.FromContext(ctx).Error(err, "Listing revisions to reconcile")
		return nil
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, request(list.Items[i].Namespace, list.Items[i].Name))
	}
	return requests
}

// specOrDecodabilityChanged ignores writes of the status, unless they change whether the object can be decoded.
var specOrDecodabilityChanged = predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.Funcs{
	UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld != nil && e.ObjectNew != nil && v1alpha1.DecodeError(e.ObjectOld) != v1alpha1.DecodeError(e.ObjectNew)
	},
})

// podChanged ignores the kubelet's writes that change nothing that the cache keeps.
var podChanged = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	before, ok := e.ObjectOld.(*corev1.Pod)
	after, alsoOK := e.ObjectNew.(*corev1.Pod)
	if !ok || !alsoOK {
		return true
	}
	return !equality.Semantic.DeepEqual(before.Status, after.Status) ||
		(before.DeletionTimestamp == nil) != (after.DeletionTimestamp == nil)
}}

// digestChanged selects a pod's first report of its image's digest.
var digestChanged = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	before, ok := e.ObjectOld.(*corev1.Pod)
	after, alsoOK := e.ObjectNew.(*corev1.Pod)
	return ok && alsoOK && status.DigestOf(before) != status.DigestOf(after)
}}

// runReleasesRevision selects runs that finished, were deleted, or can be decoded again.
var runReleasesRevision = predicate.Funcs{
	CreateFunc: func(event.CreateEvent) bool { return false },
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.FunctionRun)
		after, alsoOK := e.ObjectNew.(*v1alpha1.FunctionRun)
		return ok && alsoOK && (status.RunFinished(after) && !status.RunFinished(before) ||
			v1alpha1.DecodeError(before) != "" && v1alpha1.DecodeError(after) == "")
	},
}

// functionReleasesRevision selects functions with another current revision or another length of the history, and deleted functions.
var functionReleasesRevision = predicate.Funcs{
	CreateFunc: func(event.CreateEvent) bool { return false },
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.Function)
		after, alsoOK := e.ObjectNew.(*v1alpha1.Function)
		return ok && alsoOK && (v1alpha1.DecodeError(before) != v1alpha1.DecodeError(after) ||
			!equality.Semantic.DeepEqual(before.Status.Revision, after.Status.Revision) ||
			!equality.Semantic.DeepEqual(before.Spec.RevisionHistoryLimit, after.Spec.RevisionHistoryLimit))
	},
}

var isTerminating = predicate.NewPredicateFuncs(func(object client.Object) bool {
	return object.GetDeletionTimestamp() != nil
})

var isRevision = predicate.NewPredicateFuncs(func(object client.Object) bool {
	return object.GetLabels()[v1alpha1.LabelFunctionUID] != ""
})
