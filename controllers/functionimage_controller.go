package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/status"
	"sharedcloud.io/function-operator/controllers/workload"
)

// unrecordedJobInterval is when to check a pod again whose run has not recorded its Job yet.
const unrecordedJobInterval = time.Second

// ImageReconciler reports whether functions can use an image, and records its digest from the pods that run it. It does not
// contact registries.
type ImageReconciler struct {
	client.Client
	lookup      workload.RuntimeLookup
	events      eventWriter
	clock       clock.PassiveClock
	undecodable *undecodableReporter
}

// NewImageReconciler needs a client that reads from caches and a reader that does not.
func NewImageReconciler(c client.Client, live client.Reader, lookup workload.RuntimeLookup, recorder EventRecorder, clk clock.PassiveClock) *ImageReconciler {
	events := eventWriter{recorder}
	return &ImageReconciler{Client: c, lookup: lookup, events: events, clock: clk, undecodable: newUndecodableReporter(c, live, events, clk)}
}

// Reconcile reads the image, decides, and writes the status once.
func (r *ImageReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	stored := &v1alpha1.FunctionImage{}
	if err := r.Get(ctx, request.NamespacedName, stored); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if stored.DeletionTimestamp != nil {
		return ctrl.Result{}, nil
	}
	if v1alpha1.DecodeError(stored) != "" {
		return r.undecodable.report(ctx, stored, "FunctionImage")
	}
	pods := &corev1.PodList{}
	if err := r.List(ctx, pods, client.MatchingFields{indexPodImage: request.String()}); err != nil {
		return ctrl.Result{}, fmt.Errorf("listing the pods that run the image: %w", err)
	}
	image := stored.DeepCopy()
	image.Status.ObservedGeneration = image.Generation
	workers, recheck, err := r.workersOf(ctx, stored, pods.Items)
	if err != nil {
		return ctrl.Result{}, err
	}
	image.Status.Digest = status.LatestDigest(image, stored.Status, workers)
	state := status.Ready(v1alpha1.ReasonReady, "Functions may use this image.")
	if problem := workload.CheckImage(image, r.lookup); problem != nil {
		state = stateOf(problem)
	}
	w := status.Writer{Conditions: &image.Status.Conditions, Generation: image.Generation, Now: r.clock.Now()}
	changed := w.Write(state)
	if equality.Semantic.DeepEqual(stored.Status, image.Status) {
		return ctrl.Result{RequeueAfter: recheck}, nil
	}
	err = r.Status().Apply(ctx, status.FunctionImageConfiguration(image), client.FieldOwner(v1alpha1.FieldManagerController), client.ForceOwnership)
	switch {
	case apierrors.IsConflict(err):
		return ctrl.Result{RequeueAfter: conflictInterval}, nil
	case err != nil:
		return ctrl.Result{}, client.IgnoreNotFound(fmt.Errorf("writing the status of the image: %w", err))
	}
	if changed {
		r.events.state(image, state)
	}
	return ctrl.Result{RequeueAfter: recheck}, nil
}

// workersOf keeps the pods that really run the image for a run: workers of a run that has pinned the image. Others only claim it in
// an annotation. recheck is when to check pods again whose run, in the cache, has not recorded its Job yet.
func (r *ImageReconciler) workersOf(ctx context.Context, image *v1alpha1.FunctionImage, pods []corev1.Pod) (workers []corev1.Pod, recheck time.Duration, err error) {
	for i := range pods {
		pod, run := &pods[i], &v1alpha1.FunctionRun{}
		err := r.Get(ctx, client.ObjectKey{Namespace: pod.Namespace, Name: pod.Labels[v1alpha1.LabelRun]}, run)
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return nil, 0, fmt.Errorf("looking up the run of the pod %s: %w", pod.Name, err)
		case status.IsWorker(pod, run):
			if pin := run.Status.Revision; pin != nil && pin.RegistryPath == image.Spec.RegistryPath {
				workers = append(workers, *pod)
			}
		case pod.Labels[v1alpha1.LabelRunUID] == string(run.UID) && (run.Status.Job == nil || run.Status.Job.UID == "") && !status.RunFinished(run):
			recheck = unrecordedJobInterval
		}
	}
	return workers, recheck, nil
}
