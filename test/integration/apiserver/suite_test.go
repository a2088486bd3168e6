// Package apiserver tests the API server against a real control plane (kube-apiserver with its aggregator, and etcd): the
// access to each frontend, the effect of a worker's calls on a run's status and on functionruns/results, and the state after
// the server was killed, the Kubernetes API was unreachable, or a run was deleted.
//
// cmd/apiserver runs as a separate process, which specs can kill. There is no Job controller and no kubelet: specs do their
// part, and that of workers. Specs that need real pods are in test/e2e.
package apiserver

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"sharedcloud.io/function-operator/api/v1alpha1"
	operator "sharedcloud.io/function-operator/apiserver"
	serveroptions "sharedcloud.io/function-operator/apiserver/options"
)

const (
	// systemNamespace is where the API server's Service is.
	systemNamespace = "sharedcloud-system"
	// serviceName is the API server's Service, and with the namespace the name in its certificate.
	serviceName = "sharedcloud-apiserver"
	// serviceAddress is on loopback, and the cluster IP of the Service: the aggregator connects to that, and there is no
	// proxy of Services between. Endpoints may not be on loopback, cluster IPs may.
	serviceCIDR    = "127.77.0.0/24"
	serviceAddress = "127.77.0.10"
)

var (
	environment *envtest.Environment
	restConfig  *rest.Config
	k8s         client.Client
	clientset   kubernetes.Interface
	pki         *authority
	// api is the server under test.
	api *server
)

// TestMain runs the API server when a spec has started this program as one: it can be killed without ending the specs.
func TestMain(m *testing.M) {
	if os.Getenv(serverVariable) == "" {
		os.Exit(m.Run())
	}
	if err := serve(genericapiserver.SetupSignalContext(), os.Args[1:]); err != nil {
		klog.ErrorS(err, "The API server failed")
		os.Exit(1)
	}
}

// serve is cmd/apiserver.
func serve(ctx context.Context, args []string) error {
	o := serveroptions.New()
	flags := pflag.NewFlagSet("apiserver", pflag.ContinueOnError)
	o.AddFlags(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := o.Validate(); err != nil {
		return err
	}
	config, err := o.Config(ctx)
	if err != nil {
		return err
	}
	s, err := operator.New(config)
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

func TestAPIServer(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(60 * time.Second)
	SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	SetDefaultConsistentlyDuration(400 * time.Millisecond)
	EnforceDefaultTimeoutsWhenUsingContexts()
	RunSpecs(t, "API server")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	ctrl.SetLogger(klog.NewKlogr())
	klog.LogToStderr(false)
	klog.SetOutput(GinkgoWriter)
	Expect(os.Getenv("KUBEBUILDER_ASSETS")).NotTo(BeEmpty(),
		"KUBEBUILDER_ASSETS names no folder with etcd and kube-apiserver: run `make test-integration`")
	pki = newAuthority(GinkgoT().TempDir())
	startControlPlane()
	startAggregated(ctx)
}, NodeTimeout(5*time.Minute))

// startControlPlane starts etcd and kube-apiserver with its aggregator.
func startControlPlane() {
	scheme := runtime.NewScheme()
	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(apiregistrationv1.AddToScheme(scheme)).To(Succeed())
	Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	Expect(apiextensionsv1.AddToScheme(scheme)).To(Succeed())
	environment = &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join("..", "..", "..", "config", "crd", "bases")},
		ErrorIfCRDPathMissing: true,
		// A slow machine needs more time.
		ControlPlaneStartTimeout: 2 * time.Minute,
		ControlPlaneStopTimeout:  time.Minute,
	}
	frontProxy := pki.client("front-proxy-client")
	environment.ControlPlane.GetAPIServer().Configure().
		Set("service-cluster-ip-range", serviceCIDR).
		Set("requestheader-client-ca-file", pki.caFile).
		Set("requestheader-allowed-names", "front-proxy-client").
		Set("requestheader-username-headers", "X-Remote-User").
		Set("requestheader-group-headers", "X-Remote-Group").
		Set("requestheader-extra-headers-prefix", "X-Remote-Extra-").
		Set("proxy-client-cert-file", frontProxy.certFile).
		Set("proxy-client-key-file", frontProxy.keyFile)
	// Registered before the start: a start that fails at a CustomResourceDefinition leaves processes behind.
	DeferCleanup(func() {
		Expect(environment.Stop()).To(Succeed())
	})
	var err error
	restConfig, err = environment.Start()
	Expect(err).NotTo(HaveOccurred())
	restConfig.QPS, restConfig.Burst = 1000, 2000
	restConfig.Wrap(func(next http.RoundTripper) http.RoundTripper { return retrying{next} })
	k8s, err = client.New(restConfig, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	clientset, err = kubernetes.NewForConfig(restConfig)
	Expect(err).NotTo(HaveOccurred())
}

// startAggregated starts the API server and puts it behind the aggregator.
func startAggregated(ctx context.Context) {
	Expect(k8s.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: systemNamespace}})).To(Succeed())
	installRoles(ctx)
	installPolicies(ctx)
	api = newServer(GinkgoT().TempDir())
	api.start()
	DeferCleanup(func() { api.kill() })
	api.waitReady()
	register(ctx, api)
	discovered(ctx, "subresources.sharedcloud.io", "v1alpha1")
}
