package controllers

import (
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/runtimes"
)

// The moment at which tests take place.
var testNow = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

var testOptions = Options{
	Namespace:          "sharedcloud-system",
	CatalogueNamespace: "sharedcloud-catalogue",
	GPUResource:        "nvidia.com/gpu",
	GPUProductLabel:    "nvidia.com/gpu.product",
	ExchangeURL:        "https://sharedcloud-apiserver.sharedcloud-system.svc:443",
}

// testLookup is a table of two languages.
func testLookup(name string) (runtimes.Runtime, bool) {
	switch name {
	case "python27", "python36", "python311":
		return runtimes.Runtime{Language: "python", Command: []string{"python3"}, HandlerFile: "handler.py", RunnerFile: "runner.py", Runner: "# the runner\n"}, true
	case "node8", "node20":
		return runtimes.Runtime{Language: "node", Command: []string{"node"}, HandlerFile: "handler.js", RunnerFile: "runner.js", Runner: "// the runner\n"}, true
	}
	return runtimes.Runtime{}, false
}

type functionBuilder struct{ *v1alpha1.Function }

func makeFunction(name string) functionBuilder {
	return functionBuilder{&v1alpha1.Function{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "team", UID: types.UID("uid-of-" + name), Generation: 1},
		Spec:       v1alpha1.FunctionSpec{Runtime: "python311", Image: "python", Code: ptr.To("def handler(event):\n    return event[0]\n")},
		Status:     v1alpha1.FunctionStatus{ObservedGeneration: -1},
	}}
}

func (b functionBuilder) With(change func(*v1alpha1.Function)) functionBuilder {
	change(b.Function)
	return b
}

func (b functionBuilder) Ready(revision string) functionBuilder {
	b.Status.ObservedGeneration = b.Generation
	b.Status.Revision = &v1alpha1.FunctionRevision{Name: revision, Generation: b.Generation, RegistryPath: "sharedcloud/python:latest",
		Digest: "sha256:" + strings.Repeat("0", 64)}
	conditionWriter{&b.Status.Conditions, b.Generation, testNow}.stand(standingReady, v1alpha1.ReasonReady, "")
	return b
}

func (b functionBuilder) Obj() *v1alpha1.Function { return b.Function }

func makeImage(namespace, name string) *v1alpha1.FunctionImage {
	return &v1alpha1.FunctionImage{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, UID: types.UID("uid-of-" + name), Generation: 1},
		Spec:       v1alpha1.FunctionImageSpec{RegistryPath: "sharedcloud/python:latest", Runtime: "python311", ImagePullPolicy: corev1.PullIfNotPresent},
		Status:     v1alpha1.FunctionImageStatus{ObservedGeneration: -1},
	}
}

type runBuilder struct{ *v1alpha1.FunctionRun }

func makeRun(name string) runBuilder {
	return runBuilder{&v1alpha1.FunctionRun{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "team", UID: types.UID("uid-of-" + name), Generation: 1, CreationTimestamp: metav1.NewTime(testNow.Add(-time.Minute))},
		Spec:       v1alpha1.FunctionRunSpec{FunctionRef: v1alpha1.FunctionReference{Name: "f"}},
		Status:     v1alpha1.FunctionRunStatus{ObservedGeneration: -1},
	}}
}

func (b runBuilder) With(change func(*v1alpha1.FunctionRun)) runBuilder {
	change(b.FunctionRun)
	return b
}

func (b runBuilder) Inputs(n int) runBuilder {
	for range n {
		b.Spec.Parameters = append(b.Spec.Parameters, v1alpha1.Input{apiextensionsv1.JSON{Raw: []byte("1")}})
	}
	return b
}

func (b runBuilder) Pinned(revision string, inputs, workers, gpus int32) runBuilder {
	b.Status.Revision = &v1alpha1.PinnedRevision{
		Name: revision, FunctionUID: "uid-of-f", Generation: 1, RegistryPath: "sharedcloud/python:latest",
		InputCount: inputs, Workers: workers, GPUs: gpus, TimeoutSeconds: 1800,
	}
	return b
}

func (b runBuilder) Job(number int32, uid types.UID) runBuilder {
	b.Status.Job = &v1alpha1.JobReference{Name: jobName(b.Name, number), Number: number, UID: uid}
	return b
}

func (b runBuilder) Progress(progress v1alpha1.RunProgress) runBuilder {
	b.Status.Progress = &progress
	return b
}

func (b runBuilder) Obj() *v1alpha1.FunctionRun { return b.FunctionRun }

type podBuilder struct{ *corev1.Pod }

// makePod is a pod of the Job with the uid "job".
func makePod(name string) podBuilder {
	return podBuilder{&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "team", Labels: map[string]string{batchv1.ControllerUidLabel: "job"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: "r-1", UID: "job", Controller: ptr.To(true)}}},
		Spec:   corev1.PodSpec{Containers: []corev1.Container{{Name: workerContainer, Image: "sharedcloud/python:latest"}}},
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}}
}

func (b podBuilder) Unschedulable(message string) podBuilder {
	b.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: message}}
	return b
}

func (b podBuilder) Scheduled(at time.Time) podBuilder {
	b.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(at)}}
	return b
}

func (b podBuilder) state(state corev1.ContainerState) podBuilder {
	b.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: workerContainer, Image: "sharedcloud/python:latest", State: state}}
	return b
}

func (b podBuilder) Waiting(reason, message string) podBuilder {
	return b.state(corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}})
}

func (b podBuilder) Running() podBuilder {
	b.Status.Phase = corev1.PodRunning
	return b.state(corev1.ContainerState{Running: &corev1.ContainerStateRunning{}})
}

func (b podBuilder) Died(reason string, code int32, message string) podBuilder {
	b.Status.Phase = corev1.PodFailed
	return b.state(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: reason, ExitCode: code, Message: message}})
}

func (b podBuilder) With(change func(*corev1.Pod)) podBuilder {
	change(b.Pod)
	return b
}

func (b podBuilder) Obj() corev1.Pod { return *b.Pod }
