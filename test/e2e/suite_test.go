// Package e2e tests on real nodes what the README promises: every outcome exists, at its index, whatever happens to pods, nodes and
// the operator.
//
// It runs against the local cluster with the operator deployed (`make cluster deploy`), in the environment that
// `make -s cluster-env` prints. With E2E_CLUSTER=remote it runs against the cluster of KUBECONFIG instead, and skips the specs that
// need the local one; such a spec begins with needsLocalCluster. Each spec has its own namespace. The specs here need real pods;
// tests that do not are beside the code (apiserver/work, runtimes, controllers) and in test/integration.
package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
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
	// remote says that the cluster is not the local one.
	remote bool
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
	switch which := os.Getenv("E2E_CLUSTER"); which {
	case "", "local":
	case "remote":
		remote = true
	default:
		Fail("E2E_CLUSTER is " + which + "; it must be local (the default) or remote")
	}
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

// needsLocalCluster skips the spec on a cluster other than the local one. The reason completes the sentence "it needs …".
func needsLocalCluster(reason string) {
	GinkgoHelper()
	if remote {
		Skip("it needs " + reason)
	}
}

// skippedFile lists the specs that were skipped on a remote cluster, below the root of the checkout.
const skippedFile = "bin/test/e2e-skipped.txt"

var _ = ReportAfterSuite("list the specs that need the local cluster", func(report Report) {
	if !remote {
		return
	}
	text := skipped(report)
	fmt.Print(text)
	file := filepath.Join(repository, skippedFile)
	Expect(os.MkdirAll(filepath.Dir(file), 0o755)).To(Succeed())
	Expect(os.WriteFile(file, []byte(text), 0o600)).To(Succeed())
})

// skipped lists the specs that skipped themselves, with their reasons. A spec that a focus leaves out has no reason.
func skipped(report Report) string {
	var lines []string
	for _, spec := range report.SpecReports {
		if spec.State.Is(types.SpecStateSkipped) && spec.Failure.Message != "" {
			lines = append(lines, fmt.Sprintf("  %s: %s\n", spec.FullText(), spec.Failure.Message))
		}
	}
	return fmt.Sprintf("Skipped specs that need the local cluster: %d\n%s", len(lines), strings.Join(lines, ""))
}

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
