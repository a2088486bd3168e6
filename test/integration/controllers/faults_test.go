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
	"sharedcloud.io/function-operator/test/builders"
)

// crashingClient is the client of a manager that crashes at its n-th write: no later call executes the API, and no later answer executes the
// manager. If the write itself is executed, its answer is lost.
type crashingClient struct {
	client.Client
	left     *atomic.Int32
	executes bool
	crashed  chan struct{}
}

var errCrashed = errors.New("this manager has crashed")

func (d crashingClient) write(act func() error) error {
	switch left := d.left.Add(-1); {
	case left > 0:
		return act()
	case left == 0:
		if d.executes {
			_ = act()
		}
		close(d.crashed)
	}
	return errCrashed
}

func (d crashingClient) Create(ctx context.Context, o client.Object, opts ...client.CreateOption) error {
	return d.write(func() error { return d.Client.Create(ctx, o, opts...) })
}

func (d crashingClient) Update(ctx context.Context, o client.Object, opts ...client.UpdateOption) error {
	return d.write(func() error { return d.Client.Update(ctx, o, opts...) })
}

func (d crashingClient) Patch(ctx context.Context, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
	return d.write(func() error { return d.Client.Patch(ctx, o, patch, opts...) })
}

func (d crashingClient) Delete(ctx context.Context, o client.Object, opts ...client.DeleteOption) error {
	return d.write(func() error { return d.Client.Delete(ctx, o, opts...) })
}

func (d crashingClient) Apply(ctx context.Context, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
	return d.write(func() error { return d.Client.Apply(ctx, o, opts...) })
}

func (d crashingClient) Status() client.SubResourceWriter {
	return crashingStatus{d.Client.Status(), d}
}

type crashingStatus struct {
	client.SubResourceWriter
	owner crashingClient
}

func (s crashingStatus) Apply(ctx context.Context, o runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
	return s.owner.write(func() error { return s.SubResourceWriter.Apply(ctx, o, opts...) })
}

// One run needs about a dozen writes: the function's revision and status, the bundle, the pin, the Job, its uid, the states of pods, the
// end, the Job's deletion. A manager crashes at each of them in turn, before and after the write is executed, and another takes over. The
// result is always the same.
var _ = Describe("A manager killed at any of its writes", Serial, func() {
	BeforeEach(func() { manager.stop() })
	AfterEach(func() { manager = startManager(nil) })

	for _, executes := range []bool{false, true} {
		moment := "before the write is executed"
		if executes {
			moment = "after the write is executed, before the answer arrives"
		}
		It("leaves one Job and one revision to the next, "+moment, func(ctx SpecContext) {
			for writes := int32(1); ; writes++ {
				By(fmt.Sprintf("killing it at write %d", writes))
				survived := runThroughCrash(ctx, writes, executes)
				if survived {
					Expect(writes).To(BeNumerically(">", 8), "the manager has crashed at each write of a run")
					return
				}
			}
		}, SpecTimeout(5*time.Minute))
	}
})

// runThroughCrash executes a run from its creation to the deletion of its Job, under a manager that crashes at its n-th write, and then under
// another. It reports whether the first manager survived.
func runThroughCrash(ctx SpecContext, writes int32, executes bool) (survived bool) {
	GinkgoHelper()
	namespace := newNamespace(ctx)
	left := &atomic.Int32{}
	left.Store(writes)
	crashed := make(chan struct{})
	current := startManager(func(c client.Client) client.Client { return crashingClient{c, left, executes, crashed} })
	defer func() { current.stop() }()
	replaced := false
	// step waits for a state of the run, and replaces the manager after its crash.
	step := func(check func(g Gomega)) {
		GinkgoHelper()
		Eventually(func(g Gomega) {
			select {
			case <-crashed:
				if !replaced {
					replaced = true
					current.stop()
					current = startManager(nil)
				}
			default:
			}
			check(g)
		}).WithContext(ctx).Should(Succeed())
	}

	function, run := builders.Function(namespace, "f"), newRun(namespace, "r", "f", 2)
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
	Expect(run.Status.Job.Number).To(BeEquivalentTo(1), "no second Job was created")
	revisions := revisionsOf(ctx, Default, function)
	Expect(revisions).To(HaveLen(1))
	Expect(revisions[0].Name).To(Equal(pinned))
	Expect(fresh(ctx, Default, function).Status.Revision.Name).To(Equal(pinned))
	Expect(run.Status.ImageDigest).To(Equal("digest"))
	return !replaced
}
