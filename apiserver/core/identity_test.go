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

func bornAt(second int64) func(*v1alpha1.Function) {
	return func(f *v1alpha1.Function) { f.CreationTimestamp = metav1.Unix(second, 0) }
}

const (
	uidVictim   = "11111111-0000-4000-8000-000000000001"
	uidAttacker = "22222222-0000-4000-8000-000000000002"
	uidThird    = "33333333-0000-4000-8000-000000000003"
)

//security:attack tenant | The label sharedcloud.io/uuid of a neighbour's function plus an old created annotation | The first by creationTimestamp, and then uid, keeps the uuid; REST knows the other by its metadata.uid
func TestAUUIDBelongsToTheFirst(t *testing.T) {
	for name, tc := range map[string]struct {
		victim, attacker []func(*v1alpha1.Function)
		id               string
	}{
		"that was labelled with it":  {victim: []func(*v1alpha1.Function){labelled(idA), bornAt(10), madeAt(10_000_000)}, attacker: []func(*v1alpha1.Function){labelled(idA), bornAt(20), madeAt(1)}, id: idA},
		"of one second":              {victim: []func(*v1alpha1.Function){labelled(idA), bornAt(10)}, attacker: []func(*v1alpha1.Function){labelled(idA), bornAt(10), madeAt(1)}, id: idA},
		"in other letters":           {victim: []func(*v1alpha1.Function){labelled(idA), bornAt(10)}, attacker: []func(*v1alpha1.Function){labelled("8B9420DA-A848-4523-A138-DDBF33007631"), bornAt(20)}, id: idA},
		"whose metadata.uid it is":   {victim: []func(*v1alpha1.Function){bornAt(10)}, attacker: []func(*v1alpha1.Function){labelled(uidVictim), bornAt(20), madeAt(1)}, id: uidVictim},
		"and its uid, in one second": {victim: []func(*v1alpha1.Function){bornAt(10)}, attacker: []func(*v1alpha1.Function){labelled(uidVictim), bornAt(10)}, id: uidVictim},
	} {
		for _, attackerFirst := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, attacker first: %v", name, attackerFirst), func(t *testing.T) {
				table, _ := newTestTable(t)
				victim, attacker := makeFunction("victim", uidVictim, "1", tc.victim...), makeFunction("attacker", uidAttacker, "2", tc.attacker...)
				if attackerFirst {
					table.seen(attacker)
					table.seen(victim)
				} else {
					table.seen(victim)
					table.seen(attacker)
				}
				if got, ok := table.Get("space", tc.id); !ok || got.Name != "victim" || table.UUID(victim) != tc.id {
					t.Errorf("%s is %v, and the victim is %s", tc.id, got, table.UUID(victim))
				}
				if got, ok := table.Get("space", uidAttacker); !ok || got.Name != "attacker" || table.UUID(attacker) != uidAttacker {
					t.Errorf("the attacker is %s: %v", table.UUID(attacker), got)
				}
				table.Deleted(uidVictim)
				if got, ok := table.Get("space", tc.id); !ok || got.Name != "attacker" {
					t.Errorf("when the first is gone it is the next one's: %v", got)
				}
				if _, ok := table.Get("space", uidAttacker); ok {
					t.Error("the next one is known by two uuids")
				}
				table.Deleted(uidAttacker)
				if len(table.claims) != 0 {
					t.Errorf("claims stay: %v", table.claims)
				}
			})
		}
	}
}

// A change of an object's label, which a policy forbids, must not leave anything behind either.
func TestClaimsFollowTheirObjects(t *testing.T) {
	table, _ := newTestTable(t)
	for i := range 100 {
		table.seen(makeFunction(fmt.Sprint("f", i), fmt.Sprintf("%08d-0000-4000-8000-000000000000", i), fmt.Sprint(i+1), labelled(idA), bornAt(int64(100-i))))
	}
	if got, _ := table.Get("space", idA); got == nil || got.Name != "f99" {
		t.Fatalf("the oldest is %v", got)
	}
	table.seen(makeFunction("f99", "00000099-0000-4000-8000-000000000000", "200", labelled(idB), bornAt(1)))
	if got, _ := table.Get("space", idA); got == nil || got.Name != "f98" {
		t.Errorf("the next is %v", got)
	}
	if got, _ := table.Get("space", idB); got == nil || got.Name != "f99" {
		t.Errorf("under its new label there is %v", got)
	}
}

//security:attack tenant | A run's label has the uuid of a neighbour's run with other digits at its end, so that their jobs have the same uuids | The first keeps the part that the jobs have; the other's jobs follow from its metadata.uid
func TestTheJobsOfARunAreItsOwn(t *testing.T) {
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
		cluster.FunctionRuns.seen(r)
	}
	for _, tc := range []struct {
		run  *v1alpha1.FunctionRun
		uuid string
	}{{victim, idA}, {plain, uidThird}, {attacker, uidAttacker}, {another, idB}} {
		if got := cluster.FunctionRuns.UUID(tc.run); got != tc.uuid {
			t.Errorf("%s is %s, want %s", tc.run.Name, got, tc.uuid)
		}
		found, index, ok := cluster.RunOfJob("space", uuids.Job(tc.uuid, 7))
		if !ok || found.Name != tc.run.Name || index != 7 {
			t.Errorf("the job 7 of %s is that of %v", tc.run.Name, found)
		}
	}
	if _, _, ok := cluster.RunOfJob("other", uuids.Job(idA, 7)); ok {
		t.Error("a job is found in another namespace")
	}
}

//security:attack administrator | An image of a namespace has the uuid of the catalogue's | Callers in that namespace find the first that was made under it, and the other by its metadata.uid; callers elsewhere find the catalogue's
func TestAnImagesUUIDIsUniqueBesideTheCatalogue(t *testing.T) {
	image := func(namespace, name, uid string, second int64) *v1alpha1.FunctionImage {
		i := &v1alpha1.FunctionImage{}
		i.Namespace, i.Name, i.UID, i.ResourceVersion = namespace, name, types.UID(uid), fmt.Sprint(second)
		i.CreationTimestamp = metav1.Unix(second, 0)
		i.Labels = map[string]string{v1alpha1.LabelUUID: idA}
		return i
	}
	for name, own := range map[string]int64{"the catalogue's is older": 20, "the namespace's is older": 5} {
		t.Run(name, func(t *testing.T) {
			table := NewCache[*v1alpha1.FunctionImage](clocktesting.NewFakeClock(time.Now()), nil)
			theirs, mine := image("catalogue", "python", uidVictim, 10), image("space", "mine", uidAttacker, own)
			table.seen(theirs)
			table.seen(mine)
			catalogue := NewCatalogue(table, "catalogue")
			first, second := theirs, mine
			if own < 10 {
				first, second = mine, theirs
			}
			if got, _, ok := catalogue.Get("space", idA, true); !ok || got.UID != first.UID || catalogue.UUID("space", first) != idA {
				t.Errorf("%s is %v", idA, got)
			}
			if got, _, ok := catalogue.Get("space", string(second.UID), true); !ok || got.UID != second.UID || catalogue.UUID("space", second) != string(second.UID) {
				t.Errorf("%s is %v", second.UID, got)
			}
			if got, _, ok := catalogue.Get("elsewhere", idA, true); !ok || got.UID != theirs.UID || catalogue.UUID("elsewhere", theirs) != idA {
				t.Errorf("elsewhere %s is %v", idA, got)
			}
			if _, _, ok := catalogue.Get("elsewhere", uidAttacker, true); ok {
				t.Error("an image of another namespace is found")
			}
		})
	}
}

//security:attack tenant with ConfigMaps | The copy of a run's inputs is deleted and made again with other inputs after the run was pinned | The exchange compares the content with the digest and refuses to read it
func TestInputsAreComparedWithTheirDigest(t *testing.T) {
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
		t.Errorf("its own copy: %v", err)
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
