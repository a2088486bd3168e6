package sized

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestACacheKeepsWhatWasUsedLast(t *testing.T) {
	cache := New[string, int](10)
	kept := func() (keys []string) {
		for element := cache.recent.Front(); element != nil; element = element.Next() {
			keys = append(keys, element.Value.(entry[string, int]).key)
		}
		return keys
	}
	cache.Put("a", 1, 4)
	cache.Put("b", 2, 4)
	if _, ok := cache.Get("a"); !ok {
		t.Error("a is not kept")
	}
	cache.Put("c", 3, 4) // b was used longest ago
	cache.Put("a", 9, 1) // is there already
	cache.Put("d", 4, 11)
	if diff := cmp.Diff([]string{"c", "a"}, kept()); diff != "" || cache.used != 8 {
		t.Errorf("kept, %d in all (-want +got):\n%s", cache.used, diff)
	}
	if value, ok := cache.Get("a"); !ok || value != 1 {
		t.Errorf("a is %d, %v", value, ok)
	}
	if _, ok := cache.Get("b"); ok {
		t.Error("b is still kept")
	}
	cache.Forget("a")
	cache.Forget("unknown")
	if diff := cmp.Diff([]string{"c"}, kept()); diff != "" || cache.used != 4 {
		t.Errorf("after forgetting a, %d in all (-want +got):\n%s", cache.used, diff)
	}
}
