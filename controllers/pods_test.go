package controllers

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

func TestCrewOf(t *testing.T) {
	image := func(message string) *trouble {
		return &trouble{rankImage, v1alpha1.ReasonImageUnavailable, `the image "sharedcloud/python:latest" cannot be pulled: ` + message}
	}
	tests := []struct {
		name string
		pods []corev1.Pod
		want crew
	}{
		{name: "no pods are no crew"},
		{
			name: "running, waiting and finished pods are told apart",
			pods: []corev1.Pod{
				makePod("a").Running().Obj(),
				makePod("b").Obj(),
				makePod("c").With(func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }).Obj(),
			},
			want: crew{running: 1, waiting: 1},
		},
		{
			name: "pods of an earlier Job and pods that leave are not counted",
			pods: []corev1.Pod{
				makePod("old").Running().With(func(p *corev1.Pod) { p.OwnerReferences[0].UID = "other" }).Obj(),
				makePod("leaving").Running().With(func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: testNow} }).Obj(),
			},
		},
		{
			name: "an unschedulable pod speaks with the scheduler's words",
			pods: []corev1.Pod{makePod("a").Unschedulable("0/1 nodes are available").Obj()},
			want: crew{waiting: 1, trouble: &trouble{rankUnschedulable, v1alpha1.ReasonPodsUnschedulable, "no node has room: 0/1 nodes are available"}},
		},
		{
			name: "the scheduler's words are cut",
			pods: []corev1.Pod{makePod("a").Unschedulable(strings.Repeat("x", 5000)).Obj()},
			want: crew{waiting: 1, trouble: &trouble{rankUnschedulable, v1alpha1.ReasonPodsUnschedulable, "no node has room: " + strings.Repeat("x", foreignTextLimit-3) + "…"}},
		},
		{
			name: "a gated pod says that something holds it back",
			pods: []corev1.Pod{makePod("a").With(func(p *corev1.Pod) {
				p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonSchedulingGated, Message: "kueue"}}
			}).Obj()},
			want: crew{waiting: 1, trouble: &trouble{rankUnschedulable, v1alpha1.ReasonPodsUnschedulable, "something holds the pods back by a scheduling gate: kueue"}},
		},
		{
			name: "an image that cannot be pulled says why",
			pods: []corev1.Pod{makePod("a").Waiting("ErrImagePull", "not found").Obj()},
			want: crew{waiting: 1, trouble: image("not found")},
		},
		{
			name: "the back-off after it says the same",
			pods: []corev1.Pod{makePod("a").Waiting("ImagePullBackOff", `Back-off pulling image "sharedcloud/python:latest": ErrImagePull: not found`).Obj()},
			want: crew{waiting: 1, trouble: image("not found")},
		},
		{
			name: "a back-off that tells no cause gives its reason",
			pods: []corev1.Pod{makePod("a").Waiting("ImagePullBackOff", `Back-off pulling image "sharedcloud/python:latest"`).Obj()},
			want: crew{waiting: 1, trouble: image("ImagePullBackOff")},
		},
		{
			name: "a container that cannot be created says why",
			pods: []corev1.Pod{makePod("a").Waiting("CreateContainerConfigError", `secret "x" not found`).Obj()},
			want: crew{waiting: 1, trouble: &trouble{rankContainer, v1alpha1.ReasonContainerCannotStart, `the container of the pod a cannot start: secret "x" not found`}},
		},
		{
			name: "an image without the interpreter is a container that cannot start",
			pods: []corev1.Pod{makePod("a").Died("StartError", 128, `exec: "python3": executable file not found in $PATH`).Obj()},
			want: crew{died: 1, trouble: &trouble{rankContainer, v1alpha1.ReasonContainerCannotStart, `the container of the pod a cannot start: exec: "python3": executable file not found in $PATH`}},
		},
		{
			name: "a worker that was killed for memory says so",
			pods: []corev1.Pod{makePod("a").Died("OOMKilled", 137, "").Obj()},
			want: crew{died: 1, trouble: &trouble{rankDied, v1alpha1.ReasonWorkersDied, "the worker of the pod a died (OOMKilled, exit code 137)"}},
		},
		{
			name: "a worker that exited says its code",
			pods: []corev1.Pod{makePod("a").Died("Error", 1, "").Obj()},
			want: crew{died: 1, trouble: &trouble{rankDied, v1alpha1.ReasonWorkersDied, "the worker of the pod a died (exit code 1)"}},
		},
		{
			name: "a pod that the node refused gives the node's words",
			pods: []corev1.Pod{makePod("a").With(func(p *corev1.Pod) {
				p.Status = corev1.PodStatus{Phase: corev1.PodFailed, Reason: "UnexpectedAdmissionError", Message: "no devices left"}
			}).Obj()},
			want: crew{died: 1, trouble: &trouble{rankDied, v1alpha1.ReasonWorkersDied, "the pod a failed: no devices left"}},
		},
		{
			name: "a disrupted pod died of nothing that it did",
			pods: []corev1.Pod{makePod("a").Died("Error", 143, "").With(func(p *corev1.Pod) {
				p.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}}
			}).Obj()},
		},
		{
			name: "of several troubles the one that somebody can mend is told",
			pods: []corev1.Pod{
				makePod("a").Died("Error", 1, "").Obj(),
				makePod("b").Unschedulable("no room").Obj(),
				makePod("c").Waiting("ErrImagePull", "not found").Obj(),
				makePod("d").Waiting("CreateContainerConfigError", "no secret").Obj(),
			},
			want: crew{waiting: 3, died: 1, trouble: image("not found")},
		},
		{
			name: "a pod that has been starting for a while is looked at again when that is long",
			pods: []corev1.Pod{
				makePod("a").Scheduled(testNow.Add(-10 * time.Second)).Obj(),
				makePod("b").Scheduled(testNow.Add(-20 * time.Second)).Obj(),
			},
			want: crew{waiting: 2, recheck: 10 * time.Second},
		},
		{
			name: "a pod that has been starting for long is worth a word",
			pods: []corev1.Pod{makePod("a").Scheduled(testNow.Add(-31 * time.Second)).Obj()},
			want: crew{waiting: 1, trouble: &trouble{rankSlow, v1alpha1.ReasonStarting,
				"the pod a has been starting for more than 30 seconds: a large image is being pulled, or a volume is missing (kubectl describe pod a says which)"}},
		},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := crewOf(tc.pods, "job", testNow)
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(crew{}, trouble{})); diff != "" {
				t.Errorf("crewOf (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWorkingFinding(t *testing.T) {
	job := func(change ...func(*batchv1.Job)) *batchv1.Job {
		j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "r-1", UID: "job", CreationTimestamp: metav1.NewTime(testNow.Add(-5 * time.Second))}}
		for _, f := range change {
			f(j)
		}
		return j
	}
	old := func(j *batchv1.Job) { j.CreationTimestamp = metav1.NewTime(testNow.Add(-11 * time.Second)) }
	noRoom := &trouble{rankUnschedulable, v1alpha1.ReasonPodsUnschedulable, "no node has room: 0/1."}
	tests := []struct {
		name        string
		progress    v1alpha1.RunProgress
		job         *batchv1.Job
		crew        crew
		want        finding
		wantRecheck time.Duration
	}{
		{
			name: "a Job without pods is starting, and looked at again soon",
			job:  job(), want: finding{standingProgressing, v1alpha1.ReasonStarting, "The Job r-1 exists; no worker has taken an input yet."},
			wantRecheck: 5 * time.Second,
		},
		{
			name: "a Job that has had no pods for long is told",
			job:  job(old),
			want: finding{standingProgressing, v1alpha1.ReasonStarting,
				"The Job r-1 has had no pods for more than 10 seconds: a quota or a policy may refuse them (kubectl describe job r-1 says which)."},
		},
		{
			name: "a Job that a queue holds back has no pods, as it should",
			job:  job(old, func(j *batchv1.Job) { j.Spec.Suspend = ptr.To(true) }),
			want: finding{standingProgressing, v1alpha1.ReasonStarting, "The Job r-1 exists; no worker has taken an input yet."},
		},
		{
			name: "pods that start are nothing to talk about",
			job:  job(old), crew: crew{waiting: 2, recheck: time.Second},
			want:        finding{standingProgressing, v1alpha1.ReasonStarting, "The Job r-1 exists; no worker has taken an input yet."},
			wantRecheck: time.Second,
		},
		{
			name: "a trouble of all workers is the run's",
			job:  job(), crew: crew{waiting: 2, trouble: noRoom},
			want: finding{standingProgressing, v1alpha1.ReasonPodsUnschedulable, "No node has room: 0/1."},
		},
		{
			name: "a trouble of some workers is a half-sentence of a run that works",
			job:  job(), crew: crew{running: 5, waiting: 3, trouble: noRoom},
			want: finding{standingProgressing, v1alpha1.ReasonRunning, "Workers are at it; 3 of 8 wait: no node has room: 0/1."},
		},
		{
			name: "workers that died while others work are the exchange's to judge",
			job:  job(), crew: crew{running: 5, died: 3, trouble: &trouble{rankDied, v1alpha1.ReasonWorkersDied, "the worker died"}},
			want: finding{standingProgressing, v1alpha1.ReasonRunning, "Workers are at it."},
		},
		{
			name: "workers that all died are told, and that others follow",
			job:  job(), crew: crew{died: 1, trouble: &trouble{rankDied, v1alpha1.ReasonWorkersDied, "the worker of the pod a died (exit code 1)"}},
			want: finding{standingProgressing, v1alpha1.ReasonWorkersDied, "The worker of the pod a died (exit code 1). Another one is started, later and later."},
		},
		{
			name: "between two workers a run that has outcomes is running",
			job:  job(), progress: v1alpha1.RunProgress{Total: 9, Succeeded: 3}, crew: crew{waiting: 1},
			want: finding{standingProgressing, v1alpha1.ReasonRunning, "Workers are at it."},
		},
		{
			name: "what the exchange sees is added to what the pods say",
			job:  job(), crew: crew{running: 1}, progress: v1alpha1.RunProgress{Message: "SyntaxError: invalid syntax"},
			want: finding{standingProgressing, v1alpha1.ReasonRunning, "Workers are at it. SyntaxError: invalid syntax."},
		},
		{
			name: "what the exchange sees tells more than how the workers died",
			job:  job(), crew: crew{died: 1, trouble: &trouble{rankDied, v1alpha1.ReasonWorkersDied, "the worker died"}},
			progress: v1alpha1.RunProgress{Reason: v1alpha1.ReasonModuleNotLoaded, Message: "SyntaxError: invalid syntax"},
			want:     finding{standingProgressing, v1alpha1.ReasonModuleNotLoaded, "SyntaxError: invalid syntax."},
		},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			run := makeRun("r").Pinned("f-0123456789", 100, 8, 1).Job(1, "job").Progress(tc.progress).Obj()
			got, recheck := workingFinding(run, tc.job, tc.crew, testNow)
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(finding{})); diff != "" {
				t.Errorf("workingFinding (-want +got):\n%s", diff)
			}
			if recheck != tc.wantRecheck {
				t.Errorf("look again after %v, want %v", recheck, tc.wantRecheck)
			}
		})
	}
}
