package v1alpha1

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

func TestAConfigMapHoldsDataAndBinaryData(t *testing.T) {
	configMap := &corev1.ConfigMap{
		Data:       map[string]string{"text": "a", "empty": ""},
		BinaryData: map[string][]byte{"bytes": {0xff, 0}, "none": {}},
	}
	want := map[string][]byte{"text": []byte("a"), "empty": {}, "bytes": {0xff, 0}, "none": {}}
	if diff := cmp.Diff(want, ConfigMapContent(configMap)); diff != "" {
		t.Errorf("all keys (-want +got):\n%s", diff)
	}
	for key, value := range want {
		if got, found := ConfigMapValue(configMap, key); !found || !cmp.Equal(got, value) {
			t.Errorf("%s holds %q, %v; want %q", key, got, found, value)
		}
	}
	if got, found := ConfigMapValue(configMap, "another"); found || got != nil {
		t.Errorf("a key that does not exist holds %q, %v", got, found)
	}
}
