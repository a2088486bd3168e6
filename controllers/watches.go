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
)

// waker maps what changed to what must look again. Everything that is awaited anywhere is woken from here: nothing polls
// for it.
type waker struct {
	cached client.Reader
	// catalogue is the namespace whose images every namespace may use.
	catalogue string
}

func request(namespace, name string) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}
}

// functionsOfImage: those in the image's namespace that name it; all that name it if it is one of the catalogue's.
func (w waker) functionsOfImage(ctx context.Context, image client.Object) []reconcile.Request {
	options := []client.ListOption{client.MatchingFields{indexFunctionImage: image.GetName()}}
	if image.GetNamespace() != w.catalogue {
		options = append(options, client.InNamespace(image.GetNamespace()))
	}
	return w.functions(ctx, options...)
}

// functionsOfConfigMap: those whose code is in it, and the one whose revision it is.
func (w waker) functionsOfConfigMap(ctx context.Context, configMap client.Object) []reconcile.Request {
	requests := w.functions(ctx, client.InNamespace(configMap.GetNamespace()),
		client.MatchingFields{indexFunctionSource: configMap.GetName()})
	if labels := configMap.GetLabels(); labels[v1alpha1.LabelFunctionUID] != "" && labels[v1alpha1.LabelFunction] != "" {
		requests = append(requests, request(configMap.GetNamespace(), labels[v1alpha1.LabelFunction]))
	}
	return requests
}

func (w waker) functions(ctx context.Context, options ...client.ListOption) []reconcile.Request {
	list := &v1alpha1.FunctionList{}
	if err := w.cached.List(ctx, list, options...); err != nil {
		log.FromContext(ctx).Error(err, "Listing functions to wake")
		return nil
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, request(list.Items[i].Namespace, list.Items[i].Name))
	}
	return requests
}

// runsOfFunction: those that have not pinned a revision yet.
func (w waker) runsOfFunction(ctx context.Context, function client.Object) []reconcile.Request {
	return w.runs(ctx, client.InNamespace(function.GetNamespace()), client.MatchingFields{indexRunFunction: function.GetName()})
}

// runsOfConfigMap: those that have not pinned their inputs yet.
func (w waker) runsOfConfigMap(ctx context.Context, configMap client.Object) []reconcile.Request {
	return w.runs(ctx, client.InNamespace(configMap.GetNamespace()), client.MatchingFields{indexRunInputs: configMap.GetName()})
}

// runsOfNamespace: all of them, since their Jobs must go.
func (w waker) runsOfNamespace(ctx context.Context, namespace client.Object) []reconcile.Request {
	return w.runs(ctx, client.InNamespace(namespace.GetName()))
}

func (w waker) runs(ctx context.Context, options ...client.ListOption) []reconcile.Request {
	list := &v1alpha1.FunctionRunList{}
	if err := w.cached.List(ctx, list, options...); err != nil {
		log.FromContext(ctx).Error(err, "Listing runs to wake")
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

// imageOfPod: the image whose digest the pod reports.
func imageOfPod(_ context.Context, object client.Object) []reconcile.Request {
	pod, ok := object.(*corev1.Pod)
	if !ok || digestOf(pod) == "" {
		return nil
	}
	namespace, name, found := strings.Cut(pod.Annotations[annotationImage], "/")
	if !found {
		return nil
	}
	return []reconcile.Request{request(namespace, name)}
}

// revisionsOfFunction: all of them, since another one may be the present one now.
func (w waker) revisionsOfFunction(ctx context.Context, function client.Object) []reconcile.Request {
	list := configMapMetadataList()
	if err := w.cached.List(ctx, list, client.InNamespace(function.GetNamespace()),
		client.MatchingFields{indexRevisionFunction: string(function.GetUID())}); err != nil {
		log.FromContext(ctx).Error(err, "Listing revisions to wake")
		return nil
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, request(list.Items[i].Namespace, list.Items[i].Name))
	}
	return requests
}

// revisionsOfRun: the one that a run which is over or gone needs no more; all of its namespace where it could not be
// decoded.
func (w waker) revisionsOfRun(ctx context.Context, object client.Object) []reconcile.Request {
	if v1alpha1.DecodeError(object) != "" {
		return w.revisionsOfNamespace(ctx, object.GetNamespace())
	}
	if run, ok := object.(*v1alpha1.FunctionRun); ok && run.Status.Revision != nil {
		return []reconcile.Request{request(run.Namespace, run.Status.Revision.Name)}
	}
	return nil
}

func (w waker) revisionsOfNamespace(ctx context.Context, namespace string) []reconcile.Request {
	list := configMapMetadataList()
	if err := w.cached.List(ctx, list, client.InNamespace(namespace), client.HasLabels{v1alpha1.LabelFunctionUID}); err != nil {
		log.FromContext(ctx).Error(err, "Listing revisions to wake")
		return nil
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, request(list.Items[i].Namespace, list.Items[i].Name))
	}
	return requests
}

// specOrDecodabilityChanged leaves out writes of the status, unless they are why an object can be decoded or cannot be any
// more.
var specOrDecodabilityChanged = predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.Funcs{
	UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld != nil && e.ObjectNew != nil && v1alpha1.DecodeError(e.ObjectOld) != v1alpha1.DecodeError(e.ObjectNew)
	},
})

// podSaysSomethingNew leaves out the kubelet's writes that change nothing of what the cache keeps.
var podSaysSomethingNew = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	before, ok := e.ObjectOld.(*corev1.Pod)
	after, alsoOK := e.ObjectNew.(*corev1.Pod)
	if !ok || !alsoOK {
		return true
	}
	return !equality.Semantic.DeepEqual(before.Status, after.Status) ||
		(before.DeletionTimestamp == nil) != (after.DeletionTimestamp == nil)
}}

// digestIsNew: a pod's first report of the digest of its image.
var digestIsNew = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	before, ok := e.ObjectOld.(*corev1.Pod)
	after, alsoOK := e.ObjectNew.(*corev1.Pod)
	return ok && alsoOK && digestOf(before) != digestOf(after)
}}

// runLetsGo: the run is over, or was deleted.
var runLetsGo = predicate.Funcs{
	CreateFunc: func(event.CreateEvent) bool { return false },
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.FunctionRun)
		after, alsoOK := e.ObjectNew.(*v1alpha1.FunctionRun)
		return ok && alsoOK && (runFinished(after) && !runFinished(before) ||
			v1alpha1.DecodeError(before) != "" && v1alpha1.DecodeError(after) == "")
	},
}

// functionLetsGo: another revision is the present one, the history is shorter, or the function is gone.
var functionLetsGo = predicate.Funcs{
	CreateFunc: func(event.CreateEvent) bool { return false },
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.Function)
		after, alsoOK := e.ObjectNew.(*v1alpha1.Function)
		return ok && alsoOK && (v1alpha1.DecodeError(before) != v1alpha1.DecodeError(after) || !equality.Semantic.DeepEqual(before.Status.Revision, after.Status.Revision) ||
			!equality.Semantic.DeepEqual(before.Spec.RevisionHistoryLimit, after.Spec.RevisionHistoryLimit))
	},
}

var isTerminating = predicate.NewPredicateFuncs(func(object client.Object) bool {
	return object.GetDeletionTimestamp() != nil
})

var isRevision = predicate.NewPredicateFuncs(func(object client.Object) bool {
	return object.GetLabels()[v1alpha1.LabelFunctionUID] != ""
})
