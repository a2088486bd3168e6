package status

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

func TestRunningState(t *testing.T) {
	job := func(change ...func(*batchv1.Job)) *batchv1.Job {
		j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "r-1", UID: "job", CreationTimestamp: metav1.NewTime(builders.Now.Add(-5 * time.Second))}}
		for _, f := range change {
			f(j)
		}
		return j
	}
	old := func(j *batchv1.Job) { j.CreationTimestamp = metav1.NewTime(builders.Now.Add(-11 * time.Second)) }
	unschedulable := &PodProblem{rankUnschedulable, v1alpha1.ReasonPodsUnschedulable, "no node has room: 0/1."}
	tests := []struct {
		name        string
		progress    v1alpha1.RunProgress
		job         *batchv1.Job
		workers     Workers
		want        ConditionState
		wantRecheck time.Duration
	}{
		{
			name: "a new Job without pods is starting, and checked again soon",
			job:  job(), want: ConditionState{KindProgressing, v1alpha1.ReasonStarting, "The Job r-1 exists; no worker has taken an input yet."},
			wantRecheck: 5 * time.Second,
		},
		{
			name: "a Job without pods for a long time is reported",
			job:  job(old),
			want: ConditionState{KindProgressing, v1alpha1.ReasonStarting,
				"The Job r-1 has had no pods for more than 10 seconds: a quota or a policy may refuse them (see kubectl describe job r-1)."},
		},
		{
			name: "a Job that a queue suspends is not expected to have pods",
			job:  job(old, func(j *batchv1.Job) { j.Spec.Suspend = ptr.To(true) }),
			want: ConditionState{KindProgressing, v1alpha1.ReasonStarting, "The Job r-1 exists; no worker has taken an input yet."},
		},
		{
			name: "starting pods are not reported",
			job:  job(old), workers: Workers{Waiting: 2, Recheck: time.Second},
			want:        ConditionState{KindProgressing, v1alpha1.ReasonStarting, "The Job r-1 exists; no worker has taken an input yet."},
			wantRecheck: time.Second,
		},
		{
			name: "a problem of all workers is the reason of the run",
			job:  job(), workers: Workers{Waiting: 2, Problem: unschedulable},
			want: ConditionState{KindProgressing, v1alpha1.ReasonPodsUnschedulable, "No node has room: 0/1."},
		},
		{
			name: "a problem of some workers is appended to a running run",
			job:  job(), workers: Workers{Running: 5, Waiting: 3, Problem: unschedulable},
			want: ConditionState{KindProgressing, v1alpha1.ReasonRunning, "Workers are running; 3 of 8 are waiting: no node has room: 0/1."},
		},
		{
			name: "workers that died while others run are not reported",
			job:  job(), workers: Workers{Running: 5, Died: 3, Problem: &PodProblem{rankDied, v1alpha1.ReasonWorkersDied, "the worker died"}},
			want: ConditionState{KindProgressing, v1alpha1.ReasonRunning, "Workers are running."},
		},
		{
			name: "dead workers are reported with their replacement",
			job:  job(), workers: Workers{Died: 1, Problem: &PodProblem{rankDied, v1alpha1.ReasonWorkersDied, "the worker of the pod a died (exit code 1)"}},
			want: ConditionState{KindProgressing, v1alpha1.ReasonWorkersDied, "The worker of the pod a died (exit code 1). Kubernetes starts a replacement, with an increasing delay."},
		},
		{
			name: "a run with outcomes is running while its workers are replaced",
			job:  job(), progress: v1alpha1.RunProgress{Total: 9, Succeeded: 3}, workers: Workers{Waiting: 1},
			want: ConditionState{KindProgressing, v1alpha1.ReasonRunning, "Workers are running."},
		},
		{
			name: "the report of the exchange is appended",
			job:  job(), workers: Workers{Running: 1}, progress: v1alpha1.RunProgress{Message: "SyntaxError: invalid syntax"},
			want: ConditionState{KindProgressing, v1alpha1.ReasonRunning, "Workers are running. SyntaxError: invalid syntax."},
		},
		{
			name: "the report of the exchange replaces how the workers died",
			job:  job(), workers: Workers{Died: 1, Problem: &PodProblem{rankDied, v1alpha1.ReasonWorkersDied, "the worker died"}},
			progress: v1alpha1.RunProgress{Reason: v1alpha1.ReasonModuleNotLoaded, Message: "SyntaxError: invalid syntax"},
			want:     ConditionState{KindProgressing, v1alpha1.ReasonModuleNotLoaded, "SyntaxError: invalid syntax."},
		},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			run := builders.MakeRun("r").Pinned("f-0123456789", 100, 8, 1).Job(1, "job").Progress(tc.progress).Obj()
			got, recheck := RunningState(run, tc.job, tc.workers, builders.Now)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("RunningState (-want +got):\n%s", diff)
			}
			if recheck != tc.wantRecheck {
				t.Errorf("recheck after %v, want %v", recheck, tc.wantRecheck)
			}
		})
	}
}
