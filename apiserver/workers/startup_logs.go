package workers

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/work"
)

const (
	// firstLookupDelay is the time between a worker's first call and the first lookup: the kubelet writes its events asynchronously, and
	// a run of one second must not compete for the Kubernetes API. The delay doubles with each further lookup.
	firstLookupDelay = 2 * time.Second
	// maxLookups is the maximum number of lookups for the event of the container's start. After the last one, the log is recorded as it is.
	maxLookups = 4
	// maxAttempts is the maximum number of attempts of one lookup, retryInterval the time before the second attempt; the time doubles
	// with each further attempt.
	maxAttempts   = 6
	retryInterval = time.Second
	// sweepInterval is the interval of searches for missed workers: because a server stopped, too many started at once, or the
	// Kubernetes API was unavailable for a long time.
	sweepInterval = 2 * time.Minute
	// lookupTimeout is the maximum duration of one lookup, without the wait for its turn.
	lookupTimeout = 10 * time.Second

	// Limits of the cost: workers that wait for a lookup, lookups per second and in parallel, events read per pod. To find the events
	// of a pod, the Kubernetes API reads all events of its namespace.
	maxPending       = 16384
	lookupsPerSecond = 20
	lookupBurst      = 40
	lookupWorkers    = 2
	maxPodEvents     = 100

	// The GPU products of this many nodes are cached for this long.
	maxProducts = 4096
	productsTTL = time.Minute
)

// eventPodUID is the field of an event with the UID of its object.
const eventPodUID = "involvedObject.uid"

// StartupLogs records how workers started, once in the row of each: the startup log of the pod, and the GPU product of the node. It works
// independently of the exchange: no call waits for it or fails because of it.
type StartupLogs struct {
	reader client.Reader
	store  outcomes.Store
	// label is the node label with the GPU product.
	label    string
	clock    clock.WithTicker
	limiter  *rate.Limiter
	products *utilcache.LRUExpireCache
	queue    workqueue.TypedDelayingInterface[workerKey]

	mu      sync.Mutex
	pending map[workerKey]*lookup
	// failed counts the lookups that were given up since the last sweep; reason is the error of the last one.
	failed int
	reason error
}

// workerKey identifies a worker of a run.
type workerKey struct{ run, pod types.UID }

// lookup is a worker whose startup log is not recorded. Only the goroutine that processes its key uses the counters.
type lookup struct {
	namespace, pod, node string
	lookups, failures    int
}

// NewStartupLogs returns a StartupLogs that reads from the Kubernetes API. Joined may be called at once; Run processes the workers.
func NewStartupLogs(reader client.Reader, store outcomes.Store, label string, clock clock.WithTicker) *StartupLogs {
	return &StartupLogs{
		reader:   reader,
		store:    store,
		label:    label,
		clock:    clock,
		limiter:  rate.NewLimiter(lookupsPerSecond, lookupBurst),
		products: utilcache.NewLRUExpireCacheWithClock(maxProducts, clock),
		queue:    workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[workerKey]{Name: "startup-logs", Clock: clock}),
		pending:  map[workerKey]*lookup{},
	}
}

// Joined adds a worker after its first call: see work.Options.Joined. It does not block.
func (s *StartupLogs) Joined(run types.UID, worker work.Worker) {
	s.add(workerKey{run, worker.PodUID}, lookup{namespace: worker.Namespace, pod: worker.PodName, node: worker.Node})
}

func (s *StartupLogs) add(key workerKey, look lookup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.pending[key]; known || len(s.pending) >= maxPending {
		return // if the queue is full, a later sweep finds the worker
	}
	s.pending[key] = &look
	s.schedule(key, firstLookupDelay)
}

// schedule enqueues a worker after the wait, or later if the rate limit requires it.
func (s *StartupLogs) schedule(key workerKey, wait time.Duration) {
	now := s.clock.Now()
	s.queue.AddAfter(key, max(wait, s.limiter.ReserveN(now, 1).DelayFrom(now)))
}

// Run processes workers until ctx ends. The store must be open: it starts with the workers that an earlier server missed.
func (s *StartupLogs) Run(ctx context.Context) {
	var group sync.WaitGroup
	for range lookupWorkers {
		group.Go(func() {
			for s.next(ctx) {
			}
		})
	}
	ticker := s.clock.NewTicker(sweepInterval)
	defer ticker.Stop()
	for {
		if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
			klog.FromContext(ctx).Error(err, "Cannot look for workers without a startup log; trying again", "after", sweepInterval)
		}
		select {
		case <-ctx.Done():
			s.queue.ShutDown()
			group.Wait()
			return
		case <-ticker.C():
		}
	}
}

// sweep finds the live workers that were missed.
func (s *StartupLogs) sweep(ctx context.Context) error {
	s.mu.Lock()
	failed, reason := s.failed, s.reason
	s.failed, s.reason = 0, nil
	s.mu.Unlock()
	if failed > 0 {
		klog.FromContext(ctx).Error(reason, "Cannot read how workers started; live workers are tried again", "workers", failed)
	}
	var leases []outcomes.Lease
	err := s.store.View(ctx, func(tx *outcomes.Tx) (err error) {
		leases, err = tx.LeasesWithoutStartup()
		return err
	})
	if err != nil {
		return err
	}
	for _, l := range leases {
		s.add(workerKey{l.Run, l.Pod}, lookup{namespace: l.Namespace, pod: l.PodName, node: l.Node})
	}
	return nil
}

func (s *StartupLogs) next(ctx context.Context) bool {
	key, shutdown := s.queue.Get()
	if shutdown {
		return false
	}
	defer s.queue.Done(key)
	s.mu.Lock()
	look, ok := s.pending[key]
	s.mu.Unlock()
	if !ok {
		return true
	}
	done, err := s.lookUp(ctx, key, look)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		s.lookUpFailed(ctx, key, look, err)
	case done:
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.pending, key)
	default:
		s.schedule(key, firstLookupDelay<<look.lookups)
	}
	return true
}

// lookUpFailed schedules another attempt, or gives up.
func (s *StartupLogs) lookUpFailed(ctx context.Context, key workerKey, look *lookup, err error) {
	klog.FromContext(ctx).V(1).Info("Cannot read how a worker started; trying again", "pod", klog.KRef(look.namespace, look.pod),
		"failures", look.failures+1, "err", err)
	if look.failures++; look.failures < maxAttempts {
		s.schedule(key, retryInterval<<(look.failures-1))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pending, key)
	s.failed++
	s.reason = err
}

// lookUp reads the events of a worker's pod and records its startup log. It is not done if a later lookup may find more events.
func (s *StartupLogs) lookUp(ctx context.Context, key workerKey, look *lookup) (done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	var events corev1.EventList
	if err := s.reader.List(ctx, &events, client.InNamespace(look.namespace), client.MatchingFields{eventPodUID: string(key.pod)},
		client.Limit(maxPodEvents)); err != nil {
		return false, fmt.Errorf("listing the events of a pod: %w", err)
	}
	text, started := startupLog(events.Items)
	if !started && look.lookups+1 < maxLookups {
		look.lookups++
		return false, nil
	}
	product, err := s.product(ctx, look.node)
	if err != nil {
		return false, err
	}
	err = s.store.Update(ctx, key.run, func(tx *outcomes.Tx) error {
		_, err := tx.SetStartup(key.run, key.pod, product, text)
		return err
	})
	return err == nil, err
}

// product returns the GPU product in a node's label; "" if it has none or does not exist any more.
func (s *StartupLogs) product(ctx context.Context, node string) (string, error) {
	if node == "" {
		return "", nil
	}
	if known, ok := s.products.Get(node); ok {
		product, _ := known.(string)
		return product, nil
	}
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Node"))
	if err := s.reader.Get(ctx, client.ObjectKey{Name: node}, object); client.IgnoreNotFound(err) != nil {
		return "", fmt.Errorf("reading the labels of node %s: %w", node, err)
	}
	product := object.Labels[s.label]
	s.products.Add(node, product, productsTTL)
	return product, nil
}
