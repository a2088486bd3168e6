package workers

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	toolscache "k8s.io/client-go/tools/cache"
	testclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/core"
	"sharedcloud.io/function-operator/apiserver/identity"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/work"
)

// world is a cluster: the caches and the Kubernetes API, which may differ.
type world struct {
	runs        *core.Runs
	pods        *core.Pods
	live        client.Client
	unavailable error
	clock       *testclock.FakeClock
	// informers are filled by the test.
	runInformer, podInformer toolscache.SharedIndexInformer
}

func newWorld(t *testing.T, live ...client.Object) *world {
	t.Helper()
	w := &world{clock: testclock.NewFakeClock(noon)}
	w.live = fake.NewClientBuilder().WithScheme(core.NewScheme()).WithObjects(live...).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			if w.unavailable != nil {
				return w.unavailable
			}
			return c.Get(ctx, key, obj, opts...)
		},
	}).Build()
	idle := func(object runtime.Object) toolscache.SharedIndexInformer {
		return toolscache.NewSharedIndexInformer(&toolscache.ListWatch{
			ListWithContextFunc:  func(context.Context, metav1.ListOptions) (runtime.Object, error) { return &metav1.List{}, nil },
			WatchFuncWithContext: func(context.Context, metav1.ListOptions) (watch.Interface, error) { return watch.NewFake(), nil },
		}, object, 0, toolscache.Indexers{"uid": func(obj any) ([]string, error) {
			return []string{string(obj.(metav1.Object).GetUID())}, nil
		}})
	}
	w.runInformer, w.podInformer = idle(&v1alpha1.FunctionRun{}), idle(&corev1.Pod{})
	var err error
	if w.runs, err = core.NewRuns(w.runInformer, w.live, w.clock); err != nil {
		t.Fatal(err)
	}
	if w.pods, err = core.NewPods(w.podInformer, w.live, w.clock); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) cache(t *testing.T, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		informer := w.podInformer
		if _, ok := object.(*v1alpha1.FunctionRun); ok {
			informer = w.runInformer
		}
		if err := informer.GetIndexer().Add(object); err != nil {
			t.Fatal(err)
		}
	}
}

// runBuilder builds runs.
type runBuilder struct {
	run v1alpha1.FunctionRun
}

func makeRun() *runBuilder {
	b := &runBuilder{}
	b.run.Namespace, b.run.Name, b.run.UID = "space", "run", "run-uid"
	b.run.Spec.FunctionRef.Name = "f"
	return b
}

func (b *runBuilder) uid(uid types.UID) *runBuilder { b.run.UID = uid; return b }

func (b *runBuilder) pinned() *runBuilder {
	b.run.Status.Revision = &v1alpha1.PinnedRevision{Name: "r", InputCount: 5, Workers: 2, Retries: 1, TimeoutSeconds: 60, GPUs: 3}
	return b
}

func (b *runBuilder) job(uid types.UID) *runBuilder {
	b.run.Status.Job = &v1alpha1.JobReference{Name: "job", Number: 1, UID: uid}
	return b
}

func (b *runBuilder) condition(kind, status, reason string) *runBuilder {
	b.run.Status.Conditions = append(b.run.Status.Conditions, metav1.Condition{
		Type: kind, Status: metav1.ConditionStatus(status), Reason: reason, Message: "m",
	})
	return b
}

func (b *runBuilder) closed() *runBuilder {
	b.run.Status.Progress = &v1alpha1.RunProgress{Closed: true}
	return b
}

func (b *runBuilder) obj() *v1alpha1.FunctionRun { return b.run.DeepCopy() }

// workerPod returns a pod as the Job controller creates it.
func workerPod(change ...func(*corev1.Pod)) *corev1.Pod {
	pod := makePod().obj()
	pod.Labels = map[string]string{
		v1alpha1.LabelRun: "run", v1alpha1.LabelRunUID: "run-uid", batchv1.JobCompletionIndexAnnotation: "4",
	}
	pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: "job", UID: "job-uid", Controller: ptr.To(true)}}
	pod.Spec.NodeName = "node"
	for _, f := range change {
		f(pod)
	}
	return pod
}

func TestRunOf(t *testing.T) {
	base := work.Run{UID: "run-uid", Namespace: "space", Name: "run", Total: 5, Workers: 2, Retries: 1, RetryDelaySeconds: 1, TimeoutSeconds: 60, GPUs: 3, JobUID: "job-uid"}
	with := func(change func(*work.Run)) work.Run {
		changed := base
		change(&changed)
		return changed
	}
	for name, tc := range map[string]struct {
		run  *runBuilder
		want work.Run
	}{
		"a run with a Job":            {makeRun().pinned().job("job-uid"), base},
		"a new run":                   {makeRun(), work.Run{UID: "run-uid", Namespace: "space", Name: "run"}},
		"a run that is ending":        {makeRun().pinned().job("job-uid").condition("Ending", "True", "JobFailed"), with(func(r *work.Run) { r.Ending, r.EndingMessage = "JobFailed", "m" })},
		"a run that is not ending":    {makeRun().pinned().job("job-uid").condition("Ending", "False", "NotEnding"), base},
		"a finished run":              {makeRun().pinned().job("job-uid").condition("Finished", "True", "Succeeded"), with(func(r *work.Run) { r.Finished = true })},
		"a run that has not finished": {makeRun().pinned().job("job-uid").condition("Finished", "Unknown", "NotFinished"), base},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, RunOf(tc.run.obj())); diff != "" {
				t.Errorf("run (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("a run with a changed number of workers", func(t *testing.T) {
		run := makeRun().pinned().obj()
		run.Status.Workers = 7
		if got := RunOf(run).Workers; got != 7 {
			t.Errorf("got %d workers", got)
		}
	})
	t.Run("a run without failures and without a retry delay", func(t *testing.T) {
		run := makeRun().pinned().obj()
		run.Status.Revision.RetryDelaySeconds, run.Status.Revision.MaxFailures = ptr.To[int32](0), ptr.To[int32](0)
		run.Status.Revision.NonRetryableErrors = []string{"KeyError"}
		got := RunOf(run)
		if got.RetryDelaySeconds != 0 || got.MaxFailures == nil || *got.MaxFailures != 0 || !cmp.Equal(got.NonRetryable, []string{"KeyError"}) {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("a suspended run", func(t *testing.T) {
		run := makeRun().pinned().obj()
		run.Spec.Suspend = true
		if !RunOf(run).Suspended {
			t.Error("not suspended")
		}
	})
}

func TestRunsAreReadLiveWhenTheCacheIsBehind(t *testing.T) {
	for name, tc := range map[string]struct {
		cached, live *runBuilder
		unavailable  error
		wantTotal    int
		wantErr      error
		wantOther    bool
	}{
		"the cache has it":                         {cached: makeRun().pinned(), unavailable: errors.New("unavailable"), wantTotal: 5},
		"the cache does not have it yet":           {live: makeRun().pinned(), wantTotal: 5},
		"the cache does not have its revision yet": {cached: makeRun(), live: makeRun().pinned(), wantTotal: 5},
		"it has no revision":                       {cached: makeRun(), live: makeRun(), wantErr: work.ErrNoRun},
		"it does not exist":                        {wantErr: work.ErrNoRun},
		"the API is unavailable":                   {unavailable: errors.New("unavailable"), wantOther: true},
	} {
		t.Run(name, func(t *testing.T) {
			var live []client.Object
			if tc.live != nil {
				live = append(live, tc.live.obj())
			}
			w := newWorld(t, live...)
			w.unavailable = tc.unavailable
			if tc.cached != nil {
				w.cache(t, tc.cached.obj())
			}
			run, err := NewRuns(w.runs).Run(t.Context(), "space", "run")
			switch {
			case tc.wantOther && (err == nil || errors.Is(err, work.ErrNoRun)):
				t.Errorf("error %v, want one after which the worker tries again", err)
			case !tc.wantOther && !errors.Is(err, tc.wantErr):
				t.Errorf("error %v, want %v", err, tc.wantErr)
			case run.Total != tc.wantTotal:
				t.Errorf("%d inputs, want %d", run.Total, tc.wantTotal)
			}
		})
	}
}

// tokenFunc implements authenticator.Token.
type tokenFunc func(token string) (*authenticator.Response, bool, error)

func (f tokenFunc) AuthenticateToken(_ context.Context, token string) (*authenticator.Response, bool, error) {
	return f(token)
}

// podToken authenticates every token as the pod's.
func podToken(namespace string, uid types.UID) tokenFunc {
	return func(string) (*authenticator.Response, bool, error) {
		return &authenticator.Response{User: &user.DefaultInfo{
			Name: "system:serviceaccount:" + namespace + ":default",
			Extra: map[string][]string{
				"authentication.kubernetes.io/pod-name": {"pod"}, "authentication.kubernetes.io/pod-uid": {string(uid)},
			},
		}}, true, nil
	}
}

func TestCallers(t *testing.T) {
	good := podToken("space", "pod-uid")
	known := func() *runBuilder { return makeRun().pinned().job("job-uid") }
	is := work.Worker{
		Namespace: "space", Run: "run", RunUID: "run-uid", PodName: "pod", Node: "node", PodUID: "pod-uid", JobUID: "job-uid", CompletionIndex: 4,
	}
	for name, tc := range map[string]struct {
		token              tokenFunc
		cachedPod, livePod *corev1.Pod
		cachedRun, liveRun *runBuilder
		path               string
		want               work.Worker
		wantErr            error
		wantOther          bool
	}{
		"a worker":                               {token: good, cachedPod: workerPod(), cachedRun: known(), want: is},
		"a worker that is newer than the caches": {token: good, livePod: workerPod(), liveRun: known(), want: is},
		"a worker whose index only the annotation has": {
			token: good, cachedRun: known(), want: is,
			cachedPod: workerPod(func(p *corev1.Pod) {
				delete(p.Labels, batchv1.JobCompletionIndexAnnotation)
				p.Annotations = map[string]string{batchv1.JobCompletionIndexAnnotation: "4"}
			}),
		},
		"a Job that the cache does not have yet": {token: good, cachedPod: workerPod(), cachedRun: makeRun().pinned(), liveRun: known(), want: is},
		"a Job that is not in the status yet":    {token: good, cachedPod: workerPod(), cachedRun: makeRun().pinned().job(""), liveRun: makeRun().pinned().job(""), wantOther: true},
		//security:attack tenant with pods | gives a pod the labels of a run and a Job that is not the run's | the exchange answers 403: the UID of the Job decides
		"a Job that is not the run's": {token: good, cachedPod: workerPod(), cachedRun: makeRun().pinned().job("other"), liveRun: makeRun().pinned().job("other"), wantErr: work.ErrForbidden},
		//security:attack worker | calls the exchange for a run that was created again under its run's name | the exchange answers 404: the UID of the run decides
		"a pod of an earlier run of the name": {token: good, cachedPod: workerPod(), cachedRun: known().uid("run-uid-2"), liveRun: makeRun().uid("run-uid-2").pinned().job("job-uid"), wantErr: work.ErrNoRun},
		"a deleted run":                       {token: good, cachedPod: workerPod(), wantErr: work.ErrNoRun},
		//security:attack worker | uses the token of a deleted pod | the exchange answers 401
		"a deleted pod": {token: good, cachedRun: makeRun().pinned().job("job-uid"), wantErr: work.ErrUnauthenticated},
		//security:attack tenant with pods | creates a pod under the name of another pod that has a token | the exchange answers 401: the UID of the pod decides
		"another pod with the name": {token: podToken("space", "uid-2"), cachedPod: workerPod(), livePod: workerPod(), cachedRun: makeRun().pinned().job("job-uid"), wantErr: work.ErrUnauthenticated},
		//security:attack worker | calls the exchange for a run in another namespace | the exchange answers 403
		"another namespace": {token: podToken("elsewhere", "pod-uid"), cachedPod: workerPod(), wantErr: work.ErrForbidden},
		//security:attack worker | calls the exchange for another run of its namespace | the exchange answers 403
		"another run": {token: good, path: "other", cachedPod: workerPod(), wantErr: work.ErrForbidden},
		//security:attack tenant with pods | shows the token of a pod without the labels of a run | the exchange answers 403
		"a pod without labels": {token: good, cachedPod: workerPod(func(p *corev1.Pod) { p.Labels = nil }), wantErr: work.ErrForbidden},
		"a pod without a Job":  {token: good, cachedPod: workerPod(func(p *corev1.Pod) { p.OwnerReferences = nil }), wantErr: work.ErrForbidden},
		//security:attack tenant with pods | shows the token of a pod that another kind of object controls | the exchange answers 403
		"a pod of another kind of controller": {token: good, cachedPod: workerPod(func(p *corev1.Pod) { p.OwnerReferences[0].Kind = "ReplicaSet" }), wantErr: work.ErrForbidden},
		//security:attack tenant with pods | adds the run's Job as an owner that is not the controller | the exchange answers 403
		"a pod that a Job owns but not controls": {token: good, cachedPod: workerPod(func(p *corev1.Pod) { p.OwnerReferences[0].Controller = nil }), wantErr: work.ErrForbidden},
		"a pod whose index is not valid":         {token: good, cachedPod: workerPod(func(p *corev1.Pod) { p.Labels[batchv1.JobCompletionIndexAnnotation] = "-1" }), wantErr: work.ErrForbidden},
		//security:attack anonymous | shows a token that the cluster does not accept to the exchange | the exchange answers 401
		"an invalid token": {token: func(string) (*authenticator.Response, bool, error) { return nil, false, nil }, wantErr: work.ErrUnauthenticated},
		//security:attack tenant | shows the token of an account, not of a pod, to the exchange | the exchange answers 403
		"a user": {token: func(string) (*authenticator.Response, bool, error) {
			return &authenticator.Response{User: &user.DefaultInfo{Name: "alice"}}, true, nil
		}, wantErr: work.ErrForbidden},
		"a cluster that is unavailable": {token: func(string) (*authenticator.Response, bool, error) { return nil, false, errors.New("unavailable") }, wantOther: true},
	} {
		t.Run(name, func(t *testing.T) {
			var live []client.Object
			if tc.livePod != nil {
				live = append(live, tc.livePod)
			}
			if tc.liveRun != nil {
				live = append(live, tc.liveRun.obj())
			}
			w := newWorld(t, live...)
			if tc.cachedPod != nil {
				w.cache(t, tc.cachedPod)
			}
			if tc.cachedRun != nil {
				w.cache(t, tc.cachedRun.obj())
			}
			path := tc.path
			if path == "" {
				path = "run"
			}
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
			r.Header.Set("Authorization", "Bearer abc")
			callers := NewCallers(identity.NewPodTokensOf(tc.token), w.pods, w.runs, w.clock)
			got, err := callers.Worker(r, "space", path)
			switch {
			case tc.wantOther:
				for _, other := range []error{nil, work.ErrForbidden, work.ErrNoRun, work.ErrUnauthenticated} {
					if errors.Is(err, other) {
						t.Errorf("error %v, want one after which the worker tries again", err)
					}
				}
			case !errors.Is(err, tc.wantErr):
				t.Errorf("error %v, want %v", err, tc.wantErr)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("worker (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPodsOfAnEarlierJobStillReport(t *testing.T) {
	w := newWorld(t, makeRun().pinned().job("next").obj())
	w.cache(t, workerPod(), makeRun().pinned().job("job-uid").obj())
	callers := NewCallers(identity.NewPodTokensOf(podToken("space", "pod-uid")), w.pods, w.runs, w.clock)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
	r.Header.Set("Authorization", "Bearer abc")
	if _, err := callers.Worker(r, "space", "run"); err != nil {
		t.Fatal(err)
	}
	w.cache(t, makeRun().pinned().job("next").obj())
	if _, err := callers.Worker(r, "space", "run"); err != nil {
		t.Errorf("a pod of the earlier Job: %v", err)
	}
	w.clock.Step(jobsTTL + time.Second)
	if _, err := callers.Worker(r, "space", "run"); !errors.Is(err, work.ErrForbidden) {
		t.Errorf("after the cached Job expired: %v", err)
	}
}

func TestPodExits(t *testing.T) {
	oom := func() *corev1.Pod { return makePod().ended(137, "OOMKilled", noon).obj() }
	running := func() *corev1.Pod { return makePod().running().obj() }
	leaving := func() *corev1.Pod { return makePod().running().deleted(noon, 30).obj() }
	for name, tc := range map[string]struct {
		cached, live, deleted *corev1.Pod
		unavailable           error
		want                  work.PodExit
	}{
		"it has ended in the cache: no request":                      {cached: oom(), unavailable: errors.New("unavailable"), want: work.PodExit{State: work.PodExitEnded, ExitCode: 137, Reason: "OOMKilled", Message: "m"}},
		"the cache is behind":                                        {cached: running(), live: leaving(), want: work.PodExit{State: work.PodExitDisrupted, Terminating: true}},
		"it runs":                                                    {cached: running(), live: running(), want: work.PodExit{State: work.PodExitRunning}},
		"the cache does not have it":                                 {live: running(), want: work.PodExit{State: work.PodExitRunning}},
		"it was deleted after it had ended":                          {deleted: oom(), want: work.PodExit{State: work.PodExitEnded, ExitCode: 137, Reason: "OOMKilled", Message: "m"}},
		"it was deleted without a grace period":                      {deleted: running(), want: work.PodExit{State: work.PodExitDisrupted, Terminating: true}},
		"it was deleted, and the cache is behind":                    {cached: running(), want: work.PodExit{State: work.PodExitDisrupted, Terminating: true}},
		"it is gone, and its end was not seen":                       {want: work.PodExit{State: work.PodExitGone}},
		"another pod has the name":                                   {live: func() *corev1.Pod { p := running(); p.UID = "other"; return p }(), want: work.PodExit{State: work.PodExitGone}},
		"the API is unavailable":                                     {cached: running(), unavailable: errors.New("unavailable"), want: work.PodExit{State: work.PodExitUnknown}},
		"the API is unavailable, but it is terminating in the cache": {cached: leaving(), unavailable: errors.New("unavailable"), want: work.PodExit{State: work.PodExitDisrupted, Terminating: true}},
	} {
		t.Run(name, func(t *testing.T) {
			var live []client.Object
			if tc.live != nil {
				tc.live.Finalizers = []string{"sharedcloud.io/spec"} // the fake API does not keep deleted objects without a finalizer
				live = append(live, tc.live)
			}
			w := newWorld(t, live...)
			w.unavailable = tc.unavailable
			if tc.cached != nil {
				w.cache(t, tc.cached)
			}
			if tc.deleted != nil {
				deletePod(t, w, tc.deleted)
			}
			got := NewPodExits(w.pods).PodExit(t.Context(), "space", "pod", "pod-uid")
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("pod exit (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEndingReadsOnlyTheCache(t *testing.T) {
	another := makePod().running().deleted(noon, 30).obj()
	another.UID = "other"
	for name, tc := range map[string]struct {
		cached *corev1.Pod
		want   bool
	}{
		"it runs":           {cached: makePod().running().obj()},
		"it is terminating": {cached: makePod().running().deleted(noon, 30).obj(), want: true},
		"another pod of that name is terminating": {cached: another},
		"the cache does not have it":              {},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.unavailable = errors.New("unavailable")
			if tc.cached != nil {
				w.cache(t, tc.cached)
			}
			if got := NewPodExits(w.pods).Ending("space", "pod", "pod-uid"); got != tc.want {
				t.Errorf("ending: %v; want %v", got, tc.want)
			}
		})
	}
}

// deletePod adds a pod's deletion to the cache.
func deletePod(t *testing.T, w *world, pod *corev1.Pod) {
	t.Helper()
	w.pods.Remember(pod)
}

// recorder is an exchange that records what was reported to it.
type recorder struct {
	mu      sync.Mutex
	ended   []string
	changed []types.UID
	refuse  int
}

func (n *recorder) PodEnded(_ context.Context, worker work.Worker, podExit work.PodExit) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.refuse > 0 {
		n.refuse--
		return errors.New("the store is full")
	}
	n.ended = append(n.ended, string(worker.RunUID)+" "+worker.PodName+" "+podExit.Reason)
	return nil
}

func (n *recorder) RunChanged(run types.UID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.changed = append(n.changed, run)
}

func (n *recorder) reported() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.ended)
}

// noLeases is a store without leases.
type noLeases struct{ outcomes.Store }

func (noLeases) View(context.Context, func(*outcomes.Tx) error) error { return nil }

func TestWatcherReportsEndedPods(t *testing.T) {
	for name, tc := range map[string]struct {
		run     *runBuilder
		pod     *corev1.Pod
		deleted bool
		refuse  int
		want    []string
	}{
		"a pod whose container ended":   {run: makeRun(), pod: ended(workerPod()), want: []string{"run-uid pod OOMKilled"}},
		"reported again after an error": {run: makeRun(), pod: ended(workerPod()), refuse: 2, want: []string{"run-uid pod OOMKilled"}},
		"a pod that was deleted":        {run: makeRun(), pod: workerPod(), deleted: true, want: []string{"run-uid pod "}},
		"a pod that runs":               {run: makeRun(), pod: workerPod()},
		"a pod of a run that is closed": {run: makeRun().closed(), pod: ended(workerPod())},
		"a pod of a deleted run":        {pod: ended(workerPod())},
		"a pod that is not a worker":    {run: makeRun(), pod: ended(workerPod(func(p *corev1.Pod) { p.OwnerReferences = nil }))},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if tc.run != nil {
				w.cache(t, tc.run.obj())
			}
			exchange := &recorder{refuse: tc.refuse}
			watcher, err := NewWatcher(&core.Cluster{Runs: w.runs, Pods: w.pods}, NewPodExits(w.pods), exchange, noLeases{}, w.clock)
			if err != nil {
				t.Fatal(err)
			}
			if tc.deleted {
				deletePod(t, w, tc.pod)
			} else {
				w.cache(t, tc.pod)
			}
			watcher.podChanged(tc.pod, tc.deleted)
			watcher.podChanged(nil, true)
			watcher.podChanged(toolscache.DeletedFinalStateUnknown{}, true)
			for range 5 {
				for watcher.queue.Len() > 0 {
					watcher.next(t.Context())
				}
				w.clock.Step(time.Minute)
				waitFor(t, func() bool { return watcher.queue.Len() > 0 || len(exchange.reported()) == len(tc.want) })
			}
			if diff := cmp.Diff(tc.want, exchange.reported()); diff != "" {
				t.Errorf("reported (-want +got):\n%s", diff)
			}
		})
	}
}

func ended(pod *corev1.Pod) *corev1.Pod {
	ended := makePod().ended(137, "OOMKilled", noon).obj()
	pod.Status = ended.Status
	return pod
}

// waitFor waits for another goroutine.
func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	tick, late := time.NewTicker(time.Millisecond), time.NewTimer(time.Minute)
	defer tick.Stop()
	defer late.Stop()
	for !done() {
		select {
		case <-late.C:
			t.Fatal("it did not happen")
		case <-tick.C:
		}
	}
}

func TestWatcherNotifiesCallsOfChangedRuns(t *testing.T) {
	base := makeRun().pinned().job("job-uid")
	for name, tc := range map[string]struct {
		before, after any
		want          []types.UID
	}{
		"it is ending":             {base.obj(), makeRun().pinned().job("job-uid").condition("Ending", "True", "Cancelled").obj(), []types.UID{"run-uid"}},
		"it has finished":          {base.obj(), makeRun().pinned().job("job-uid").condition("Finished", "True", "Succeeded").obj(), []types.UID{"run-uid"}},
		"another run has its name": {base.obj(), makeRun().uid("other").pinned().obj(), []types.UID{"run-uid"}},
		"its progress changed":     {base.obj(), makeRun().pinned().job("job-uid").closed().obj(), nil},
		"no run":                   {nil, nil, nil},
		"another kind":             {&corev1.Pod{}, &corev1.Pod{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			exchange := &recorder{}
			(&Watcher{exchange: exchange}).runChanged(tc.before, tc.after)
			if diff := cmp.Diff(tc.want, exchange.changed); diff != "" {
				t.Errorf("notified (-want +got):\n%s", diff)
			}
		})
	}
}
