// Command manager runs the controllers: see package controllers. It holds their flags and their wiring.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"os"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"sharedcloud.io/function-operator/api/shallow"
	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/cmd/internal/buildinfo"
	"sharedcloud.io/function-operator/cmd/internal/verbosity"
	"sharedcloud.io/function-operator/controllers"
	"sharedcloud.io/function-operator/controllers/trust"
	"sharedcloud.io/function-operator/controllers/workload"
	"sharedcloud.io/function-operator/runtimes"
)

// flags are the settings on the command line.
type flags struct {
	workload.Options

	// namespace is the operator's own.
	namespace      string
	metricsAddress string
	probeAddress   string
	leaderElection bool
	service        string
	extraNames     string
	qps            float64
	burst          int
	verbosity      int
	profiling      bool
	version        bool
}

func parse(set *flag.FlagSet, arguments []string) (flags, error) {
	var f flags
	set.StringVar(&f.namespace, "namespace", "sharedcloud-system", "namespace of the operator, which holds its certificates and the leader's Lease")
	set.StringVar(&f.CatalogueNamespace, "catalogue-namespace", "sharedcloud-catalogue", "namespace of the FunctionImages that every namespace may use")
	set.StringVar(&f.GPUResource, "gpu-resource", "nvidia.com/gpu", "extended resource of one GPU")
	set.StringVar(&f.GPUProductLabel, "gpu-product-label", v1alpha1.DefaultGPUProductLabel, "node label with the GPU product")
	set.StringVar(&f.ExchangeURL, "exchange-url", "", "address at which workers reach the API server, https://host:port; by default its Service")
	set.StringVar(&f.service, "apiserver-service", "sharedcloud-apiserver", "name of the API server's Service")
	set.StringVar(&f.extraNames, "apiserver-names", "", "additional host names and addresses for the API server's certificate, separated by commas")
	set.StringVar(&f.metricsAddress, "metrics-bind-address", ":8443", "address of the metrics endpoint, which uses TLS and authorizes its clients; 0 disables it")
	set.StringVar(&f.probeAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz")
	set.BoolVar(&f.leaderElection, "leader-elect", true, "elect a leader, so that only one of several managers is active")
	set.Float64Var(&f.qps, "kube-api-qps", 100, "maximum rate of requests to the Kubernetes API, per second")
	set.IntVar(&f.burst, "kube-api-burst", 200, "maximum burst of requests to the Kubernetes API")
	set.IntVar(&f.verbosity, "v", 0, "log level: 0 changes of state, 1 decisions, 2 and above the flow; at most 7, because higher levels log the bodies of requests")
	set.BoolVar(&f.profiling, "profiling", false, "serve /debug/pprof beside the metrics, to callers who may get that path")
	set.BoolVar(&f.version, "version", false, "print the version and exit")
	allowedFlags(set, &f.Allowed)
	workerFlags(set, &f.Workers)
	if err := set.Parse(arguments); err != nil {
		return f, err
	}
	if f.ExchangeURL == "" {
		f.ExchangeURL = fmt.Sprintf("https://%s.%s.svc:443", f.service, f.namespace)
	}
	f.ExchangeURL = strings.TrimRight(f.ExchangeURL, "/")
	f.verbosity = verbosity.Clamp(f.verbosity)
	if f.namespace == "" {
		return f, errors.Join(errors.New("--namespace must name the namespace of the operator"), f.Validate())
	}
	return f, f.Validate()
}

func main() {
	f, err := parse(flag.NewFlagSet("manager", flag.ContinueOnError), os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "manager:", err)
		os.Exit(2)
	}
	if f.version {
		fmt.Println("manager", buildinfo.Text())
		return
	}
	// logr's V(n) is slog's level -n.
	logger := logr.FromSlogHandler(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.Level(-f.verbosity)}))
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)
	config, err := ctrl.GetConfig()
	if err != nil {
		logger.Error(err, "Finding the Kubernetes API failed: run inside a cluster or set KUBECONFIG")
		os.Exit(1)
	}
	config.Wrap(shallow.RoundTripper)
	config.QPS, config.Burst = float32(f.qps), f.burst
	if err := run(ctrl.SetupSignalHandler(), config, f); err != nil {
		logger.Error(err, "The manager failed")
		os.Exit(1)
	}
}

func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(apiregistrationv1.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	return scheme
}

// metricsOptions configures the server of the metrics and, with --profiling, of the profiles. The library applies the filter to
// both: a TokenReview says who calls, and a SubjectAccessReview whether the caller may get the path.
func metricsOptions(f flags) metricsserver.Options {
	options := metricsserver.Options{
		BindAddress:    f.metricsAddress,
		SecureServing:  true,
		FilterProvider: filters.WithAuthenticationAndAuthorization,
		TLSOpts:        []func(*tls.Config){func(c *tls.Config) { c.MinVersion = tls.VersionTLS12 }},
	}
	if f.profiling {
		options.ExtraHandlers = map[string]http.Handler{
			"/debug/pprof/":        http.HandlerFunc(pprof.Index),
			"/debug/pprof/profile": http.HandlerFunc(pprof.Profile),
			"/debug/pprof/symbol":  http.HandlerFunc(pprof.Symbol),
			"/debug/pprof/trace":   http.HandlerFunc(pprof.Trace),
		}
	}
	return options
}

func run(ctx context.Context, config *rest.Config, f flags) error {
	shutdownTimeout := 10 * time.Second
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                        newScheme(),
		Cache:                         controllers.CacheOptions(f.namespace),
		Metrics:                       metricsOptions(f),
		HealthProbeBindAddress:        f.probeAddress,
		LeaderElection:                f.leaderElection,
		LeaderElectionID:              "sharedcloud-controller-manager",
		LeaderElectionNamespace:       f.namespace,
		LeaderElectionReleaseOnCancel: true, // the process exits when the manager has stopped, so it writes nothing afterwards
		GracefulShutdownTimeout:       &shutdownTimeout,
	})
	if err != nil {
		return fmt.Errorf("creating the manager: %w", err)
	}
	if err := metrics.Registry.Register(buildinfo.Metric("manager")); err != nil {
		return fmt.Errorf("registering the build's metric: %w", err)
	}
	now := clock.RealClock{}
	reconcilers := controllers.NewReconcilers(mgr, runtimes.Lookup, controllers.NewMetrics(metrics.Registry), now, f.Options)
	if err := reconcilers.SetupWithManager(ctx, mgr, f.CatalogueNamespace); err != nil {
		return err
	}
	var extraNames []string
	if f.extraNames != "" {
		extraNames = strings.Split(f.extraNames, ",")
	}
	authority := trust.NewAuthorityReconciler(mgr.GetClient(), mgr.GetAPIReader(), metrics.Registry, now, f.namespace,
		trust.ServerNames(f.service, f.namespace, extraNames...))
	if err := trust.SetupWithManager(mgr, authority, trust.NewBundleReconciler(mgr.GetClient(), mgr.GetAPIReader(), f.namespace)); err != nil {
		return err
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("adding the liveness check: %w", err)
	}
	if err := mgr.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("adding the readiness check: %w", err)
	}
	return mgr.Start(ctx)
}
