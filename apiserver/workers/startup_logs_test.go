package workers

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/core"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/work"
)

// startupWorld has a store with a run, a Kubernetes API with events of pods, and StartupLogs between the two.
type startupWorld struct {
	t     *testing.T
	clock *testclock.FakeClock
	store *outcomes.SQLite
	live  client.WithWatch
	logs  *StartupLogs
	run   *outcomes.Run

	mu sync.Mutex
	// lists and gets count the requests to the API; before is called for each one and may return an error.
	lists, gets int
	before      func(request int) error
}

func newStartupWorld(t *testing.T, objects ...client.Object) *startupWorld {
	t.Helper()
	m := &startupWorld{
		t: t, clock: testclock.NewFakeClock(noon), store: outcomes.NewSQLite(filepath.Join(t.TempDir(), "outcomes.db")),
		before: func(int) error { return nil },
	}
	if err := m.store.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.store.Close() })
	m.run = &outcomes.Run{UID: "run-uid", Namespace: "space", Name: "run", Total: 5, UnsuccessfulCut: -1}
	m.update(func(tx *outcomes.Tx) error { return tx.InsertRun(m.run) })
	ask := func(count *int) error {
		m.mu.Lock()
		defer m.mu.Unlock()
		*count++
		return m.before(m.lists + m.gets)
	}
	m.live = fake.NewClientBuilder().WithScheme(core.NewScheme()).WithObjects(objects...).
		WithIndex(&corev1.Event{}, eventPodUID, func(obj client.Object) []string {
			event, _ := obj.(*corev1.Event)
			return []string{string(event.InvolvedObject.UID)}
		}).
		WithInterceptorFuncs(interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
				if err := ask(&m.gets); err != nil {
					return err
				}
				return c.Get(ctx, key, obj, opts...)
			},
			List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
				if err := ask(&m.lists); err != nil {
					return err
				}
				return c.List(ctx, list, opts...)
			},
		}).Build()
	m.logs = NewStartupLogs(m.live, m.store, v1alpha1.DefaultGPUProductLabel, m.clock)
	return m
}

func (m *startupWorld) update(fn func(*outcomes.Tx) error) {
	m.t.Helper()
	if err := m.store.Update(context.Background(), "run-uid", fn); err != nil {
		m.t.Fatal(err)
	}
}

// worker adds the row of a pod.
func (m *startupWorld) worker(pod types.UID) work.Worker {
	m.t.Helper()
	m.update(func(tx *outcomes.Tx) error {
		return tx.PutWorker(&outcomes.Worker{RunID: m.run.ID, PodUID: pod, PodName: "pod", Node: "node", State: outcomes.WorkerLive, Executing: -1})
	})
	return work.Worker{Namespace: "space", Run: "run", RunUID: "run-uid", PodName: "pod", PodUID: pod, Node: "node"}
}

// recorded is the startup log in the row of a pod.
type recorded struct {
	Done         bool
	Product, Log string
}

func (m *startupWorld) recordedOf(pod types.UID) recorded {
	m.t.Helper()
	var worker *outcomes.Worker
	if err := m.store.View(context.Background(), func(tx *outcomes.Tx) (err error) {
		worker, err = tx.Worker(m.run.ID, pod)
		return err
	}); err != nil {
		m.t.Fatal(err)
	}
	if worker == nil {
		return recorded{}
	}
	return recorded{worker.StartupRecorded, worker.GPUProduct, worker.StartupLog}
}

func (m *startupWorld) pending() int {
	m.logs.mu.Lock()
	defer m.logs.mu.Unlock()
	return len(m.logs.pending)
}

func gpuNode(product string) *corev1.Node {
	node := &corev1.Node{}
	node.Name = "node"
	if product != "" {
		node.Labels = map[string]string{v1alpha1.DefaultGPUProductLabel: product}
	}
	return node
}

// fakeQueue is a queue whose clock advances when a key is taken out; it shuts down when it is empty.
type fakeQueue struct {
	workqueue.TypedDelayingInterface[workerKey]
	clock *testclock.FakeClock
	keys  []workerKey
	due   []time.Time
	// waits are the requested delays, in order.
	waits []time.Duration
}

func (q *fakeQueue) AddAfter(key workerKey, wait time.Duration) {
	q.keys, q.due, q.waits = append(q.keys, key), append(q.due, q.clock.Now().Add(wait)), append(q.waits, wait)
}

func (q *fakeQueue) Get() (workerKey, bool) {
	if len(q.keys) == 0 {
		return workerKey{}, true
	}
	key, due := q.keys[0], q.due[0]
	q.keys, q.due = q.keys[1:], q.due[1:]
	if now := q.clock.Now(); due.After(now) {
		q.clock.SetTime(due)
	}
	return key, false
}

func (q *fakeQueue) Done(workerKey) {}

// useFakeQueue makes StartupLogs wait without a goroutine.
func (m *startupWorld) useFakeQueue() *fakeQueue {
	m.logs.queue.ShutDown()
	q := &fakeQueue{clock: m.clock}
	m.logs.queue = q
	return q
}

func (m *startupWorld) work() {
	for m.logs.next(m.t.Context()) {
	}
}

func TestStartupLogs(t *testing.T) {
	seconds := func(n ...int) (waits []time.Duration) {
		for _, s := range n {
			waits = append(waits, time.Duration(s)*time.Second)
		}
		return waits
	}
	unavailable := errors.New("the API is unavailable")
	const beforeStart = `24-11-2026 12:00:01 Scheduled: Successfully assigned space/pod to node
24-11-2026 12:00:01 Pulled: Container image "python" already present on machine
24-11-2026 12:00:01 Created: Created container: worker`
	started := ordinary()[0].obj()
	for name, tc := range map[string]struct {
		node    *corev1.Node
		missing bool // the event of the start is missing at first
		// at is called for each request to the API, counted from 1
		at        func(m *startupWorld, request int) error
		want      recorded
		wantWaits []time.Duration
	}{
		"a worker whose events exist": {
			node: gpuNode("NVIDIA-H100-80GB-HBM3"), want: recorded{true, "NVIDIA-H100-80GB-HBM3", ordinaryLog}, wantWaits: seconds(2)},
		"a worker on a node without GPUs": {node: gpuNode(""), want: recorded{true, "", ordinaryLog}, wantWaits: seconds(2)},
		"a worker whose node is gone":     {want: recorded{true, "", ordinaryLog}, wantWaits: seconds(2)},
		"a worker whose start has no event yet": {node: gpuNode("A100"), missing: true, want: recorded{true, "A100", ordinaryLog}, wantWaits: seconds(2, 4, 8), at: func(m *startupWorld, request int) error {
			if request == 3 {
				return m.live.Create(context.Background(), started.DeepCopy())
			}
			return nil
		}},
		"a worker whose start never has an event": {node: gpuNode("A100"), missing: true, want: recorded{true, "A100", beforeStart}, wantWaits: seconds(2, 4, 8, 16)},
		"the API is unavailable for the events": {node: gpuNode("A100"), want: recorded{true, "A100", ordinaryLog}, wantWaits: seconds(2, 1, 2), at: func(_ *startupWorld, request int) error {
			if request <= 2 {
				return unavailable
			}
			return nil
		}},
		"the API is unavailable for the node": {node: gpuNode("A100"), want: recorded{true, "A100", ordinaryLog}, wantWaits: seconds(2, 1), at: func(_ *startupWorld, request int) error {
			if request == 2 {
				return unavailable
			}
			return nil
		}},
		"the API is unavailable for too long": {node: gpuNode("A100"), wantWaits: seconds(2, 1, 2, 4, 8, 16), at: func(*startupWorld, int) error { return unavailable }},
	} {
		t.Run(name, func(t *testing.T) {
			objects := []client.Object{makeEvent("Started", 0, "another's").container("worker").of("other").obj()}
			for _, b := range ordinary() {
				if e := b.obj(); !tc.missing || e.Reason != "Started" {
					objects = append(objects, e)
				}
			}
			if tc.node != nil {
				objects = append(objects, tc.node)
			}
			m := newStartupWorld(t, objects...)
			if tc.at != nil {
				m.before = func(request int) error { return tc.at(m, request) }
			}
			queue := m.useFakeQueue()
			m.logs.Joined("run-uid", m.worker("pod-uid"))
			m.work()
			if diff := cmp.Diff(tc.want, m.recordedOf("pod-uid")); diff != "" {
				t.Errorf("the recorded log (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantWaits, queue.waits); diff != "" {
				t.Errorf("the waits (-want +got):\n%s", diff)
			}
			if got := m.pending(); got != 0 {
				t.Errorf("%d are still pending", got)
			}
		})
	}
}

func TestSweepFindsWorkersWithoutAStartupLog(t *testing.T) {
	m := newStartupWorld(t, ordinary()[0].obj(), gpuNode("A100"))
	queue := m.useFakeQueue()
	m.before = func(int) error { return errors.New("the API is unavailable") }
	m.logs.Joined("run-uid", m.worker("pod-uid"))
	m.work()
	m.before = func(int) error { return nil }
	m.update(func(tx *outcomes.Tx) error {
		done := &outcomes.Worker{RunID: m.run.ID, PodUID: "done", State: outcomes.WorkerLive, StartupRecorded: true}
		left := &outcomes.Worker{RunID: m.run.ID, PodUID: "left", State: outcomes.WorkerLeft}
		return errors.Join(tx.PutWorker(done), tx.PutWorker(left))
	})
	for range 2 {
		if err := m.logs.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]workerKey{{"run-uid", "pod-uid"}}, queue.keys, cmp.AllowUnexported(workerKey{})); diff != "" {
		t.Errorf("the workers to look up (-want +got):\n%s", diff)
	}
	m.work()
	if got := m.recordedOf("pod-uid"); !got.Done || got.Product != "A100" {
		t.Errorf("recorded: %+v", got)
	}
}

func TestFullStoreIsRetried(t *testing.T) {
	m := newStartupWorld(t, ordinary()[0].obj())
	queue := m.useFakeQueue()
	full := &fullStore{Store: m.store, refuse: 2}
	m.logs.store = full
	m.logs.Joined("run-uid", m.worker("pod-uid"))
	m.work()
	if got := m.recordedOf("pod-uid"); !got.Done || len(queue.waits) != 3 {
		t.Errorf("recorded: %+v, after %v", got, queue.waits)
	}
}

// fullStore returns ErrFull for the first writes.
type fullStore struct {
	outcomes.Store
	refuse int
}

func (s *fullStore) Update(ctx context.Context, run types.UID, fn func(*outcomes.Tx) error) error {
	if s.refuse--; s.refuse >= 0 {
		return outcomes.ErrFull
	}
	return s.Store.Update(ctx, run, fn)
}

func TestWorkerOfADeletedRunIsDropped(t *testing.T) {
	m := newStartupWorld(t, ordinary()[0].obj())
	m.useFakeQueue()
	m.logs.Joined("gone", work.Worker{Namespace: "space", PodName: "pod", PodUID: "pod-uid"})
	m.work()
	if m.pending() != 0 || m.gets != 0 {
		t.Errorf("%d are pending; a node without a name was read %d times", m.pending(), m.gets)
	}
}

func TestLookupsAreRateLimited(t *testing.T) {
	m := newStartupWorld(t)
	queue := m.useFakeQueue()
	joined := lookupBurst + 5*lookupsPerSecond
	for i := range joined {
		for range 2 {
			m.logs.Joined("run-uid", work.Worker{Namespace: "space", PodName: "pod", PodUID: types.UID(fmt.Sprint(i))})
		}
	}
	if len(queue.waits) != joined {
		t.Fatalf("%d workers have %d lookups", joined, len(queue.waits))
	}
	if first, last := slices.Min(queue.waits), slices.Max(queue.waits); first != firstLookupDelay || last < 4900*time.Millisecond || last > 5100*time.Millisecond {
		t.Errorf("%d workers are looked up after %v to %v; want %v to 5s", joined, first, last, firstLookupDelay)
	}
	for i := range maxPending + 10 {
		m.logs.Joined("run-uid", work.Worker{PodUID: types.UID(fmt.Sprint("more ", i))})
	}
	if got := m.pending(); got != maxPending {
		t.Errorf("%d are pending; want %d", got, maxPending)
	}
}

func TestNodeLabelsAreCached(t *testing.T) {
	m := newStartupWorld(t, gpuNode("A100"))
	ask := func(want string) {
		t.Helper()
		if got, err := m.logs.product(t.Context(), "node"); err != nil || got != want {
			t.Errorf("the product is %q, %v; want %q", got, err, want)
		}
	}
	ask("A100")
	if err := m.live.Update(t.Context(), func() *corev1.Node {
		node := &corev1.Node{}
		if err := m.live.Get(t.Context(), client.ObjectKey{Name: "node"}, node); err != nil {
			t.Fatal(err)
		}
		node.Labels[v1alpha1.DefaultGPUProductLabel] = "H100"
		return node
	}()); err != nil {
		t.Fatal(err)
	}
	before := m.gets
	ask("A100")
	if m.gets != before {
		t.Errorf("the node was read again")
	}
	m.clock.Step(productsTTL + time.Second)
	ask("H100")
}

func TestStartupLogsRun(t *testing.T) {
	objects := []client.Object{gpuNode("A100"), makeEvent("Started", 0, "the other's").container("worker").of("earlier").obj()}
	for _, b := range ordinary() {
		objects = append(objects, b.obj())
	}
	m := newStartupWorld(t, objects...)
	m.worker("earlier") // which called an earlier server
	m.logs.Joined("run-uid", m.worker("pod-uid"))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m.logs.Run(ctx)
	}()
	want := map[types.UID]recorded{
		"pod-uid": {true, "A100", ordinaryLog},
		"earlier": {true, "A100", "24-11-2026 12:00:00 Started: the other's"},
	}
	waitFor(t, func() bool {
		m.clock.Step(time.Second)
		return m.recordedOf("pod-uid").Done && m.recordedOf("earlier").Done
	})
	for pod, want := range want {
		if diff := cmp.Diff(want, m.recordedOf(pod)); diff != "" {
			t.Errorf("the recorded log of %s (-want +got):\n%s", pod, diff)
		}
	}
	cancel()
	<-ended
}
