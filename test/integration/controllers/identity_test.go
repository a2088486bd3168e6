package controllers

import (
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

var _ = Describe("The label sharedcloud.io/uuid", func() {
	const id = "8b9420da-a848-4523-a138-ddbf33007631"
	//security:attack tenant | The label sharedcloud.io/uuid is set, changed or removed on an object that exists, or is not a UUID | A policy refuses it: it is set when the object is created
	It("is a UUID, and is set when the object is created", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		image := builders.Image(namespace, "i")
		with, without, run := builders.Function(namespace, "with"), builders.Function(namespace, "without"), newRun(namespace, "r", "f", 1)
		with.Labels = map[string]string{v1alpha1.LabelUUID: id}
		create(ctx, with, without, image, run)
		for _, wrong := range []string{"x", id[:35], strings.ReplaceAll(id, "-", ""), id + "0"} {
			bad := builders.Function(namespace, "bad")
			bad.Labels = map[string]string{v1alpha1.LabelUUID: wrong}
			refusedBy(ctx, "must be a UUID", func() error { return k8s.Create(ctx, bad.DeepCopy(), client.DryRunAll) })
		}
		const other = `{"metadata":{"labels":{"sharedcloud.io/uuid":"23ca880b-94fe-472c-b9cf-934ed8295872"}}}`
		for _, object := range []client.Object{with, without, image, run} {
			refusedBy(ctx, "is immutable", func() error { return k8s.Patch(ctx, object, merge(other)) })
		}
		refusedBy(ctx, "is immutable", func() error {
			return k8s.Patch(ctx, with, merge(`{"metadata":{"labels":{"sharedcloud.io/uuid":null}}}`))
		})
		accepted(ctx, func() error { return k8s.Patch(ctx, with, merge(`{"metadata":{"labels":{"a":"b"}}}`)) })
	}, SpecTimeout(90*time.Second))

	It("of another object sets a condition on the later object, until the first is deleted", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		labels := map[string]string{v1alpha1.LabelUUID: id}
		first, second := builders.Function(namespace, "first"), builders.Function(namespace, "second")
		first.Labels, second.Labels = labels, labels
		second.Annotations = map[string]string{v1alpha1.AnnotationCreated: "1"}
		create(ctx, first)
		// Objects of the same second are ordered by uid, which is random.
		Eventually(func() bool { return time.Now().Unix() > first.CreationTimestamp.Unix() }).WithContext(ctx).Should(BeTrue())
		create(ctx, second)
		Eventually(func(g Gomega) {
			found := condition(fresh(ctx, g, second), v1alpha1.ConditionUUIDUnique)
			g.Expect(found.Status).To(Equal(metav1.ConditionFalse))
			g.Expect(found.Reason).To(Equal(v1alpha1.ReasonDuplicateUUID))
			g.Expect(found.Message).To(ContainSubstring(string(second.UID)))
		}).WithContext(ctx).Should(Succeed())
		Expect(condition(fresh(ctx, Default, first), v1alpha1.ConditionUUIDUnique)).To(BeZero())
		waitReason(ctx, second, v1alpha1.ReasonReady)
		Expect(k8s.Delete(ctx, first)).To(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(condition(fresh(ctx, g, second), v1alpha1.ConditionUUIDUnique)).To(BeZero())
		}).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(90*time.Second))
})

var _ = Describe("The annotation sharedcloud.io/tenants", func() {
	//security:attack tenant | A tenant who may change a namespace sets, changes or removes its annotation sharedcloud.io/tenants, to move callers of REST into it | A policy refuses it without the verb assign-tenants on namespaces in the whole cluster
	It("needs the verb assign-tenants", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
		set := func(value string) client.Patch {
			return merge(fmt.Sprintf(`{"metadata":{"annotations":{"sharedcloud.io/tenants":%s}}}`, value))
		}
		// The administrator of a namespace can grant rights in that namespace.
		c := tenant(ctx, namespace, rule("", "namespaces,namespaces/status", "get", "update", "patch", "assign-tenants"))
		maker := tenant(ctx, "", rule("", "namespaces", "get", "create", "update", "patch"))
		admin := tenant(ctx, "", rule("", "namespaces", "get", "create", "patch", "assign-tenants"))
		const words = "needs the verb assign-tenants"
		refusedBy(ctx, words, func() error { return c.Patch(ctx, object.DeepCopy(), set(`"user:bob"`)) })
		refusedBy(ctx, words, func() error { return c.Status().Patch(ctx, object.DeepCopy(), set(`"user:bob"`)) })
		refusedBy(ctx, words, func() error {
			return maker.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "spec-", Annotations: map[string]string{v1alpha1.AnnotationTenants: "user:bob"}}})
		})
		accepted(ctx, func() error { return admin.Patch(ctx, object.DeepCopy(), set(`"user:alice"`)) })
		refusedBy(ctx, words, func() error { return c.Patch(ctx, object.DeepCopy(), set(`"user:bob"`)) })
		refusedBy(ctx, words, func() error { return c.Patch(ctx, object.DeepCopy(), set(`null`)) })
		accepted(ctx, func() error { return c.Patch(ctx, object.DeepCopy(), merge(`{"metadata":{"annotations":{"a":"b"}}}`)) })
		accepted(ctx, func() error { return admin.Patch(ctx, object.DeepCopy(), set(`null`)) })
	}, SpecTimeout(90*time.Second))
})

var _ = Describe("The quotas of a namespace", func() {
	//security:attack tenant | a user who may change a namespace raises its storage quotas, or removes them | a policy refuses it without the verb assign-quotas on namespaces in the whole cluster
	It("need the verb assign-quotas", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
		set := func(annotation, value string) client.Patch {
			return merge(fmt.Sprintf(`{"metadata":{"annotations":{%q:%s}}}`, annotation, value))
		}
		c := tenant(ctx, namespace, rule("", "namespaces", "get", "update", "patch", "assign-quotas"))
		admin := tenant(ctx, "", rule("", "namespaces", "get", "patch", "assign-quotas"))
		for _, annotation := range []string{v1alpha1.AnnotationUploadsQuota, v1alpha1.AnnotationResultsQuota} {
			const words = "needs the verb assign-quotas"
			refusedBy(ctx, words, func() error { return c.Patch(ctx, object.DeepCopy(), set(annotation, `"unlimited"`)) })
			accepted(ctx, func() error { return admin.Patch(ctx, object.DeepCopy(), set(annotation, `"20Gi"`)) })
			refusedBy(ctx, words, func() error { return c.Patch(ctx, object.DeepCopy(), set(annotation, `"unlimited"`)) })
			refusedBy(ctx, words, func() error { return c.Patch(ctx, object.DeepCopy(), set(annotation, `null`)) })
			refusedBy(ctx, "needs the verb assign-tenants", func() error {
				return admin.Patch(ctx, object.DeepCopy(), set(v1alpha1.AnnotationTenants, `"user:bob"`))
			})
		}
	}, SpecTimeout(90*time.Second))
})
