// Package controllers tests the controllers against a real control plane (kube-apiserver and etcd): what admission refuses, that watches
// trigger the reconcilers, and that a manager may crash between any two writes.
//
// It has the specs of the controllers, of config/crd and of config/policy. There is no Job controller, no kubelet and no outcome store, so
// the specs write what these would. Specs that need real pods are in test/e2e.
package controllers

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"sharedcloud.io/function-operator/api/shallow"
	"sharedcloud.io/function-operator/api/v1alpha1"
	operator "sharedcloud.io/function-operator/controllers"
	"sharedcloud.io/function-operator/controllers/trust"
	"sharedcloud.io/function-operator/controllers/workload"
	"sharedcloud.io/function-operator/runtimes"
)

var (
	k8s        client.Client
	restConfig *rest.Config
	// managerConfig is that of a user with exactly the permissions that config/rbac gives the manager.
	managerConfig *rest.Config
	scheme        = runtime.NewScheme()

	// environment is the control plane.
	environment *envtest.Environment

	// manager runs unless a spec stops it.
	manager *runningManager
)

const operatorNamespace = "sharedcloud-system"

var options = workload.Options{
	CatalogueNamespace: "sharedcloud-catalogue",
	GPUResource:        "nvidia.com/gpu",
	GPUProductLabel:    v1alpha1.DefaultGPUProductLabel,
	ExchangeURL:        "https://sharedcloud-apiserver.sharedcloud-system.svc:443",
}

func TestControllers(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(60 * time.Second)
	SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	SetDefaultConsistentlyDuration(400 * time.Millisecond)
	EnforceDefaultTimeoutsWhenUsingContexts()
	RunSpecs(t, "controllers")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	ctrl.SetLogger(GinkgoLogr)
	klog.SetLogger(GinkgoLogr)
	Expect(os.Getenv("KUBEBUILDER_ASSETS")).NotTo(BeEmpty(),
		"KUBEBUILDER_ASSETS must name a directory with etcd and kube-apiserver: run `make test-integration`")
	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(apiregistrationv1.AddToScheme(scheme)).To(Succeed())
	Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())

	root := filepath.Join("..", "..", "..")
	environment = &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join(root, "config", "crd", "bases")},
		ErrorIfCRDPathMissing: true,
		// Slow machines need more than the default.
		ControlPlaneStartTimeout: 2 * time.Minute,
		ControlPlaneStopTimeout:  time.Minute,
	}
	controlPlane = environment
	// Before the start, because a start that fails at a CustomResourceDefinition leaves processes behind.
	DeferCleanup(func() {
		Expect(environment.Stop()).To(Succeed())
	})
	var err error
	restConfig, err = environment.Start()
	Expect(err).NotTo(HaveOccurred())
	restConfig.QPS, restConfig.Burst = 1000, 2000
	k8s, err = client.New(restConfig, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())

	for _, name := range []string{operatorNamespace, options.CatalogueNamespace} {
		Expect(k8s.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})).To(Succeed())
	}
	applyPolicies(ctx, root)
	applyFile(ctx, filepath.Join(root, "config", "apiserver", "apiservice.yaml"))
	Expect(k8s.Create(ctx, &v1alpha1.FunctionImage{
		ObjectMeta: metav1.ObjectMeta{Name: "python", Namespace: options.CatalogueNamespace},
		Spec:       v1alpha1.FunctionImageSpec{RegistryPath: "sharedcloud/python:latest", Runtime: "python311"},
	})).To(Succeed())
	waitForPolicy(ctx)
	allowManager(ctx, environment, root)

	manager = startManager(nil)
	DeferCleanup(func() { manager.stop() })
}, NodeTimeout(5*time.Minute))

// allowManager creates the manager's user with its generated roles.
func allowManager(ctx SpecContext, environment *envtest.Environment, root string) {
	GinkgoHelper()
	applyFile(ctx, filepath.Join(root, "config", "rbac", "manager_role.yaml"))
	applyFile(ctx, filepath.Join(root, "config", "rbac", "manager_binding.yaml"))
	account := "system:serviceaccount:" + operatorNamespace + ":sharedcloud-controller-manager"
	user, err := environment.AddUser(envtest.User{Name: account, Groups: []string{"system:serviceaccounts"}}, nil)
	Expect(err).NotTo(HaveOccurred())
	managerConfig = user.Config()
	managerConfig.QPS, managerConfig.Burst = 1000, 2000
	managerConfig.Wrap(shallow.RoundTripper) // as cmd/manager does
}

// applyFile applies every object of a file of manifests.
func applyFile(ctx SpecContext, path string) {
	GinkgoHelper()
	objects, err := readObjects(path)
	Expect(err).NotTo(HaveOccurred())
	Expect(objects).NotTo(BeEmpty())
	for _, object := range objects {
		Expect(k8s.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("spec"), client.ForceOwnership)).To(Succeed())
	}
}

func readObjects(path string) ([]*unstructured.Unstructured, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return decodeObjects(data)
}

// waitForPolicy waits until the API server has compiled the policy, shortly after it was applied.
func waitForPolicy(ctx SpecContext) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		run := &v1alpha1.FunctionRun{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "probe-", Namespace: "default"},
			Spec:       v1alpha1.FunctionRunSpec{FunctionRef: v1alpha1.FunctionReference{Name: "none"}},
		}
		err := k8s.Create(ctx, run, client.DryRunAll)
		g.Expect(apierrors.IsInvalid(err)).To(BeTrue(), "%v", err)
	}).WithContext(ctx).Should(Succeed())
}

// runningManager is a manager in this process, as cmd/manager wires it.
type runningManager struct {
	cancel context.CancelFunc
	done   chan error
}

// startManager starts a manager. wrap, if not nil, wraps the client of its controllers.
func startManager(wrap func(client.Client) client.Client) *runningManager {
	GinkgoHelper()
	shutdownTimeout := 30 * time.Second
	managerOptions := ctrl.Options{
		Scheme:                  scheme,
		Cache:                   operator.CacheOptions(operatorNamespace),
		Metrics:                 metricsserver.Options{BindAddress: "0"},
		GracefulShutdownTimeout: &shutdownTimeout,
		// Several managers run in this process, and each registers the names of its controllers.
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
	}
	if wrap != nil {
		managerOptions.NewClient = func(c *rest.Config, o client.Options) (client.Client, error) {
			inner, err := client.New(c, o)
			if err != nil {
				return nil, err
			}
			return wrap(inner), nil
		}
	}
	mgr, err := ctrl.NewManager(managerConfig, managerOptions)
	Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(context.Background())
	registry := prometheus.NewRegistry()
	now := clock.RealClock{}
	reconcilers := operator.NewReconcilers(mgr, runtimes.Lookup, operator.NewMetrics(registry), now, options)
	reconcilers.Revision = operator.NewRevisionReconciler(mgr.GetClient(), operator.NewMetrics(prometheus.NewRegistry()), now, 300*time.Millisecond)
	Expect(reconcilers.SetupWithManager(ctx, mgr, options.CatalogueNamespace)).To(Succeed())
	authority := trust.NewAuthorityReconciler(mgr.GetClient(), mgr.GetAPIReader(), registry, now, operatorNamespace,
		trust.ServerNames("sharedcloud-apiserver", operatorNamespace))
	Expect(trust.SetupWithManager(mgr, authority, trust.NewBundleReconciler(mgr.GetClient(), mgr.GetAPIReader(), operatorNamespace))).To(Succeed())
	running := &runningManager{cancel: cancel, done: make(chan error, 1)}
	go func() {
		defer GinkgoRecover()
		running.done <- mgr.Start(ctx)
	}()
	return running
}

// stop stops the manager and waits for its end.
func (m *runningManager) stop() {
	GinkgoHelper()
	m.cancel()
	Eventually(m.done).Should(Receive(Succeed()))
}
