package apiserver

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applymetav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	ac "sharedcloud.io/function-operator/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/outcomes"
)

const timeout = 90 * time.Second

var graceless = client.GracePeriodSeconds(0)

var _ = Describe("A run", func() {
	It("goes from leases to outcomes, and its status has its progress", func(ctx SpecContext) {
		run := newRun(ctx, newNamespace(ctx), 3)
		job := start(ctx, run, 1)

		By("reporting what is pending before any worker calls")
		Eventually(func(g Gomega) {
			g.Expect(read(ctx, g, run).Status.Progress).To(HaveValue(Equal(v1alpha1.RunProgress{Total: 3, Pending: 3})))
		}).WithContext(ctx).Should(Succeed())

		By("working")
		w := newWorker(ctx, run, job, 0)
		said := w.call(ctx, "", true)
		Expect(said.Action).To(Equal("work"))
		Expect(said.indexes()).To(Equal([]int{0}))
		Expect(said.Inputs[0].JSON).To(MatchJSON(`[0]`))
		said = w.call(ctx, "", true, succeeded(0, map[string]any{"a": 1}))
		Expect(said.indexes()).To(Equal([]int{1}))
		said = w.call(ctx, "", true, failed(1))
		Expect(said.indexes()).To(Equal([]int{2}))
		Eventually(func(g Gomega) {
			g.Expect(w.call(ctx, "2", false).Revoked).To(BeEmpty(), "the lease continues")
			progress := read(ctx, g, run).Status.Progress
			g.Expect(progress).NotTo(BeNil())
			g.Expect(*progress).To(Equal(v1alpha1.RunProgress{
				Total: 3, Running: 1, Succeeded: 1, Failed: 1, FailedIndexes: "1", Workers: 1, GPUSeconds: progress.GPUSeconds,
			}))
		}).WithContext(ctx).Should(Succeed())

		By("reading partial results")
		data, err := results(ctx, restConfig, run, nil)
		Expect(err).NotTo(HaveOccurred())
		Expect(data).To(MatchJSON(fmt.Sprintf(`[
			{"index":0,"status":"Succeeded","result":{"a":1},"attempts":1,
			 "startTime":"2026-11-24T12:00:00.123456Z","completionTime":"2026-11-24T12:00:10.123456Z","worker":%[1]q},
			{"index":1,"status":"Failed","error":{"type":"ValueError","message":"no","traceback":"here"},"attempts":1,
			 "startTime":"2026-11-24T12:00:00.000000Z","completionTime":"2026-11-24T12:00:10.000000Z","worker":%[1]q}]`, w.pod.Name)))
		data, err = results(ctx, restConfig, run, map[string]string{"from": "1", "limit": "1", "format": "ndjson"})
		Expect(err).NotTo(HaveOccurred())
		Expect(strings.Count(string(data), "\n")).To(Equal(1))
		Expect(string(data)).To(HavePrefix(`{"index":1,`))

		By("following until the last outcome is stored")
		followed := make(chan string, 1)
		go func() {
			defer GinkgoRecover()
			data, err := results(ctx, restConfig, run, map[string]string{"follow": "true"}, "application/x-ndjson")
			Expect(err).NotTo(HaveOccurred())
			followed <- string(data)
		}()
		said = w.call(ctx, "", true, succeeded(2, "fine"))
		Expect(said.Action).To(Equal("finished"))
		var text string
		Eventually(followed).WithContext(ctx).Should(Receive(&text))
		Expect(indexesOf(text)).To(Equal([]int{0, 1, 2}))

		By("reporting the end at once")
		Eventually(func(g Gomega) {
			stored := read(ctx, g, run)
			g.Expect(stored.Status.Progress.Closed).To(BeTrue())
			g.Expect(*stored.Status.Progress).To(Equal(v1alpha1.RunProgress{
				Total: 3, Succeeded: 2, Failed: 1, FailedIndexes: "1", Closed: true, GPUSeconds: stored.Status.Progress.GPUSeconds,
			}))
			// The controllers still own their fields.
			g.Expect(stored.Status.Job.UID).To(Equal(job.UID))
			g.Expect(managers(stored)).To(HaveKeyWithValue(v1alpha1.FieldManagerAPIServer, `{"f:status":{"f:progress":`))
		}).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(timeout))

	It("is closed when the controllers request it", func(ctx SpecContext) {
		run := newRun(ctx, newNamespace(ctx), 4)
		job := start(ctx, run, 1)
		w := newWorker(ctx, run, job, 0)
		Expect(w.call(ctx, "", true).indexes()).To(Equal([]int{0}))
		Expect(w.call(ctx, "", true, succeeded(0, 0)).indexes()).To(Equal([]int{1}))
		write(ctx, run, ac.FunctionRunStatus().WithRevision(pinned(run, 1)).
			WithJob(ac.JobReference().WithName(job.Name).WithNumber(1).WithUID(job.UID)).
			WithConditions(condition(v1alpha1.ConditionEnding, v1alpha1.ReasonCancelled, "spec.cancel was set")))
		Eventually(func(g Gomega) {
			progress := read(ctx, g, run).Status.Progress
			g.Expect(progress).NotTo(BeNil())
			g.Expect(*progress).To(Equal(v1alpha1.RunProgress{
				Total: 4, Succeeded: 1, Cancelled: 3, FailedIndexes: "1-3", Closed: true, GPUSeconds: progress.GPUSeconds,
				Reason: v1alpha1.ReasonCancelled, Message: "spec.cancel was set",
			}))
		}).WithContext(ctx).Should(Succeed())
		Expect(w.call(ctx, "1", true).Action).To(Equal("stop"))
		data, err := results(ctx, restConfig, run, map[string]string{"from": "3"})
		Expect(err).NotTo(HaveOccurred())
		Expect(string(data)).To(ContainSubstring(`"status":"Cancelled","error":{"type":"Cancelled","message":"spec.cancel was set"}`))
	}, SpecTimeout(timeout))

	It("loses nothing when the server is killed during the run", func(ctx SpecContext) {
		run := newRun(ctx, newNamespace(ctx), 3)
		job := start(ctx, run, 1)
		w := newWorker(ctx, run, job, 0)
		Expect(w.call(ctx, "", true).indexes()).To(Equal([]int{0}))
		Expect(w.call(ctx, "", true, succeeded(0, "before")).indexes()).To(Equal([]int{1}))

		api.restart()
		By("repeating the call whose response may be lost")
		Expect(w.again(ctx, "", true, succeeded(0, "before")).indexes()).To(Equal([]int{1}))
		Expect(w.call(ctx, "", true, succeeded(1, "after")).indexes()).To(Equal([]int{2}))
		By("killing it before it has reported the last outcome")
		Expect(w.call(ctx, "", true, succeeded(2, "last")).Action).To(Equal("finished"))
		api.restart()
		Eventually(func(g Gomega) {
			progress := read(ctx, g, run).Status.Progress
			g.Expect(progress).NotTo(BeNil())
			g.Expect(progress.Succeeded).To(BeEquivalentTo(3))
			g.Expect(progress.Closed).To(BeTrue())
		}).WithContext(ctx).Should(Succeed())
		data, err := results(ctx, restConfig, run, nil)
		Expect(err).NotTo(HaveOccurred())
		Expect(resultsOf(data)).To(Equal([]string{`"before"`, `"after"`, `"last"`}))
	}, SpecTimeout(timeout))

	It("hands the inputs of a dead worker to another at once, also when it died while no server was running", func(ctx SpecContext) {
		// No lease expires here: inputs come back only from a worker whose pod has ended.
		api.restartWith("--lease-duration=10m")
		run := newRun(ctx, newNamespace(ctx), 2)
		job := start(ctx, run, 2)
		first, second := newWorker(ctx, run, job, 0), newWorker(ctx, run, job, 1)
		Expect(first.call(ctx, "", true).indexes()).To(Equal([]int{0}))
		endContainer(ctx, first.pod, 137, "OOMKilled")
		Eventually(func(g Gomega) {
			progress := read(ctx, g, run).Status.Progress
			g.Expect(progress).NotTo(BeNil())
			g.Expect(progress.Message).To(ContainSubstring("memory"))
		}).WithContext(ctx).Should(Succeed())
		one := second.call(ctx, "", true).indexes()
		Expect(one).To(HaveLen(1))
		other := second.call(ctx, "", true, succeeded(one[0], 1)).indexes()
		Expect(append(one, other...)).To(ConsistOf(0, 1))

		api.kill()
		Expect(k8s.Delete(ctx, second.pod, graceless)).To(Succeed())
		api.start()
		api.waitReady()
		third := newWorker(ctx, run, newerJob(ctx, run), 0)
		Eventually(func(g Gomega) {
			g.Expect(third.call(ctx, "", true).indexes()).To(Equal(other))
		}).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(timeout))

	It("continues while the Kubernetes API is unreachable", func(ctx SpecContext) {
		run := newRun(ctx, newNamespace(ctx), 3)
		job := start(ctx, run, 1)
		w := newWorker(ctx, run, job, 0)
		late := newWorker(ctx, run, job, 1)
		Expect(w.call(ctx, "", true).indexes()).To(Equal([]int{0}))
		Eventually(func(g Gomega) { // until the server has observed the worker's pod
			g.Expect(w.call(ctx, "0", false).Revoked).To(BeEmpty())
			g.Expect(read(ctx, g, run).Status.Progress).To(HaveValue(HaveField("Running", BeEquivalentTo(1))))
		}).WithContext(ctx).Should(Succeed())
		api.gate.close()
		DeferCleanup(api.gate.open)
		By("serving known workers, and returning 503 with Retry-After to unknown ones")
		Expect(w.call(ctx, "", true, succeeded(0, 0)).indexes()).To(Equal([]int{1}))
		status, said := late.post(ctx, run.Name, map[string]any{"protocol": 1, "sequence": 1, "held": "", "want": true})
		Expect(status).To(Equal(http.StatusServiceUnavailable), "%+v", said)
		code, body := get(api.client(), api.url()+"/livez")
		Expect(code).To(Equal(http.StatusOK), body)
		api.gate.open()
		By("reporting when the API is reachable again")
		Eventually(func(g Gomega) {
			g.Expect(w.call(ctx, "1", false).Revoked).To(BeEmpty(), "the lease continues")
			g.Expect(read(ctx, g, run).Status.Progress.Succeeded).To(BeEquivalentTo(1))
		}).WithContext(ctx).WithTimeout(time.Minute).Should(Succeed())
		Expect(late.call(ctx, "", true).indexes()).To(Equal([]int{2}))
	}, SpecTimeout(2*time.Minute))

	It("loses its outcomes when it is deleted, and no other run does", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		run, stays := newRun(ctx, namespace, 2), newRun(ctx, namespace, 2)
		w, other := newWorker(ctx, run, start(ctx, run, 1), 0), newWorker(ctx, stays, start(ctx, stays, 1), 0)
		for _, each := range []*worker{w, other} {
			Expect(each.call(ctx, "", true).indexes()).To(Equal([]int{0}))
			Expect(each.call(ctx, "", true, succeeded(0, 0)).indexes()).To(Equal([]int{1}))
		}
		Expect(k8s.Delete(ctx, run)).To(Succeed())
		Eventually(func(g Gomega) {
			status, said := w.post(ctx, run.Name, map[string]any{"protocol": 1, "sequence": 3, "held": "1", "want": true})
			g.Expect(status).To(Equal(http.StatusNotFound), "%+v", said)
		}).WithContext(ctx).Should(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(storedRuns(g)).NotTo(ContainElement(run.UID))
		}).WithContext(ctx).Should(Succeed())
		Eventually(func(g Gomega) { // a copy of a file in use may be incomplete
			g.Expect(storedRuns(g)).To(ContainElement(stays.UID))
		}).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(timeout))
})

// newerJob creates a Job that replaces the run's.
func newerJob(ctx SpecContext, run *v1alpha1.FunctionRun) *batchv1.Job {
	GinkgoHelper()
	job := newJob(ctx, run.Namespace, run.Name)
	write(ctx, run, ac.FunctionRunStatus().WithRevision(pinned(run, 2)).
		WithJob(ac.JobReference().WithName(job.Name).WithNumber(2).WithUID(job.UID)))
	return job
}

// storedRuns reads the store of the running server.
func storedRuns(g Gomega) []types.UID {
	copied := outcomes.NewSQLite(copyStore(g, api.storePath()))
	g.Expect(copied.Open(GinkgoT().Context())).To(Succeed())
	defer func() { g.Expect(copied.Close()).To(Succeed()) }()
	var uids []types.UID
	g.Expect(copied.View(GinkgoT().Context(), func(tx *outcomes.Tx) (err error) {
		uids, err = tx.RunUIDs()
		return err
	})).To(Succeed())
	return uids
}

func condition(kind, reason, message string) *applymetav1.ConditionApplyConfiguration {
	return applymetav1.Condition().WithType(kind).WithStatus(metav1.ConditionTrue).WithReason(reason).WithMessage(message).
		WithLastTransitionTime(metav1.Now())
}

func indexesOf(lines string) []int {
	var indexes []int
	for line := range strings.Lines(lines) {
		var o struct{ Index int }
		Expect(json.Unmarshal([]byte(line), &o)).To(Succeed(), line)
		indexes = append(indexes, o.Index)
	}
	return indexes
}

func resultsOf(array []byte) []string {
	var outcomes []struct{ Result json.RawMessage }
	Expect(json.Unmarshal(array, &outcomes)).To(Succeed())
	var texts []string
	for _, o := range outcomes {
		texts = append(texts, string(o.Result))
	}
	return texts
}

// managers are the field managers of a run's status.
func managers(run *v1alpha1.FunctionRun) map[string]string {
	owned := map[string]string{}
	for _, entry := range run.ManagedFields {
		if entry.Subresource == "status" && entry.FieldsV1 != nil {
			text := entry.FieldsV1.GetRawString()
			owned[entry.Manager] = text[:min(len(text), len(`{"f:status":{"f:progress":`))]
		}
	}
	return owned
}
