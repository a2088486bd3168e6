package controllers

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

// ownJob is a Job of the run, as the controllers make it.
func ownJob(run *v1alpha1.FunctionRun, number, before, fruitlessBefore string, conditions ...batchv1.JobCondition) *batchv1.Job {
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Name: run.Name + "-" + number, Namespace: run.Namespace, UID: "job", CreationTimestamp: metav1.NewTime(testNow.Add(-time.Minute)),
			Labels:          map[string]string{v1alpha1.LabelRunUID: string(run.UID)},
			Annotations:     map[string]string{annotationNumber: number, annotationOutcomes: before, annotationFruitless: fruitlessBefore},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(run, v1alpha1.GroupVersion.WithKind("FunctionRun"))},
		},
		Status: batchv1.JobStatus{Conditions: conditions},
	}
}

func jobDone(at time.Time) batchv1.JobCondition {
	return batchv1.JobCondition{Type: batchv1.JobComplete, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(at)}
}

// look runs one pass over the run "r" and returns it as it is stored then.
func look(t *testing.T, w *world, now time.Time) (*v1alpha1.FunctionRun, time.Duration) {
	t.Helper()
	r := NewRunReconciler(w.client, w.client, noEvents{}, NewMetrics(prometheus.NewRegistry()), clocktesting.NewFakePassiveClock(now), testOptions)
	result, err := r.Reconcile(context.Background(), request("team", "r"))
	if err != nil {
		t.Fatal(err)
	}
	run := &v1alpha1.FunctionRun{}
	if err := w.client.Get(context.Background(), client.ObjectKey{Namespace: "team", Name: "r"}, run); client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	return run, result.RequeueAfter
}

// Workers that exit with 0 mean "nothing is left for me", never "the run is done".
func TestAJobThatIsOverBeforeItsRun(t *testing.T) {
	pinned := func() *v1alpha1.FunctionRun {
		return makeRun("r").Inputs(9).Pinned("f-0123456789", 9, 3, 0).Job(2, "job").Progress(v1alpha1.RunProgress{Total: 9, Pending: 5, Succeeded: 4}).Obj()
	}
	tests := []struct {
		name                    string
		since                   time.Duration
		before, fruitlessBefore string
		wantReason              string
		wantJob                 int32
		wantEnding              bool
		wantWait                time.Duration
	}{
		{name: "just now: the API server is about to report", since: 5 * time.Second, before: "1", wantReason: v1alpha1.ReasonRunning, wantJob: 2, wantWait: 10 * time.Second},
		{name: "for a while: its workers were sent away with outcomes missing, and the next Job goes on", since: time.Minute, before: "1", wantReason: v1alpha1.ReasonStarting, wantJob: 3},
		{name: "for a while without an outcome: the next one may do better", since: time.Minute, before: "4", fruitlessBefore: "1", wantReason: v1alpha1.ReasonStarting, wantJob: 3},
		{name: "for the third time without an outcome: it never will", since: time.Minute, before: "4", fruitlessBefore: "2", wantReason: v1alpha1.ReasonJobFailed, wantJob: 2, wantEnding: true},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			run := pinned()
			w := newWorld(run, ownJob(run, "2", tc.before, tc.fruitlessBefore, jobDone(testNow.Add(-tc.since))))
			got, wait := look(t, w, testNow)
			ready := conditionOf(got, v1alpha1.ConditionReady)
			if ready.Reason != tc.wantReason || got.Status.Job.Number != tc.wantJob || runEnding(got) != tc.wantEnding || wait != tc.wantWait {
				t.Errorf("reason %s (%s), Job %d, ending %v, again after %v; want %s, %d, %v, %v",
					ready.Reason, ready.Message, got.Status.Job.Number, runEnding(got), wait, tc.wantReason, tc.wantJob, tc.wantEnding, tc.wantWait)
			}
		})
	}
}

// One worker begins; a run that it is done with at once costs no more pods and no more GPUs.
func TestTheOtherWorkersFollowTheFirst(t *testing.T) {
	tests := []struct {
		name                 string
		age                  time.Duration
		parallelism, workers int32
		want                 int32
		wantWait             time.Duration
	}{
		{name: "not while it is alone for a moment only", age: 400 * time.Millisecond, parallelism: 1, workers: 3, want: 1, wantWait: 600 * time.Millisecond},
		{name: "after a second", age: time.Second, parallelism: 1, workers: 3, want: 3},
		{name: "once: what somebody made wider stays", age: time.Hour, parallelism: 5, workers: 3, want: 5},
		{name: "and a run of one worker has none", age: time.Second, parallelism: 1, workers: 1, want: 1},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			run := makeRun("r").Inputs(9).Pinned("f-0123456789", 9, tc.workers, 0).Job(1, "job").Obj()
			job := ownJob(run, "1", "0", "0")
			job.Annotations[annotationMade] = strconv.FormatInt(testNow.Add(-tc.age).UnixMicro(), 10)
			job.Spec.Completions, job.Spec.Parallelism = &tc.workers, &tc.parallelism
			w := newWorld(run, job)
			_, wait := look(t, w, testNow)
			if err := w.client.Get(context.Background(), client.ObjectKeyFromObject(job), job); err != nil {
				t.Fatal(err)
			}
			if *job.Spec.Parallelism != tc.want || tc.wantWait != 0 && wait != tc.wantWait {
				t.Errorf("parallelism %d, again after %v; want %d after %v", *job.Spec.Parallelism, wait, tc.want, tc.wantWait)
			}
		})
	}
}

// A run's workers follow spec.workers while it runs.
func TestTheJobGetsTheWorkersThatTheRunAsksForNow(t *testing.T) {
	tests := []struct {
		name        string
		age         time.Duration
		asked       *int32
		labels      map[string]string
		jobLabels   map[string]string
		want        jobSize
		wantWorkers int32
		wantMessage string
	}{
		{name: "fewer", asked: ptr.To[int32](2), age: time.Minute, want: jobSize{2, 2}, wantWorkers: 2},
		{name: "more", asked: ptr.To[int32](8), age: time.Minute, want: jobSize{8, 8}, wantWorkers: 8},
		{name: "no more than it has inputs", asked: ptr.To[int32](100), age: time.Minute, want: jobSize{9, 9}, wantWorkers: 9},
		{name: "those that it started with when it asks for none any more", age: time.Minute, want: jobSize{4, 4}, wantWorkers: 4},
		{name: "not before the first has had its moment", asked: ptr.To[int32](2), age: 0, want: jobSize{4, 4}, wantWorkers: 4},
		{name: "not where its queue has admitted it", asked: ptr.To[int32](2), age: time.Minute, labels: map[string]string{v1alpha1.LabelQueue: "team"},
			want: jobSize{4, 4}, wantWorkers: 4,
			wantMessage: "spec.workers asks for 2 workers, and the queue team has admitted the run with 4: that stays until the run is suspended and resumed."},
		{name: "not where a queue has admitted its Job", asked: ptr.To[int32](2), age: time.Minute, jobLabels: map[string]string{v1alpha1.LabelQueue: "default"},
			want: jobSize{4, 4}, wantWorkers: 4,
			wantMessage: "spec.workers asks for 2 workers, and the queue default has admitted the run with 4: that stays until the run is suspended and resumed."},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			run := makeRun("r").Inputs(9).Pinned("f-0123456789", 9, 4, 0).Job(1, "job").Obj()
			run.Spec.Workers, run.Labels = tc.asked, tc.labels
			job := ownJob(run, "1", "0", "0")
			job.Annotations[annotationMade] = strconv.FormatInt(testNow.Add(-tc.age).UnixMicro(), 10)
			maps.Copy(job.Labels, tc.jobLabels)
			job.Spec.Completions, job.Spec.Parallelism = ptr.To[int32](4), ptr.To[int32](4)
			w := newWorld(run, job)
			got, wait := look(t, w, testNow)
			if err := w.client.Get(context.Background(), client.ObjectKeyFromObject(job), job); err != nil {
				t.Fatal(err)
			}
			if sizeOf(job) != tc.want || got.Status.Workers != tc.wantWorkers {
				t.Errorf("the Job has %+v, the status %d workers; want %+v and %d", sizeOf(job), got.Status.Workers, tc.want, tc.wantWorkers)
			}
			if message := conditionOf(got, v1alpha1.ConditionReady).Message; !strings.HasSuffix(message, tc.wantMessage) {
				t.Errorf("Ready says %q; want it to end with %q", message, tc.wantMessage)
			}
			if tc.age == 0 && wait != aloneTime {
				t.Errorf("again after %v; want %v", wait, aloneTime)
			}
		})
	}
}

func TestTheNextJobHasTheWorkersThatTheRunAsksForNow(t *testing.T) {
	run := makeRun("r").Inputs(9).Pinned("f-0123456789", 9, 4, 0).Job(2, "").Obj()
	revision := testRevision(t)
	run.Status.Revision.Name, run.Spec.Workers = revision.Name, ptr.To[int32](6)
	w := newWorld(run, revision)
	got, _ := look(t, w, testNow)
	job := &batchv1.Job{}
	if err := w.client.Get(context.Background(), client.ObjectKey{Namespace: "team", Name: "r-2"}, job); err != nil {
		t.Fatal(err)
	}
	if want := (jobSize{6, 1}); sizeOf(job) != want || got.Status.Workers != 6 {
		t.Errorf("the Job has %+v, the status %d workers; want %+v and 6", sizeOf(job), got.Status.Workers, want)
	}
}

// A cluster may refuse what the run asks for: that is said, and the run goes on with the workers that it has.
func TestARefusedNumberOfWorkersIsTold(t *testing.T) {
	run := makeRun("r").Inputs(9).Pinned("f-0123456789", 9, 4, 0).Job(1, "job").Obj()
	run.Spec.Workers = ptr.To[int32](2)
	job := ownJob(run, "1", "0", "0")
	job.Spec.Completions, job.Spec.Parallelism = ptr.To[int32](4), ptr.To[int32](4)
	w := newWorld(run, job)
	w.client = interceptor.NewClient(w.client, interceptor.Funcs{
		Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
			return apierrors.NewForbidden(batchv1.Resource("jobs"), "r-1", errQuota)
		},
	})
	got, wait := look(t, w, testNow)
	if message := conditionOf(got, v1alpha1.ConditionReady).Message; !strings.Contains(message, "The cluster refused to give the Job r-1 2 workers: ") ||
		got.Status.Workers != 4 || wait <= 0 || wait > refusedPause {
		t.Errorf("%q, %d workers, again after %v", message, got.Status.Workers, wait)
	}
}

func conditionOf(run *v1alpha1.FunctionRun, name string) metav1.Condition {
	for _, c := range run.Status.Conditions {
		if c.Type == name {
			return c
		}
	}
	return metav1.Condition{}
}

// The Job before the current one stays until the current one is there, since that says of itself what the one before did.
func TestTheNextJobKnowsWhatTheOneBeforeDid(t *testing.T) {
	run := makeRun("r").Inputs(9).Pinned("f-0123456789", 9, 3, 0).Job(3, "").Progress(v1alpha1.RunProgress{Total: 9, Pending: 5, Succeeded: 4}).Obj()
	revision := testRevision(t)
	run.Status.Revision.Name = revision.Name
	w := newWorld(run, revision, ownJob(run, "2", "4", "1", jobDone(testNow.Add(-time.Minute))))
	if got, _ := look(t, w, testNow); got.Status.Job.UID == "" {
		t.Fatalf("no Job was made: %+v", got.Status.Conditions)
	}
	job := &batchv1.Job{}
	if err := w.client.Get(context.Background(), client.ObjectKey{Namespace: "team", Name: "r-3"}, job); err != nil {
		t.Fatal(err)
	}
	if job.Annotations[annotationFruitless] != "2" || job.Annotations[annotationOutcomes] != "4" {
		t.Errorf("the third Job says %v", job.Annotations)
	}
	look(t, w, testNow)
	if err := w.client.Get(context.Background(), client.ObjectKey{Namespace: "team", Name: "r-2"}, job); !apierrors.IsNotFound(err) {
		t.Errorf("the second Job stays beside the third: %v", err)
	}
}

// What a run says itself wins; what it does not say is its function's.
func TestPinFor(t *testing.T) {
	function, image := makeFunction("f").Ready("f-0123456789").Obj(), makeImage("team", "python")
	function.Spec.RunPolicy = v1alpha1.RunPolicy{
		GPUs: ptr.To[int32](2), GPUProducts: []string{"T4", "A100"}, Workers: ptr.To[int32](3), TimeoutSeconds: ptr.To[int32](60), Retries: ptr.To[int32](1),
		NonRetryableErrors: []string{"KeyError", "AssertionError"}, MaxFailures: ptr.To[int32](5), ActiveDeadlineSeconds: ptr.To[int32](90),
		PriorityClassName: ptr.To("batch"), GPUResource: ptr.To("nvidia.com/gpu.shared"), TTLSecondsAfterFinished: ptr.To[int32](3600),
		ResultsTTLSecondsAfterFinished: ptr.To[int32](60),
	}
	base := v1alpha1.PinnedRevision{
		Name: "f-0123456789", Digest: function.Status.Revision.Digest, FunctionUID: function.UID, Generation: 1, RegistryPath: "sharedcloud/python:latest", InputsConfigMap: "kept", InputsDigest: "of the copy", InputCount: 9,
		Workers: 3, GPUs: 2, GPUProducts: []string{"A100", "T4"}, TimeoutSeconds: 60, Retries: 1,
		RetryDelaySeconds: ptr.To[int32](1), NonRetryableErrors: []string{"AssertionError", "KeyError"}, MaxFailures: ptr.To[int32](5),
		ActiveDeadlineSeconds: ptr.To[int32](90), PriorityClassName: "batch", TTLSecondsAfterFinished: ptr.To[int32](3600),
		ResultsTTLSecondsAfterFinished: ptr.To[int32](60),
	}
	tests := []struct {
		name   string
		policy v1alpha1.RunPolicy
		want   func(*v1alpha1.PinnedRevision)
	}{
		{name: "a run that says nothing", want: func(*v1alpha1.PinnedRevision) {}},
		{name: "a run that says everything",
			policy: v1alpha1.RunPolicy{GPUs: ptr.To[int32](0), GPUProducts: []string{"L4", "H100"}, Workers: ptr.To[int32](20), TimeoutSeconds: ptr.To[int32](7), Retries: ptr.To[int32](0),
				RetryDelaySeconds: ptr.To[int32](0), NonRetryableErrors: []string{"OSError"}, MaxFailures: ptr.To[int32](0),
				ActiveDeadlineSeconds: ptr.To[int32](1), PriorityClassName: ptr.To("now"), GPUResource: ptr.To("nvidia.com/mig-1g.10gb")},
			want: func(p *v1alpha1.PinnedRevision) {
				p.RetryDelaySeconds, p.NonRetryableErrors, p.MaxFailures = ptr.To[int32](0), []string{"OSError"}, ptr.To[int32](0)
				p.ActiveDeadlineSeconds, p.PriorityClassName, p.GPUResource = ptr.To[int32](1), "now", "nvidia.com/mig-1g.10gb"
				p.GPUs, p.GPUProducts, p.Workers, p.TimeoutSeconds, p.Retries = 0, []string{"H100", "L4"}, 9, 7, 0
			}},
		{name: "a run that names no product in a list of none", policy: v1alpha1.RunPolicy{GPUProducts: []string{}}, want: func(*v1alpha1.PinnedRevision) {}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			rt, _ := testLookup("python311")
			run := makeRun("r").With(func(r *v1alpha1.FunctionRun) { r.Spec.RunPolicy = tc.policy }).Obj()
			want := base
			tc.want(&want)
			got := pinFor(run, function, settingsFor(function, image, rt, testOptions.GPUResource), foundInputs{count: 9, configMap: "kept", digest: "of the copy"})
			if diff := cmp.Diff(&want, got); diff != "" {
				t.Errorf("the pin (-want +got):\n%s", diff)
			}
		})
	}
}

// Server-side apply unsets what is left out: every write of the status must carry the whole pin.
func TestRunStatusCarriesTheWholePin(t *testing.T) {
	run := makeRun("r").Pinned("f-0123456789", 9, 3, 2).Obj()
	run.Status.Revision.GPUProducts, run.Status.Revision.Retries = []string{"A100", "T4"}, 4
	run.Status.Revision.RetryDelaySeconds, run.Status.Revision.NonRetryableErrors = ptr.To[int32](0), []string{"OSError"}
	run.Status.Revision.TTLSecondsAfterFinished, run.Status.Revision.ResultsTTLSecondsAfterFinished = ptr.To[int32](0), ptr.To[int32](7)
	run.Status.Revision.MaxFailures, run.Status.Revision.ActiveDeadlineSeconds = ptr.To[int32](0), ptr.To[int32](60)
	run.Status.Revision.PriorityClassName, run.Status.Revision.GPUResource = "batch", "nvidia.com/gpu.shared"
	run.Status.Revision.Digest, run.Status.Revision.InputsConfigMap, run.Status.Revision.InputsDigest = "of the revision", "kept", "of the copy"
	text, err := json.Marshal(runStatus(run))
	if err != nil {
		t.Fatal(err)
	}
	var got v1alpha1.FunctionRun
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(run.Status.Revision, got.Status.Revision); diff != "" {
		t.Errorf("the pin (-want +got):\n%s", diff)
	}
}

func testRevision(t *testing.T) *corev1.ConfigMap {
	t.Helper()
	function, image := makeFunction("f").Obj(), makeImage("team", "python")
	rt, _ := testLookup("python311")
	revision, err := revisionFor(function, source{handler: []byte("code")}, rt.Runner, settingsFor(function, image, rt, testOptions.GPUResource))
	if err != nil {
		t.Fatal(err)
	}
	revision.UID = "revision"
	return revision
}

func TestARunWhoseRevisionWasDeleted(t *testing.T) {
	t.Run("pins again as long as nothing was executed", func(t *testing.T) {
		w := newWorld(makeRun("r").Inputs(1).Obj())
		// Pinned by the controllers: nobody unsets what is not his own.
		pinned := makeRun("r").Pinned("gone-0123456789", 1, 1, 0).Job(1, "").Obj()
		if err := w.client.Status().Apply(context.Background(), runStatus(pinned), client.FieldOwner(v1alpha1.FieldManagerController)); err != nil {
			t.Fatal(err)
		}
		got, _ := look(t, w, testNow)
		if got.Status.Revision != nil || got.Status.Job != nil || conditionOf(got, v1alpha1.ConditionReady).Reason != v1alpha1.ReasonRevisionMissing {
			t.Errorf("status %+v", got.Status)
		}
	})
	t.Run("ends when inputs may have been executed with it", func(t *testing.T) {
		run := makeRun("r").Inputs(1).Pinned("gone-0123456789", 1, 1, 0).Job(2, "").With(func(r *v1alpha1.FunctionRun) {
			r.Status.StartTime = &metav1.Time{Time: testNow}
		}).Obj()
		got, _ := look(t, newWorld(run), testNow)
		if ending := conditionOf(got, v1alpha1.ConditionEnding); ending.Status != metav1.ConditionTrue || !strings.Contains(ending.Message, "gone-0123456789") {
			t.Errorf("Ending is %+v", ending)
		}
	})
}

func TestAJobThatTheClusterRefuses(t *testing.T) {
	refuse := func(err error) *world {
		run := makeRun("r").Inputs(1).Pinned("", 1, 1, 0).Job(1, "").Obj()
		revision := testRevision(t)
		run.Status.Revision.Name = revision.Name
		w := newWorld(run, revision)
		w.client = interceptor.NewClient(w.client, interceptor.Funcs{
			Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return err },
		})
		return w
	}
	resource := batchv1.Resource("jobs")
	t.Run("is told in its words, and asked for again", func(t *testing.T) {
		got, wait := look(t, refuse(apierrors.NewForbidden(resource, "r-1", errQuota)), testNow)
		ready := conditionOf(got, v1alpha1.ConditionReady)
		if ready.Reason != v1alpha1.ReasonJobRefused || !strings.Contains(ready.Message, "exceeded quota: jobs") || wait != refusedPause {
			t.Errorf("%+v, again after %v", ready, wait)
		}
		if got.Status.Job.UID != "" {
			t.Error("a Job that does not exist is recorded")
		}
	})
	t.Run("because the namespace is going is nothing to talk about", func(t *testing.T) {
		err := apierrors.NewForbidden(resource, "r-1", errQuota)
		err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
		got, wait := look(t, refuse(err), testNow)
		if wait != 0 || conditionOf(got, v1alpha1.ConditionStalled).Status == metav1.ConditionTrue {
			t.Errorf("%+v, again after %v", got.Status.Conditions, wait)
		}
	})
}

// The cache hears of a Job later than the API server, and of somebody else's never.
func TestAJobThatTheCacheDoesNotKnow(t *testing.T) {
	owner := func(kind, name string, uid types.UID) []metav1.OwnerReference {
		return []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: kind, Name: name, UID: uid, Controller: ptr.To(true)}}
	}
	tests := []struct {
		name       string
		change     func(job *batchv1.Job)
		wantUID    types.UID
		wantReason string
		wantWait   time.Duration
	}{
		{name: "and is the run's, made by an earlier manager, is recorded", change: func(*batchv1.Job) {},
			wantUID: "job", wantReason: v1alpha1.ReasonStarting},
		{name: "and is somebody else's is left alone", change: func(job *batchv1.Job) { job.OwnerReferences = nil },
			wantReason: v1alpha1.ReasonJobNameTaken, wantWait: refusedPause},
		{name: "and is of a deleted run of this name is waited for", change: func(job *batchv1.Job) { job.OwnerReferences = owner("FunctionRun", "r", "the-deleted") },
			wantReason: v1alpha1.ReasonStarting, wantWait: namesakePause},
		{name: "and is of another run is left alone", change: func(job *batchv1.Job) { job.OwnerReferences = owner("FunctionRun", "other", "other") },
			wantReason: v1alpha1.ReasonJobNameTaken, wantWait: refusedPause},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			run := makeRun("r").Inputs(1).Pinned("", 1, 1, 0).Job(1, "").Obj()
			revision := testRevision(t)
			run.Status.Revision.Name = revision.Name
			job := ownJob(run, "1", "0", "0")
			tc.change(job)
			w := newWorld(run, revision, job)
			w.client = interceptor.NewClient(w.client, interceptor.Funcs{
				List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
					if _, jobs := list.(*batchv1.JobList); jobs {
						return nil
					}
					return c.List(ctx, list, opts...)
				},
			})
			got, wait := look(t, w, testNow)
			if reason := conditionOf(got, v1alpha1.ConditionReady).Reason; reason != tc.wantReason || got.Status.Job.UID != tc.wantUID || wait != tc.wantWait {
				t.Errorf("reason %s, uid %q, again after %v; want %s, %q, %v", reason, got.Status.Job.UID, wait, tc.wantReason, tc.wantUID, tc.wantWait)
			}
		})
	}
}

var errQuota = &quotaError{}

type quotaError struct{}

func (*quotaError) Error() string { return "exceeded quota: jobs" }

// A write that was decided from an old state is refused whole: the API server's report and what was stored since stay.
func TestAnOldStateUnsetsNothing(t *testing.T) {
	ctx := context.Background()
	run := makeRun("r").Inputs(2).Obj()
	w := newWorld(run)
	old := &v1alpha1.FunctionRun{}
	if err := w.client.Get(ctx, client.ObjectKeyFromObject(run), old); err != nil {
		t.Fatal(err)
	}
	stored := old.DeepCopy()
	stored.Status.Revision = makeRun("r").Pinned("f-0123456789", 2, 2, 0).Status.Revision
	stored.Status.Job = &v1alpha1.JobReference{Name: "r-1", Number: 1, UID: "job"}
	if err := w.client.Status().Update(ctx, stored); err != nil {
		t.Fatal(err)
	}
	describeUnfinished(old, functionMissing(old), testNow)
	err := w.client.Status().Apply(ctx, runStatus(old), client.FieldOwner(v1alpha1.FieldManagerController), client.ForceOwnership)
	if !apierrors.IsConflict(err) {
		t.Errorf("a status decided from an old state was taken: %v", err)
	}
	if err := w.client.Get(ctx, client.ObjectKeyFromObject(run), stored); err != nil {
		t.Fatal(err)
	}
	if stored.Status.Revision == nil || stored.Status.Job == nil {
		t.Errorf("the old state has unset what was stored: %+v", stored.Status)
	}
}

func TestTTL(t *testing.T) {
	finished := func(ttl int32, before time.Duration) *v1alpha1.FunctionRun {
		run := makeRun("r").Inputs(1).With(func(r *v1alpha1.FunctionRun) {
			r.Spec.TTLSecondsAfterFinished = ptr.To(ttl)
			r.Status.ObservedGeneration = 1
		}).Obj()
		finishRun(run, true, v1alpha1.ReasonSucceeded, "x", testNow.Add(-before))
		return run
	}
	got, wait := look(t, newWorld(finished(60, 20*time.Second)), testNow)
	if got.Name == "" || wait != 40*time.Second {
		t.Errorf("a run with 40 s to live: exists %v, again after %v", got.Name != "", wait)
	}
	if got, _ := look(t, newWorld(finished(60, time.Minute)), testNow); got.Name != "" {
		t.Error("a run at the end of its time to live stays")
	}
	ofFunction := func(own *int32) *v1alpha1.FunctionRun {
		run := finished(0, 20*time.Second)
		run.Spec.TTLSecondsAfterFinished = own
		run.Status.Revision = makeRun("r").Pinned("f-0123456789", 1, 1, 0).Status.Revision
		run.Status.Revision.TTLSecondsAfterFinished = ptr.To[int32](10)
		return run
	}
	if got, _ := look(t, newWorld(ofFunction(nil)), testNow); got.Name != "" {
		t.Error("a run stays longer than its function says")
	}
	if got, wait := look(t, newWorld(ofFunction(ptr.To[int32](50))), testNow); got.Name == "" || wait != 30*time.Second {
		t.Errorf("a run that says longer than its function: exists %v, again after %v", got.Name != "", wait)
	}
}

func TestMetricsAreWellNamed(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := NewMetrics(registry)
	m.runFinished(true, v1alpha1.ReasonSucceeded, time.Second)
	m.runFinished(false, v1alpha1.ReasonCancelled, time.Second)
	m.runFinished(false, "whatever an API server may say", time.Second)
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("problems %v, error %v", problems, err)
	}
	if n := testutil.CollectAndCount(m.runsFinished); n != 3 {
		t.Errorf("%d results, want the closed set of complete, cancelled and failed", n)
	}
}
