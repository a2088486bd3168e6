package core

import (
	"encoding/json"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// FuzzStoredObjects passes arbitrary JSON through everything that the API server does with a stored object before a frontend uses it:
// decoding, transforms, caches and look-ups. A panic or a hang is a failure.
//
//security:attack tenant | stores arbitrary objects without validation | decoding, transforms, caches and look-ups of the API server neither panic nor hang
func FuzzStoredObjects(f *testing.F) {
	for _, text := range []string{
		`{"metadata":{"name":"r","uid":"3f6c1a52-7d0b-4e8e-9a57-b1c20d94e6f3","resourceVersion":"x","labels":{"sharedcloud.io/uuid":"3F6C1A52-7D0B-4E8E-9A57-B1C20D94E6F3"},"annotations":{"sharedcloud.io/created":"9223372036854775807","cache.sharedcloud.io/updated":"-9223372036854775808","cache.sharedcloud.io/input-count":"9999999999"},"managedFields":[{"time":"9999-12-31T23:59:59-23:00"}]},"spec":{"functionRef":{"name":""}}}`,
		`{"metadata":{"name":"r"},"spec":{"parameters":[[{"a":[1]}],[]],"parametersFrom":{"upload":{"digest":"x","count":2147483647}}},"status":{"revision":{"inputCount":-1}}}`,
		`{"metadata":{"name":"f","creationTimestamp":"0000-01-01T00:00:00Z"},"spec":"x"}`,
		`{"metadata":5}`,
	} {
		f.Add([]byte(text))
	}
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
		for _, step := range []struct {
			transform func(any) (any, error)
			object    client.Object
		}{{slimFunction, function}, {slimImage, image}, {slimRun, run}, {slimRun, run}} {
			if _, err := step.transform(step.object); err != nil {
				t.Fatalf("a transform failed: %v", err)
			}
			if updated := UpdatedMicros(step.object); updated >= 1<<53 && CreatedMicros(step.object) < 1<<53 {
				t.Fatalf("UpdatedMicros returned %d", updated)
			}
			if err := Decodable(step.object); (err != nil) != (v1alpha1.DecodeError(step.object) != "") {
				t.Fatalf("Decodable returned %v", err)
			}
		}
		for _, object := range []client.Object{function, image, run} {
			if object.GetUID() == "" {
				object.SetUID("u")
			}
			if object.GetName() == "" {
				object.SetName("x")
			}
		}
		clk := clocktesting.NewFakeClock(time.Unix(1_800_000_000, 0))
		runs := NewCache(clk, runKeys)
		runs.observe(run)
		listed := len(runs.List(run.Namespace)) + runs.CountBy(run.Namespace, functionKey(run.Spec.FunctionRef.Name))
		if Decodable(run) != nil && listed != 0 {
			t.Fatal("a list contains an object that cannot be decoded")
		}
		if _, found := runs.Get(run.Namespace, runs.UUID(run)); !found {
			t.Fatal("the object is not found by its identity")
		}
		images := NewCache[*v1alpha1.FunctionImage](clk, nil)
		images.observe(image)
		_ = NewCatalogue(images, "").List(image.Namespace, true)
		runs.Remove(run.UID)
		if len(runs.rows)+len(runs.names)+len(runs.indexed)+len(runs.claims)+len(runs.namespaces) != 0 {
			t.Fatal("a deleted object left data in the cache")
		}
	})
}
