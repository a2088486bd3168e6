package core

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// deletedSize and deletedTTL bound what is remembered of deleted pods: long enough for a lease to run out after.
	deletedSize = 16384
	deletedTTL  = 15 * time.Minute
)

// Pods finds the pods of runs, slimmed: in the cache, and live where the cache may lag behind.
type Pods struct {
	informer toolscache.SharedIndexInformer
	live     *live[*corev1.Pod]
	// deleted holds the last state of pods that are gone, by uid.
	deleted *utilcache.LRUExpireCache
}

// NewPods makes the look-up over an informer. It does not start it.
func NewPods(informer toolscache.SharedIndexInformer, reader client.Reader, clock clock.Clock) (*Pods, error) {
	p := &Pods{
		informer: informer,
		deleted:  utilcache.NewLRUExpireCacheWithClock(deletedSize, clock),
	}
	p.live = newLive(50, 100, func(ctx context.Context, namespace, name string) (*corev1.Pod, error) {
		pod := &corev1.Pod{}
		if err := reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, pod); err != nil {
			return nil, err
		}
		return slim(pod), nil
	})
	_, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{DeleteFunc: p.Remember})
	if err != nil {
		return nil, fmt.Errorf("watching pods: %w", err)
	}
	return p, nil
}

// Remember keeps the last state of a pod that is gone. A tombstone's state is what the cache happened to have before it
// missed the deletion: it says how the pod ended only where it had already ended.
func (p *Pods) Remember(obj any) {
	tombstone, stale := obj.(toolscache.DeletedFinalStateUnknown)
	if stale {
		obj = tombstone.Obj
	}
	pod, ok := obj.(*corev1.Pod)
	if !ok || pod == nil || (stale && !PodEnded(pod)) {
		return
	}
	p.deleted.Add(pod.UID, pod, deletedTTL)
}

// Informer is where changes of pods can be watched.
func (p *Pods) Informer() toolscache.SharedIndexInformer { return p.informer }

// Synced says whether the cache has seen all pods once.
func (p *Pods) Synced() bool { return p.informer.HasSynced() }

// Cached returns the pod of that name and uid as it was last seen.
func (p *Pods) Cached(namespace, name string, uid types.UID) (*corev1.Pod, bool) {
	pod, ok := lookup[*corev1.Pod](p.informer, namespace, name)
	if !ok || pod.UID != uid {
		return nil, false
	}
	return pod, true
}

// Deleted returns the last state of a pod whose deletion was seen.
func (p *Pods) Deleted(uid types.UID) (*corev1.Pod, bool) {
	value, ok := p.deleted.Get(uid)
	if !ok {
		return nil, false
	}
	pod, ok := value.(*corev1.Pod)
	return pod, ok
}

// Live reads the pod from the API. A pod of that name with another uid is reported as NotFound. The other errors are the
// API's own, or ErrBusy.
func (p *Pods) Live(ctx context.Context, namespace, name string, uid types.UID) (*corev1.Pod, error) {
	pod, err := p.live.get(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	if pod.UID != uid {
		return nil, apierrors.NewNotFound(corev1.Resource("pods"), name)
	}
	return pod, nil
}

// PodEnded says whether a worker's pod has ended: its container has, or the pod as a whole has.
func PodEnded(pod *corev1.Pod) bool {
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return true
	}
	return Terminated(pod) != nil
}

// Terminated returns how the worker's container ended, or nil while it has not.
func Terminated(pod *corev1.Pod) *corev1.ContainerStateTerminated {
	for i := range pod.Status.ContainerStatuses {
		if status := &pod.Status.ContainerStatuses[i]; status.Name == WorkerContainer {
			return status.State.Terminated
		}
	}
	return nil
}
