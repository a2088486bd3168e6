package controllers

import (
	"context"
	"fmt"
	"time"

	"github.com/distribution/reference"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// ImageReconciler says whether an entry of the catalogue can be used, and records the digest from the pods that run it. It
// asks no registry.
type ImageReconciler struct {
	client.Client
	lookup RuntimeLookup
	tell   announcer
	clock  clock.PassiveClock
	broken *undecodables
}

// NewImageReconciler needs a client that reads from caches and a reader that does not.
func NewImageReconciler(c client.Client, live client.Reader, lookup RuntimeLookup, tell EventRecorder, clk clock.PassiveClock) *ImageReconciler {
	return &ImageReconciler{Client: c, lookup: lookup, tell: announcer{tell}, clock: clk,
		broken: newUndecodables(c, live, announcer{tell}, clk)}
}

// Reconcile is the shell: get, decide, write the status once.
func (r *ImageReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	stored := &v1alpha1.FunctionImage{}
	if err := r.Get(ctx, request.NamespacedName, stored); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if stored.DeletionTimestamp != nil {
		return ctrl.Result{}, nil
	}
	if v1alpha1.DecodeError(stored) != "" {
		return r.broken.report(ctx, stored, "FunctionImage")
	}
	pods := &corev1.PodList{}
	if err := r.List(ctx, pods, client.MatchingFields{indexPodImage: request.String()}); err != nil {
		return ctrl.Result{}, fmt.Errorf("listing the pods that run the image: %w", err)
	}
	image := stored.DeepCopy()
	image.Status.ObservedGeneration = image.Generation
	workers, later, err := r.workersOf(ctx, stored, pods.Items)
	if err != nil {
		return ctrl.Result{}, err
	}
	image.Status.Digest = latestDigest(image, stored.Status, workers)
	found := imageFinding(image, r.lookup)
	w := conditionWriter{conditions: &image.Status.Conditions, generation: image.Generation, now: r.clock.Now()}
	changed := w.stand(found.standing, found.reason, found.message)
	if equality.Semantic.DeepEqual(stored.Status, image.Status) {
		return ctrl.Result{RequeueAfter: later}, nil
	}
	err = r.Status().Apply(ctx, functionImageStatus(image), client.FieldOwner(v1alpha1.FieldManagerController), client.ForceOwnership)
	switch {
	case apierrors.IsConflict(err):
		return ctrl.Result{RequeueAfter: conflictPause}, nil
	case err != nil:
		return ctrl.Result{}, client.IgnoreNotFound(fmt.Errorf("writing the status of the image: %w", err))
	}
	if changed {
		r.tell.standing(image, found)
	}
	return ctrl.Result{RequeueAfter: later}, nil
}

// workersOf leaves out the pods that only say that they run the image for a run: those that are no worker of a run which has
// pinned that image. later is when to look again at pods whose run has not recorded its Job yet, by what the cache says.
func (r *ImageReconciler) workersOf(ctx context.Context, image *v1alpha1.FunctionImage, pods []corev1.Pod) (workers []corev1.Pod, later time.Duration, err error) {
	for i := range pods {
		pod, run := &pods[i], &v1alpha1.FunctionRun{}
		err := r.Get(ctx, client.ObjectKey{Namespace: pod.Namespace, Name: pod.Labels[v1alpha1.LabelRun]}, run)
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return nil, 0, fmt.Errorf("looking up the run of the pod %s: %w", pod.Name, err)
		case workerOf(pod, run):
			if pin := run.Status.Revision; pin != nil && pin.RegistryPath == image.Spec.RegistryPath {
				workers = append(workers, *pod)
			}
		case pod.Labels[v1alpha1.LabelRunUID] == string(run.UID) && (run.Status.Job == nil || run.Status.Job.UID == "") && !runFinished(run):
			later = time.Second
		}
	}
	return workers, later, nil
}

func imageFinding(image *v1alpha1.FunctionImage, lookup RuntimeLookup) finding {
	if _, err := reference.ParseNormalizedNamed(image.Spec.RegistryPath); err != nil {
		return finding{standingStalled, v1alpha1.ReasonInvalid, fmt.Sprintf(
			"spec.registryPath %q is not a reference of an image (%v): write one such as docker.io/library/python:3.12.", cut(image.Spec.RegistryPath, 256), err)}
	}
	if _, known := lookup(image.Spec.Runtime); !known {
		return finding{standingStalled, v1alpha1.ReasonRuntimeUnknown, fmt.Sprintf(
			"spec.runtime %q is not a runtime that this operator knows: use one such as python311.", image.Spec.Runtime)}
	}
	return finding{standingReady, v1alpha1.ReasonReady, "Functions may use this image."}
}

// latestDigest is the digest that the latest of the pods reports that run the image as the entry names it now. Where none
// does, what was recorded stays, unless the entry has named another image since.
func latestDigest(image *v1alpha1.FunctionImage, recorded v1alpha1.FunctionImageStatus, pods []corev1.Pod) string {
	digest, latest := "", (*corev1.Pod)(nil)
	for i := range pods {
		pod := &pods[i]
		if digestOf(pod) == "" || !runsImage(pod, image.Spec.RegistryPath) {
			continue
		}
		if latest == nil || latest.CreationTimestamp.Before(&pod.CreationTimestamp) {
			digest, latest = digestOf(pod), pod
		}
	}
	if latest == nil && recorded.ObservedGeneration == image.Generation {
		return recorded.Digest
	}
	return digest
}

func runsImage(pod *corev1.Pod, registryPath string) bool {
	for _, container := range pod.Spec.Containers {
		if container.Name == workerContainer {
			return container.Image == registryPath
		}
	}
	return false
}
