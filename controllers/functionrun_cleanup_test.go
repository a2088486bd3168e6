package controllers

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/status"
	"sharedcloud.io/function-operator/test/builders"
)

func TestExitTimeLeft(t *testing.T) {
	finished := func(before time.Duration) *v1alpha1.FunctionRun {
		return builders.MakeRun("r").With(func(r *v1alpha1.FunctionRun) { r.Status.CompletionTime = &metav1.Time{Time: builders.Now.Add(-before)} }).Obj()
	}
	active := &batchv1.Job{Status: batchv1.JobStatus{Active: 2}}
	tests := []struct {
		name    string
		run     *v1alpha1.FunctionRun
		job     *batchv1.Job
		workers status.Workers
		want    time.Duration
	}{
		{name: "workers have time to exit", run: finished(4 * time.Second), job: active, workers: status.Workers{Running: 2}, want: 6 * time.Second},
		{name: "afterwards the Job is deleted", run: finished(11 * time.Second), job: active, workers: status.Workers{Running: 2}},
		{name: "the Job is deleted when they have exited", run: finished(0), job: &batchv1.Job{}},
		{name: "the Job is deleted at once when a pod is waiting", run: finished(0), job: active, workers: status.Workers{Running: 1, Waiting: 1}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := exitTimeLeft(tc.run, tc.job, tc.workers, builders.Now); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestTTLOfARun(t *testing.T) {
	finished := func(ttl int32, before time.Duration) *v1alpha1.FunctionRun {
		run := builders.MakeRun("r").Inputs(1).With(func(r *v1alpha1.FunctionRun) {
			r.Spec.TTLSecondsAfterFinished = ptr.To(ttl)
			r.Status.ObservedGeneration = 1
		}).Obj()
		status.FinishRun(run, true, v1alpha1.ReasonSucceeded, "x", builders.Now.Add(-before))
		return run
	}
	got, wait := reconcileRun(t, newCluster(finished(60, 20*time.Second)), builders.Now)
	if got.Name == "" || wait != 40*time.Second {
		t.Errorf("a run 40 s before its TTL: exists %v, recheck after %v", got.Name != "", wait)
	}
	if got, _ := reconcileRun(t, newCluster(finished(60, time.Minute)), builders.Now); got.Name != "" {
		t.Error("a run after its TTL still exists")
	}
	ofFunction := func(own *int32) *v1alpha1.FunctionRun {
		run := finished(0, 20*time.Second)
		run.Spec.TTLSecondsAfterFinished = own
		run.Status.Revision = builders.MakeRun("r").Pinned("f-0123456789", 1, 1, 0).Status.Revision
		run.Status.Revision.TTLSecondsAfterFinished = ptr.To[int32](10)
		return run
	}
	if got, _ := reconcileRun(t, newCluster(ofFunction(nil)), builders.Now); got.Name != "" {
		t.Error("a run after the TTL of its function still exists")
	}
	if got, wait := reconcileRun(t, newCluster(ofFunction(ptr.To[int32](50))), builders.Now); got.Name == "" || wait != 30*time.Second {
		t.Errorf("a run with a longer TTL than its function: exists %v, recheck after %v", got.Name != "", wait)
	}
}
