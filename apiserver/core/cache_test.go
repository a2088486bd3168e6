package core

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

const (
	idA = "8b9420da-a848-4523-a138-ddbf33007631"
	idB = "23ca880b-94fe-472c-b9cf-934ed8295872"
)

func makeFunction(name, uid, version string, change ...func(*v1alpha1.Function)) *v1alpha1.Function {
	f := &v1alpha1.Function{}
	f.Namespace, f.Name, f.UID, f.ResourceVersion = "space", name, types.UID(uid), version
	f.Labels, f.Annotations = map[string]string{}, map[string]string{}
	for _, act := range change {
		act(f)
	}
	return f
}

func labelled(id string) func(*v1alpha1.Function) {
	return func(f *v1alpha1.Function) { f.Labels[v1alpha1.LabelUUID] = id }
}

func annotatedAt(micros int64) func(*v1alpha1.Function) {
	return func(f *v1alpha1.Function) {
		f.Annotations[v1alpha1.AnnotationCreated] = strconv.FormatInt(micros, 10)
	}
}

func newTestCache(t *testing.T) (*Cache[*v1alpha1.Function], *clocktesting.FakeClock) {
	t.Helper()
	clk := clocktesting.NewFakeClock(time.UnixMicro(1_700_000_000_000_000))
	return NewCache(clk, func(f *v1alpha1.Function) []string { return []string{"image/" + f.Spec.Image} }), clk
}

func names(functions []*v1alpha1.Function) []string {
	list := []string{}
	for _, f := range functions {
		list = append(list, f.Name+"@"+f.ResourceVersion)
	}
	return list
}

func TestTheLaterStateOfAnObjectIsKept(t *testing.T) {
	cache, _ := newTestCache(t)
	cache.observe(makeFunction("f", idA, "9"))
	cache.AddWritten(makeFunction("f", idA, "10"))
	cache.observe(makeFunction("f", idA, "9"))
	if got, _ := cache.Get("space", idA); got == nil || got.ResourceVersion != "10" {
		t.Errorf("a delayed event reverted a write: %v", got)
	}
	cache.observe(makeFunction("f", idA, "11", func(f *v1alpha1.Function) { f.Spec.Image = "python" }))
	if got := cache.CountBy("space", "image/python"); got != 1 {
		t.Errorf("%d objects under the new key", got)
	}
	if got := cache.CountBy("space", "image/"); got != 0 {
		t.Errorf("%d objects under the old key", got)
	}
}

func TestADelayedEventDoesNotRestoreADeletedObject(t *testing.T) {
	cache, _ := newTestCache(t)
	cache.observe(makeFunction("f", idA, "9"))
	cache.Remove(idA)
	cache.observe(makeFunction("f", idA, "12"))
	if got := cache.List("space"); len(got) != 0 {
		t.Errorf("a delayed event restored the object: %v", names(got))
	}
	cache.observe(makeFunction("f", idB, "13"))
	cache.observe(makeFunction("f", idA, "12"))
	if diff := cmp.Diff([]string{"f@13"}, names(cache.List("space"))); diff != "" {
		t.Errorf("the next object with the name (-want +got):\n%s", diff)
	}
}

func TestTheLaterObjectOwnsAName(t *testing.T) {
	cache, _ := newTestCache(t)
	cache.AddWritten(makeFunction("f", idB, "20"))
	cache.observe(makeFunction("f", idA, "12"))
	if diff := cmp.Diff([]string{"f@20"}, names(cache.List("space"))); diff != "" {
		t.Errorf("a delayed event of the previous object with the name (-want +got):\n%s", diff)
	}
	if _, ok := cache.Get("space", idA); ok {
		t.Error("the previous object is still found")
	}
}

func TestAWriteExpiresIfTheInformerNeverSeesIt(t *testing.T) {
	cache, clk := newTestCache(t)
	cache.AddWritten(makeFunction("f", idA, "9"))
	cache.AddWritten(makeFunction("g", idB, "10"))
	cache.observe(makeFunction("g", idB, "10"))
	if got := cache.List("space"); len(got) != 2 {
		t.Errorf("a caller does not read its own write: %v", names(got))
	}
	clk.Step(unconfirmedFor)
	if diff := cmp.Diff([]string{"g@10"}, names(cache.List("space"))); diff != "" {
		t.Errorf("after the expiry (-want +got):\n%s", diff)
	}
	if _, ok := cache.Get("space", idA); ok {
		t.Error("the expired write is still found")
	}
}

func TestListsAreNewestFirst(t *testing.T) {
	cache, _ := newTestCache(t)
	cache.observe(makeFunction("second", "2", "1", annotatedAt(20)))
	cache.observe(makeFunction("third", "3", "2", annotatedAt(30)))
	cache.observe(makeFunction("first", "1", "3", annotatedAt(10)))
	cache.observe(makeFunction("elsewhere", "4", "4", func(f *v1alpha1.Function) { f.Namespace = "other" }))
	if diff := cmp.Diff([]string{"third@2", "second@1", "first@3"}, names(cache.List("space"))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"third@2", "second@1", "first@3"}, names(cache.ListBy("space", "image/"))); diff != "" {
		t.Errorf("by the index (-want +got):\n%s", diff)
	}
}

func TestIdentity(t *testing.T) {
	cache, _ := newTestCache(t)
	cache.observe(makeFunction("labelled", "u1", "1", labelled(idA), annotatedAt(20)))
	cache.observe(makeFunction("copy", "u2", "2", labelled(idA), annotatedAt(30)))
	cache.observe(makeFunction("plain", idB, "3", labelled("nonsense")))
	if got, _ := cache.Get("space", idA); got == nil || got.Name != "labelled" {
		t.Errorf("a uuid in two labels returns %v, want the oldest object", got)
	}
	if got, _ := cache.Get("space", idB); got == nil || got.Name != "plain" {
		t.Errorf("an object with an invalid label returns %v", got)
	}
	for _, where := range [][2]string{{"other", idA}, {"space", "u1"}, {"space", "nonsense"}} {
		if got, ok := cache.Get(where[0], where[1]); ok {
			t.Errorf("%v returns %v", where, got)
		}
	}
}

func TestTheTimeOfTheLastWriteIsKept(t *testing.T) {
	at := func(micros int64) *metav1.Time { return &metav1.Time{Time: time.UnixMicro(micros)} }
	f := makeFunction("f", idA, "1", annotatedAt(5))
	f.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "a", Time: at(10)}, {Manager: "b", Time: at(20)},
		{Manager: "c", Subresource: "status", Time: at(30)}}
	recordUpdated(f)
	if got := UpdatedMicros(f); got != 20 || f.ManagedFields != nil {
		t.Errorf("%d, %v", got, f.ManagedFields)
	}
	if got := UpdatedMicros(makeFunction("g", idB, "1", annotatedAt(7))); got != 7 {
		t.Errorf("an object that was never changed was updated at %d", got)
	}
}

func TestACacheFollowsItsInformer(t *testing.T) {
	cache, _ := newTestCache(t)
	informer := idle(&v1alpha1.Function{})
	if _, err := cache.FillFrom(informer); err != nil {
		t.Fatal(err)
	}
	// An event without an object must not end the process.
	cache.observe(nil)
	cache.observe("nonsense")
	cache.observe(toolscache.DeletedFinalStateUnknown{})
	if got := cache.List("space"); len(got) != 0 {
		t.Errorf("%v", names(got))
	}
}

func TestTheClusterIsSyncedWhenItsCachesAreFull(t *testing.T) {
	cache, _ := newTestCache(t)
	informer := toolscache.NewSharedIndexInformer(&toolscache.ListWatch{
		ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
			return &v1alpha1.FunctionList{Items: []v1alpha1.Function{*makeFunction("f", idA, "1")}}, nil
		},
		WatchFuncWithContext: func(_ context.Context, o metav1.ListOptions) (watch.Interface, error) {
			if o.SendInitialEvents != nil {
				return nil, apierrors.NewInvalid(schema.GroupKind{}, "", nil) // makes the reflector fall back to a list
			}
			return watch.NewFake(), nil
		},
	}, &v1alpha1.Function{}, 0, toolscache.Indexers{})
	cluster := &Cluster{synced: []toolscache.InformerSynced{informer.HasSynced}}
	if err := fillFrom(cluster, cache, informer); err != nil {
		t.Fatal(err)
	}
	await := func(synced func() bool) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if !toolscache.WaitForCacheSync(ctx.Done(), synced) {
			t.Fatal("the cluster has not synced within a minute")
		}
	}

	cache.mu.Lock() // the event handler blocks
	go informer.RunWithContext(t.Context())
	await(informer.HasSynced)
	early := cluster.Synced()
	cache.mu.Unlock()
	if early {
		t.Error("the cluster is synced before the cache has the listed objects: REST would answer 404")
	}
	await(cluster.Synced)
	if _, ok := cache.Get("space", idA); !ok {
		t.Error("the cluster has synced, and the function is not in the cache")
	}
}
