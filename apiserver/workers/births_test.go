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

// maternity is a store with a run and a live API with pods' events, and Births between the two.
type maternity struct {
	t      *testing.T
	clock  *testclock.FakeClock
	store  *outcomes.SQLite
	live   client.WithWatch
	births *Births
	run    *outcomes.Run

	mu sync.Mutex
	// lists and gets count what the API was asked; before is called at each question and may refuse it.
	lists, gets int
	before      func(question int) error
}

func newMaternity(t *testing.T, objects ...client.Object) *maternity {
	t.Helper()
	m := &maternity{
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
	m.births = NewBirths(m.live, m.store, v1alpha1.DefaultGPUProductLabel, m.clock)
	return m
}

func (m *maternity) update(fn func(*outcomes.Tx) error) {
	m.t.Helper()
	if err := m.store.Update(context.Background(), "run-uid", fn); err != nil {
		m.t.Fatal(err)
	}
}

// worker adds the row of a pod.
func (m *maternity) worker(pod types.UID) work.Worker {
	m.t.Helper()
	m.update(func(tx *outcomes.Tx) error {
		return tx.PutWorker(&outcomes.Worker{RunID: m.run.ID, PodUID: pod, PodName: "pod", Node: "node", State: outcomes.WorkerLive, Executing: -1})
	})
	return work.Worker{Namespace: "space", Run: "run", RunUID: "run-uid", PodName: "pod", PodUID: pod, Node: "node"}
}

// birthOf is what is written down of a pod.
type birthOf struct {
	StartupRecorded bool
	Product, Log    string
}

func (m *maternity) written(pod types.UID) birthOf {
	m.t.Helper()
	var worker *outcomes.Worker
	if err := m.store.View(context.Background(), func(tx *outcomes.Tx) (err error) {
		worker, err = tx.Worker(m.run.ID, pod)
		return err
	}); err != nil {
		m.t.Fatal(err)
	}
	if worker == nil {
		return birthOf{}
	}
	return birthOf{worker.StartupRecorded, worker.GPUProduct, worker.StartupLog}
}

func (m *maternity) pending() int {
	m.births.mu.Lock()
	defer m.births.mu.Unlock()
	return len(m.births.pending)
}

func gpuNode(product string) *corev1.Node {
	node := &corev1.Node{}
	node.Name = "node"
	if product != "" {
		node.Labels = map[string]string{v1alpha1.DefaultGPUProductLabel: product}
	}
	return node
}

// patientQueue is a queue in which time passes when somebody takes something out; it ends when it is empty.
type patientQueue struct {
	workqueue.TypedDelayingInterface[birthKey]
	clock *testclock.FakeClock
	keys  []birthKey
	due   []time.Time
	// waits are what was waited for, in order.
	waits []time.Duration
}

func (q *patientQueue) AddAfter(key birthKey, wait time.Duration) {
	q.keys, q.due, q.waits = append(q.keys, key), append(q.due, q.clock.Now().Add(wait)), append(q.waits, wait)
}

func (q *patientQueue) Get() (birthKey, bool) {
	if len(q.keys) == 0 {
		return birthKey{}, true
	}
	key, due := q.keys[0], q.due[0]
	q.keys, q.due = q.keys[1:], q.due[1:]
	if now := q.clock.Now(); due.After(now) {
		q.clock.SetTime(due)
	}
	return key, false
}

func (q *patientQueue) Done(birthKey) {}

// patient lets Births wait without a goroutine.
func (m *maternity) patient() *patientQueue {
	m.births.queue.ShutDown()
	q := &patientQueue{clock: m.clock}
	m.births.queue = q
	return q
}

func (m *maternity) work() {
	for m.births.next(m.t.Context()) {
	}
}

func TestBirths(t *testing.T) {
	seconds := func(n ...int) (waits []time.Duration) {
		for _, s := range n {
			waits = append(waits, time.Duration(s)*time.Second)
		}
		return waits
	}
	away := errors.New("the API is away")
	const beforeStart = `24-11-2026 12:00:01 Scheduled: Successfully assigned space/pod to node
24-11-2026 12:00:01 Pulled: Container image "python" already present on machine
24-11-2026 12:00:01 Created: Created container: worker`
	started := ordinary()[0].obj()
	for name, tc := range map[string]struct {
		node    *corev1.Node
		missing bool // the event of the start is missing at first
		// at each question to the API, counted from 1
		at        func(m *maternity, question int) error
		want      birthOf
		wantWaits []time.Duration
	}{
		"a worker whose events are there": {
			node: gpuNode("NVIDIA-H100-80GB-HBM3"), want: birthOf{true, "NVIDIA-H100-80GB-HBM3", ordinaryLog}, wantWaits: seconds(2)},
		"a worker on a node without GPUs": {node: gpuNode(""), want: birthOf{true, "", ordinaryLog}, wantWaits: seconds(2)},
		"a worker whose node is gone":     {want: birthOf{true, "", ordinaryLog}, wantWaits: seconds(2)},
		"a worker whose start is not told yet": {node: gpuNode("A100"), missing: true, want: birthOf{true, "A100", ordinaryLog}, wantWaits: seconds(2, 4, 8), at: func(m *maternity, question int) error {
			if question == 3 {
				return m.live.Create(context.Background(), started.DeepCopy())
			}
			return nil
		}},
		"a worker whose start is never told": {node: gpuNode("A100"), missing: true, want: birthOf{true, "A100", beforeStart}, wantWaits: seconds(2, 4, 8, 16)},
		"the API is away for the events": {node: gpuNode("A100"), want: birthOf{true, "A100", ordinaryLog}, wantWaits: seconds(2, 1, 2), at: func(_ *maternity, question int) error {
			if question <= 2 {
				return away
			}
			return nil
		}},
		"the API is away for the node": {node: gpuNode("A100"), want: birthOf{true, "A100", ordinaryLog}, wantWaits: seconds(2, 1), at: func(_ *maternity, question int) error {
			if question == 2 {
				return away
			}
			return nil
		}},
		"the API is away for too long": {node: gpuNode("A100"), wantWaits: seconds(2, 1, 2, 4, 8, 16), at: func(*maternity, int) error { return away }},
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
			m := newMaternity(t, objects...)
			if tc.at != nil {
				m.before = func(question int) error { return tc.at(m, question) }
			}
			queue := m.patient()
			m.births.Joined("run-uid", m.worker("pod-uid"))
			m.work()
			if diff := cmp.Diff(tc.want, m.written("pod-uid")); diff != "" {
				t.Errorf("what is written down (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantWaits, queue.waits); diff != "" {
				t.Errorf("how long it waited (-want +got):\n%s", diff)
			}
			if got := m.pending(); got != 0 {
				t.Errorf("%d are pending for ever", got)
			}
		})
	}
}

func TestAWorkerThatWasGivenUpIsFoundByTheNextRoundAndNoOther(t *testing.T) {
	m := newMaternity(t, ordinary()[0].obj(), gpuNode("A100"))
	queue := m.patient()
	m.before = func(int) error { return errors.New("the API is away") }
	m.births.Joined("run-uid", m.worker("pod-uid"))
	m.work()
	m.before = func(int) error { return nil }
	m.update(func(tx *outcomes.Tx) error {
		born := &outcomes.Worker{RunID: m.run.ID, PodUID: "born", State: outcomes.WorkerLive, StartupRecorded: true}
		left := &outcomes.Worker{RunID: m.run.ID, PodUID: "left", State: outcomes.WorkerLeft}
		return errors.Join(tx.PutWorker(born), tx.PutWorker(left))
	})
	for range 2 {
		if err := m.births.round(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]birthKey{{"run-uid", "pod-uid"}}, queue.keys, cmp.AllowUnexported(birthKey{})); diff != "" {
		t.Errorf("who is looked at (-want +got):\n%s", diff)
	}
	m.work()
	if got := m.written("pod-uid"); !got.StartupRecorded || got.Product != "A100" {
		t.Errorf("written down: %+v", got)
	}
}

func TestAStoreThatCannotBeWrittenIsTriedAgain(t *testing.T) {
	m := newMaternity(t, ordinary()[0].obj())
	queue := m.patient()
	full := &fullStore{Store: m.store, refuse: 2}
	m.births.store = full
	m.births.Joined("run-uid", m.worker("pod-uid"))
	m.work()
	if got := m.written("pod-uid"); !got.StartupRecorded || len(queue.waits) != 3 {
		t.Errorf("written down: %+v, after %v", got, queue.waits)
	}
}

// fullStore refuses to write a few times.
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

func TestAWorkerWhoseRunIsForgottenIsDropped(t *testing.T) {
	m := newMaternity(t, ordinary()[0].obj())
	m.patient()
	m.births.Joined("gone", work.Worker{Namespace: "space", PodName: "pod", PodUID: "pod-uid"})
	m.work()
	if m.pending() != 0 || m.gets != 0 {
		t.Errorf("%d are pending; a node without a name was asked for %d times", m.pending(), m.gets)
	}
}

func TestManyWorkersAtOnceAreLookedAtOneAfterTheOtherAndEachOnce(t *testing.T) {
	m := newMaternity(t)
	queue := m.patient()
	joined := birthsBurst + 5*birthsPerSecond
	for i := range joined {
		for range 2 {
			m.births.Joined("run-uid", work.Worker{Namespace: "space", PodName: "pod", PodUID: types.UID(fmt.Sprint(i))})
		}
	}
	if len(queue.waits) != joined {
		t.Fatalf("%d workers are looked at %d times", joined, len(queue.waits))
	}
	if first, last := slices.Min(queue.waits), slices.Max(queue.waits); first != birthSettle || last < 4900*time.Millisecond || last > 5100*time.Millisecond {
		t.Errorf("%d workers are looked at from %v to %v after; want %v to 5s", joined, first, last, birthSettle)
	}
	for i := range birthsPending + 10 {
		m.births.Joined("run-uid", work.Worker{PodUID: types.UID(fmt.Sprint("more ", i))})
	}
	if got := m.pending(); got != birthsPending {
		t.Errorf("%d are pending; want no more than %d", got, birthsPending)
	}
}

func TestTheLabelsOfANodeAreReadOnceForManyWorkers(t *testing.T) {
	m := newMaternity(t, gpuNode("A100"))
	ask := func(want string) {
		t.Helper()
		if got, err := m.births.product(t.Context(), "node"); err != nil || got != want {
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

func TestBirthsRun(t *testing.T) {
	objects := []client.Object{gpuNode("A100"), makeEvent("Started", 0, "the other's").container("worker").of("earlier").obj()}
	for _, b := range ordinary() {
		objects = append(objects, b.obj())
	}
	m := newMaternity(t, objects...)
	m.worker("earlier") // of which an earlier server was told
	m.births.Joined("run-uid", m.worker("pod-uid"))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m.births.Run(ctx)
	}()
	want := map[types.UID]birthOf{
		"pod-uid": {true, "A100", ordinaryLog},
		"earlier": {true, "A100", "24-11-2026 12:00:00 Started: the other's"},
	}
	waitFor(t, func() bool {
		m.clock.Step(time.Second)
		return m.written("pod-uid").StartupRecorded && m.written("earlier").StartupRecorded
	})
	for pod, want := range want {
		if diff := cmp.Diff(want, m.written(pod)); diff != "" {
			t.Errorf("what is written down of %s (-want +got):\n%s", pod, diff)
		}
	}
	cancel()
	<-ended
}
