package controllers

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// doomedClient is the client of a manager that dies at its n-th write: nothing that it says after that reaches the API, and
// nothing that the API says reaches it. Where the write itself gets through, its answer does not.
type doomedClient struct {
	client.Client
	left    *atomic.Int32
	reaches bool
	died    chan struct{}
}

var errDead = errors.New("this manager is dead")

func (d doomedClient) write(act func() error) error {
	switch left := d.left.Add(-1); {
	case left > 0:
		return act()
	case left == 0:
		if d.reaches {
			_ = act()
		}
		close(d.died)
	}
	return errDead
}

func (d doomedClient) Create(ctx context.Context, o client.Object, opts ...client.CreateOption) error {
	return d.write(func() error { return d.Client.Create(ctx, o, opts...) })
}

func (d doomedClient) Update(ctx context.Context, o client.Object, opts ...client.UpdateOption) error {
	return d.write(func() error { return d.Client.Update(ctx, o, opts...) })
}

func (d doomedClient) Patch(ctx context.Context, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
	return d.write(func() error { return d.Client.Patch(ctx, o, patch, opts...) })
}

func (d doomedClient) Delete(ctx context.Context, o client.Object, opts ...client.DeleteOption) error {
	return d.write(func() error { return d.Client.Delete(ctx, o, opts...) })
}

func (d doomedClient) Apply(ctx context.Context, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
	return d.write(func() error { return d.Client.Apply(ctx, o, opts...) })
}

func (d doomedClient) Status() client.SubResourceWriter { return doomedStatus{d.Client.Status(), d} }

type doomedStatus struct {
	client.SubResourceWriter
	doomed doomedClient
}

func (s doomedStatus) Apply(ctx context.Context, o runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
	return s.doomed.write(func() error { return s.SubResourceWriter.Apply(ctx, o, opts...) })
}

// The life of one run has about a dozen writes: the function's revision and status, the bundle, the pin, the Job, its uid,
// what the pods do, the end, the Job's deletion. A manager dies at each of them in turn, before the write reaches the API
// and after; another takes over. What is there then is the same every time.
var _ = Describe("A manager killed at any of its writes", Serial, func() {
	BeforeEach(func() { manager.stop() })
	AfterEach(func() { manager = startManager(nil) })

	for _, reaches := range []bool{false, true} {
		moment := "before the write is done"
		if reaches {
			moment = "after the write was done, before it knows"
		}
		It("leaves one Job and one revision to the next, "+moment, func(ctx SpecContext) {
			for writes := int32(1); ; writes++ {
				By(fmt.Sprintf("killing it at write %d", writes))
				survived := runThroughDeath(ctx, writes, reaches)
				if survived {
					Expect(writes).To(BeNumerically(">", 8), "the manager has died at each of the writes of a run")
					return
				}
			}
		}, SpecTimeout(5*time.Minute))
	}
})

// runThroughDeath runs a function's run from its creation to the deletion of its Job, under a manager that dies at its n-th
// write and, from then on, under another. It says whether the first one lived to the end.
func runThroughDeath(ctx SpecContext, writes int32, reaches bool) (survived bool) {
	GinkgoHelper()
	namespace := newNamespace(ctx)
	left := &atomic.Int32{}
	left.Store(writes)
	died := make(chan struct{})
	current := startManager(func(c client.Client) client.Client { return doomedClient{c, left, reaches, died} })
	defer func() { current.stop() }()
	dead := false
	// step waits for what the run should come to; a manager that died meanwhile is replaced.
	step := func(check func(g Gomega)) {
		GinkgoHelper()
		Eventually(func(g Gomega) {
			select {
			case <-died:
				if !dead {
					dead = true
					current.stop()
					current = startManager(nil)
				}
			default:
			}
			check(g)
		}).WithContext(ctx).Should(Succeed())
	}

	function, run := newFunction(namespace, "f"), newRun(namespace, "r", "f", 2)
	create(ctx, function, run)
	step(func(g Gomega) {
		fresh(ctx, g, run)
		g.Expect(run.Status.Job).NotTo(BeNil())
		g.Expect(run.Status.Job.UID).NotTo(BeEmpty())
	})
	jobs := jobsOf(ctx, Default, run)
	Expect(jobs).To(HaveLen(1))
	Expect(jobs[0].Name).To(Equal("r-1"))
	Expect(run.Status.Job.UID).To(Equal(jobs[0].UID))
	pinned := run.Status.Revision.Name
	pod := newPod(ctx, &jobs[0], 0)
	runPod(ctx, pod, "digest")
	step(func(g Gomega) {
		g.Expect(condition(fresh(ctx, g, run), v1alpha1.ConditionReady).Reason).To(Equal(v1alpha1.ReasonRunning))
	})
	report(ctx, run, progress(2, 2, 0, 0).WithClosed(true))
	step(func(g Gomega) {
		g.Expect(condition(fresh(ctx, g, run), v1alpha1.ConditionComplete).Status).To(BeEquivalentTo("True"))
		g.Expect(jobsOf(ctx, g, run)).To(BeEmpty())
	})
	Expect(run.Status.Job.Number).To(BeEquivalentTo(1), "no second Job was ever made")
	revisions := revisionsOf(ctx, Default, function)
	Expect(revisions).To(HaveLen(1))
	Expect(revisions[0].Name).To(Equal(pinned))
	Expect(fresh(ctx, Default, function).Status.Revision.Name).To(Equal(pinned))
	Expect(run.Status.ImageDigest).To(Equal("digest"))
	return !dead
}
