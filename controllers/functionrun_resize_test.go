package controllers

import (
	"context"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/workload"
	"sharedcloud.io/function-operator/test/builders"
)

// A run that the first worker completes at once starts no more pods and takes no more GPUs.
func TestTheFirstWorkerStartsAlone(t *testing.T) {
	tests := []struct {
		name                 string
		age                  time.Duration
		parallelism, workers int32
		want                 int32
		wantWait             time.Duration
	}{
		{name: "the first worker is alone for a second", age: 400 * time.Millisecond, parallelism: 1, workers: 3, want: 1, wantWait: 600 * time.Millisecond},
		{name: "the others follow after a second", age: time.Second, parallelism: 1, workers: 3, want: 3},
		{name: "a greater parallelism is kept", age: time.Hour, parallelism: 5, workers: 3, want: 5},
		{name: "a run of one worker has no others", age: time.Second, parallelism: 1, workers: 1, want: 1},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			run := builders.MakeRun("r").Inputs(9).Pinned("f-0123456789", 9, tc.workers, 0).Job(1, "job").Obj()
			job := ownJob(run, "1", "0", "0")
			job.Annotations[annotationBuilt] = strconv.FormatInt(builders.Now.Add(-tc.age).UnixMicro(), 10)
			job.Spec.Completions, job.Spec.Parallelism = &tc.workers, &tc.parallelism
			w := newCluster(run, job)
			_, wait := reconcileRun(t, w, builders.Now)
			if err := w.client.Get(context.Background(), client.ObjectKeyFromObject(job), job); err != nil {
				t.Fatal(err)
			}
			if *job.Spec.Parallelism != tc.want || tc.wantWait != 0 && wait != tc.wantWait {
				t.Errorf("parallelism %d, recheck after %v; want %d after %v", *job.Spec.Parallelism, wait, tc.want, tc.wantWait)
			}
		})
	}
}

// The number of workers follows spec.workers while a run executes.
func TestTheJobFollowsSpecWorkers(t *testing.T) {
	tests := []struct {
		name        string
		age         time.Duration
		asked       *int32
		labels      map[string]string
		jobLabels   map[string]string
		want        workload.Size
		wantWorkers int32
		wantMessage string
	}{
		{name: "fewer", asked: ptr.To[int32](2), age: time.Minute, want: workload.Size{Completions: 2, Parallelism: 2}, wantWorkers: 2},
		{name: "more", asked: ptr.To[int32](8), age: time.Minute, want: workload.Size{Completions: 8, Parallelism: 8}, wantWorkers: 8},
		{name: "no more than the run has inputs", asked: ptr.To[int32](100), age: time.Minute, want: workload.Size{Completions: 9, Parallelism: 9}, wantWorkers: 9},
		{name: "the pinned number without spec.workers", age: time.Minute, want: workload.Size{Completions: 4, Parallelism: 4}, wantWorkers: 4},
		{name: "not while the first worker is alone", asked: ptr.To[int32](2), age: 0, want: workload.Size{Completions: 4, Parallelism: 4}, wantWorkers: 4},
		{name: "unchanged when a queue has admitted the run", asked: ptr.To[int32](2), age: time.Minute, labels: map[string]string{v1alpha1.LabelQueue: "team"},
			want: workload.Size{Completions: 4, Parallelism: 4}, wantWorkers: 4,
			wantMessage: "spec.workers asks for 2 workers, but the queue team has admitted the run with 4: suspend and resume the run to change the number."},
		{name: "unchanged when a queue has admitted the Job", asked: ptr.To[int32](2), age: time.Minute, jobLabels: map[string]string{v1alpha1.LabelQueue: "default"},
			want: workload.Size{Completions: 4, Parallelism: 4}, wantWorkers: 4,
			wantMessage: "spec.workers asks for 2 workers, but the queue default has admitted the run with 4: suspend and resume the run to change the number."},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			run := builders.MakeRun("r").Inputs(9).Pinned("f-0123456789", 9, 4, 0).Job(1, "job").Obj()
			run.Spec.Workers, run.Labels = tc.asked, tc.labels
			job := ownJob(run, "1", "0", "0")
			job.Annotations[annotationBuilt] = strconv.FormatInt(builders.Now.Add(-tc.age).UnixMicro(), 10)
			maps.Copy(job.Labels, tc.jobLabels)
			job.Spec.Completions, job.Spec.Parallelism = ptr.To[int32](4), ptr.To[int32](4)
			w := newCluster(run, job)
			got, wait := reconcileRun(t, w, builders.Now)
			if err := w.client.Get(context.Background(), client.ObjectKeyFromObject(job), job); err != nil {
				t.Fatal(err)
			}
			if workload.SizeOf(job) != tc.want || got.Status.Workers != tc.wantWorkers {
				t.Errorf("the Job has %+v, the status %d workers; want %+v and %d", workload.SizeOf(job), got.Status.Workers, tc.want, tc.wantWorkers)
			}
			if message := conditionOf(got, v1alpha1.ConditionReady).Message; !strings.HasSuffix(message, tc.wantMessage) {
				t.Errorf("the message of Ready is %q; want it to end with %q", message, tc.wantMessage)
			}
			if tc.age == 0 && wait != firstWorkerLead {
				t.Errorf("recheck after %v; want %v", wait, firstWorkerLead)
			}
		})
	}
}

func TestTheNextJobFollowsSpecWorkers(t *testing.T) {
	run := builders.MakeRun("r").Inputs(9).Pinned("f-0123456789", 9, 4, 0).Job(2, "").Obj()
	revision := testRevision(t)
	run.Status.Revision.Name, run.Spec.Workers = revision.Name, ptr.To[int32](6)
	w := newCluster(run, revision)
	got, _ := reconcileRun(t, w, builders.Now)
	job := &batchv1.Job{}
	if err := w.client.Get(context.Background(), client.ObjectKey{Namespace: "team", Name: "r-2"}, job); err != nil {
		t.Fatal(err)
	}
	if want := (workload.Size{Completions: 6, Parallelism: 1}); workload.SizeOf(job) != want || got.Status.Workers != 6 {
		t.Errorf("the Job has %+v, the status %d workers; want %+v and 6", workload.SizeOf(job), got.Status.Workers, want)
	}
}

// When the cluster refuses the new size, the condition reports it and the run continues with its workers.
func TestARefusedSizeIsReported(t *testing.T) {
	run := builders.MakeRun("r").Inputs(9).Pinned("f-0123456789", 9, 4, 0).Job(1, "job").Obj()
	run.Spec.Workers = ptr.To[int32](2)
	job := ownJob(run, "1", "0", "0")
	job.Spec.Completions, job.Spec.Parallelism = ptr.To[int32](4), ptr.To[int32](4)
	w := newCluster(run, job)
	w.client = interceptor.NewClient(w.client, interceptor.Funcs{
		Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
			return apierrors.NewForbidden(batchv1.Resource("jobs"), "r-1", errQuota)
		},
	})
	got, wait := reconcileRun(t, w, builders.Now)
	if message := conditionOf(got, v1alpha1.ConditionReady).Message; !strings.Contains(message, "The cluster refused to resize the Job r-1 to 2 workers: ") ||
		got.Status.Workers != 4 || wait <= 0 || wait > refusedInterval {
		t.Errorf("%q, %d workers, recheck after %v", message, got.Status.Workers, wait)
	}
}
