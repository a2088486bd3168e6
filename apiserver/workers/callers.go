package workers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/core"
	"sharedcloud.io/function-operator/apiserver/identity"
	"sharedcloud.io/function-operator/apiserver/work"
)

// Callers identifies the callers of the exchange: a pod, by the token issued for it, which belongs to the run in the path by its labels,
// and to a Job by its controller reference.
type Callers struct {
	tokens *identity.PodTokens
	pods   *core.Pods
	runs   *core.Runs
	// jobs are the Jobs that a run's status has named: after a suspension has ended a Job, its pods still report their outcomes.
	jobs *utilcache.LRUExpireCache
}

// jobKey identifies a Job of a run.
type jobKey struct{ run, job types.UID }

const (
	maxJobs = 16384
	jobsTTL = time.Hour
)

var _ work.Authenticator = (*Callers)(nil)

// NewCallers returns the authenticator of the exchange.
func NewCallers(tokens *identity.PodTokens, pods *core.Pods, runs *core.Runs, clock clock.PassiveClock) *Callers {
	return &Callers{tokens: tokens, pods: pods, runs: runs, jobs: utilcache.NewLRUExpireCacheWithClock(maxJobs, clock)}
}

// Worker implements work.Authenticator.
func (c *Callers) Worker(r *http.Request, namespace, run string) (work.Worker, error) {
	caller, err := c.tokens.Authenticate(r)
	switch {
	case errors.Is(err, identity.ErrNoToken):
		return work.Worker{}, work.ErrUnauthenticated
	case errors.Is(err, identity.ErrNotAPod):
		return work.Worker{}, work.ErrForbidden
	case err != nil:
		return work.Worker{}, err
	case caller.Namespace != namespace:
		return work.Worker{}, work.ErrForbidden
	}
	pod, err := c.pod(r.Context(), caller)
	if err != nil {
		return work.Worker{}, err
	}
	worker, ok := workerOf(pod)
	if !ok || worker.Run != run {
		return work.Worker{}, work.ErrForbidden
	}
	if err := c.ownJob(r.Context(), worker); err != nil {
		return work.Worker{}, err
	}
	return worker, nil
}

// pod returns the pod that a token was issued for. If the cache does not know it, it may be newer than the cache: it is read from the
// Kubernetes API before it is rejected.
func (c *Callers) pod(ctx context.Context, caller identity.Pod) (*corev1.Pod, error) {
	if pod, ok := c.pods.Cached(caller.Namespace, caller.Name, caller.UID); ok {
		return pod, nil
	}
	pod, err := c.pods.Live(ctx, caller.Namespace, caller.Name, caller.UID)
	switch {
	case apierrors.IsNotFound(err):
		// A pod that does not exist has no process: the caller has a copy of its token.
		return nil, work.ErrUnauthenticated
	case err != nil:
		return nil, fmt.Errorf("reading the pod of a worker: %w", err)
	}
	return pod, nil
}

// ownJob checks that the worker's Job is the run's, because anyone who can create Jobs can label their pods. The cache may not have the
// status with the Job's UID yet, or the status may not be written yet: then the worker tries again.
func (c *Callers) ownJob(ctx context.Context, worker work.Worker) error {
	run, err := c.runs.Get(ctx, worker.Namespace, worker.Run)
	if err == nil && run.UID == worker.RunUID && v1alpha1.DecodeError(run) != "" {
		return work.ErrNotDecodable // without a live read: the cache will see the correction
	}
	if err == nil && !c.named(run, worker) {
		run, err = c.runs.Refresh(ctx, worker.Namespace, worker.Run)
	}
	switch {
	case apierrors.IsNotFound(err):
		return work.ErrNoRun
	case err != nil:
		return fmt.Errorf("reading the FunctionRun of a worker: %w", err)
	case run.UID != worker.RunUID:
		return work.ErrNoRun
	case c.named(run, worker):
		return nil
	case run.Status.Job == nil || run.Status.Job.UID == "":
		return fmt.Errorf("the status of FunctionRun %s/%s does not name its Job yet", run.Namespace, run.Name)
	default:
		return work.ErrForbidden
	}
}

// named reports whether the run's status names the worker's Job, or did so before.
func (c *Callers) named(run *v1alpha1.FunctionRun, worker work.Worker) bool {
	if run.UID != worker.RunUID {
		return false
	}
	key := jobKey{run.UID, worker.JobUID}
	if run.Status.Job != nil && run.Status.Job.UID == worker.JobUID {
		c.jobs.Add(key, true, jobsTTL)
		return true
	}
	_, before := c.jobs.Get(key)
	return before
}

// workerOf reads the identity of a worker from the labels of its pod and from the Job that controls it.
func workerOf(pod *corev1.Pod) (work.Worker, bool) {
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil || owner.Kind != "Job" || owner.APIVersion != batchv1.SchemeGroupVersion.String() {
		return work.Worker{}, false
	}
	index, ok := completionIndex(pod)
	if !ok {
		return work.Worker{}, false
	}
	worker := work.Worker{
		Namespace:       pod.Namespace,
		Run:             pod.Labels[v1alpha1.LabelRun],
		RunUID:          types.UID(pod.Labels[v1alpha1.LabelRunUID]),
		PodName:         pod.Name,
		Node:            pod.Spec.NodeName,
		PodUID:          pod.UID,
		JobUID:          owner.UID,
		CompletionIndex: index,
	}
	return worker, worker.Run != "" && worker.RunUID != ""
}

// completionIndex reads the annotation, or the label that Kubernetes has set since 1.28.
func completionIndex(pod *corev1.Pod) (int, bool) {
	text, ok := pod.Labels[batchv1.JobCompletionIndexAnnotation]
	if !ok {
		text, ok = pod.Annotations[batchv1.JobCompletionIndexAnnotation]
	}
	index, err := strconv.ParseInt(text, 10, 32)
	return int(index), ok && err == nil && index >= 0
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }
