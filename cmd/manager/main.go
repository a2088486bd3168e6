// Command manager runs the controllers: see the package controllers for what they do. What lives here is flags and wiring.
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
	"sharedcloud.io/function-operator/runtimes"
)

// flags are what the command line says.
type flags struct {
	controllers.Options

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
	set.StringVar(&f.Namespace, "namespace", "sharedcloud-system", "the namespace that the operator runs in; certificates and the leader's lease live there")
	set.StringVar(&f.CatalogueNamespace, "catalogue-namespace", "sharedcloud-catalogue", "the namespace of the FunctionImages that every namespace may use")
	set.StringVar(&f.GPUResource, "gpu-resource", "nvidia.com/gpu", "the extended resource that one GPU is")
	set.StringVar(&f.GPUProductLabel, "gpu-product-label", v1alpha1.DefaultGPUProductLabel, "the label of a node that says what GPUs it has")
	set.StringVar(&f.ExchangeURL, "exchange-url", "", "where workers reach the API server, https://host:port; by default its Service")
	set.StringVar(&f.service, "apiserver-service", "sharedcloud-apiserver", "the name of the API server's Service")
	set.StringVar(&f.extraNames, "apiserver-names", "", "more host names and addresses that the API server's certificate is good for, separated by commas")
	set.StringVar(&f.metricsAddress, "metrics-bind-address", ":8443", "where metrics are served over TLS to those who may read them; 0 serves none")
	set.StringVar(&f.probeAddress, "health-probe-bind-address", ":8081", "where /healthz and /readyz are served")
	set.BoolVar(&f.leaderElection, "leader-elect", true, "let only one of several managers act")
	set.Float64Var(&f.qps, "kube-api-qps", 100, "the most requests a second to the Kubernetes API, in the long run")
	set.IntVar(&f.burst, "kube-api-burst", 200, "the most requests at once to the Kubernetes API")
	set.IntVar(&f.verbosity, "v", 0, "how much is logged: 0 changes of state, 1 decisions, 2 and more the flow; 7 at most, because bodies of requests are logged above")
	set.BoolVar(&f.profiling, "profiling", false, "serve /debug/pprof beside the metrics, to callers who may get that path")
	set.BoolVar(&f.version, "version", false, "print the version and exit")
	allowedFlags(set, &f.Allowed)
	workerFlags(set, &f.Workers)
	if err := set.Parse(arguments); err != nil {
		return f, err
	}
	if f.ExchangeURL == "" {
		f.ExchangeURL = fmt.Sprintf("https://%s.%s.svc:443", f.service, f.Namespace)
	}
	f.ExchangeURL = strings.TrimRight(f.ExchangeURL, "/")
	f.verbosity = verbosity.Clamp(f.verbosity)
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
		logger.Error(err, "Finding the Kubernetes API: run inside a cluster or set KUBECONFIG")
		os.Exit(1)
	}
	config.Wrap(shallow.RoundTripper)
	config.QPS, config.Burst = float32(f.qps), f.burst
	if err := run(ctrl.SetupSignalHandler(), config, f); err != nil {
		logger.Error(err, "The manager ended")
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
	leave := 10 * time.Second
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                        newScheme(),
		Cache:                         controllers.CacheOptions(f.Options),
		Metrics:                       metricsOptions(f),
		HealthProbeBindAddress:        f.probeAddress,
		LeaderElection:                f.leaderElection,
		LeaderElectionID:              "sharedcloud-controller-manager",
		LeaderElectionNamespace:       f.Namespace,
		LeaderElectionReleaseOnCancel: true, // nothing is written after the manager has stopped: the process ends then
		GracefulShutdownTimeout:       &leave,
	})
	if err != nil {
		return fmt.Errorf("making the manager: %w", err)
	}
	if err := metrics.Registry.Register(buildinfo.Metric("manager")); err != nil {
		return fmt.Errorf("registering the build's metric: %w", err)
	}
	now := clock.RealClock{}
	reconcilers := controllers.NewReconcilers(mgr, runtimes.Lookup, controllers.NewMetrics(metrics.Registry), now, f.Options)
	if err := reconcilers.SetupWithManager(ctx, mgr, f.Options); err != nil {
		return err
	}
	var more []string
	if f.extraNames != "" {
		more = strings.Split(f.extraNames, ",")
	}
	authority := trust.NewAuthorityReconciler(mgr.GetClient(), mgr.GetAPIReader(), metrics.Registry, now, f.Namespace,
		trust.ServerNames(f.service, f.Namespace, more...))
	if err := trust.SetupWithManager(mgr, authority, trust.NewBundleReconciler(mgr.GetClient(), mgr.GetAPIReader(), f.Namespace)); err != nil {
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
