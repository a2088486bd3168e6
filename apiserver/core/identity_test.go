package core

import (
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/uuids"
)

func createdAt(second int64) func(*v1alpha1.Function) {
	return func(f *v1alpha1.Function) { f.CreationTimestamp = metav1.Unix(second, 0) }
}

const (
	uidVictim   = "11111111-0000-4000-8000-000000000001"
	uidAttacker = "22222222-0000-4000-8000-000000000002"
	uidThird    = "33333333-0000-4000-8000-000000000003"
)

//security:attack tenant | The label sharedcloud.io/uuid of a neighbour's function plus an old created annotation | The first object by creationTimestamp, and then uid, keeps the uuid; REST identifies the other by its metadata.uid
func TestTheFirstObjectOwnsAUUID(t *testing.T) {
	for name, tc := range map[string]struct {
		victim, attacker []func(*v1alpha1.Function)
		id               string
	}{
		"in its label":                            {victim: []func(*v1alpha1.Function){labelled(idA), createdAt(10), annotatedAt(10_000_000)}, attacker: []func(*v1alpha1.Function){labelled(idA), createdAt(20), annotatedAt(1)}, id: idA},
		"in its label, in the same second":        {victim: []func(*v1alpha1.Function){labelled(idA), createdAt(10)}, attacker: []func(*v1alpha1.Function){labelled(idA), createdAt(10), annotatedAt(1)}, id: idA},
		"in upper case":                           {victim: []func(*v1alpha1.Function){labelled(idA), createdAt(10)}, attacker: []func(*v1alpha1.Function){labelled("8B9420DA-A848-4523-A138-DDBF33007631"), createdAt(20)}, id: idA},
		"as its metadata.uid":                     {victim: []func(*v1alpha1.Function){createdAt(10)}, attacker: []func(*v1alpha1.Function){labelled(uidVictim), createdAt(20), annotatedAt(1)}, id: uidVictim},
		"as its metadata.uid, in the same second": {victim: []func(*v1alpha1.Function){createdAt(10)}, attacker: []func(*v1alpha1.Function){labelled(uidVictim), createdAt(10)}, id: uidVictim},
	} {
		for _, attackerFirst := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, attacker first: %v", name, attackerFirst), func(t *testing.T) {
				cache, _ := newTestCache(t)
				victim, attacker := makeFunction("victim", uidVictim, "1", tc.victim...), makeFunction("attacker", uidAttacker, "2", tc.attacker...)
				if attackerFirst {
					cache.observe(attacker)
					cache.observe(victim)
				} else {
					cache.observe(victim)
					cache.observe(attacker)
				}
				if got, ok := cache.Get("space", tc.id); !ok || got.Name != "victim" || cache.UUID(victim) != tc.id {
					t.Errorf("%s returns %v, and the identity of the victim is %s", tc.id, got, cache.UUID(victim))
				}
				if got, ok := cache.Get("space", uidAttacker); !ok || got.Name != "attacker" || cache.UUID(attacker) != uidAttacker {
					t.Errorf("the identity of the attacker is %s: %v", cache.UUID(attacker), got)
				}
				cache.Remove(uidVictim)
				if got, ok := cache.Get("space", tc.id); !ok || got.Name != "attacker" {
					t.Errorf("after the owner's deletion the uuid returns %v", got)
				}
				if _, ok := cache.Get("space", uidAttacker); ok {
					t.Error("the next owner is found by two uuids")
				}
				cache.Remove(uidAttacker)
				if len(cache.claims) != 0 {
					t.Errorf("claims remain: %v", cache.claims)
				}
			})
		}
	}
}

// A policy forbids to change the label. The cache must not keep old claims without the policy either.
func TestClaimsFollowTheirObjects(t *testing.T) {
	cache, _ := newTestCache(t)
	for i := range 100 {
		cache.observe(makeFunction(fmt.Sprint("f", i), fmt.Sprintf("%08d-0000-4000-8000-000000000000", i), fmt.Sprint(i+1), labelled(idA), createdAt(int64(100-i))))
	}
	if got, _ := cache.Get("space", idA); got == nil || got.Name != "f99" {
		t.Fatalf("the uuid returns %v, want the oldest object", got)
	}
	cache.observe(makeFunction("f99", "00000099-0000-4000-8000-000000000000", "200", labelled(idB), createdAt(1)))
	if got, _ := cache.Get("space", idA); got == nil || got.Name != "f98" {
		t.Errorf("the uuid returns %v, want the next object", got)
	}
	if got, _ := cache.Get("space", idB); got == nil || got.Name != "f99" {
		t.Errorf("the new label returns %v", got)
	}
}

//security:attack tenant | A run's label has the uuid of a neighbour's run with other final digits, so that their jobs have the same uuids | The first run keeps the part that its jobs share; the uuids of the other run's jobs are derived from its metadata.uid
func TestJobUUIDsIdentifyOneRun(t *testing.T) {
	clk := clocktesting.NewFakeClock(time.Now())
	cluster := &Cluster{FunctionRuns: NewCache(clk, runKeys).ClaimedBy(v1alpha1.JobUUIDPrefix)}
	run := func(name, uid, label string, second int64) *v1alpha1.FunctionRun {
		r := &v1alpha1.FunctionRun{}
		r.Namespace, r.Name, r.UID, r.ResourceVersion = "space", name, types.UID(uid), fmt.Sprint(second)
		r.CreationTimestamp = metav1.Unix(second, 0)
		if label != "" {
			r.Labels = map[string]string{v1alpha1.LabelUUID: label}
		}
		return r
	}
	victim, plain := run("victim", uidVictim, idA, 10), run("plain", uidThird, "", 10)
	attacker := run("attacker", uidAttacker, idA[:28]+"00000000", 20)
	another := run("another", idB, uidThird[:28]+"00000000", 20)
	for _, r := range []*v1alpha1.FunctionRun{attacker, another, victim, plain} {
		cluster.FunctionRuns.observe(r)
	}
	for _, tc := range []struct {
		run  *v1alpha1.FunctionRun
		uuid string
	}{{victim, idA}, {plain, uidThird}, {attacker, uidAttacker}, {another, idB}} {
		if got := cluster.FunctionRuns.UUID(tc.run); got != tc.uuid {
			t.Errorf("the identity of %s is %s, want %s", tc.run.Name, got, tc.uuid)
		}
		found, index, ok := cluster.RunOfJob("space", uuids.Job(tc.uuid, 7))
		if !ok || found.Name != tc.run.Name || index != 7 {
			t.Errorf("job 7 of %s belongs to %v", tc.run.Name, found)
		}
	}
	if _, _, ok := cluster.RunOfJob("other", uuids.Job(idA, 7)); ok {
		t.Error("a job is found in the wrong namespace")
	}
}

//security:attack administrator | An image of a namespace has the uuid of an image of the catalogue | Callers in that namespace find the older image by the uuid, and the other by its metadata.uid; callers in other namespaces find the catalogue's
func TestImageUUIDsAreUniqueInANamespaceAndTheCatalogue(t *testing.T) {
	image := func(namespace, name, uid string, second int64) *v1alpha1.FunctionImage {
		i := &v1alpha1.FunctionImage{}
		i.Namespace, i.Name, i.UID, i.ResourceVersion = namespace, name, types.UID(uid), fmt.Sprint(second)
		i.CreationTimestamp = metav1.Unix(second, 0)
		i.Labels = map[string]string{v1alpha1.LabelUUID: idA}
		return i
	}
	for name, own := range map[string]int64{"the catalogue's is older": 20, "the namespace's is older": 5} {
		t.Run(name, func(t *testing.T) {
			cache := NewCache[*v1alpha1.FunctionImage](clocktesting.NewFakeClock(time.Now()), nil)
			theirs, mine := image("catalogue", "python", uidVictim, 10), image("space", "mine", uidAttacker, own)
			cache.observe(theirs)
			cache.observe(mine)
			catalogue := NewCatalogue(cache, "catalogue")
			first, second := theirs, mine
			if own < 10 {
				first, second = mine, theirs
			}
			if got, _, ok := catalogue.Get("space", idA, true); !ok || got.UID != first.UID || catalogue.UUID("space", first) != idA {
				t.Errorf("%s returns %v", idA, got)
			}
			if got, _, ok := catalogue.Get("space", string(second.UID), true); !ok || got.UID != second.UID || catalogue.UUID("space", second) != string(second.UID) {
				t.Errorf("%s returns %v", second.UID, got)
			}
			if got, _, ok := catalogue.Get("elsewhere", idA, true); !ok || got.UID != theirs.UID || catalogue.UUID("elsewhere", theirs) != idA {
				t.Errorf("elsewhere %s returns %v", idA, got)
			}
			if _, _, ok := catalogue.Get("elsewhere", uidAttacker, true); ok {
				t.Error("an image of another namespace is found")
			}
		})
	}
}

//security:attack tenant with ConfigMaps | The copy of a run's inputs is deleted and recreated with other inputs after the run was pinned | The exchange compares the content with the pinned digest and refuses it
func TestInputsMustHaveTheirPinnedDigest(t *testing.T) {
	run := &v1alpha1.FunctionRun{}
	run.Namespace, run.Name, run.UID = "space", "run", "uid-run"
	run.Spec.ParametersFrom = &v1alpha1.ParametersSource{ConfigMapKeyRef: &v1alpha1.ConfigMapKeyRef{Name: "source", Key: "k"}}
	kept := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "space", Name: "run-inputs",
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(run, v1alpha1.GroupVersion.WithKind("FunctionRun"))}},
		Immutable: ptr.To(true),
		Data:      map[string]string{v1alpha1.InputsKey: "[[1],[2]]", v1alpha1.InputsFormatKey: "JSON"},
	}
	run.Status.Revision = &v1alpha1.PinnedRevision{InputsConfigMap: "run-inputs", InputCount: 2, InputsDigest: v1alpha1.ContentDigest(run.UID, kept)}
	slice := func(change func(*corev1.ConfigMap)) error {
		t.Helper()
		stored := kept.DeepCopy()
		change(stored)
		scheme := runtime.NewScheme()
		if err := errors.Join(corev1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
			t.Fatal(err)
		}
		reader := fake.NewClientBuilder().WithScheme(scheme).WithObjects(run.DeepCopy(), stored).Build()
		_, err := NewInputs(reader, nil, 1<<20).Slice(t.Context(), "space", "run", "uid-run", 2, 0, 1)
		return err
	}
	if err := slice(func(*corev1.ConfigMap) {}); err != nil {
		t.Errorf("the pinned copy: %v", err)
	}
	for name, change := range map[string]func(*corev1.ConfigMap){
		"other inputs":   func(c *corev1.ConfigMap) { c.Data[v1alpha1.InputsKey] = "[[7],[8]]" },
		"another format": func(c *corev1.ConfigMap) { c.Data[v1alpha1.InputsFormatKey] = "Python" },
	} {
		if err := slice(change); !errors.Is(err, ErrInputsChanged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
