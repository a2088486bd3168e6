package apiserver

import (
	"fmt"
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	ac "sharedcloud.io/function-operator/api/v1alpha1/applyconfiguration/api/v1alpha1"
)

var _ = Describe("A pod that a tenant creates", func() {
	//security:attack tenant with pods | A pod with a run's labels and the run's Job as owner asks the exchange for an input and reports a forged outcome | A policy refuses the pod to all but the Job controller
	It("with a run's labels and its Job as owner is refused by admission", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		run := newRun(ctx, namespace, 3)
		job := start(ctx, run, 1)
		config := newUser(ctx, namespace+"-pods", namespace, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods", "serviceaccounts/token"}, Verbs: []string{"*"}})
		c, err := client.New(config, client.Options{Scheme: k8s.Scheme()})
		Expect(err).NotTo(HaveOccurred())
		forged := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Name: "forged", Namespace: namespace,
				Labels:          map[string]string{v1alpha1.LabelRun: run.Name, v1alpha1.LabelRunUID: string(run.UID), "batch.kubernetes.io/job-completion-index": "0"},
				OwnerReferences: []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: job.Name, UID: job.UID, Controller: ptr.To(true)}},
			},
			Spec: corev1.PodSpec{ServiceAccountName: "default", Containers: []corev1.Container{{Name: "worker", Image: "registry.example/evil"}}},
		}
		Eventually(func(g Gomega) { // until the policy and the role are observed
			err := c.Create(ctx, forged.DeepCopy())
			g.Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%v", err)
			g.Expect(err.Error()).To(ContainSubstring("only the Job controller creates them"))
		}).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(timeout))

	//security:attack tenant with pods | A pod with a run's labels and another Job as owner, or with the Job's name and a made-up uid, calls the exchange | The exchange compares the uid of the controlling Job with the one in the run's status: 403
	It("whose Job is not the run's gets no inputs", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		run := newRun(ctx, namespace, 3)
		job := start(ctx, run, 1)
		another := newJob(ctx, namespace, run.Name)
		sameName := another.DeepCopy()
		sameName.Name = job.Name
		worker := newWorker(ctx, run, job, 0)
		Expect(worker.call(ctx, "", true).indexes()).NotTo(BeEmpty())
		for _, owner := range []struct {
			name string
			uid  types.UID
		}{{another.Name, another.UID}, {job.Name, another.UID}} {
			of := another.DeepCopy()
			of.Name, of.UID = owner.name, owner.uid
			forged := newWorker(ctx, run, of, 1)
			status, said := forged.post(ctx, run.Name, map[string]any{"protocol": 1, "sequence": 1, "held": "", "want": true, "outcomes": []any{succeeded(1, "forged")}})
			Expect(status).To(Equal(http.StatusForbidden), said.Error)
		}
	}, SpecTimeout(timeout))
})

var _ = Describe("An identity", func() {
	//security:attack tenant | The label sharedcloud.io/uuid of a neighbour's function and run, with an old created annotation, takes their place in REST | The first keeps function, run and jobs; the other is shown under its metadata.uid
	It("belongs to the first object that had it", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		c := newCaller(ctx, namespace, editor)
		victim := c.made(ctx, newImage(ctx, namespace, "python", "python36"))
		id := fmt.Sprint(victim["uuid"])
		var function v1alpha1.FunctionList
		Expect(k8s.List(ctx, &function, client.InNamespace(namespace), client.MatchingLabels{v1alpha1.LabelUUID: id})).To(Succeed())
		Expect(function.Items).To(HaveLen(1))
		run := newRun(ctx, namespace, 2)
		// Objects of the same second are ordered by uid.
		Eventually(func() bool { return time.Now().Unix() > run.CreationTimestamp.Unix() }).WithContext(ctx).Should(BeTrue())

		forged := &v1alpha1.Function{
			ObjectMeta: metav1.ObjectMeta{Name: "forged", Namespace: namespace, Labels: map[string]string{v1alpha1.LabelUUID: id}, Annotations: map[string]string{v1alpha1.AnnotationCreated: "1"}},
			Spec:       v1alpha1.FunctionSpec{Name: "forged", Runtime: "python36", Image: "python", Code: ptr.To("evil")},
		}
		Expect(k8s.Create(ctx, forged)).To(Succeed())
		twin := run.DeepCopy()
		twin.ObjectMeta = metav1.ObjectMeta{Name: "forged", Namespace: namespace, Annotations: map[string]string{v1alpha1.AnnotationCreated: "1"},
			Labels: map[string]string{v1alpha1.LabelUUID: string(run.UID)[:28] + "00000000"}}
		Expect(k8s.Create(ctx, twin)).To(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(c.do(ctx, http.MethodGet, "/functions/"+string(forged.UID), nil).Body).To(ContainSubstring(`"name":"forged"`))
			g.Expect(c.do(ctx, http.MethodGet, "/runs/"+string(twin.UID), nil).Status).To(Equal(http.StatusOK))
		}).WithContext(ctx).Should(Succeed())
		Expect(c.do(ctx, http.MethodGet, "/functions/"+id, nil).object()).To(And(HaveKeyWithValue("name", "mnist"), HaveKeyWithValue("code", pythonCode)))
		var runs []map[string]any
		c.do(ctx, http.MethodGet, "/runs", nil).into(&runs)
		Expect(runs).To(ConsistOf(HaveKeyWithValue("uuid", string(run.UID)), HaveKeyWithValue("uuid", string(twin.UID))))
		Expect(c.do(ctx, http.MethodDelete, "/functions/"+string(forged.UID), nil).Status).To(Equal(http.StatusOK))
		Expect(k8s.Get(ctx, client.ObjectKeyFromObject(&function.Items[0]), &v1alpha1.Function{})).To(Succeed(), "the neighbour's is there")
	}, SpecTimeout(timeout))

	//security:attack tenant | A body of REST brings metadata: owners, finalizers, a uid, labels and annotations of the operator | None of it reaches the object that is made
	It("cannot be set by a body", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		c := newCaller(ctx, namespace, editor)
		image := newImage(ctx, namespace, "python", "python36")
		c.made(ctx, image)
		body := functionBody(image)
		meta := map[string]any{
			"ownerReferences": []any{map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x"}}, "finalizers": []any{"a.b/c"}, "uid": "8b9420da-a848-4523-a138-ddbf33007631",
			"labels": map[string]any{v1alpha1.LabelUUID: "8b9420da-a848-4523-a138-ddbf33007631", "sharedcloud.io/x": "x"}, "annotations": map[string]any{v1alpha1.AnnotationCreated: "1"},
		}
		body["metadata"], body["uuid"] = meta, "8b9420da-a848-4523-a138-ddbf33007631"
		for key, value := range meta {
			body[key] = value
		}
		got := c.do(ctx, http.MethodPost, "/functions", body)
		if got.Status != http.StatusOK { // refusing it is correct, too
			Expect(got.Status).To(BeNumerically(">=", 400))
			return
		}
		var made v1alpha1.FunctionList
		Expect(k8s.List(ctx, &made, client.InNamespace(namespace), client.MatchingLabels{v1alpha1.LabelUUID: fmt.Sprint(got.object()["uuid"])})).To(Succeed())
		Expect(made.Items).To(HaveLen(1))
		f := made.Items[0]
		Expect(f.OwnerReferences).To(BeEmpty())
		Expect(f.Finalizers).To(BeEmpty())
		Expect(f.Labels).To(HaveLen(1))
		Expect(f.Labels[v1alpha1.LabelUUID]).NotTo(HavePrefix("8b9420da"))
		Expect(f.Annotations[v1alpha1.AnnotationCreated]).NotTo(Equal("1"))
	}, SpecTimeout(timeout))
})

var _ = Describe("The copy of a run's inputs", func() {
	//security:attack tenant with ConfigMaps | The copy of a run's inputs is replaced after the run was pinned, where no policy forbids it | The exchange hands none of it out, and closes the run in words
	It("that differs from the pinned one is not handed out", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		run := &v1alpha1.FunctionRun{
			ObjectMeta: metav1.ObjectMeta{Name: "r", Namespace: namespace},
			Spec: v1alpha1.FunctionRunSpec{FunctionRef: v1alpha1.FunctionReference{Name: "some"},
				ParametersFrom: &v1alpha1.ParametersSource{ConfigMapKeyRef: &v1alpha1.ConfigMapKeyRef{Name: "source", Key: "inputs.json"}}},
		}
		Expect(k8s.Create(ctx, run)).To(Succeed())
		kept := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: "r-inputs", Namespace: namespace, Labels: map[string]string{v1alpha1.LabelInputs: string(run.UID)},
				OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(run, v1alpha1.GroupVersion.WithKind("FunctionRun"))}},
			Immutable: ptr.To(true), Data: map[string]string{v1alpha1.InputsKey: "[[1],[2]]", v1alpha1.InputsFormatKey: "JSON"},
		}
		digest := v1alpha1.ContentDigest(run.UID, kept)
		kept.Data[v1alpha1.InputsKey] = "[[7],[8]]"
		Expect(k8s.Create(ctx, kept)).To(Succeed())
		job := newJob(ctx, namespace, run.Name)
		write(ctx, run, ac.FunctionRunStatus().
			WithRevision(pinned(run, 1).WithInputCount(2).WithInputsConfigMap(kept.Name).WithInputsDigest(digest)).
			WithJob(ac.JobReference().WithName(job.Name).WithNumber(1).WithUID(job.UID)))
		worker := newWorker(ctx, run, job, 0)
		Eventually(func(g Gomega) {
			_, said := worker.post(ctx, run.Name, map[string]any{"protocol": 1, "sequence": 1, "held": "", "want": true})
			g.Expect(said.Inputs).To(BeEmpty())
			progress := read(ctx, g, run).Status.Progress
			g.Expect(progress).NotTo(BeNil())
			g.Expect(progress.Reason).To(Equal(v1alpha1.ReasonInputsUnavailable))
		}).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(timeout))
})
