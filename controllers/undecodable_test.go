package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

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

// patches is an API that returns one stored object, and records or refuses patches.
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

// recordedEvents are events as text.
type recordedEvents struct{ texts []string }

func (e *recordedEvents) Eventf(_ runtime.Object, _ runtime.Object, kind, reason, _ string, note string, args ...any) {
	e.texts = append(e.texts, kind+" "+reason+" "+fmt.Sprintf(note, args...))
}

//security:attack tenant | makes a run undecodable after it has finished | a merge patch reports it in the conditions, and the conditions of its end are kept
func TestUndecodableObjectsGetConditionsByMergePatch(t *testing.T) {
	api, recorder := &patches{stored: brokenRun}, &recordedEvents{}
	u := newUndecodableReporter(api.client(), api.client(), eventWriter{recorder}, clocktesting.NewFakePassiveClock(time.Unix(1000, 0)))
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
	if len(recorder.texts) != 1 || !strings.HasPrefix(recorder.texts[0], "Warning NotDecodable ") {
		t.Errorf("the events are %v", recorder.texts)
	}
}

//security:attack tenant | stores an object whose status the API server refuses to write as well | one patch and one event are written, and no more before the object changes
func TestRefusedConditionsAreNotWrittenAgain(t *testing.T) {
	api, recorder := &patches{stored: brokenRun, refuses: apierrors.NewInvalid(v1alpha1.GroupVersion.WithKind("FunctionRun").GroupKind(), "r", nil)}, &recordedEvents{}
	u := newUndecodableReporter(api.client(), api.client(), eventWriter{recorder}, clock.RealClock{})
	for range 5 {
		if result, err := u.report(t.Context(), decodedRun(t, brokenRun), "FunctionRun"); err != nil || result != (ctrl.Result{}) {
			t.Fatalf("it is tried again: %v, %v", result, err)
		}
	}
	if len(api.sent) != 1 || len(recorder.texts) != 1 {
		t.Errorf("sent %d patches and %d events, want one each", len(api.sent), len(recorder.texts))
	}
	api.stored = strings.Replace(brokenRun, `"resourceVersion":"5"`, `"resourceVersion":"6"`, 1)
	if _, err := u.report(t.Context(), decodedRun(t, api.stored), "FunctionRun"); err != nil || len(api.sent) != 2 {
		t.Errorf("a changed object is not reported again: %v, %d patches", err, len(api.sent))
	}
}

func TestAnObjectThatWasCorrectedInTheMeantimeIsNotPatched(t *testing.T) {
	api := &patches{stored: strings.Replace(brokenRun, `"resourceVersion":"5"`, `"resourceVersion":"6"`, 1)}
	u := newUndecodableReporter(api.client(), api.client(), eventWriter{noEvents{}}, clock.RealClock{})
	result, err := u.report(t.Context(), decodedRun(t, brokenRun), "FunctionRun")
	if err != nil || result.RequeueAfter != conflictInterval || len(api.sent) != 0 {
		t.Errorf("got %v, %v and the patches %v", result, err, api.sent)
	}
}

//security:attack tenant | makes a run undecodable, so that the revision it executes is not known | no revision of its namespace is deleted
func TestAnUndecodableRunKeepsAllRevisions(t *testing.T) {
	run := decodedRun(t, brokenRun)
	for _, i := range indexes() {
		if i.name == indexRunRevision {
			if keys := i.keys(run); len(keys) != 1 || keys[0] != anyRevision {
				t.Errorf("the index keys are %v", keys)
			}
		}
	}
	whole := run.DeepCopy()
	whole.Annotations = nil
	if !specOrDecodabilityChanged.Update(event.UpdateEvent{ObjectOld: run, ObjectNew: whole}) {
		t.Error("a corrected status triggers nothing")
	}
}
