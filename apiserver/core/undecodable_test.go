package core

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

//security:attack tenant | stores a function that cannot be decoded, under a chosen uuid | lists leave it out, a look-up finds it to say so and to delete it, and it comes back when it is corrected
func TestATableListsOnlyWhatCanBeDecoded(t *testing.T) {
	table := NewCache[*v1alpha1.Function](clocktesting.NewFakeClock(time.Unix(1, 0)), nil)
	see := func(text string) {
		t.Helper()
		function := &v1alpha1.Function{}
		if err := json.Unmarshal([]byte(text), function); err != nil {
			t.Fatal(err)
		}
		table.seen(function)
	}
	see(`{"metadata":{"name":"f","namespace":"team","uid":"u","resourceVersion":"1"},"spec":"x"}`)
	found, ok := table.Get("team", "u")
	var broken *NotDecodableError
	if !ok || !errors.As(Decodable(found), &broken) || broken.Kind != "Function" || broken.Name != "f" {
		t.Errorf("found %v: %v", ok, Decodable(found))
	}
	if list := table.List("team"); len(list) != 0 {
		t.Errorf("the list has %v", list)
	}
	see(`{"metadata":{"name":"f","namespace":"team","uid":"u","resourceVersion":"2"},"spec":{"runtime":"python311"}}`)
	if list := table.List("team"); len(list) != 1 || Decodable(list[0]) != nil {
		t.Errorf("corrected, the list has %v", list)
	}
}
