package parameters

import (
	"encoding/json"
	"strings"
	"testing"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

//security:attack tenant | stores a run whose content cannot be decoded | no cache says that it has no inputs: it is its metadata and the error
func TestARunThatCannotBeDecodedHasNoCount(t *testing.T) {
	run := &v1alpha1.FunctionRun{}
	if err := json.Unmarshal([]byte(`{"metadata":{"name":"r","annotations":{"cache.sharedcloud.io/input-count":"5"}},"spec":{"parameters":{}}}`), run); err != nil {
		t.Fatal(err)
	}
	if _, err := DropInputs(run); err != nil {
		t.Fatal(err)
	}
	if _, found := run.Annotations[v1alpha1.AnnotationParametersError]; found || v1alpha1.DecodeError(run) == "" {
		t.Errorf("the annotations are %v", run.Annotations)
	}
	if count, err := CachedCount(run); err == nil || !strings.Contains(err.Error(), "cannot be decoded") {
		t.Errorf("it has %d inputs (%v)", count, err)
	}
}

//security:attack tenant | says that an upload has a negative number of inputs, or more than there may be | the count is refused
func TestTheCountOfAnUploadIsBounded(t *testing.T) {
	for inputs, fine := range map[int32]bool{-1: false, 0: false, 1: true, 100_000_000: true, 100_000_001: false} {
		run := &v1alpha1.FunctionRun{Spec: v1alpha1.FunctionRunSpec{ParametersFrom: &v1alpha1.ParametersSource{Upload: &v1alpha1.UploadReference{Count: inputs}}}}
		if _, err := CachedCount(run); (err == nil) != fine {
			t.Errorf("%d: %v", inputs, err)
		}
	}
	for text, fine := range map[string]bool{"5": true, "9223372036854775807": false, "100000001": false, "-5": false} {
		run := &v1alpha1.FunctionRun{}
		run.Annotations = map[string]string{v1alpha1.AnnotationInputCount: text}
		if _, err := CachedCount(run); (err == nil) != fine {
			t.Errorf("the annotation %s: %v", text, err)
		}
	}
}
