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

func madeAt(micros int64) func(*v1alpha1.Function) {
	return func(f *v1alpha1.Function) {
		f.Annotations[v1alpha1.AnnotationCreated] = strconv.FormatInt(micros, 10)
	}
}

func newTestTable(t *testing.T) (*Cache[*v1alpha1.Function], *clocktesting.FakeClock) {
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

func TestOfTwoStatesOfAnObjectTheLaterOneStays(t *testing.T) {
	table, _ := newTestTable(t)
	table.seen(makeFunction("f", idA, "9"))
	table.Wrote(makeFunction("f", idA, "10"))
	table.seen(makeFunction("f", idA, "9"))
	if got, _ := table.Get("space", idA); got == nil || got.ResourceVersion != "10" {
		t.Errorf("an event that was under way took a write back: %v", got)
	}
	table.seen(makeFunction("f", idA, "11", func(f *v1alpha1.Function) { f.Spec.Image = "python" }))
	if got := table.CountBy("space", "image/python"); got != 1 {
		t.Errorf("%d in the index", got)
	}
	if got := table.CountBy("space", "image/"); got != 0 {
		t.Errorf("%d under the key that it had", got)
	}
}

func TestWhatWasDeletedDoesNotComeBack(t *testing.T) {
	table, _ := newTestTable(t)
	table.seen(makeFunction("f", idA, "9"))
	table.Deleted(idA)
	table.seen(makeFunction("f", idA, "12"))
	if got := table.List("space"); len(got) != 0 {
		t.Errorf("an event that was under way brought it back: %v", names(got))
	}
	table.seen(makeFunction("f", idB, "13"))
	table.seen(makeFunction("f", idA, "12"))
	if diff := cmp.Diff([]string{"f@13"}, names(table.List("space"))); diff != "" {
		t.Errorf("the name's next owner (-want +got):\n%s", diff)
	}
}

func TestANameBelongsToTheLaterOfTwo(t *testing.T) {
	table, _ := newTestTable(t)
	table.Wrote(makeFunction("f", idB, "20"))
	table.seen(makeFunction("f", idA, "12"))
	if diff := cmp.Diff([]string{"f@20"}, names(table.List("space"))); diff != "" {
		t.Errorf("an old event of the name's last owner (-want +got):\n%s", diff)
	}
	if _, ok := table.Get("space", idA); ok {
		t.Error("the last owner is still found")
	}
}

func TestAWriteThatTheInformerNeverSeesIsForgotten(t *testing.T) {
	table, clk := newTestTable(t)
	table.Wrote(makeFunction("f", idA, "9"))
	table.Wrote(makeFunction("g", idB, "10"))
	table.seen(makeFunction("g", idB, "10"))
	if got := table.List("space"); len(got) != 2 {
		t.Errorf("a caller does not read what he wrote: %v", names(got))
	}
	clk.Step(unconfirmedFor)
	if diff := cmp.Diff([]string{"g@10"}, names(table.List("space"))); diff != "" {
		t.Errorf("after a while (-want +got):\n%s", diff)
	}
	if _, ok := table.Get("space", idA); ok {
		t.Error("it is still found")
	}
}

func TestListsAreNewestFirst(t *testing.T) {
	table, _ := newTestTable(t)
	table.seen(makeFunction("second", "2", "1", madeAt(20)))
	table.seen(makeFunction("third", "3", "2", madeAt(30)))
	table.seen(makeFunction("first", "1", "3", madeAt(10)))
	table.seen(makeFunction("elsewhere", "4", "4", func(f *v1alpha1.Function) { f.Namespace = "other" }))
	if diff := cmp.Diff([]string{"third@2", "second@1", "first@3"}, names(table.List("space"))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"third@2", "second@1", "first@3"}, names(table.ListBy("space", "image/"))); diff != "" {
		t.Errorf("by the index (-want +got):\n%s", diff)
	}
}

func TestIdentity(t *testing.T) {
	table, _ := newTestTable(t)
	table.seen(makeFunction("labelled", "u1", "1", labelled(idA), madeAt(20)))
	table.seen(makeFunction("copy", "u2", "2", labelled(idA), madeAt(30)))
	table.seen(makeFunction("plain", idB, "3", labelled("nonsense")))
	if got, _ := table.Get("space", idA); got == nil || got.Name != "labelled" {
		t.Errorf("of two with one uuid the oldest is meant: %v", got)
	}
	if got, _ := table.Get("space", idB); got == nil || got.Name != "plain" {
		t.Errorf("a label that is no uuid counts as none: %v", got)
	}
	for _, where := range [][2]string{{"other", idA}, {"space", "u1"}, {"space", "nonsense"}} {
		if got, ok := table.Get(where[0], where[1]); ok {
			t.Errorf("%v found %v", where, got)
		}
	}
}

func TestTheTimeOfTheLastWriteIsKept(t *testing.T) {
	at := func(micros int64) *metav1.Time { return &metav1.Time{Time: time.UnixMicro(micros)} }
	f := makeFunction("f", idA, "1", madeAt(5))
	f.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "a", Time: at(10)}, {Manager: "b", Time: at(20)},
		{Manager: "c", Subresource: "status", Time: at(30)}}
	noteUpdated(f)
	if got := UpdatedMicros(f); got != 20 || f.ManagedFields != nil {
		t.Errorf("%d, %v", got, f.ManagedFields)
	}
	if got := UpdatedMicros(makeFunction("g", idB, "1", madeAt(7))); got != 7 {
		t.Errorf("what was never changed is as old as it is: %d", got)
	}
}

func TestATableFollowsItsInformer(t *testing.T) {
	table, _ := newTestTable(t)
	informer := idle(&v1alpha1.Function{})
	if _, err := table.Feed(informer); err != nil {
		t.Fatal(err)
	}
	// What a handler gets beside objects must not end the process.
	table.seen(nil)
	table.seen("nonsense")
	table.seen(toolscache.DeletedFinalStateUnknown{})
	if got := table.List("space"); len(got) != 0 {
		t.Errorf("%v", names(got))
	}
}

func TestTheClusterIsSyncedWhenItsTablesAreFull(t *testing.T) {
	table, _ := newTestTable(t)
	informer := toolscache.NewSharedIndexInformer(&toolscache.ListWatch{
		ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
			return &v1alpha1.FunctionList{Items: []v1alpha1.Function{*makeFunction("f", idA, "1")}}, nil
		},
		WatchFuncWithContext: func(_ context.Context, o metav1.ListOptions) (watch.Interface, error) {
			if o.SendInitialEvents != nil {
				return nil, apierrors.NewInvalid(schema.GroupKind{}, "", nil) // then it lists
			}
			return watch.NewFake(), nil
		},
	}, &v1alpha1.Function{}, 0, toolscache.Indexers{})
	cluster := &Cluster{synced: []toolscache.InformerSynced{informer.HasSynced}}
	if err := feed(cluster, table, informer); err != nil {
		t.Fatal(err)
	}
	await := func(synced func() bool) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if !toolscache.WaitForCacheSync(ctx.Done(), synced) {
			t.Fatal("it has not synced within a minute")
		}
	}

	table.mu.Lock() // nothing gets in
	go informer.RunWithContext(t.Context())
	await(informer.HasSynced)
	early := cluster.Synced()
	table.mu.Unlock()
	if early {
		t.Error("the cluster counts as synced while what was found is not in the table: it would be answered with 404")
	}
	await(cluster.Synced)
	if _, ok := table.Get("space", idA); !ok {
		t.Error("it has synced, and the function is not in the table")
	}
}
