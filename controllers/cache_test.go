package controllers

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/status"
	"sharedcloud.io/function-operator/test/builders"
)

// secretText stands for code and inputs of runs, which no cache may hold.
const secretText = "do-not-keep-me"

func TestCachesKeepNeitherCodeNorInputs(t *testing.T) {
	meta := func() metav1.ObjectMeta {
		return metav1.ObjectMeta{
			Name: "o", Namespace: "team", UID: "uid", ResourceVersion: "7", Generation: 3,
			Labels:        map[string]string{"label": "kept"},
			Annotations:   map[string]string{annotationLastApplied: secretText, "annotation": "kept"},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: secretText}},
		}
	}
	objects := map[string]client.Object{
		"a Function": &v1alpha1.Function{ObjectMeta: meta(), Spec: v1alpha1.FunctionSpec{Code: ptr.To(secretText)}},
		"a FunctionRun with parameters": &v1alpha1.FunctionRun{ObjectMeta: meta(),
			Spec: v1alpha1.FunctionRunSpec{ParametersLiteral: ptr.To("(('" + secretText + "',),)")}},
		"a FunctionImage": &v1alpha1.FunctionImage{ObjectMeta: meta()},
		"a ConfigMap's metadata": &metav1.PartialObjectMetadata{
			TypeMeta: metav1.TypeMeta{Kind: "ConfigMap", APIVersion: "v1"}, ObjectMeta: meta()},
		"a Job": &batchv1.Job{ObjectMeta: meta(), Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Env: []corev1.EnvVar{{Name: "X", Value: secretText}}}}}}}},
		"a pod": &corev1.Pod{ObjectMeta: meta(), Spec: corev1.PodSpec{Containers: []corev1.Container{
			{Name: "worker", Image: "i", Env: []corev1.EnvVar{{Name: "X", Value: secretText}}}}}},
	}
	byKind := map[string]func(any) (any, error){}
	options := CacheOptions("sharedcloud-system")
	for object, by := range options.ByObject {
		byKind[kindOf(object)] = by.Transform
	}
	for name, object := range objects {
		t.Run(name, func(t *testing.T) {
			transform := byKind[kindOf(object)]
			if transform == nil {
				transform = options.DefaultTransform
			}
			kept, err := transform(object)
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(kept)
			if err != nil {
				t.Fatal(err)
			}
			if bytesContain(text, secretText) {
				t.Errorf("the cache keeps %s", text)
			}
			got := kept.(client.Object)
			if got.GetUID() != "uid" || got.GetResourceVersion() != "7" || got.GetGeneration() != 3 || got.GetLabels()["label"] != "kept" || got.GetAnnotations()["annotation"] != "kept" {
				t.Errorf("the cache drops metadata that reconcilers need: %s", text)
			}
		})
	}
}

func kindOf(object client.Object) string {
	switch o := object.(type) {
	case *v1alpha1.Function:
		return "Function"
	case *v1alpha1.FunctionRun:
		return "FunctionRun"
	case *batchv1.Job:
		return "Job"
	case *corev1.Pod:
		return "Pod"
	case *metav1.PartialObjectMetadata:
		return o.Kind
	case *corev1.ConfigMap:
		return "ConfigMap"
	}
	return ""
}

func bytesContain(text []byte, word string) bool {
	for i := 0; i+len(word) <= len(text); i++ {
		if string(text[i:i+len(word)]) == word {
			return true
		}
	}
	return false
}

// A panic in an informer ends the manager: transforms and indexes get any object that the API server can hold, and the tombstones of
// caches.
func TestTransformsAndIndexesAcceptAnyObject(t *testing.T) {
	strange := []any{
		nil, "text", 7, struct{}{},
		&v1alpha1.Function{}, &v1alpha1.FunctionRun{}, &v1alpha1.FunctionImage{}, &batchv1.Job{}, &corev1.Pod{}, &metav1.PartialObjectMetadata{},
		&corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{}, {Name: "worker"}}}},
		&v1alpha1.FunctionRun{Spec: v1alpha1.FunctionRunSpec{Parameters: []v1alpha1.Input{nil, {}}, ParametersLiteral: ptr.To("(")}},
		&batchv1.Job{ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{}, {Controller: ptr.To(true)}}}},
	}
	for _, by := range CacheOptions("sharedcloud-system").ByObject {
		if by.Transform == nil {
			continue
		}
		for _, object := range strange {
			if _, err := by.Transform(object); err != nil {
				t.Errorf("a transform fails on %#v: %v", object, err)
			}
		}
	}
	for _, i := range indexes() {
		for _, object := range strange {
			if o, ok := object.(client.Object); ok {
				i.keys(o)
			}
		}
	}
}

func TestKeepPodKeepsWhatWorkersOfNeeds(t *testing.T) {
	pods := []corev1.Pod{
		builders.MakePod("a").Unschedulable("no room").Obj(), builders.MakePod("b").Waiting("ErrImagePull", "not found").Obj(),
		builders.MakePod("c").Running().Obj(), builders.MakePod("d").Died("OOMKilled", 137, "").Obj(), builders.MakePod("e").Scheduled(builders.Now).Obj(),
	}
	kept := make([]corev1.Pod, 0, len(pods))
	for _, pod := range pods {
		small := pod.DeepCopy()
		keepPod(small)
		kept = append(kept, *small)
	}
	want, got := status.WorkersOf(pods, "job", builders.Now), status.WorkersOf(kept, "job", builders.Now)
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(status.PodProblem{})); diff != "" {
		t.Errorf("the workers of the pods in the cache (-want +got):\n%s", diff)
	}
}
