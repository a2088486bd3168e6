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
	birthSettle = 2 * time.Second
	// birthLooks is how often the event of the container's start is looked for. Then what there is is all.
	birthLooks = 4
	// birthTries is how often one look is tried, birthPause and twice, four times, … that apart.
	birthTries = 6
	birthPause = time.Second
	// birthRound is how often workers are looked for that were left out: by a server that ended, because there were too
	// many at once, or because the API was away for long.
	birthRound = 2 * time.Minute
	// birthTimeout bounds one look, but not the wait for its turn.
	birthTimeout = 10 * time.Second

	// What the look-ups may cost: so many workers wait for theirs, so many are looked at a second and at a time, so many
	// events of one are read. The Kubernetes API reads all events of a namespace to find those of a pod.
	birthsPending   = 16384
	birthsPerSecond = 20
	birthsBurst     = 40
	birthsAtATime   = 2
	eventsOfAPod    = 100

	// The labels of so many nodes are kept for so long.
	productsSize = 4096
	productsTTL  = time.Minute
)

// eventPodUID is the field of an event that has the uid of the object that it is about.
const eventPodUID = "involvedObject.uid"

// Births finds out how workers came to be, once for each, and writes it into their rows: the life of the pod before the
// code ran, and which GPUs its node has. It does so beside the exchange: no call waits for it, and none fails with it.
type Births struct {
	reader client.Reader
	store  outcomes.Store
	// label is that of a node which says what GPUs it has.
	label    string
	clock    clock.WithTicker
	limiter  *rate.Limiter
	products *utilcache.LRUExpireCache
	queue    workqueue.TypedDelayingInterface[birthKey]

	mu      sync.Mutex
	pending map[birthKey]*birth
	// failed counts the look-ups that were given up since the last round; reason is the last one's.
	failed int
	reason error
}

// birthKey is a worker of a run.
type birthKey struct{ run, pod types.UID }

// birth is a worker that is to be looked at. Only the one who has its key from the queue reads the numbers.
type birth struct {
	namespace, pod, node string
	looks, failures      int
}

// NewBirths makes a look-up that reads live. Workers can join at once; Run looks at them.
func NewBirths(reader client.Reader, store outcomes.Store, label string, clock clock.WithTicker) *Births {
	return &Births{
		reader:   reader,
		store:    store,
		label:    label,
		clock:    clock,
		limiter:  rate.NewLimiter(birthsPerSecond, birthsBurst),
		products: utilcache.NewLRUExpireCacheWithClock(productsSize, clock),
		queue:    workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[birthKey]{Name: "births", Clock: clock}),
		pending:  map[birthKey]*birth{},
	}
}

// Joined takes note of a worker's first call: work.Options.Joined. It does not block.
func (b *Births) Joined(run types.UID, worker work.Worker) {
	b.add(birthKey{run, worker.PodUID}, birth{namespace: worker.Namespace, pod: worker.PodName, node: worker.Node})
}

func (b *Births) add(key birthKey, newborn birth) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.pending[key]; known || len(b.pending) >= birthsPending {
		return // a round finds those that are left out
	}
	b.pending[key] = &newborn
	b.later(key, birthSettle)
}

// later looks at a worker after a while, and not before its turn.
func (b *Births) later(key birthKey, wait time.Duration) {
	now := b.clock.Now()
	b.queue.AddAfter(key, max(wait, b.limiter.ReserveN(now, 1).DelayFrom(now)))
}

// Run looks at workers until ctx ends. The store must be open: it begins with those that an earlier server left out.
func (b *Births) Run(ctx context.Context) {
	var group sync.WaitGroup
	for range birthsAtATime {
		group.Go(func() {
			for b.next(ctx) {
			}
		})
	}
	ticker := b.clock.NewTicker(birthRound)
	defer ticker.Stop()
	for {
		if err := b.round(ctx); err != nil && ctx.Err() == nil {
			klog.FromContext(ctx).Error(err, "Looking for workers of which it is not known how they came to be failed; they are looked for again", "after", birthRound)
		}
		select {
		case <-ctx.Done():
			b.queue.ShutDown()
			group.Wait()
			return
		case <-ticker.C():
		}
	}
}

// round finds the live workers that were left out.
func (b *Births) round(ctx context.Context) error {
	b.mu.Lock()
	failed, reason := b.failed, b.reason
	b.failed, b.reason = 0, nil
	b.mu.Unlock()
	if failed > 0 {
		klog.FromContext(ctx).Error(reason, "How workers came to be could not be looked up; those that still work are tried again", "workers", failed)
	}
	var leases []outcomes.Lease
	err := b.store.View(ctx, func(tx *outcomes.Tx) (err error) {
		leases, err = tx.LeasesWithoutStartup()
		return err
	})
	if err != nil {
		return err
	}
	for _, l := range leases {
		b.add(birthKey{l.Run, l.Pod}, birth{namespace: l.Namespace, pod: l.PodName, node: l.Node})
	}
	return nil
}

func (b *Births) next(ctx context.Context) bool {
	key, shutdown := b.queue.Get()
	if shutdown {
		return false
	}
	defer b.queue.Done(key)
	b.mu.Lock()
	newborn, ok := b.pending[key]
	b.mu.Unlock()
	if !ok {
		return true
	}
	done, err := b.look(ctx, key, newborn)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		b.failedLook(ctx, key, newborn, err)
	case done:
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.pending, key)
	default:
		b.later(key, birthSettle<<newborn.looks)
	}
	return true
}

// failedLook tries the look again, a few times.
func (b *Births) failedLook(ctx context.Context, key birthKey, newborn *birth, err error) {
	klog.FromContext(ctx).V(1).Info("Looking up how a worker came to be failed", "pod", klog.KRef(newborn.namespace, newborn.pod),
		"failures", newborn.failures+1, "err", err)
	if newborn.failures++; newborn.failures < birthTries {
		b.later(key, birthPause<<(newborn.failures-1))
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.pending, key)
	b.failed++
	b.reason = err
}

// look looks at a worker once and writes down what it sees, unless the next look will see more: then it says that it is not
// done.
func (b *Births) look(ctx context.Context, key birthKey, newborn *birth) (done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, birthTimeout)
	defer cancel()
	var events corev1.EventList
	if err := b.reader.List(ctx, &events, client.InNamespace(newborn.namespace), client.MatchingFields{eventPodUID: string(key.pod)},
		client.Limit(eventsOfAPod)); err != nil {
		return false, fmt.Errorf("listing the events of a pod: %w", err)
	}
	text, started := birthLog(events.Items)
	if !started && newborn.looks+1 < birthLooks {
		newborn.looks++
		return false, nil
	}
	product, err := b.product(ctx, newborn.node)
	if err != nil {
		return false, err
	}
	err = b.store.Update(ctx, key.run, func(tx *outcomes.Tx) error {
		_, err := tx.SetStartup(key.run, key.pod, product, text)
		return err
	})
	return err == nil, err
}

// product is what a node's label says of its GPUs; "" where it says nothing, or the node is gone.
func (b *Births) product(ctx context.Context, node string) (string, error) {
	if node == "" {
		return "", nil
	}
	if known, ok := b.products.Get(node); ok {
		product, _ := known.(string)
		return product, nil
	}
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Node"))
	if err := b.reader.Get(ctx, client.ObjectKey{Name: node}, object); client.IgnoreNotFound(err) != nil {
		return "", fmt.Errorf("reading the labels of a node: %w", err)
	}
	product := object.Labels[b.label]
	b.products.Add(node, product, productsTTL)
	return product, nil
}
