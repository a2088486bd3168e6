// Package e2e verifies the promises of the README on a real node: every input has its result, in order, whatever fails.
//
// It runs against the local cluster with the operator deployed (`make cluster deploy`), in the environment that
// `make -s cluster-env` prints. Each spec has its own namespace. The specs here need real pods; tests
// that do not are beside the code (apiserver/work, runtimes, controllers) and in test/integration.
package e2e

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

var (
	k8s        client.WithWatch
	restConfig *rest.Config
	// repository is the root of the checkout.
	repository string
	// cluster is the name of the local cluster, for its driver.
	cluster string
)

func TestEndToEnd(t *testing.T) {
	ctrl.SetLogger(GinkgoLogr)
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(60 * time.Second)
	SetDefaultEventuallyPollingInterval(200 * time.Millisecond)
	EnforceDefaultTimeoutsWhenUsingContexts()
	RunSpecs(t, "end to end")
}

var _ = BeforeSuite(func() {
	var err error
	repository, err = filepath.Abs("../..")
	Expect(err).NotTo(HaveOccurred())
	cluster = os.Getenv("CLUSTER")
	if cluster == "" {
		cluster = "default"
	}
	Expect(os.Getenv("KUBECONFIG")).NotTo(BeEmpty(), "KUBECONFIG is not set: run `make test-e2e`, or `eval \"$(make -s cluster-env)\"` first")
	restConfig, err = ctrl.GetConfig()
	Expect(err).NotTo(HaveOccurred())
	restConfig.QPS, restConfig.Burst = 200, 400
	scheme := runtime.NewScheme()
	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	k8s, err = client.NewWithWatch(restConfig, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
})

// newNamespace creates a namespace for one spec and deletes it afterwards.
func newNamespace(ctx SpecContext) string {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"}}
	Expect(k8s.Create(ctx, namespace)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) {
		if CurrentSpecReport().Failed() {
			describeNamespace(ctx, namespace.Name)
		}
		Expect(client.IgnoreNotFound(k8s.Delete(ctx, namespace))).To(Succeed())
	})
	return namespace.Name
}
