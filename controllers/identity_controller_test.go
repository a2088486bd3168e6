package controllers

import (
	"context"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

func identityOf(t *testing.T, w *fakeCluster, object client.Object) *metav1.Condition {
	t.Helper()
	ctx := context.Background()
	for _, r := range newIdentityReconcilers(w.client, clocktesting.NewFakePassiveClock(builders.Now), testOptions.CatalogueNamespace) {
		for range 2 {
			if _, err := r.Reconcile(ctx, request(object.GetNamespace(), object.GetName())); err != nil {
				t.Fatal(err)
			}
		}
		stored := r.kind.object.DeepCopyObject().(client.Object)
		if err := w.client.Get(ctx, client.ObjectKeyFromObject(object), stored); apierrors.IsNotFound(err) {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		for _, c := range r.kind.conditions(stored) {
			if c.Type == v1alpha1.ConditionUUIDUnique {
				return &c
			}
		}
	}
	return nil
}

//security:attack tenant | The value of another object's label sharedcloud.io/uuid is put on an object, with an old created annotation, a run's with its last digits changed | The first by creationTimestamp keeps it; the other gets the condition UUIDUnique with the reason DuplicateUUID
func TestADuplicateUUIDSetsACondition(t *testing.T) {
	const id = "8b9420da-a848-4523-a138-ddbf33007631"
	meta := func(namespace, name, label string, second int64) metav1.ObjectMeta {
		m := metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID("uid-" + namespace + "-" + name), CreationTimestamp: metav1.Unix(1_700_000_000+second, 0),
			Annotations: map[string]string{v1alpha1.AnnotationCreated: "1"}}
		if label != "" {
			m.Labels = map[string]string{v1alpha1.LabelUUID: label}
		}
		return m
	}
	function := func(namespace, name, label string, second int64) client.Object {
		return &v1alpha1.Function{ObjectMeta: meta(namespace, name, label, second)}
	}
	run := func(name, label string, second int64) client.Object {
		return &v1alpha1.FunctionRun{ObjectMeta: meta("team", name, label, second)}
	}
	image := func(namespace, name, label string, second int64) client.Object {
		return &v1alpha1.FunctionImage{ObjectMeta: meta(namespace, name, label, second)}
	}
	owner := func(o client.Object, uid types.UID) client.Object { o.SetUID(uid); return o }
	for name, tc := range map[string]struct {
		object client.Object
		others []client.Object
		want   bool
	}{
		"alone":                                        {object: function("team", "f", id, 1)},
		"before another":                               {object: function("team", "f", id, 1), others: []client.Object{function("team", "g", id, 2)}},
		"after another":                                {object: function("team", "f", id, 2), others: []client.Object{function("team", "g", id, 1)}, want: true},
		"in upper case":                                {object: function("team", "f", strings.ToUpper(id), 2), others: []client.Object{function("team", "g", id, 1)}, want: true},
		"of the same second, by uid":                   {object: function("team", "g", id, 1), others: []client.Object{function("team", "f", id, 1)}, want: true},
		"in another namespace":                         {object: function("team", "f", id, 2), others: []client.Object{function("other", "g", id, 1)}},
		"that is another's metadata.uid":               {object: function("team", "f", id, 2), others: []client.Object{owner(function("team", "g", "", 2), id)}, want: true},
		"that is not a uuid":                           {object: function("team", "f", "x", 2), others: []client.Object{function("team", "g", "x", 1)}},
		"of a run, with other digits at its end":       {object: run("r", id[:35]+"0", 2), others: []client.Object{run("s", id, 1)}, want: true},
		"of a run, with other digits at its beginning": {object: run("r", "0"+id[1:], 2), others: []client.Object{run("s", id, 1)}},
		"of a function, with other digits at its end":  {object: function("team", "f", id[:35]+"0", 2), others: []client.Object{function("team", "g", id, 1)}},
		"of the catalogue's image":                     {object: image("team", "python", id, 2), others: []client.Object{image("sharedcloud-catalogue", "python", id, 1)}, want: true},
		"of the catalogue's image, which keeps it":     {object: image("sharedcloud-catalogue", "python", id, 2), others: []client.Object{image("team", "python", id, 1)}},
	} {
		t.Run(name, func(t *testing.T) {
			got := identityOf(t, newCluster(append(tc.others, tc.object)...), tc.object)
			if (got != nil) != tc.want || got != nil && (got.Status != metav1.ConditionFalse || got.Reason != v1alpha1.ReasonDuplicateUUID) {
				t.Errorf("%+v, want one: %v", got, tc.want)
			}
		})
	}
	t.Run("is removed when the first object is deleted", func(t *testing.T) {
		first, second := function("team", "g", id, 1), function("team", "f", id, 2)
		w := newCluster(first, second)
		if identityOf(t, w, second) == nil {
			t.Fatal("no condition")
		}
		if err := w.client.Delete(context.Background(), first); err != nil {
			t.Fatal(err)
		}
		if got := identityOf(t, w, second); got != nil {
			t.Errorf("%+v is still set", got)
		}
		r := newIdentityReconcilers(w.client, clocktesting.NewFakePassiveClock(builders.Now), testOptions.CatalogueNamespace)[0]
		if next := r.nextOwners(context.Background(), first); len(next) != 1 || next[0].Name != "f" {
			t.Errorf("the deletion triggers %v", next)
		}
	})
}
