package controllers

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
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
	"sharedcloud.io/function-operator/controllers/status"
	"sharedcloud.io/function-operator/controllers/workload"
	"sharedcloud.io/function-operator/test/builders"
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

// Annotations of Jobs, as they are stored.
const (
	annotationNumber          = "sharedcloud.io/job-number"
	annotationOutcomes        = "sharedcloud.io/outcomes-before"
	annotationWithoutProgress = "sharedcloud.io/jobs-without-progress"
	annotationBuilt           = "sharedcloud.io/built-at"
	annotationContent         = "sharedcloud.io/content-sha256"
)

// ownJob is a Job of the run, as the controllers create it.
func ownJob(run *v1alpha1.FunctionRun, number, before, withoutProgress string, conditions ...batchv1.JobCondition) *batchv1.Job {
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Name: run.Name + "-" + number, Namespace: run.Namespace, UID: "job", CreationTimestamp: metav1.NewTime(builders.Now.Add(-time.Minute)),
			Labels:          map[string]string{v1alpha1.LabelRunUID: string(run.UID)},
			Annotations:     map[string]string{annotationNumber: number, annotationOutcomes: before, annotationWithoutProgress: withoutProgress},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(run, v1alpha1.GroupVersion.WithKind("FunctionRun"))},
		},
		Status: batchv1.JobStatus{Conditions: conditions},
	}
}

func jobDone(at time.Time) batchv1.JobCondition {
	return batchv1.JobCondition{Type: batchv1.JobComplete, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(at)}
}

// reconcileRun reconciles the run "r" once and returns the stored result.
func reconcileRun(t *testing.T, w *fakeCluster, now time.Time) (*v1alpha1.FunctionRun, time.Duration) {
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

// Workers that exit with 0 mean "no input is left for me", never "the run is complete".
func TestAJobThatCompletesBeforeItsRun(t *testing.T) {
	pinned := func() *v1alpha1.FunctionRun {
		return builders.MakeRun("r").Inputs(9).Pinned("f-0123456789", 9, 3, 0).Job(2, "job").Progress(v1alpha1.RunProgress{Total: 9, Pending: 5, Succeeded: 4}).Obj()
	}
	tests := []struct {
		name                    string
		since                   time.Duration
		before, withoutProgress string
		wantReason              string
		wantJob                 int32
		wantEnding              bool
		wantWait                time.Duration
	}{
		{name: "just now: waiting for the report", since: 5 * time.Second, before: "1", wantReason: v1alpha1.ReasonRunning, wantJob: 2, wantWait: 10 * time.Second},
		{name: "some time ago with outcomes missing: the next Job continues", since: time.Minute, before: "1", wantReason: v1alpha1.ReasonStarting, wantJob: 3},
		{name: "some time ago without an outcome: the next Job tries again", since: time.Minute, before: "4", withoutProgress: "1", wantReason: v1alpha1.ReasonStarting, wantJob: 3},
		{name: "for the third time without an outcome: the run ends", since: time.Minute, before: "4", withoutProgress: "2", wantReason: v1alpha1.ReasonJobFailed, wantJob: 2, wantEnding: true},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			run := pinned()
			w := newCluster(run, ownJob(run, "2", tc.before, tc.withoutProgress, jobDone(builders.Now.Add(-tc.since))))
			got, wait := reconcileRun(t, w, builders.Now)
			ready := conditionOf(got, v1alpha1.ConditionReady)
			if ready.Reason != tc.wantReason || got.Status.Job.Number != tc.wantJob || status.RunEnding(got) != tc.wantEnding || wait != tc.wantWait {
				t.Errorf("reason %s (%s), Job %d, ending %v, recheck after %v; want %s, %d, %v, %v",
					ready.Reason, ready.Message, got.Status.Job.Number, status.RunEnding(got), wait, tc.wantReason, tc.wantJob, tc.wantEnding, tc.wantWait)
			}
		})
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

// The previous Job is kept until the current one exists, which records what the previous one achieved.
func TestTheNextJobRecordsThePreviousOne(t *testing.T) {
	run := builders.MakeRun("r").Inputs(9).Pinned("f-0123456789", 9, 3, 0).Job(3, "").Progress(v1alpha1.RunProgress{Total: 9, Pending: 5, Succeeded: 4}).Obj()
	revision := testRevision(t)
	run.Status.Revision.Name = revision.Name
	w := newCluster(run, revision, ownJob(run, "2", "4", "1", jobDone(builders.Now.Add(-time.Minute))))
	if got, _ := reconcileRun(t, w, builders.Now); got.Status.Job.UID == "" {
		t.Fatalf("no Job was created: %+v", got.Status.Conditions)
	}
	job := &batchv1.Job{}
	if err := w.client.Get(context.Background(), client.ObjectKey{Namespace: "team", Name: "r-3"}, job); err != nil {
		t.Fatal(err)
	}
	if job.Annotations[annotationWithoutProgress] != "2" || job.Annotations[annotationOutcomes] != "4" {
		t.Errorf("the third Job has the annotations %v", job.Annotations)
	}
	reconcileRun(t, w, builders.Now)
	if err := w.client.Get(context.Background(), client.ObjectKey{Namespace: "team", Name: "r-2"}, job); !apierrors.IsNotFound(err) {
		t.Errorf("the second Job still exists: %v", err)
	}
}

func testRevision(t *testing.T) *corev1.ConfigMap {
	t.Helper()
	function, image := builders.MakeFunction("f").Obj(), builders.MakeImage("team", "python")
	rt, _ := builders.Lookup("python311")
	revision, err := workload.RevisionFor(function, workload.Code{Handler: []byte("code")}, rt.Runner, workload.SettingsFor(function, image, rt, testOptions.GPUResource))
	if err != nil {
		t.Fatal(err)
	}
	revision.UID = "revision"
	return revision
}

func TestARunWhoseRevisionWasDeleted(t *testing.T) {
	t.Run("pins again while nothing was executed", func(t *testing.T) {
		w := newCluster(builders.MakeRun("r").Inputs(1).Obj())
		// Applied by the controllers, because server-side apply unsets only fields of the same owner.
		pinned := builders.MakeRun("r").Pinned("gone-0123456789", 1, 1, 0).Job(1, "").Obj()
		if err := w.client.Status().Apply(context.Background(), status.RunConfiguration(pinned), client.FieldOwner(v1alpha1.FieldManagerController)); err != nil {
			t.Fatal(err)
		}
		got, _ := reconcileRun(t, w, builders.Now)
		if got.Status.Revision != nil || got.Status.Job != nil || conditionOf(got, v1alpha1.ConditionReady).Reason != v1alpha1.ReasonRevisionMissing {
			t.Errorf("status %+v", got.Status)
		}
	})
	t.Run("ends when inputs may have been executed with it", func(t *testing.T) {
		run := builders.MakeRun("r").Inputs(1).Pinned("gone-0123456789", 1, 1, 0).Job(2, "").With(func(r *v1alpha1.FunctionRun) {
			r.Status.StartTime = &metav1.Time{Time: builders.Now}
		}).Obj()
		got, _ := reconcileRun(t, newCluster(run), builders.Now)
		if ending := conditionOf(got, v1alpha1.ConditionEnding); ending.Status != metav1.ConditionTrue || !strings.Contains(ending.Message, "gone-0123456789") {
			t.Errorf("Ending is %+v", ending)
		}
	})
}

func TestARefusedJob(t *testing.T) {
	refuse := func(err error) *fakeCluster {
		run := builders.MakeRun("r").Inputs(1).Pinned("", 1, 1, 0).Job(1, "").Obj()
		revision := testRevision(t)
		run.Status.Revision.Name = revision.Name
		w := newCluster(run, revision)
		w.client = interceptor.NewClient(w.client, interceptor.Funcs{
			Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return err },
		})
		return w
	}
	resource := batchv1.Resource("jobs")
	t.Run("is reported and tried again", func(t *testing.T) {
		got, wait := reconcileRun(t, refuse(apierrors.NewForbidden(resource, "r-1", errQuota)), builders.Now)
		ready := conditionOf(got, v1alpha1.ConditionReady)
		if ready.Reason != v1alpha1.ReasonJobRefused || !strings.Contains(ready.Message, "exceeded quota: jobs") || wait != refusedInterval {
			t.Errorf("%+v, recheck after %v", ready, wait)
		}
		if got.Status.Job.UID != "" {
			t.Error("a Job that does not exist is recorded")
		}
	})
	t.Run("is not reported while the namespace is being deleted", func(t *testing.T) {
		err := apierrors.NewForbidden(resource, "r-1", errQuota)
		err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
		got, wait := reconcileRun(t, refuse(err), builders.Now)
		if wait != 0 || conditionOf(got, v1alpha1.ConditionStalled).Status == metav1.ConditionTrue {
			t.Errorf("%+v, recheck after %v", got.Status.Conditions, wait)
		}
	})
}

// The cache gets a Job later than the API server, and never one of another owner.
func TestAJobThatIsNotInTheCache(t *testing.T) {
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
		{name: "of the run, created by an earlier manager, is recorded", change: func(*batchv1.Job) {},
			wantUID: "job", wantReason: v1alpha1.ReasonStarting},
		{name: "of another owner is not touched", change: func(job *batchv1.Job) { job.OwnerReferences = nil },
			wantReason: v1alpha1.ReasonJobNameTaken, wantWait: refusedInterval},
		{name: "of a deleted run of this name delays the run", change: func(job *batchv1.Job) { job.OwnerReferences = owner("FunctionRun", "r", "the-deleted") },
			wantReason: v1alpha1.ReasonStarting, wantWait: deletedRunInterval},
		{name: "of another run is not touched", change: func(job *batchv1.Job) { job.OwnerReferences = owner("FunctionRun", "other", "other") },
			wantReason: v1alpha1.ReasonJobNameTaken, wantWait: refusedInterval},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			run := builders.MakeRun("r").Inputs(1).Pinned("", 1, 1, 0).Job(1, "").Obj()
			revision := testRevision(t)
			run.Status.Revision.Name = revision.Name
			job := ownJob(run, "1", "0", "0")
			tc.change(job)
			w := newCluster(run, revision, job)
			w.client = interceptor.NewClient(w.client, interceptor.Funcs{
				List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
					if _, jobs := list.(*batchv1.JobList); jobs {
						return nil
					}
					return c.List(ctx, list, opts...)
				},
			})
			got, wait := reconcileRun(t, w, builders.Now)
			if reason := conditionOf(got, v1alpha1.ConditionReady).Reason; reason != tc.wantReason || got.Status.Job.UID != tc.wantUID || wait != tc.wantWait {
				t.Errorf("reason %s, uid %q, recheck after %v; want %s, %q, %v", reason, got.Status.Job.UID, wait, tc.wantReason, tc.wantUID, tc.wantWait)
			}
		})
	}
}

var errQuota = &quotaError{}

type quotaError struct{}

func (*quotaError) Error() string { return "exceeded quota: jobs" }

// A write that was decided from a stale state is refused as a whole: the API server's report and newer fields are kept.
func TestAStaleWriteUnsetsNothing(t *testing.T) {
	ctx := context.Background()
	run := builders.MakeRun("r").Inputs(2).Obj()
	w := newCluster(run)
	old := &v1alpha1.FunctionRun{}
	if err := w.client.Get(ctx, client.ObjectKeyFromObject(run), old); err != nil {
		t.Fatal(err)
	}
	stored := old.DeepCopy()
	stored.Status.Revision = builders.MakeRun("r").Pinned("f-0123456789", 2, 2, 0).Status.Revision
	stored.Status.Job = &v1alpha1.JobReference{Name: "r-1", Number: 1, UID: "job"}
	if err := w.client.Status().Update(ctx, stored); err != nil {
		t.Fatal(err)
	}
	status.DescribeRun(old, status.FunctionMissing(old), builders.Now)
	err := w.client.Status().Apply(ctx, status.RunConfiguration(old), client.FieldOwner(v1alpha1.FieldManagerController), client.ForceOwnership)
	if !apierrors.IsConflict(err) {
		t.Errorf("a status decided from a stale state was accepted: %v", err)
	}
	if err := w.client.Get(ctx, client.ObjectKeyFromObject(run), stored); err != nil {
		t.Fatal(err)
	}
	if stored.Status.Revision == nil || stored.Status.Job == nil {
		t.Errorf("the stale write unset fields: %+v", stored.Status)
	}
}
