package e2e

import (
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

// tenantOf returns a client for a user with the cluster role edit in a namespace: it can write pods, ConfigMaps and Jobs.
func tenantOf(ctx SpecContext, namespace string) client.Client {
	GinkgoHelper()
	user := "tenant-of-" + namespace
	Expect(k8s.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: user, Namespace: namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edit"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}},
	})).To(Succeed())
	config := rest.CopyConfig(restConfig)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:authenticated"}}
	c, err := client.New(config, client.Options{Scheme: k8s.Scheme()})
	Expect(err).NotTo(HaveOccurred())
	Eventually(func() error { // until RBAC has observed the binding
		return c.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "probe-", Namespace: namespace}})
	}).WithContext(ctx).Should(Succeed())
	return c
}

var _ = Describe("A tenant with the role edit", func() {
	//security:attack tenant with pods | A pod is made by hand like a worker of a running run, and the worker's own pod is given another image | The policies refuse both; the run's answers are its workers' alone, and Kubernetes removes pods, revisions and the namespace as ever
	It("cannot forge workers or revisions, and the namespace can be deleted", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		c := tenantOf(ctx, namespace)
		function := makeFunction(ctx, namespace, "genuine", "import time\ndef handler(event):\n    time.sleep(0.2)\n    return 'genuine'\n")
		run := startRun(ctx, function, builders.Inputs(40, builders.Index), withWorkers(1))
		worker := runningWorkers(ctx, run, 1)[0]
		forged := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "forged", Namespace: namespace, Labels: worker.Labels, Annotations: worker.Annotations, OwnerReferences: worker.OwnerReferences},
			Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, AutomountServiceAccountToken: ptr.To(false),
				Containers: worker.Spec.Containers, Volumes: worker.Spec.Volumes, SecurityContext: worker.Spec.SecurityContext},
		}
		err := c.Create(ctx, forged)
		Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%v", err)
		Expect(err.Error()).To(ContainSubstring("only the Job controller creates them"))

		changed := worker.DeepCopy()
		changed.Spec.Containers[0].Image = "registry.example/evil"
		err = c.Patch(ctx, changed, client.MergeFrom(&worker))
		Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%v", err)

		pinned := refresh(ctx, Default, run).Status.Revision
		revision := &corev1.ConfigMap{}
		Expect(k8s.Get(ctx, client.ObjectKey{Namespace: namespace, Name: pinned.Name}, revision)).To(Succeed())
		Expect(v1alpha1.ContentDigest(function.UID, revision)).To(Equal(pinned.Digest))
		err = c.Delete(ctx, revision.DeepCopy())
		Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%v", err)
		Expect(err.Error()).To(ContainSubstring("write-revisions"))

		run = waitComplete(ctx, run, 3*time.Minute)
		for _, o := range results(ctx, run) {
			Expect(decode[string](o)).To(Equal("genuine"))
			Expect(strings.HasPrefix(o.Worker, "forged")).To(BeFalse())
		}
		Expect(k8s.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})).To(Succeed())
		Eventually(func(g Gomega) {
			err := k8s.Get(ctx, client.ObjectKey{Name: namespace}, &corev1.Namespace{})
			g.Expect(apierrors.IsNotFound(err)).To(BeTrue(), "%v", err)
		}).WithContext(ctx).WithTimeout(2 * time.Minute).Should(Succeed())
	}, SpecTimeout(8*time.Minute))
})
