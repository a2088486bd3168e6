package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

const brokenRun = `{"apiVersion":"sharedcloud.io/v1alpha1","kind":"FunctionRun","metadata":{"name":"r","namespace":"team","uid":"u","resourceVersion":"5","generation":2},
	"spec":{"retries":"many"},"status":{"revision":{"name":"f-1"},"conditions":[
	{"type":"Finished","status":"True","reason":"Succeeded","message":"All.","lastTransitionTime":"2026-01-01T00:00:00Z"},
	{"type":"Complete","status":"True","reason":"Succeeded","message":"All.","lastTransitionTime":"2026-01-01T00:00:00Z"},
	{"type":"Suspended","status":"Perhaps","reason":"x","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"},5]}}`

func decodedRun(t testing.TB, text string) *v1alpha1.FunctionRun {
	t.Helper()
	run := &v1alpha1.FunctionRun{}
	if err := json.Unmarshal([]byte(text), run); err != nil {
		t.Fatal(err)
	}
	return run
}

// patches is a client that answers reads with one stored object, and keeps or refuses patches.
type patches struct {
	stored  string
	refuses error
	sent    []string
}

func (p *patches) client() client.Client {
	return fake.NewClientBuilder().WithScheme(runtime.NewScheme()).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(_ context.Context, _ client.WithWatch, _ client.ObjectKey, into client.Object, _ ...client.GetOption) error {
			return json.Unmarshal([]byte(p.stored), &into.(*unstructured.Unstructured).Object)
		},
		SubResourcePatch: func(_ context.Context, _ client.Client, subresource string, object client.Object, patch client.Patch, _ ...client.SubResourcePatchOption) error {
			data, err := patch.Data(object)
			p.sent = append(p.sent, subresource+" "+string(patch.Type())+" "+string(data))
			if err == nil {
				err = p.refuses
			}
			return err
		},
	}).Build()
}

// events keeps what was told.
type events struct{ told []string }

func (e *events) Eventf(_ runtime.Object, _ runtime.Object, kind, reason, _ string, note string, args ...any) {
	e.told = append(e.told, kind+" "+reason+" "+fmt.Sprintf(note, args...))
}

//security:attack tenant | makes a run undecodable after it has finished | its conditions say so by a merge patch, and those that say that it has finished stay
func TestTheConditionsOfWhatCannotBeDecodedAreAMergePatch(t *testing.T) {
	api, told := &patches{stored: brokenRun}, &events{}
	u := newUndecodables(api.client(), api.client(), announcer{told}, clocktesting.NewFakePassiveClock(time.Unix(1000, 0)))
	if result, err := u.report(t.Context(), decodedRun(t, brokenRun), "FunctionRun"); err != nil || result != (ctrl.Result{}) {
		t.Fatalf("got %v, %v", result, err)
	}
	if len(api.sent) != 1 || !strings.HasPrefix(api.sent[0], "status "+string(types.MergePatchType)+" ") {
		t.Fatalf("sent %v, want one merge patch of the status", api.sent)
	}
	var patch struct {
		Metadata map[string]string
		Spec     any
		Status   map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(strings.SplitN(api.sent[0], " ", 3)[2]), &patch); err != nil {
		t.Fatal(err)
	}
	var conditions []metav1.Condition
	if err := json.Unmarshal(patch.Status["conditions"], &conditions); err != nil {
		t.Fatal(err)
	}
	if patch.Spec != nil || len(patch.Status) != 2 || patch.Metadata["uid"] != "u" || patch.Metadata["resourceVersion"] != "5" {
		t.Errorf("the patch writes more than the conditions: %v", api.sent[0])
	}
	ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	if len(conditions) != 5 || ready == nil || ready.Status != "False" || ready.Reason != v1alpha1.ReasonNotDecodable || !strings.Contains(ready.Message, "spec.retries") ||
		!meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionStalled) || !meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionFinished) {
		t.Errorf("the conditions are %+v", conditions)
	}
	if len(told.told) != 1 || !strings.HasPrefix(told.told[0], "Warning NotDecodable ") {
		t.Errorf("told %v", told.told)
	}
}

//security:attack tenant | stores an object whose status the API server refuses to write as well | it is asked and told once, and not again before the object changes
func TestConditionsThatAreRefusedAreNotSentAgain(t *testing.T) {
	api, told := &patches{stored: brokenRun, refuses: apierrors.NewInvalid(v1alpha1.GroupVersion.WithKind("FunctionRun").GroupKind(), "r", nil)}, &events{}
	u := newUndecodables(api.client(), api.client(), announcer{told}, clock.RealClock{})
	for range 5 {
		if result, err := u.report(t.Context(), decodedRun(t, brokenRun), "FunctionRun"); err != nil || result != (ctrl.Result{}) {
			t.Fatalf("it is tried again: %v, %v", result, err)
		}
	}
	if len(api.sent) != 1 || len(told.told) != 1 {
		t.Errorf("sent %d patches and %d events, want one each", len(api.sent), len(told.told))
	}
	api.stored = strings.Replace(brokenRun, `"resourceVersion":"5"`, `"resourceVersion":"6"`, 1)
	if _, err := u.report(t.Context(), decodedRun(t, api.stored), "FunctionRun"); err != nil || len(api.sent) != 2 {
		t.Errorf("a changed object is not looked at again: %v, %d patches", err, len(api.sent))
	}
}

func TestWhatWasCorrectedMeanwhileIsLeftAlone(t *testing.T) {
	api := &patches{stored: strings.Replace(brokenRun, `"resourceVersion":"5"`, `"resourceVersion":"6"`, 1)}
	u := newUndecodables(api.client(), api.client(), announcer{noEvents{}}, clock.RealClock{})
	result, err := u.report(t.Context(), decodedRun(t, brokenRun), "FunctionRun")
	if err != nil || result.RequeueAfter != conflictPause || len(api.sent) != 0 {
		t.Errorf("got %v, %v and the patches %v", result, err, api.sent)
	}
}

func TestAFinishedRunThatCanBeDecodedAgainIsReadyAgain(t *testing.T) {
	run := makeRun("r").Obj()
	now := time.Unix(1000, 0)
	finishRun(run, true, v1alpha1.ReasonSucceeded, "All 2 inputs succeeded.", now)
	want := meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionReady).DeepCopy()
	runConditions(run, now).stand(standingStalled, v1alpha1.ReasonNotDecodable, "x")
	restored(run, runConditions(run, now))
	got := meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionReady)
	if got.Status != want.Status || got.Reason != want.Reason || got.Message != want.Message ||
		meta.IsStatusConditionTrue(run.Status.Conditions, v1alpha1.ConditionStalled) {
		t.Errorf("the conditions are %+v", run.Status.Conditions)
	}
}

//security:attack tenant | makes a run undecodable, so that the revision it executes is not known | no revision of its namespace is deleted
func TestARunThatCannotBeDecodedKeepsEachRevision(t *testing.T) {
	run := decodedRun(t, brokenRun)
	for _, i := range indexes() {
		if i.name == indexRunRevision {
			if keys := i.keys(run); len(keys) != 1 || keys[0] != anyRevision {
				t.Errorf("it is found under %v", keys)
			}
		}
	}
	whole := run.DeepCopy()
	whole.Annotations = nil
	if !specOrDecodabilityChanged.Update(event.UpdateEvent{ObjectOld: run, ObjectNew: whole}) {
		t.Error("a status that was corrected wakes nothing")
	}
}

//security:attack tenant with ConfigMaps | writes numbers beyond 64 bits, negative ones and the greatest into a revision's and a Job's annotations | they count as none, or the next number stays within bounds
func TestNumbersInAnnotationsAreBounded(t *testing.T) {
	for text, want := range map[string]int64{
		"7": 7, "": 0, "-1": 0, "x": 0, "1e3": 0, "9007199254740991": v1alpha1.MaxCount, "9007199254740992": 0, "9223372036854775808": 0, strings.Repeat("9", 100_000): 0,
	} {
		object := &metav1.ObjectMeta{Annotations: map[string]string{v1alpha1.AnnotationRevisionNumber: text}}
		if got := revisionNumber(object); got != want {
			t.Errorf("%.30s is the number %d, want %d", text, got, want)
		}
	}
	sibling := metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "forged", Annotations: map[string]string{v1alpha1.AnnotationRevisionNumber: "9007199254740991"}}}
	if n := numberFor(&corev1.ConfigMap{}, []metav1.PartialObjectMetadata{sibling}, nil); n.number != v1alpha1.MaxCount {
		t.Errorf("the next number is %d, want %d", n.number, v1alpha1.MaxCount)
	}
	if got := following(v1alpha1.MaxJobNumber); got != v1alpha1.MaxJobNumber {
		t.Errorf("the Job after the last is %d", got)
	}
}

//security:attack tenant with ConfigMaps | writes settings with giant quantities and numbers into an own revision | they are refused when they are read, before a pod is rendered
func TestNumbersInSettingsOfARevisionAreBounded(t *testing.T) {
	valid := `"workers":1,"timeoutSeconds":1`
	for name, text := range map[string]string{
		"a giant limit":            `{` + valid + `,"pod":{"resources":{"limits":{"memory":"1e2147483646"}}}}`,
		"a tiny request":           `{` + valid + `,"pod":{"resources":{"requests":{"memory":"1e-2147483646"}}}}`,
		"a giant divisor":          `{` + valid + `,"pod":{"env":[{"name":"A","valueFrom":{"resourceFieldRef":{"resource":"limits.cpu","divisor":"1e2147483646"}}}]}}`,
		"many workers":             `{"workers":2147483647,"timeoutSeconds":1}`,
		"a negative number":        `{"workers":1,"timeoutSeconds":-1}`,
		"an integer of 33 bits":    `{"workers":4294967296,"timeoutSeconds":1}`,
		"many GPUs":                `{` + valid + `,"gpus":1000000}`,
		"retries without end":      `{` + valid + `,"retries":2147483647}`,
		"a text instead of a list": `{` + valid + `,"command":"sh"}`,
	} {
		if _, err := settingsOf(&corev1.ConfigMap{Data: map[string]string{revisionKey: text}}); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := settingsOf(&corev1.ConfigMap{Data: map[string]string{revisionKey: `{` + valid + `}`}}); err != nil {
		t.Error(err)
	}
}

//security:attack tenant | stores a function from before the maxima, with a size that overflows when it is shifted and a user beyond 32 bits | the pod gets the greatest value that is allowed
func TestNumbersFromBeforeTheMaximaAreBoundedInThePod(t *testing.T) {
	huge := int64(1) << 62
	pod := v1alpha1.PodSettings{RunAsUser: &huge, Volumes: []v1alpha1.Volume{{Name: "v", EmptyDir: &v1alpha1.EmptyDir{SizeLimitMiB: &huge}}}}
	if user := *podSecurity(pod).RunAsUser; user != 1<<31-1 {
		t.Errorf("the user is %d", user)
	}
	if size := userVolumes(pod, WorkerDefaults{})[0].EmptyDir.SizeLimit; size.Value() != v1alpha1.MaxSizeLimitMiB<<20 {
		t.Errorf("the size is %s", size)
	}
}

//security:attack tenant | gives runs and functions names of 63 and 253 characters, with dots and homoglyphs, of which names of Jobs, pods and ConfigMaps are made | each derived name is a valid one, or cut with a hash
func TestDerivedNamesFit(t *testing.T) {
	names := []string{strings.Repeat("a", 63), strings.Repeat("a", 253), strings.Repeat("a.", 31) + "a", "а-homoglyph", strings.Repeat("é", 126), "-", "."}
	for _, name := range names {
		for _, k := range []int32{1, v1alpha1.MaxJobNumber} {
			if job := jobName(name, k); len(job) > longestJobName || strings.Contains(job, ".") {
				t.Errorf("%q: the Job's name is %q", name, job)
			}
		}
		if revision := revisionName(name, hashOf(name)); len(revision) > longestFunctionPart+1+revisionHash {
			t.Errorf("%q: the revision's name is %q", name, revision)
		}
		if inputs := inputsName(name); len(inputs) > 253 {
			t.Errorf("%q: the name of the inputs has %d characters", name, len(inputs))
		}
	}
}
