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
	// birthSettle is how long after its first call a worker is looked at: the kubelet writes its events beside its work, and
	// a run of a second shall have the API to itself. The next looks are twice, four times, … as far apart.
	firstLookupDelay = 2 * time.Second
	// birthLooks is how often the event of the container's start is looked for. Then what there is is all.
	maxLookups = 4
	// birthTries is how often one look is tried, birthPause and twice, four times, … that apart.
	maxAttempts   = 6
	retryInterval = time.Second
	// birthRound is how often workers are looked for that were left out: by a server that ended, because there were too
	// many at once, or because the API was away for long.
	sweepInterval = 2 * time.Minute
	// birthTimeout bounds one look, but not the wait for its turn.
	lookupTimeout = 10 * time.Second

	// What the look-ups may cost: so many workers wait for theirs, so many are looked at a second and at a time, so many
	// events of one are read. The Kubernetes API reads all events of a namespace to find those of a pod.
	maxPending       = 16384
	lookupsPerSecond = 20
	lookupBurst      = 40
	lookupWorkers    = 2
	maxPodEvents     = 100

	// The labels of so many nodes are kept for so long.
	maxProducts = 4096
	productsTTL = time.Minute
)

// eventPodUID is the field of an event that has the uid of the object that it is about.
const eventPodUID = "involvedObject.uid"

// Births finds out how workers came to be, once for each, and writes it into their rows: the life of the pod before the
// code ran, and which GPUs its node has. It does so beside the exchange: no call waits for it, and none fails with it.
type StartupLogs struct {
	reader client.Reader
	store  outcomes.Store
	// label is that of a node which says what GPUs it has.
	label    string
	clock    clock.WithTicker
	limiter  *rate.Limiter
	products *utilcache.LRUExpireCache
	queue    workqueue.TypedDelayingInterface[workerKey]

	mu      sync.Mutex
	pending map[workerKey]*lookup
	// failed counts the look-ups that were given up since the last round; reason is the last one's.
	failed int
	reason error
}

// birthKey is a worker of a run.
type workerKey struct{ run, pod types.UID }

// birth is a worker that is to be looked at. Only the one who has its key from the queue reads the numbers.
type lookup struct {
	namespace, pod, node string
	lookups, failures    int
}

// NewBirths makes a look-up that reads live. Workers can join at once; Run looks at them.
func NewStartupLogs(reader client.Reader, store outcomes.Store, label string, clock clock.WithTicker) *StartupLogs {
	return &StartupLogs{
		reader:   reader,
		store:    store,
		label:    label,
		clock:    clock,
		limiter:  rate.NewLimiter(lookupsPerSecond, lookupBurst),
		products: utilcache.NewLRUExpireCacheWithClock(maxProducts, clock),
		queue:    workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[workerKey]{Name: "births", Clock: clock}),
		pending:  map[workerKey]*lookup{},
	}
}

// Joined takes note of a worker's first call: work.Options.Joined. It does not block.
func (s *StartupLogs) Joined(run types.UID, worker work.Worker) {
	s.add(workerKey{run, worker.PodUID}, lookup{namespace: worker.Namespace, pod: worker.PodName, node: worker.Node})
}

func (s *StartupLogs) add(key workerKey, next lookup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.pending[key]; known || len(s.pending) >= maxPending {
		return // a round finds those that are left out
	}
	s.pending[key] = &next
	s.schedule(key, firstLookupDelay)
}

// later looks at a worker after a while, and not before its turn.
func (s *StartupLogs) schedule(key workerKey, wait time.Duration) {
	now := s.clock.Now()
	s.queue.AddAfter(key, max(wait, s.limiter.ReserveN(now, 1).DelayFrom(now)))
}

// Run looks at workers until ctx ends. The store must be open: it begins with those that an earlier server left out.
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
			klog.FromContext(ctx).Error(err, "Looking for workers of which it is not known how they came to be failed; they are looked for again", "after", sweepInterval)
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

// round finds the live workers that were left out.
func (s *StartupLogs) sweep(ctx context.Context) error {
	s.mu.Lock()
	failed, reason := s.failed, s.reason
	s.failed, s.reason = 0, nil
	s.mu.Unlock()
	if failed > 0 {
		klog.FromContext(ctx).Error(reason, "How workers came to be could not be looked up; those that still work are tried again", "workers", failed)
	}
	var leases []outcomes.Lease
	err := s.store.View(ctx, func(tx *outcomes.Tx) (err error) {
		leases, err = tx.Unborn()
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
	next, ok := s.pending[key]
	s.mu.Unlock()
	if !ok {
		return true
	}
	done, err := s.lookUp(ctx, key, next)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		s.lookUpFailed(ctx, key, next, err)
	case done:
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.pending, key)
	default:
		s.schedule(key, firstLookupDelay<<next.lookups)
	}
	return true
}

// failedLook tries the look again, a few times.
func (s *StartupLogs) lookUpFailed(ctx context.Context, key workerKey, next *lookup, err error) {
	klog.FromContext(ctx).V(1).Info("Looking up how a worker came to be failed", "pod", klog.KRef(next.namespace, next.pod),
		"failures", next.failures+1, "err", err)
	if next.failures++; next.failures < maxAttempts {
		s.schedule(key, retryInterval<<(next.failures-1))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pending, key)
	s.failed++
	s.reason = err
}

// look looks at a worker once and writes down what it sees, unless the next look will see more: then it says that it is not
// done.
func (s *StartupLogs) lookUp(ctx context.Context, key workerKey, next *lookup) (done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	var events corev1.EventList
	if err := s.reader.List(ctx, &events, client.InNamespace(next.namespace), client.MatchingFields{eventPodUID: string(key.pod)},
		client.Limit(maxPodEvents)); err != nil {
		return false, fmt.Errorf("listing the events of a pod: %w", err)
	}
	text, started := startupLog(events.Items)
	if !started && next.lookups+1 < maxLookups {
		next.lookups++
		return false, nil
	}
	product, err := s.product(ctx, next.node)
	if err != nil {
		return false, err
	}
	err = s.store.Update(ctx, key.run, func(tx *outcomes.Tx) error {
		_, err := tx.SetBirth(key.run, key.pod, product, text)
		return err
	})
	return err == nil, err
}

// product is what a node's label says of its GPUs; "" where it says nothing, or the node is gone.
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
		return "", fmt.Errorf("reading the labels of a node: %w", err)
	}
	product := object.Labels[s.label]
	s.products.Add(node, product, productsTTL)
	return product, nil
}
