package controllers

import (
	"encoding/json"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/status"
	"sharedcloud.io/function-operator/controllers/workload"
	"sharedcloud.io/function-operator/parameters"
	"sharedcloud.io/function-operator/test/builders"
)

// FuzzStoredObjects passes any JSON through everything that the manager does with a stored object: decoding, transforms, indexes,
// decisions, conditions and the objects that are built from it. It fails with a panic or a hang.
//
//security:attack tenant | stores any object at all, past validation | decoding, caching, indexing, deciding and building pods neither panic nor hang nor allocate without bounds
func FuzzStoredObjects(f *testing.F) {
	for _, text := range []string{
		brokenRun,
		`{"metadata":{"name":"f","generation":1},"spec":{"runtime":"python311","image":"python","code":"x","files":{"a.py":"1"},"pod":{"resources":{"limits":{"memory":"1e99"},"requests":{"memory":"1e-9"}},"volumes":[{"name":"v","emptyDir":{"sizeLimitMiB":9223372036854775807}}],"tolerations":[{"tolerationSeconds":-1}]}}}`,
		`{"metadata":{"name":"r"},"spec":{"functionRef":{"name":"f"},"parameters":[[1],null],"workers":-5},"status":{"revision":{"name":"x","inputCount":2147483647,"workers":-1,"gpus":99},"job":{"name":"j","number":2147483647,"uid":"u"},"progress":{"total":-1,"succeeded":2147483647,"failed":2147483647,"failedIndexes":"x"},"startTime":"0001-01-01T00:00:00Z","conditions":[{"type":"Suspended","status":"False","lastTransitionTime":null}]}}`,
		`{"metadata":{"name":"r"},"spec":{"parametersLiteral":"((1,),)","parametersFrom":{"upload":{"count":-1}}}}`,
		`{"metadata":{"name":"i"},"spec":{"registryPath":"@","runtime":"node20","imagePullSecrets":["a"]}}`,
	} {
		f.Add([]byte(text))
	}
	now := time.Unix(1_800_000_000, 0)
	f.Fuzz(func(t *testing.T, data []byte) {
		if !json.Valid(data) {
			return
		}
		function, image, run := &v1alpha1.Function{}, &v1alpha1.FunctionImage{}, &v1alpha1.FunctionRun{}
		for _, object := range []client.Object{function, image, run} {
			if json.Unmarshal(data, object) != nil {
				return
			}
		}
		useFunction(t, function.DeepCopy(), image)
		useRun(t, run.DeepCopy(), now)
		for _, transform := range []func(any) (any, error){stripped(dropCode), dropInputs} {
			for _, object := range []any{function, image, run} {
				if _, err := transform(object); err != nil {
					t.Fatalf("a transform failed: %v", err)
				}
			}
		}
		for _, i := range indexes() {
			for _, object := range []client.Object{function, image, run} {
				_ = i.keys(object)
			}
		}
		_ = status.NotDecodable(run)
		_ = status.LatestDigest(image, image.Status, nil)
		_ = workload.CheckImage(image, builders.Lookup)
	})
}

func useFunction(t *testing.T, function *v1alpha1.Function, image *v1alpha1.FunctionImage) {
	_, _ = workload.MatchRuntime(function, image, builders.Lookup)
	_ = workload.CheckPod(function.Spec.Pod, "nvidia.com/gpu")
	_ = status.FunctionNotReady(function)
	_ = keptRevisions(function, nil)
	_ = status.FunctionConfiguration(function)
	runtime, _ := builders.Lookup("python311")
	revision, err := workload.RevisionFor(function, workload.Code{Handler: []byte("x")}, runtime.Runner, workload.SettingsFor(function, image, runtime, "nvidia.com/gpu"))
	if err != nil {
		t.Fatalf("a decoded function has no revision: %v", err)
	}
	settings, err := workload.SettingsOf(revision)
	if err != nil {
		return // out of bounds
	}
	run := builders.MakeRun("r").Pinned(revision.Name, 5, 2, 1).Job(1, "").Obj()
	if _, err := unstructuredJob(workload.JobFor(run, settings, workload.Options{ExchangeURL: "https://x"}, 0, time.Unix(1, 0))); err != nil {
		t.Fatalf("the Job cannot be written: %v", err)
	}
}

// maxJobName leaves room for the names of pods.
const maxJobName = 63 - len("-9999") - len("-xxxxx")

func useRun(t *testing.T, run *v1alpha1.FunctionRun, now time.Time) {
	_, _ = parameters.CachedCount(run)
	_, _ = run.ExpirationTime()
	_, _ = run.ResultsExpirationTime()
	_ = status.RunConfiguration(run)
	_ = workload.PinFor(run, &v1alpha1.Function{Status: v1alpha1.FunctionStatus{Revision: &v1alpha1.FunctionRevision{}}}, workload.Settings{Workers: 1, TimeoutSeconds: 1}, workload.Inputs{Count: 5})
	if run.Status.Progress != nil {
		complete, reason, message := status.Verdict(run.Status.Progress)
		status.FinishRun(run.DeepCopy(), complete, reason, message, now)
	}
	if run.Status.Revision == nil {
		return
	}
	job := &batchv1.Job{}
	if workers := run.WantedWorkers(); workers < 0 || workers > v1alpha1.MaxWorkers {
		t.Fatalf("the run wants %d workers", workers)
	}
	_, _ = timeLeft(run, job, now)
	if run.Status.Job != nil {
		_ = workload.SortJobs([]batchv1.Job{*job}, run.Status.Job)
		if name := workload.JobName(run.Name, workload.NextJobNumber(run.Status.Job.Number)); len(name) > maxJobName {
			t.Fatalf("the Job's name has %d characters", len(name))
		}
	}
	found, _ := status.RunningState(run, job, status.WorkersOf([]corev1.Pod{}, types.UID(""), now), now)
	status.DescribeRun(run, found, now)
}
