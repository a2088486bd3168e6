package controllers

import (
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

func rule(group, resource string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: strings.Split(resource, ","), Verbs: verbs}
}

// tenant is a user with the rules in one namespace; without one, in the whole cluster.
func tenant(ctx SpecContext, namespace string, rules ...rbacv1.PolicyRule) client.Client {
	GinkgoHelper()
	name := fmt.Sprintf("tenant-%d", time.Now().UnixNano())
	user, err := environment.AddUser(envtest.User{Name: name, Groups: []string{"system:authenticated"}}, restConfig)
	Expect(err).NotTo(HaveOccurred())
	subjects := []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: name}}
	if namespace == "" {
		create(ctx,
			&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules},
			&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}})
	} else {
		create(ctx,
			&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, Rules: rules},
			&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name}})
	}
	c, err := client.New(user.Config(), client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	return c
}

// All permissions on ConfigMaps, pods and Jobs of a namespace.
var (
	allConfigMaps = rule("", "configmaps", "*")
	allPods       = rule("", "pods,pods/ephemeralcontainers", "*")
	allJobs       = rule("batch", "jobs", "*")
)

// refusedBy expects that a policy refuses a write. RBAC rules and policies take effect shortly after they were created.
func refusedBy(ctx SpecContext, words string, act func() error) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		err := act()
		g.Expect(apierrors.IsForbidden(err) || apierrors.IsInvalid(err)).To(BeTrue(), "want it refused, got %v", err)
		g.Expect(err.Error()).To(ContainSubstring(words))
	}).WithContext(ctx).Should(Succeed())
}

// accepted expects that a write succeeds. RBAC rules take effect shortly after they were created.
func accepted(ctx SpecContext, act func() error) {
	GinkgoHelper()
	Eventually(act).WithContext(ctx).Should(Succeed())
}

func labelledConfigMap(namespace, name string, labels map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels}, Data: map[string]string{"a": "b"}}
}

func merge(text string) client.Patch { return client.RawPatch(types.MergePatchType, []byte(text)) }

const configMapWords = "write-revisions on functions.sharedcloud.io"

var _ = Describe("ConfigMaps with the operator's labels", func() {
	//security:attack tenant with ConfigMaps | A tenant creates a ConfigMap with a label of the operator, or with the name of its certificate authority | A policy refuses it without the verb write-revisions
	DescribeTable("are not created by a tenant", func(ctx SpecContext, name string, labels map[string]string) {
		namespace := newNamespace(ctx)
		c := tenant(ctx, namespace, allConfigMaps)
		accepted(ctx, func() error { return c.Create(ctx, labelledConfigMap(namespace, "own", map[string]string{"app": "x"})) })
		refusedBy(ctx, configMapWords, func() error { return c.Create(ctx, labelledConfigMap(namespace, name, labels)) })
		own := labelledConfigMap(namespace, "own", nil)
		if len(labels) > 0 {
			for label := range labels {
				refusedBy(ctx, configMapWords, func() error { return c.Patch(ctx, own, merge(fmt.Sprintf(`{"metadata":{"labels":{%q:"x"}}}`, label))) })
			}
		}
		accepted(ctx, func() error { return c.Patch(ctx, own, merge(`{"data":{"a":"c"}}`)) })
		accepted(ctx, func() error { return c.Delete(ctx, own) })
	},
		Entry("revisions", "f-0123456789", map[string]string{v1alpha1.LabelFunctionUID: "x"}),
		Entry("copies of inputs", "r-inputs", map[string]string{v1alpha1.LabelInputs: "x"}),
		Entry("certificate authorities", "other", map[string]string{v1alpha1.LabelTrust: "true"}),
		Entry("the certificate authority's name", v1alpha1.TrustConfigMap, nil),
	)

	//security:attack tenant with ConfigMaps | A revision is changed, relabelled, or deleted, alone or by deletecollection | A policy refuses it; a holder of write-revisions, such as a backup tool, may
	It("are neither changed nor deleted by a tenant without the verb", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		function := builders.Function(namespace, "f")
		create(ctx, function)
		waitReason(ctx, function, v1alpha1.ReasonReady)
		revision := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: function.Status.Revision.Name}}
		c := tenant(ctx, namespace, allConfigMaps)
		for _, patch := range []string{`{"metadata":{"labels":{"sharedcloud.io/function-uid":null}}}`, `{"metadata":{"labels":{"a":"b"}}}`, `{"metadata":{"finalizers":["a.b/c"]}}`,
			`{"metadata":{"annotations":{"sharedcloud.io/revision-number":"99"}}}`, `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"x","uid":"x"}]}}`} {
			refusedBy(ctx, configMapWords, func() error { return c.Patch(ctx, revision.DeepCopy(), merge(patch)) })
		}
		refusedBy(ctx, configMapWords, func() error { return c.Delete(ctx, revision.DeepCopy()) })
		refusedBy(ctx, configMapWords, func() error { return c.DeleteAllOf(ctx, &corev1.ConfigMap{}, client.InNamespace(namespace)) })

		backup := tenant(ctx, namespace, allConfigMaps, rule("sharedcloud.io", "functions", "write-revisions"))
		genuine := fresh(ctx, Default, revision.DeepCopy())
		accepted(ctx, func() error { return backup.Delete(ctx, revision.DeepCopy()) })
		// The operator creates it again, and the same content is the same revision.
		Eventually(func(g Gomega) {
			again := fresh(ctx, g, revision.DeepCopy())
			g.Expect(again.UID).NotTo(Equal(genuine.UID))
			g.Expect(again.Data).To(Equal(genuine.Data))
		}).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(90*time.Second))

	//security:attack tenant with ConfigMaps | A tenant creates the ConfigMap with the certificate authority of workers, immutable, before the operator writes it | The operator deletes it and writes its own
	It("are replaced if they existed before the policy", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		fake := labelledConfigMap(namespace, v1alpha1.TrustConfigMap, nil)
		fake.Data, fake.Immutable = map[string]string{v1alpha1.TrustKey: "evil"}, ptr.To(true)
		create(ctx, fake, builders.Function(namespace, "f"), newRun(namespace, "r", "f", 1))
		Eventually(func(g Gomega) {
			g.Expect(fresh(ctx, g, labelledConfigMap(namespace, v1alpha1.TrustConfigMap, nil)).Data[v1alpha1.TrustKey]).To(ContainSubstring("BEGIN CERTIFICATE"))
		}).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(90*time.Second))
})

var _ = Describe("A revision", func() {
	//security:attack tenant with ConfigMaps | A revision is deleted and created again under its name with an image outside the catalogue, where no policy forbids it | The Function is Ready only with the genuine content, whose digest is in its status, and no Job runs the other
	It("that was replaced is never executed, and is created again", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		function := builders.Function(namespace, "f")
		create(ctx, function)
		waitReason(ctx, function, v1alpha1.ReasonReady)
		Expect(function.Status.Revision.Digest).To(MatchRegexp(`^sha256:[0-9a-f]{64}$`))
		genuine := fresh(ctx, Default, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: function.Status.Revision.Name}})
		forged := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: genuine.Name, Labels: genuine.Labels, Annotations: genuine.Annotations},
			Data:       map[string]string{}, Immutable: ptr.To(true),
		}
		for key, text := range genuine.Data {
			forged.Data[key] = strings.ReplaceAll(text, "sharedcloud/python:latest", "registry.example/evil")
		}
		// The operator also creates it again, so the test may need several attempts.
		Eventually(func(g Gomega) {
			g.Expect(client.IgnoreNotFound(k8s.Delete(ctx, genuine.DeepCopy()))).To(Succeed())
			g.Expect(k8s.Create(ctx, forged.DeepCopy())).To(Succeed())
		}).WithContext(ctx).WithPolling(time.Millisecond).Should(Succeed())
		run := newRun(namespace, "r", "f", 1)
		create(ctx, run)
		job := waitJob(ctx, run)
		Expect(job.Spec.Template.Spec.Containers[0].Image).To(Equal("sharedcloud/python:latest"))
		Expect(fresh(ctx, Default, run).Status.Revision.Digest).To(Equal(function.Status.Revision.Digest))
		Eventually(func(g Gomega) {
			g.Expect(fresh(ctx, g, genuine.DeepCopy()).Data).To(Equal(genuine.Data))
			g.Expect(condition(fresh(ctx, g, function), v1alpha1.ConditionReady).Status).To(Equal(metav1.ConditionTrue))
		}).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(90*time.Second))

	It("has a digest of 64 hexadecimal digits, also in a status", func(ctx SpecContext) {
		run := newRun(newNamespace(ctx), "r", "missing", 1)
		create(ctx, run)
		for _, field := range []string{"digest", "inputsDigest"} {
			patch := fmt.Sprintf(`{"status":{"revision":{"name":"x","functionUID":"x","generation":1,"registryPath":"x","inputCount":1,"workers":1,"gpus":0,"timeoutSeconds":1,"retries":0,%q:"sha256:x"}}}`, field)
			err := k8s.Status().Patch(ctx, run.DeepCopy(), merge(patch))
			Expect(err).To(MatchError(ContainSubstring("status.revision." + field)))
		}
	}, SpecTimeout(90*time.Second))
})

// workerPod is a pod with the labels of a worker of the run.
func workerPod(run *v1alpha1.FunctionRun, job *batchv1.Job, name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: run.Namespace, Name: name,
			Labels:          map[string]string{v1alpha1.LabelRun: run.Name, v1alpha1.LabelRunUID: string(run.UID), batchv1.JobCompletionIndexAnnotation: "0", batchv1.ControllerUidLabel: string(job.UID)},
			Annotations:     map[string]string{"sharedcloud.io/image": "sharedcloud-catalogue/python"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: job.Name, UID: job.UID, Controller: ptr.To(true)}},
			Finalizers:      []string{"batch.kubernetes.io/job-tracking"},
		},
		Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "worker", Image: "sharedcloud/python:latest"}}},
	}
}

var _ = Describe("Pods of runs", func() {
	//security:attack tenant with pods | A user creates a pod with a run's labels and its Job as owner, or sets them later | A policy refuses it to all but the Job controller, recognized by its permission to update jobs/status
	//security:attack tenant with pods | A worker's labels, index, owner, image or recorded FunctionImage are changed | The same policy refuses it; other labels, finalizers, the removal of an owner and deletion remain possible
	It("are created and identified only by the Job controller", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		run := newRun(namespace, "r", "f", 1)
		create(ctx, builders.Function(namespace, "f"), run)
		job := waitJob(ctx, run)
		c := tenant(ctx, namespace, allPods)
		plain := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "plain"}, Spec: workerPod(run, job, "").Spec}
		accepted(ctx, func() error { return c.Create(ctx, plain.DeepCopy()) })
		const made, changed = "only the Job controller creates them", "only the Job controller changes"
		refusedBy(ctx, made, func() error { return c.Create(ctx, workerPod(run, job, "forged")) })
		refusedBy(ctx, made, func() error {
			pod := workerPod(run, job, "forged")
			pod.OwnerReferences = nil
			return c.Create(ctx, pod)
		})
		refusedBy(ctx, changed, func() error {
			return c.Patch(ctx, plain.DeepCopy(), merge(fmt.Sprintf(`{"metadata":{"labels":{"sharedcloud.io/run-uid":%q}}}`, run.UID)))
		})

		controller := tenant(ctx, namespace, allPods, rule("batch", "jobs/status", "update"))
		worker := workerPod(run, job, "worker")
		accepted(ctx, func() error { return controller.Create(ctx, worker.DeepCopy()) })
		for _, patch := range []string{
			`{"metadata":{"labels":{"sharedcloud.io/run-uid":"other"}}}`, `{"metadata":{"labels":{"sharedcloud.io/run-uid":null}}}`,
			`{"metadata":{"labels":{"sharedcloud.io/run":"other"}}}`, `{"metadata":{"labels":{"sharedcloud.io/new":"x"}}}`,
			`{"metadata":{"labels":{"batch.kubernetes.io/job-completion-index":"7"}}}`, `{"metadata":{"labels":{"batch.kubernetes.io/controller-uid":"x"}}}`,
			`{"metadata":{"annotations":{"sharedcloud.io/image":"sharedcloud-catalogue/other"}}}`,
			`{"metadata":{"annotations":{"batch.kubernetes.io/job-completion-index":"7"}}}`,
			`{"metadata":{"ownerReferences":[{"apiVersion":"batch/v1","kind":"Job","name":"x","uid":"x","controller":true}]}}`,
			`{"spec":{"containers":[{"name":"worker","image":"registry.example/evil"}]}}`,
		} {
			refusedBy(ctx, changed, func() error { return c.Patch(ctx, worker.DeepCopy(), merge(patch)) })
		}
		for _, patch := range []string{
			`{"metadata":{"labels":{"team":"vision"}}}`, `{"metadata":{"annotations":{"note":"x"}}}`,
			`{"metadata":{"finalizers":null}}`,
			fmt.Sprintf(`{"metadata":{"ownerReferences":[{"apiVersion":"batch/v1","kind":"Job","name":%q,"uid":%q,"controller":true,"blockOwnerDeletion":false}]}}`, job.Name, job.UID),
			`{"metadata":{"ownerReferences":null}}`,
		} {
			accepted(ctx, func() error { return c.Patch(ctx, worker.DeepCopy(), merge(patch)) })
		}
		// A user cannot restore a removed owner.
		refusedBy(ctx, changed, func() error {
			return c.Patch(ctx, worker.DeepCopy(), merge(fmt.Sprintf(`{"metadata":{"ownerReferences":[{"apiVersion":"batch/v1","kind":"Job","name":%q,"uid":%q,"controller":true}]}}`, job.Name, job.UID)))
		})
		kubelet := tenant(ctx, namespace, rule("", "pods/status", "patch"), rule("", "pods/binding", "create"))
		accepted(ctx, func() error {
			return kubelet.Status().Patch(ctx, worker.DeepCopy(), merge(`{"status":{"phase":"Running"}}`))
		})
		accepted(ctx, func() error {
			return kubelet.SubResource("binding").Create(ctx, worker.DeepCopy(), &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: "node"}})
		})
		refusedBy(ctx, changed, func() error {
			return kubelet.Status().Patch(ctx, worker.DeepCopy(), merge(`{"metadata":{"labels":{"sharedcloud.io/run":"x"}}}`))
		})
		accepted(ctx, func() error { return c.Delete(ctx, worker.DeepCopy()) })
	}, SpecTimeout(90*time.Second))
})

var _ = Describe("Jobs of runs", func() {
	//security:attack tenant with pods | A user creates a Job with a run's label and the run as owner, or sets them later, or sets a run's label in its template | A policy refuses it without the verb write-revisions; a queue may still suspend, resume and place it
	It("are created only by the operator", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		run := newRun(namespace, "r", "f", 1)
		create(ctx, builders.Function(namespace, "f"), run)
		job := waitJob(ctx, run)
		forged := &batchv1.Job{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "r-2", Labels: map[string]string{v1alpha1.LabelRunUID: string(run.UID)}, OwnerReferences: job.OwnerReferences},
			Spec:       batchv1.JobSpec{Suspend: ptr.To(true), Template: corev1.PodTemplateSpec{Spec: workerPod(run, job, "").Spec}},
		}
		c := tenant(ctx, namespace, allJobs)
		const made, changed = "only the operator creates them", "only the operator changes"
		refusedBy(ctx, made, func() error { return c.Create(ctx, forged.DeepCopy()) })
		plain := forged.DeepCopy()
		plain.Labels, plain.OwnerReferences = nil, nil
		accepted(ctx, func() error { return c.Create(ctx, plain) })
		refusedBy(ctx, changed, func() error {
			return c.Patch(ctx, plain.DeepCopy(), merge(`{"metadata":{"labels":{"sharedcloud.io/run-uid":"x"}}}`))
		})

		backup := tenant(ctx, namespace, allJobs, rule("sharedcloud.io", "functions", "write-revisions"))
		queued := forged.DeepCopy()
		queued.Name = "queued"
		// Of another run, because the manager deletes older Jobs of this one.
		queued.Labels = map[string]string{v1alpha1.LabelRunUID: "another"}
		queued.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "x", UID: "x"}}
		accepted(ctx, func() error { return backup.Create(ctx, queued.DeepCopy()) })
		for _, patch := range []string{
			`{"metadata":{"labels":{"sharedcloud.io/run-uid":null}}}`, `{"metadata":{"annotations":{"sharedcloud.io/job-number":"9"}}}`,
			`{"metadata":{"ownerReferences":[{"apiVersion":"sharedcloud.io/v1alpha1","kind":"FunctionRun","name":"x","uid":"x","controller":true}]}}`,
			`{"spec":{"template":{"metadata":{"labels":{"sharedcloud.io/run-uid":"x"}}}}}`,
			`{"spec":{"template":{"metadata":{"annotations":{"sharedcloud.io/image":"x"}}}}}`,
		} {
			refusedBy(ctx, changed, func() error { return c.Patch(ctx, queued.DeepCopy(), merge(patch)) })
		}
		for _, patch := range []string{
			`{"metadata":{"labels":{"kueue.x-k8s.io/queue-name":"q"}}}`,
			`{"spec":{"template":{"spec":{"nodeSelector":{"a":"b"}},"metadata":{"labels":{"kueue.x-k8s.io/podset":"main"}}}}}`,
			`{"spec":{"suspend":false}}`, `{"metadata":{"ownerReferences":null}}`,
		} {
			accepted(ctx, func() error { return c.Patch(ctx, queued.DeepCopy(), merge(patch)) })
		}
		accepted(ctx, func() error { return c.Delete(ctx, queued.DeepCopy()) })
	}, SpecTimeout(90*time.Second))
})
