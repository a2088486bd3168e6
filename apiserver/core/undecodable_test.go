package core

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

//security:attack tenant | stores a function that cannot be decoded, under a chosen uuid | lists omit it, a look-up finds it so that it can be reported and deleted, and it is listed again once it is corrected
func TestListsOmitObjectsThatCannotBeDecoded(t *testing.T) {
	cache := NewCache[*v1alpha1.Function](clocktesting.NewFakeClock(time.Unix(1, 0)), nil)
	see := func(text string) {
		t.Helper()
		function := &v1alpha1.Function{}
		if err := json.Unmarshal([]byte(text), function); err != nil {
			t.Fatal(err)
		}
		cache.observe(function)
	}
	see(`{"metadata":{"name":"f","namespace":"team","uid":"u","resourceVersion":"1"},"spec":"x"}`)
	found, ok := cache.Get("team", "u")
	var broken *NotDecodableError
	if !ok || !errors.As(Decodable(found), &broken) || broken.Kind != "Function" || broken.Name != "f" {
		t.Errorf("found %v: %v", ok, Decodable(found))
	}
	if list := cache.List("team"); len(list) != 0 {
		t.Errorf("the list contains %v", list)
	}
	see(`{"metadata":{"name":"f","namespace":"team","uid":"u","resourceVersion":"2"},"spec":{"runtime":"python311"}}`)
	if list := cache.List("team"); len(list) != 1 || Decodable(list[0]) != nil {
		t.Errorf("after the correction the list contains %v", list)
	}
}
