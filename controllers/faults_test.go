package controllers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/managedfields"
	clientgoac "k8s.io/client-go/applyconfigurations"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/api/v1alpha1/applyconfiguration"
	"sharedcloud.io/function-operator/controllers/policies"
	"sharedcloud.io/function-operator/controllers/workload"
	"sharedcloud.io/function-operator/test/builders"
)

var testOptions = workload.Options{
	CatalogueNamespace: "sharedcloud-catalogue",
	GPUResource:        "nvidia.com/gpu",
	GPUProductLabel:    "nvidia.com/gpu.product",
	ExchangeURL:        "https://sharedcloud-apiserver.sharedcloud-system.svc:443",
}

// noEvents discards events.
type noEvents struct{}

func (noEvents) Eventf(runtime.Object, runtime.Object, string, string, string, string, ...any) {}

var errInjected = errors.New("injected: the API did not answer")

// fakeCluster is a cluster without a Job controller, a kubelet and the aggregated API server, in which one call of the controllers fails.
type fakeCluster struct {
	client client.WithWatch
	// mu guards the counters: a run's pin is written while its revision is confirmed.
	mu sync.Mutex
	// calls counts the calls of the controllers; the failAt-th fails, before or after it was executed.
	calls, failAt int
	afterwards    bool
	// writes counts the calls that change an object.
	writes int
	uids   int
}

func newCluster(objects ...client.Object) *fakeCluster {
	w := &fakeCluster{}
	// Only what is needed: the fake client converts all of it for each apply.
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), batchv1.AddToScheme(scheme), admissionv1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		panic(err)
	}
	for _, installed := range policies.References() {
		objects = append(objects, installed.Policy, installed.Binding)
	}
	builder := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&v1alpha1.Function{}, &v1alpha1.FunctionImage{}, &v1alpha1.FunctionRun{}).
		WithTypeConverters(clientgoac.NewTypeConverter(scheme), applyconfiguration.NewTypeConverter(scheme), managedfields.NewDeducedTypeConverter()).
		WithInterceptorFuncs(w.funcs())
	for _, i := range indexes() {
		builder = builder.WithIndex(i.object, i.name, i.keys)
	}
	w.client = builder.Build()
	return w
}

// call counts a call, and makes it fail if it is the one.
func (w *fakeCluster) call(act func() error) error {
	w.mu.Lock()
	w.calls++
	fails := w.calls == w.failAt
	w.mu.Unlock()
	if !fails {
		return act()
	}
	if w.afterwards {
		_ = act()
	}
	return errInjected
}

// identify gives a created object a uid, as the API server does.
func (w *fakeCluster) identify(ctx context.Context, c client.WithWatch, object client.Object) error {
	if err := c.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil || object.GetUID() != "" {
		return err
	}
	w.uids++
	object.SetUID(types.UID(fmt.Sprintf("created-%d", w.uids)))
	return c.Update(ctx, object)
}

func (w *fakeCluster) funcs() interceptor.Funcs {
	return interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			return w.call(func() error { return c.Get(ctx, key, o, opts...) })
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			return w.call(func() error { return c.List(ctx, list, opts...) })
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			w.writes++
			return w.call(func() error {
				if err := c.Create(ctx, o, opts...); err != nil {
					return err
				}
				return w.identify(ctx, c, o)
			})
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			w.writes++
			return w.call(func() error { return c.Delete(ctx, o, opts...) })
		},
		SubResourceApply: func(ctx context.Context, c client.Client, name string, o runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
			w.writes++
			return w.call(func() error { return c.SubResource(name).Apply(ctx, o, opts...) })
		},
	}
}

// settle runs the reconcilers of a new manager until nothing changes. After the failure another manager replaces them, as if the first one
// had crashed.
func (w *fakeCluster) settle(t *testing.T, clk *clocktesting.FakePassiveClock) {
	t.Helper()
	ctx := context.Background()
	for range 3 {
		metrics := NewMetrics(prometheus.NewRegistry())
		function := NewFunctionReconciler(w.client, w.client, builders.Lookup, noEvents{}, metrics, clk, testOptions)
		image := NewImageReconciler(w.client, w.client, builders.Lookup, noEvents{}, clk)
		run := NewRunReconciler(w.client, w.client, noEvents{}, metrics, clk, testOptions)
		err := func() error {
			for writes := -1; writes != w.writes; {
				writes = w.writes
				for _, step := range []struct {
					reconciler reconcile.Reconciler
					request    ctrl.Request
				}{
					{function, request("team", "f")}, {image, request("sharedcloud-catalogue", "python")}, {run, request("team", "r")},
				} {
					if _, err := step.reconciler.Reconcile(ctx, step.request); err != nil {
						return err
					}
				}
			}
			return nil
		}()
		if err == nil {
			return
		}
		if !errors.Is(err, errInjected) {
			t.Fatalf("call %d fails and the controllers return another error: %v", w.failAt, err)
		}
	}
	t.Fatalf("call %d fails, and the controllers do not settle", w.failAt)
}

// When any call of the controllers fails, before or after it was executed, and the manager crashes with it, a run still has one revision,
// one Job and one end.
func TestAnyCallMayFail(t *testing.T) {
	for _, afterwards := range []bool{false, true} {
		for failAt := 1; ; failAt++ {
			w := runThroughFailure(t, failAt, afterwards)
			if w.calls < failAt {
				if failAt < 25 {
					t.Errorf("a run took only %d calls: the test did not cover all of them", failAt-1)
				}
				break
			}
		}
	}
}

func runThroughFailure(t *testing.T, failAt int, afterwards bool) *fakeCluster {
	t.Helper()
	ctx := context.Background()
	w := newCluster(builders.MakeFunction("f").Obj(), builders.MakeImage("sharedcloud-catalogue", "python"), builders.MakeRun("r").Inputs(5).Obj())
	w.failAt, w.afterwards = failAt, afterwards
	clk := clocktesting.NewFakePassiveClock(builders.Now)
	w.settle(t, clk)

	// Calls of the test itself do not count.
	observed := func(act func()) { calls := w.calls; w.calls = -1 << 30; act(); w.calls = calls }
	run := &v1alpha1.FunctionRun{}
	jobs := &batchv1.JobList{}
	revisions := &corev1.ConfigMapList{}
	look := func() {
		t.Helper()
		observed(func() {
			if err := errors.Join(w.client.Get(ctx, client.ObjectKey{Namespace: "team", Name: "r"}, run),
				w.client.List(ctx, jobs), w.client.List(ctx, revisions)); err != nil {
				t.Fatal(err)
			}
		})
	}
	look()
	if len(jobs.Items) != 1 || len(revisions.Items) != 1 {
		t.Fatalf("call %d fails (afterwards: %v): %d Jobs and %d revisions", failAt, afterwards, len(jobs.Items), len(revisions.Items))
	}
	if run.Status.Job == nil || run.Status.Job.UID != jobs.Items[0].UID || run.Status.Job.Name != "r-1" {
		t.Fatalf("call %d fails (afterwards: %v): the status names the Job %+v, the Job's uid is %s", failAt, afterwards, run.Status.Job, jobs.Items[0].UID)
	}
	if run.Status.Revision.Name != revisions.Items[0].Name || run.Status.Revision.Workers != 5 {
		t.Fatalf("call %d fails (afterwards: %v): pinned %+v", failAt, afterwards, run.Status.Revision)
	}

	observed(func() {
		run.Status.Progress = &v1alpha1.RunProgress{Total: 5, Succeeded: 5, Closed: true}
		if err := w.client.Status().Update(ctx, run); err != nil {
			t.Fatal(err)
		}
	})
	w.settle(t, clk)
	look()
	if !meta.IsStatusConditionTrue(run.Status.Conditions, v1alpha1.ConditionComplete) || len(jobs.Items) != 0 || len(revisions.Items) != 1 {
		t.Fatalf("call %d fails (afterwards: %v): at the end %d Jobs, %d revisions, %+v", failAt, afterwards, len(jobs.Items), len(revisions.Items), run.Status.Conditions)
	}
	if run.Status.Progress == nil || run.Status.Job == nil || run.Status.Revision == nil {
		t.Fatalf("call %d fails (afterwards: %v): a write unset what was stored: %+v", failAt, afterwards, run.Status)
	}
	return w
}
