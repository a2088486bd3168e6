package e2e

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

var _ = Describe("The objects that a function names", func() {
	//security:attack tenant | a Function of another user returns a Secret after a tenant has changed its code | the change is refused, and the function of the user who may get the Secret still works
	It("are those that its writer may get", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		Expect(k8s.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "keys", Namespace: namespace}, StringData: map[string]string{"k": "open sesame"}})).To(Succeed())
		kubectl(ctx, "create", "role", "tenant", "-n", namespace, "--verb=get,list,create,update,patch", "--resource=functions.sharedcloud.io,functionruns.sharedcloud.io")
		kubectl(ctx, "create", "rolebinding", "tenant", "-n", namespace, "--role=tenant", "--user=tenant")
		function := makeFunction(ctx, namespace, "secretive", "import os\ndef handler(event): return len(os.environ['KEY'])\n", func(f *v1alpha1.Function) {
			f.Spec.Pod = &v1alpha1.PodSettings{
				Env:     []v1alpha1.EnvVar{{Name: "KEY", ValueFrom: &v1alpha1.EnvVarSource{SecretKeyRef: &v1alpha1.SecretKeySelector{Name: "keys", Key: "k"}}}},
				Volumes: []v1alpha1.Volume{{Name: "memory", EmptyDir: &v1alpha1.EmptyDir{Medium: "Memory"}}},
			}
		})
		Eventually(func() string { // until the authorizer has observed the new role
			return refusedBy(ctx, "patch", "function", "secretive", "-n", namespace, "--as=tenant", "--type=merge",
				"-p", `{"spec":{"code":"import os\ndef handler(event): return os.environ['KEY']\n"}}`)
		}).WithContext(ctx).Should(ContainSubstring(`spec.pod.env[0].valueFrom.secretKeyRef.name names the Secret "keys"`))

		run := startRun(ctx, function, builders.Inputs(1, builders.Index))
		all := results(ctx, waitComplete(ctx, run, time.Minute))
		Expect(decode[int](all[0])).To(Equal(len("open sesame")))
	}, SpecTimeout(3*time.Minute))

	It("have default requests and sizes", func(ctx SpecContext) {
		needsLocalCluster("the flags of config/local")
		function := makeFunction(ctx, newNamespace(ctx), "modest", "import time\ndef handler(event): time.sleep(6)\n", func(f *v1alpha1.Function) {
			f.Spec.Pod = &v1alpha1.PodSettings{Volumes: []v1alpha1.Volume{{Name: "memory", EmptyDir: &v1alpha1.EmptyDir{Medium: "Memory"}}}}
		})
		run := startRun(ctx, function, builders.Inputs(1, builders.Index))
		pod := runningWorkers(ctx, run, 1)[0]
		requests := pod.Spec.Containers[0].Resources.Requests
		Expect(requests.Cpu().String()).To(Equal("1m"))
		Expect(requests.Memory().String()).To(Equal("16Mi"))
		for _, volume := range pod.Spec.Volumes {
			if volume.Name == "memory" {
				Expect(volume.EmptyDir.SizeLimit.String()).To(Equal("1Gi"))
			}
		}
		waitComplete(ctx, run, time.Minute)
	}, SpecTimeout(2*time.Minute))

	It("leaves the operator's own pods their priority", func(ctx SpecContext) {
		pods := &corev1.PodList{}
		Expect(k8s.List(ctx, pods, client.InNamespace("sharedcloud-system"), client.MatchingLabels{"app.kubernetes.io/part-of": "sharedcloud"})).To(Succeed())
		Expect(pods.Items).NotTo(BeEmpty())
		for _, pod := range pods.Items {
			Expect(pod.Spec.PriorityClassName).To(Equal("system-cluster-critical"), pod.Name)
		}
	}, SpecTimeout(time.Minute))
})
