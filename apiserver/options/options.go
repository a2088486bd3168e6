// Package options turns the API server's flags into its configuration.
//
// It contains the flags, their defaults and their validation, and builds the configuration of the server from them. Behaviour of
// the server does not belong here.
package options

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/wait"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"sharedcloud.io/function-operator/apiserver"
	"sharedcloud.io/function-operator/apiserver/connections"
	"sharedcloud.io/function-operator/apiserver/core"
	"sharedcloud.io/function-operator/apiserver/identity"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/quotas"
)

// Options are the API server's flags.
type Options struct {
	SecureServing  *genericoptions.SecureServingOptions
	Authentication *genericoptions.DelegatingAuthenticationOptions
	Authorization  *genericoptions.DelegatingAuthorizationOptions

	// Kubeconfig is the path of the kubeconfig; empty inside a cluster.
	Kubeconfig string
	// Store and StoreURLFile locate the outcome store: its URL, or a file that contains the URL. Without both, StorePath is the
	// file of a store in SQLite.
	Store, StoreURLFile, StorePath string
	// LeaseDuration is how long a worker keeps an input without calling.
	LeaseDuration time.Duration
	// SweepInterval is the time between the two observations that a run is gone, after which its outcomes are deleted.
	SweepInterval time.Duration
	// CatalogueNamespace is the namespace whose FunctionImages all namespaces may use.
	CatalogueNamespace string
	// DefaultNamespace is the namespace of REST callers without their own; empty for none.
	DefaultNamespace string
	// TenantsAnnotation enables the annotation sharedcloud.io/tenants, by which a namespace names its REST callers.
	TenantsAnnotation bool
	// GPUResource is the resource by which pods request GPUs, GPUPrices the price of a GPU minute by product.
	GPUResource string
	GPUPrices   []string
	// ReadsPerSecond and WritesPerSecond are the request rates of one REST caller.
	ReadsPerSecond, WritesPerSecond float64
	// Drain is how long the server continues to serve after SIGTERM.
	Drain time.Duration
	// InputsMiB bounds the memory of the cache of inputs.
	InputsMiB int64
	// UploadMiB is the maximum size of one upload.
	UploadMiB int64
	// UploadsQuotaMiB and ResultsQuotaMiB are the quotas of each namespace in the outcome store; 0 for no limit.
	UploadsQuotaMiB, ResultsQuotaMiB int64
	// ResultBytes and OutputBytes bound the size of an outcome.
	ResultBytes, OutputBytes int
	// GPUProductLabel is the node label with the GPU product.
	GPUProductLabel string
	// MaxConnections bounds the open connections: a further one waits until another closes.
	MaxConnections int
	// MaxUnauthenticated bounds those of them without an authenticated request, MaxUnauthenticatedPerAddress those of one address.
	MaxUnauthenticated, MaxUnauthenticatedPerAddress int
	// TrustedProxies are the networks of proxies in front of the server.
	TrustedProxies []string
	// Recheck is the interval at which a stream or an upload is authorized again.
	Recheck time.Duration
	// Profiling serves /debug/pprof to those who may read it.
	Profiling bool
}

// New returns the defaults.
func New() *Options {
	defaults := apiserver.Defaults()
	o := &Options{
		SecureServing:      genericoptions.NewSecureServingOptions(),
		Authentication:     genericoptions.NewDelegatingAuthenticationOptions(),
		Authorization:      genericoptions.NewDelegatingAuthorizationOptions(),
		StorePath:          "/var/lib/sharedcloud/outcomes.db",
		LeaseDuration:      defaults.LeaseDuration,
		SweepInterval:      defaults.SweepInterval,
		CatalogueNamespace: defaults.CatalogueNamespace,
		TenantsAnnotation:  !defaults.IgnoreTenants,
		GPUResource:        string(defaults.GPUResource),
		MaxConnections:     defaults.MaxConnections,
		Recheck:            defaults.Recheck,
		ReadsPerSecond:     defaults.ReadsPerSecond,
		WritesPerSecond:    defaults.WritesPerSecond,
		Drain:              5 * time.Second,
		InputsMiB:          defaults.InputsBytes >> 20,
		UploadMiB:          defaults.UploadBytes >> 20,
		UploadsQuotaMiB:    defaults.Quotas.Uploads >> 20,
		ResultsQuotaMiB:    defaults.Quotas.Results >> 20,
		ResultBytes:        defaults.ResultBytes,
		OutputBytes:        defaults.OutputBytes,
		GPUProductLabel:    defaults.GPUProductLabel,
	}
	conns := connections.Defaults(o.MaxConnections)
	o.MaxUnauthenticated, o.MaxUnauthenticatedPerAddress = conns.Unauthenticated, conns.PerAddress
	o.SecureServing.BindPort = 8443
	o.SecureServing.Required = true
	// No generated certificate: it must be the one that the APIService and the workers trust.
	o.SecureServing.ServerCert.CertDirectory = ""
	o.SecureServing.ServerCert.PairName = ""
	return o
}

// AddFlags adds the flags.
func (o *Options) AddFlags(fs *pflag.FlagSet) {
	o.SecureServing.AddFlags(fs)
	o.Authentication.AddFlags(fs)
	o.Authorization.AddFlags(fs)
	fs.StringVar(&o.Kubeconfig, "kubeconfig", o.Kubeconfig,
		"Path of a kubeconfig. Not needed inside a cluster.")
	fs.StringVar(&o.Store, "store", o.Store,
		"URL of the outcome store: sqlite:///PATH or postgres://USER@HOST/DATABASE?sslmode=verify-full&sslrootcert=FILE. It must not contain a password: see --store-url-file.")
	fs.StringVar(&o.StoreURLFile, "store-url-file", o.StoreURLFile,
		"File with the URL of the outcome store in the form of --store, which may contain a password: a mounted Secret. It is read again for each connection.")
	fs.StringVar(&o.StorePath, "store-path", o.StorePath,
		"File of the outcome store (SQLite), on a volume that outlives the pod and is not a network file system. Used when neither --store nor --store-url-file is set.")
	fs.DurationVar(&o.LeaseDuration, "lease-duration", o.LeaseDuration,
		"How long a worker keeps an input without calling. Workers call at least every third of it.")
	fs.DurationVar(&o.SweepInterval, "sweep-interval", o.SweepInterval,
		"The outcomes of a deleted run are deleted after the run was observed to be gone twice, this far apart.")
	fs.StringVar(&o.CatalogueNamespace, "catalogue-namespace", o.CatalogueNamespace,
		"Namespace of the FunctionImages that functions of all namespaces may use.")
	fs.StringVar(&o.DefaultNamespace, "default-namespace", o.DefaultNamespace,
		"Namespace of REST callers that are not service accounts and that no namespace's annotation names. Empty: they are refused.")
	fs.BoolVar(&o.TenantsAnnotation, "tenants-annotation", o.TenantsAnnotation,
		"Whether the annotation sharedcloud.io/tenants of a namespace names its REST callers. Only the policy sharedcloud-tenants protects it from tenants who may change a namespace: turn it off where that policy is not installed.")
	fs.StringVar(&o.GPUResource, "gpu-resource", o.GPUResource, "Resource by which pods request GPUs. Must equal the manager's flag.")
	fs.StringSliceVar(&o.GPUPrices, "gpu-price", o.GPUPrices,
		"PRODUCT=PRICE: price of a minute of one GPU of that product (the node label nvidia.com/gpu.product), for the cost of a job in REST. May be repeated.")
	fs.Float64Var(&o.ReadsPerSecond, "rest-reads-per-second", o.ReadsPerSecond, "Maximum reads per second of one REST caller.")
	fs.Float64Var(&o.WritesPerSecond, "rest-writes-per-second", o.WritesPerSecond, "Maximum writes per second of one REST caller.")
	fs.DurationVar(&o.Drain, "drain", o.Drain,
		"How long the server continues to serve after SIGTERM, until all clients have observed it.")
	fs.Int64Var(&o.UploadMiB, "upload-mib", o.UploadMiB,
		"Maximum size of one upload, in MiB.")
	fs.Int64Var(&o.UploadsQuotaMiB, "uploads-quota-mib", o.UploadsQuotaMiB,
		"Quota of each namespace for uploaded inputs in the outcome store, in MiB; 0: no limit. The annotation sharedcloud.io/uploads-quota of a Namespace (20Gi, unlimited) overrides it.")
	fs.Int64Var(&o.ResultsQuotaMiB, "results-quota-mib", o.ResultsQuotaMiB,
		"Quota of each namespace for results and output in the outcome store, in MiB; 0: no limit. The annotation sharedcloud.io/results-quota of a Namespace (20Gi, unlimited) overrides it.")
	fs.Int64Var(&o.InputsMiB, "inputs-cache-mib", o.InputsMiB,
		"Maximum memory of the cache of inputs, in MiB.")
	fs.IntVar(&o.ResultBytes, "result-bytes", o.ResultBytes, "Maximum size of the result of one input, in bytes.")
	fs.IntVar(&o.OutputBytes, "output-bytes", o.OutputBytes,
		"Maximum bytes kept of the stdout of one input, and separately of its stderr.")
	fs.StringVar(&o.GPUProductLabel, "gpu-product-label", o.GPUProductLabel,
		"Node label with the GPU product. Must equal the manager's flag.")
	fs.IntVar(&o.MaxConnections, "max-connections", o.MaxConnections,
		"Maximum open connections, including those of workers. A further one waits until another closes.")
	fs.IntVar(&o.MaxUnauthenticated, "max-unauthenticated-connections", o.MaxUnauthenticated,
		"Maximum connections without an authenticated request. A further one closes the oldest of the address with most of them.")
	fs.IntVar(&o.MaxUnauthenticatedPerAddress, "max-unauthenticated-connections-per-address", o.MaxUnauthenticatedPerAddress,
		"Maximum connections without an authenticated request of one client address, or IPv6 network of 64 bits. A further one closes the oldest of them.")
	fs.StringSliceVar(&o.TrustedProxies, "trusted-proxies", o.TrustedProxies,
		"Networks, in CIDR notation, of proxies in front of the server. Their connections are not bounded by address, and the client's address is read from their header X-Forwarded-For, which is ignored from any other address.")
	fs.DurationVar(&o.Recheck, "reauthorize-interval", o.Recheck,
		"Interval at which a long stream or upload is authorized again. Because answers of the cluster are cached, it ends up to 45 seconds later.")
	fs.BoolVar(&o.Profiling, "profiling", o.Profiling, "Serve /debug/pprof to callers who may get that path.")
}

// Validate returns all errors of the flags.
func (o *Options) Validate() error {
	var errs []error
	errs = append(errs, o.SecureServing.Validate()...)
	errs = append(errs, o.Authentication.Validate()...)
	errs = append(errs, o.Authorization.Validate()...)
	pair := o.SecureServing.ServerCert.CertKey
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(pair.CertFile != "" && pair.KeyFile != "",
		"--tls-cert-file and --tls-private-key-file must name the serving certificate and its key: the manager keeps both in the Secret sharedcloud-apiserver-tls")
	check(o.StorePath != "" || o.Store != "" || o.StoreURLFile != "", "--store-path must name a file, or --store or --store-url-file locate the outcome store")
	check(o.Store == "" || o.StoreURLFile == "", "--store and --store-url-file both locate the outcome store: give one of them")
	if o.Store != "" {
		// It would be visible in the list of processes and in the Deployment.
		check(!outcomes.HasPassword(o.Store), "--store contains a password: put the URL into a file and pass it with --store-url-file")
		if _, err := outcomes.New(outcomes.FixedURL(o.Store)); err != nil {
			errs = append(errs, fmt.Errorf("--store: %w", err))
		}
	}
	check(o.LeaseDuration >= time.Second && o.LeaseDuration <= time.Hour, "--lease-duration is %v; it must be between 1s and 1h", o.LeaseDuration)
	check(o.SweepInterval >= time.Second, "--sweep-interval is %v; it must be at least 1s", o.SweepInterval)
	check(len(validation.IsDNS1123Label(o.CatalogueNamespace)) == 0, "--catalogue-namespace is %q, which is not the name of a namespace", o.CatalogueNamespace)
	check(o.DefaultNamespace == "" || len(validation.IsDNS1123Label(o.DefaultNamespace)) == 0,
		"--default-namespace is %q, which is not the name of a namespace", o.DefaultNamespace)
	check(len(validation.IsQualifiedName(o.GPUResource)) == 0, "--gpu-resource is %q, which is not the name of a resource", o.GPUResource)
	check(o.MaxConnections >= 16 && o.MaxConnections <= 1<<20, "--max-connections is %d; it must be between 16 and %d", o.MaxConnections, 1<<20)
	check(o.MaxUnauthenticated >= 16 && o.MaxUnauthenticatedPerAddress >= 4, "--max-unauthenticated-connections must be at least 16, and --max-unauthenticated-connections-per-address at least 4")
	check(o.Recheck >= 100*time.Millisecond && o.Recheck <= 15*time.Second, "--reauthorize-interval is %v; it must be between 100ms and 15s", o.Recheck)
	if _, err := connections.ParseProxies(o.TrustedProxies); err != nil {
		errs = append(errs, fmt.Errorf("--trusted-proxies: %w", err))
	}
	check(o.ReadsPerSecond >= 1 && o.WritesPerSecond >= 1, "--rest-reads-per-second and --rest-writes-per-second must be at least 1")
	if _, err := core.ParsePrices(o.GPUPrices); err != nil {
		errs = append(errs, fmt.Errorf("--gpu-price: %w", err))
	}
	check(o.Drain >= 0 && o.Drain <= 5*time.Minute, "--drain is %v; it must be between 0s and 5m", o.Drain)
	check(o.UploadMiB >= 1 && o.UploadMiB <= 1<<20, "--upload-mib is %d; it must be between 1 and %d", o.UploadMiB, 1<<20)
	for name, mib := range map[string]int64{"uploads-quota-mib": o.UploadsQuotaMiB, "results-quota-mib": o.ResultsQuotaMiB} {
		check(mib >= 0 && mib <= 1<<40, "--%s is %d; it must be between 0 and %d", name, mib, int64(1)<<40)
	}
	check(o.InputsMiB >= 1 && o.InputsMiB <= 1<<20, "--inputs-cache-mib is %d; it must be between 1 and %d", o.InputsMiB, 1<<20)
	// A request with one outcome and all its output in base64 must fit into the 32 MiB of the exchange.
	check(o.ResultBytes >= 1024 && o.ResultBytes <= 16<<20, "--result-bytes is %d; it must be between 1024 and %d", o.ResultBytes, 16<<20)
	check(o.OutputBytes >= 1024 && o.OutputBytes <= 2<<20, "--output-bytes is %d; it must be between 1024 and %d", o.OutputBytes, 2<<20)
	check(len(validation.IsQualifiedName(o.GPUProductLabel)) == 0, "--gpu-product-label is %q, which is not the name of a label", o.GPUProductLabel)
	return errors.Join(errs...)
}

// store is the location of the outcome store.
func (o *Options) store() outcomes.Source {
	switch {
	case o.StoreURLFile != "":
		return outcomes.URLFromFile(o.StoreURLFile)
	case o.Store != "":
		return outcomes.FixedURL(o.Store)
	}
	return outcomes.FixedURL(outcomes.SQLiteURL(o.StorePath))
}

// Config builds the server's configuration. It opens the port, and waits until the Kubernetes API publishes the certificate
// authority of its front proxy: a server that starts without it would treat every caller as anonymous.
func (o *Options) Config(ctx context.Context) (*apiserver.Config, error) {
	clientConfig, err := o.clientConfig()
	if err != nil {
		return nil, err
	}
	if o.Authentication.RemoteKubeConfigFile == "" {
		o.Authentication.RemoteKubeConfigFile = o.Kubeconfig
	}
	if o.Authorization.RemoteKubeConfigFile == "" {
		o.Authorization.RemoteKubeConfigFile = o.Kubeconfig
	}
	generic := apiserver.NewGenericConfig()
	generic.ShutdownDelayDuration = o.Drain
	generic.EnableProfiling = o.Profiling
	if err := o.SecureServing.WithLoopback().ApplyToConfig(generic); err != nil {
		return nil, fmt.Errorf("opening the secure port: %w", err)
	}
	proxies, err := connections.ParseProxies(o.TrustedProxies)
	if err != nil {
		return nil, err
	}
	limits := connections.Defaults(o.MaxConnections)
	limits.Unauthenticated, limits.PerAddress = o.MaxUnauthenticated, o.MaxUnauthenticatedPerAddress
	conns := connections.Limit(generic.SecureServing.Listener, limits, proxies)
	generic.SecureServing.Listener = conns
	if err := waitForFrontProxy(ctx, clientConfig); err != nil {
		return nil, err
	}
	if err := o.Authentication.ApplyTo(&generic.Authentication, generic.SecureServing, generic.OpenAPIConfig); err != nil {
		return nil, fmt.Errorf("setting up authentication: %w", err)
	}
	watchClientCAs(ctx, generic)
	if err := o.Authorization.ApplyTo(&generic.Authorization); err != nil {
		return nil, fmt.Errorf("setting up authorization: %w", err)
	}
	prices, err := core.ParsePrices(o.GPUPrices)
	if err != nil {
		return nil, err
	}
	return &apiserver.Config{
		Generic:            generic,
		ClientConfig:       clientConfig,
		Store:              o.store(),
		LeaseDuration:      o.LeaseDuration,
		SweepInterval:      o.SweepInterval,
		InputsBytes:        o.InputsMiB << 20,
		UploadBytes:        o.UploadMiB << 20,
		Quotas:             quotas.Limits{Uploads: o.UploadsQuotaMiB << 20, Results: o.ResultsQuotaMiB << 20},
		ResultBytes:        o.ResultBytes,
		OutputBytes:        o.OutputBytes,
		CatalogueNamespace: o.CatalogueNamespace,
		DefaultNamespace:   o.DefaultNamespace,
		IgnoreTenants:      !o.TenantsAnnotation,
		GPUResource:        corev1.ResourceName(o.GPUResource),
		Prices:             prices,
		GPUProductLabel:    o.GPUProductLabel,
		ReadsPerSecond:     o.ReadsPerSecond,
		WritesPerSecond:    o.WritesPerSecond,
		Drain:              o.Drain,
		Connections:        conns,
		Proxies:            proxies,
		MaxConnections:     o.MaxConnections,
		Recheck:            o.Recheck,
	}, nil
}

func (o *Options) clientConfig() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", o.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("finding the Kubernetes API (set --kubeconfig outside a cluster): %w", err)
	}
	config.QPS, config.Burst = 200, 400
	config.UserAgent = "sharedcloud-apiserver"
	return config, nil
}

// watchClientCAs loads the authority of the front proxy before the server starts, see identity.ClientCAs.
func watchClientCAs(ctx context.Context, generic *genericapiserver.Config) {
	proxy := generic.Authentication.RequestHeaderConfig
	if generic.SecureServing.ClientCA == nil || proxy == nil {
		return
	}
	generic.SecureServing.ClientCA = identity.WatchClientCAs(ctx, generic.SecureServing.ClientCA, func() bool {
		_, ok := proxy.CAContentProvider.VerifyOptions()
		return ok
	})
}

// waitForFrontProxy waits for the ConfigMap in which the Kubernetes API publishes the authority of its front proxy. It exists in
// every cluster; the API or the permission to read it can be missing.
func waitForFrontProxy(ctx context.Context, config *rest.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("creating a client of the Kubernetes API: %w", err)
	}
	logger := klog.FromContext(ctx)
	var last error
	err = wait.PollUntilContextCancel(ctx, 2*time.Second, true, func(ctx context.Context) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		_, last = client.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, "extension-apiserver-authentication", metav1.GetOptions{})
		if last != nil {
			logger.Info("Waiting for the certificate authority of the front proxy", "reason", last.Error())
		}
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("reading the ConfigMap kube-system/extension-apiserver-authentication: %w", errors.Join(err, last))
	}
	return nil
}
