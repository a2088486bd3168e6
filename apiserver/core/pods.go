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
	// deletedSize and deletedTTL bound the cache of deleted pods. The TTL exceeds the duration of a lease.
	deletedSize = 16384
	deletedTTL  = 15 * time.Minute
)

// Pods finds the pods of runs, reduced by slimPod: in the cache, or live where the cache may be stale.
type Pods struct {
	informer toolscache.SharedIndexInformer
	live     *live[*corev1.Pod]
	// deleted has the last state of deleted pods, by uid.
	deleted *utilcache.LRUExpireCache
}

// NewPods returns the pods of an informer. It does not start the informer.
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

// Remember stores the last state of a deleted pod. A tombstone has the cached state from before a missed deletion: it is used only if the
// pod had ended by then.
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

// Informer returns the informer, to watch changes of pods.
func (p *Pods) Informer() toolscache.SharedIndexInformer { return p.informer }

// Synced reports whether the cache has received its first list.
func (p *Pods) Synced() bool { return p.informer.HasSynced() }

// Cached returns the pod with the name and uid from the cache.
func (p *Pods) Cached(namespace, name string, uid types.UID) (*corev1.Pod, bool) {
	pod, ok := lookup[*corev1.Pod](p.informer, namespace, name)
	if !ok || pod.UID != uid {
		return nil, false
	}
	return pod, true
}

// Deleted returns the last state of a pod whose deletion was observed.
func (p *Pods) Deleted(uid types.UID) (*corev1.Pod, bool) {
	value, ok := p.deleted.Get(uid)
	if !ok {
		return nil, false
	}
	pod, ok := value.(*corev1.Pod)
	return pod, ok
}

// Live reads the pod from the API. A pod of the same name with another uid is NotFound. Other errors are the API's own, or ErrBusy.
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

// PodEnded reports whether a worker's pod has ended: its worker container, or the pod as a whole.
func PodEnded(pod *corev1.Pod) bool {
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return true
	}
	return Terminated(pod) != nil
}

// Terminated returns the terminated state of the worker's container, or nil if it has not terminated.
func Terminated(pod *corev1.Pod) *corev1.ContainerStateTerminated {
	for i := range pod.Status.ContainerStatuses {
		if status := &pod.Status.ContainerStatuses[i]; status.Name == WorkerContainer {
			return status.State.Terminated
		}
	}
	return nil
}
