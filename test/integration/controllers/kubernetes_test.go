package controllers

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

// startKubernetesControllers starts some of Kubernetes' controllers with the accounts and permissions that they have in a cluster.
func startKubernetesControllers(names ...string) {
	GinkgoHelper()
	folder := GinkgoT().TempDir()
	administrator, err := environment.AddUser(envtest.User{Name: "kubernetes-controllers", Groups: []string{"system:masters"}}, nil)
	Expect(err).NotTo(HaveOccurred())
	kubeconfig, err := administrator.KubeConfig()
	Expect(err).NotTo(HaveOccurred())
	file := filepath.Join(folder, "kubeconfig")
	Expect(os.WriteFile(file, kubeconfig, 0o600)).To(Succeed())
	process := exec.Command(filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kube-controller-manager"),
		"--kubeconfig="+file, "--use-service-account-credentials", "--leader-elect=false", "--secure-port=0",
		"--controllers="+strings.Join(names, ","))
	process.Stdout, process.Stderr = GinkgoWriter, GinkgoWriter
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	Expect(process.Start()).To(Succeed())
	DeferCleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
	})
}

var _ = Describe("Kubernetes' own controllers", func() {
	//security:attack administrator | The policies get in the way of Kubernetes itself: the Job controller, the garbage collector, the deletion of a namespace | They are recognized by their permissions, and work
	It("create workers, collect the objects of a deleted run, orphan pods and empty a namespace despite the policies", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		source := newConfigMap(namespace, "source", map[string]string{"inputs.json": "[[1],[2]]"})
		run := newRun(namespace, "r", "f", 0, fromConfigMap("source", "inputs.json"))
		create(ctx, builders.Function(namespace, "f"), source, run)
		waitJob(ctx, run)
		// Pods get no service account here, and the token of a worker's volume needs one, so this Job has no token.
		labels := map[string]string{v1alpha1.LabelRunUID: "another"}
		job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "another", Labels: labels}}
		job.Spec.Template.Labels, job.Spec.Template.Spec = labels, workerPod(run, job, "").Spec
		create(ctx, job)
		startKubernetesControllers("job-controller", "garbage-collector-controller", "namespace-controller")

		By("creating workers")
		pods := func(g Gomega) []corev1.Pod {
			list := &corev1.PodList{}
			g.Expect(k8s.List(ctx, list, client.InNamespace(namespace), client.MatchingLabels(labels))).To(Succeed())
			return list.Items
		}
		Eventually(func(g Gomega) { g.Expect(pods(g)).NotTo(BeEmpty()) }).WithContext(ctx).Should(Succeed())

		By("orphaning pods of a Job")
		Expect(k8s.Delete(ctx, job, client.PropagationPolicy(metav1.DeletePropagationOrphan))).To(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(apierrors.IsNotFound(k8s.Get(ctx, client.ObjectKeyFromObject(job), &batchv1.Job{}))).To(BeTrue())
			for _, pod := range pods(g) {
				g.Expect(pod.OwnerReferences).To(BeEmpty())
			}
		}).WithContext(ctx).Should(Succeed())

		By("collecting the copy of the inputs of a run that was deleted")
		kept := newConfigMap(namespace, "r-inputs", nil)
		fresh(ctx, Default, kept)
		Expect(k8s.Delete(ctx, run, client.PropagationPolicy(metav1.DeletePropagationBackground))).To(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(apierrors.IsNotFound(k8s.Get(ctx, client.ObjectKeyFromObject(kept), kept))).To(BeTrue())
		}).WithContext(ctx).Should(Succeed())

		By("deleting the namespace with its revision")
		Expect(k8s.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})).To(Succeed())
		Eventually(func(g Gomega) {
			left := &corev1.ConfigMapList{}
			g.Expect(k8s.List(ctx, left, client.InNamespace(namespace))).To(Succeed())
			g.Expect(left.Items).To(BeEmpty())
		}).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(3*time.Minute))
})
