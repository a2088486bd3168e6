// Package apiserver is the extension API server: the exchange of the workers, the documented API and the subresources of runs.
//
//	server.go, generic.go        construction, start and shutdown of the server
//	chain.go, worker_limits.go   what every request passes before its frontend: authentication and limits
//	guard.go                     the checks before authentication, and bodies that no handler reads
//	recheck.go                   repeated authorization of long requests
//	store.go                     the store with metrics, and adapters between packages
//	probes.go, metrics.go        health, readiness and metrics
//	quiet.go                     what the request log omits
//	openapi*.go, rbac.go         the OpenAPI definitions of the aggregated API, and markers for generators
//
// This package connects the other packages, and applies to requests only what no single frontend can apply: authentication for the
// aggregated API, the limits of all frontends, and the checks of headers, paths and bodies. It must not contain the behaviour of the packages
// that it connects: options (flags), identity, connections and shares (callers, their rights and limits), core and writes (the cluster), the
// frontends rest, subresources and work, workers, uploads, quotas, report and outcomes (the store).
package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
	authenticationv1client "k8s.io/client-go/kubernetes/typed/authentication/v1"
	clientrest "k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/connections"
	"sharedcloud.io/function-operator/apiserver/core"
	"sharedcloud.io/function-operator/apiserver/identity"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/quotas"
	"sharedcloud.io/function-operator/apiserver/report"
	"sharedcloud.io/function-operator/apiserver/rest"
	"sharedcloud.io/function-operator/apiserver/shares"
	"sharedcloud.io/function-operator/apiserver/subresources"
	"sharedcloud.io/function-operator/apiserver/uploads"
	"sharedcloud.io/function-operator/apiserver/work"
	"sharedcloud.io/function-operator/apiserver/workers"
	"sharedcloud.io/function-operator/apiserver/writes"
	"sharedcloud.io/function-operator/exchange"
)

const (
	// reporters is the number of runs whose progress is written concurrently.
	reporters = 4
	// openRetry is the interval between attempts to open the store.
	openRetry = 5 * time.Second
)

// Config configures a server.
type Config struct {
	// Generic is the configuration of the generic API server, from NewGenericConfig, with its listener and its delegated authentication and
	// authorization.
	Generic *genericapiserver.Config
	// ClientConfig configures the clients of the Kubernetes API.
	ClientConfig *clientrest.Config
	// Store has the URL of the outcome store.
	Store outcomes.Source
	// LeaseDuration is how long a worker keeps an input without a call.
	LeaseDuration time.Duration
	// SweepInterval is the time between the two checks that must both find a run missing before its outcomes are deleted.
	SweepInterval time.Duration
	// InputsBytes bounds the inputs in memory.
	InputsBytes int64
	// UploadBytes bounds one upload of inputs.
	UploadBytes int64
	// Quotas are the quotas of each namespace in the outcome store, which an annotation of the namespace can change.
	Quotas quotas.Limits
	// ResultBytes and OutputBytes bound the result and the output of an outcome.
	ResultBytes, OutputBytes int
	// GPUProductLabel is the node label with the GPU product.
	GPUProductLabel string
	// CatalogueNamespace is the namespace of the FunctionImages that all functions may use. DefaultNamespace is the namespace of REST callers
	// that belong to no other; if "", they are refused.
	CatalogueNamespace, DefaultNamespace string
	// IgnoreTenants disables the annotation sharedcloud.io/tenants of namespaces.
	IgnoreTenants bool
	// GPUResource is the resource with which pods request GPUs; Prices are the prices of a GPU minute.
	GPUResource corev1.ResourceName
	Prices      core.Prices
	// ReadsPerSecond and WritesPerSecond are the rate limits of one caller of REST.
	ReadsPerSecond, WritesPerSecond float64
	// Drain is how long the server continues to serve before it ends long requests at shutdown.
	Drain time.Duration
	// Connections is the listener of the generic configuration; nil if connections are not counted. Proxies are the networks whose
	// X-Forwarded-For is trusted.
	Connections *connections.Listener
	Proxies     connections.Proxies
	// MaxConnections bounds the concurrent calls of workers.
	MaxConnections int
	// Recheck is the interval in which streams and uploads are authorized again.
	Recheck time.Duration
	// Clock is nil for the real time.
	Clock clock.WithTicker
}

// Defaults returns the default values of the flags.
func Defaults() Config {
	return Config{
		LeaseDuration:      work.DefaultLease,
		SweepInterval:      time.Hour,
		InputsBytes:        128 << 20,
		UploadBytes:        uploads.DefaultMaxBytes,
		Quotas:             quotas.Defaults,
		ResultBytes:        work.DefaultLimits.ResultBytes,
		OutputBytes:        work.DefaultLimits.OutputBytes,
		CatalogueNamespace: "sharedcloud-catalogue",
		GPUResource:        "nvidia.com/gpu",
		GPUProductLabel:    v1alpha1.DefaultGPUProductLabel,
		ReadsPerSecond:     5000,
		WritesPerSecond:    100,
		Drain:              5 * time.Second,
		MaxConnections:     16384,
		Recheck:            identity.DefaultRecheck,
	}
}

// Server is the API server.
type Server struct {
	generic       *genericapiserver.GenericAPIServer
	cluster       *core.Cluster
	store         outcomes.Database
	exchange      *work.Exchange
	watcher       *workers.Watcher
	startupLogs   *workers.StartupLogs
	reporter      *report.Reporter
	sweeper       *report.Sweeper
	uploads       *uploads.Store
	uploadSweeper *uploads.Sweeper
	drain         time.Duration
	clock         clock.WithTicker
	// ending is cancelled when long requests must end.
	ending context.Context
	end    context.CancelFunc
}

// New returns a server. It does not start anything; the configuration has already opened the port.
func New(config *Config) (*Server, error) {
	s := &Server{drain: config.Drain, clock: config.Clock}
	if s.clock == nil {
		s.clock = clock.RealClock{}
	}
	s.ending, s.end = context.WithCancel(context.Background())
	var err error
	if s.store, err = outcomes.New(config.Store); err != nil {
		return nil, err
	}
	store := measured{s.store}
	quota := quotas.New(config.Quotas, namespacesOf{s}, s.clock)
	s.uploads = uploads.New(store, quota, config.UploadBytes, config.InputsBytes, s.clock)
	if s.cluster, err = core.NewCluster(config.ClientConfig, s.uploads, config.InputsBytes, config.GPUResource, config.GPUProductLabel, s.clock); err != nil {
		return nil, err
	}
	podExits := workers.NewPodExits(s.cluster.Pods)
	s.startupLogs = workers.NewStartupLogs(s.cluster.Client, store, config.GPUProductLabel, s.clock)
	// The reporter and the exchange reference each other: the exchange calls Changed only after both exist.
	s.exchange = work.NewExchange(store, workers.NewRuns(s.cluster.Runs), workers.NewInputs(s.cluster.Inputs), podExits, work.Options{
		Lease:   config.LeaseDuration,
		Limits:  exchange.Limits{ResultBytes: config.ResultBytes, OutputBytes: config.OutputBytes},
		Clock:   s.clock,
		Quotas:  quota,
		Changed: func(run types.UID) { s.reporter.Enqueue(run) },
		Joined:  s.startupLogs.Joined,
	})
	s.reporter = report.NewReporter(s.cluster.Runs, s.exchange, s.cluster.Client, workers.RunOf, s.clock)
	if _, err := s.reporter.Watch(s.cluster.Runs.Informer()); err != nil {
		return nil, err
	}
	if s.watcher, err = workers.NewWatcher(s.cluster, podExits, s.exchange, store, s.clock); err != nil {
		return nil, err
	}
	s.sweeper = report.NewSweeper(stored{s.exchange, store}, s.cluster.Client, s.known, s.cluster.Inputs.Forget, config.SweepInterval, s.clock)
	s.uploadSweeper = uploads.NewSweeper(s.uploads, s.referencedUploads, config.SweepInterval, s.clock)
	return s, s.serveWith(config, store)
}

// serveWith installs the frontends.
func (s *Server) serveWith(config *Config, store measured) error {
	// Package identity limits TokenReviews. A rate limit of the client would delay known tokens behind unknown ones.
	unthrottled := clientrest.CopyConfig(config.ClientConfig)
	unthrottled.QPS = -1
	reviews, err := authenticationv1client.NewForConfig(unthrottled)
	if err != nil {
		return fmt.Errorf("creating a client for TokenReviews: %w", err)
	}
	tokens, err := identity.NewPodTokens(reviews)
	if err != nil {
		return err
	}
	workerCallers := workers.NewCallers(tokens, s.cluster.Pods, s.cluster.Runs, s.clock)
	exchange := instrument(work.Handler(s.exchange, newLimitedWorkers(workerCallers, config.Connections, config.MaxConnections)))

	generic := config.Generic
	code := core.NewCode(s.cluster.Client)
	rules := identity.NewRules(config.Generic.Authorization.Authorizer, s.clock)
	writer := writes.New(s.cluster, code, rules, s.clock)
	callers := identity.NewCallers(reviews, s.clock)
	chain := s.newChain(config)
	restAPI := s.newREST(config, store, callers, chain, code, writer, rules)
	generic.Authentication.Authenticator = identity.RefuseAnonymous(identity.ReviewedTokens(generic.Authentication.Authenticator, callers), probePaths...)
	generic.Authorization.Authorizer = identity.OwnRules(
		identity.ResourceRules(generic.Authorization.Authorizer, subresources.GroupName, subresources.Rules), rest.GroupVersion.Group)
	recheck := &rechecker{interval: config.Recheck, authorizer: generic.Authorization.Authorizer, callers: callers, reader: s.cluster.Client, alive: s.cluster.Namespaces.Alive}
	chain.recheck = recheck.wrap
	generic.BuildHandlerChainFunc = chain.build(exchange, restAPI.Handler())
	for name, check := range chain.reasons {
		generic.AddReadyzChecks(healthz.NamedCheck(name, check))
	}
	if s.generic, err = generic.Complete(nil).New("sharedcloud-apiserver", genericapiserver.NewEmptyDelegate()); err != nil {
		return fmt.Errorf("creating the server: %w", err)
	}
	reader := outcomes.NewReader(store)
	storages := subresources.Storages{
		Results: subresources.NewResults(s.ending, s.cluster.Runs, reader, s.clock),
		Log:     subresources.NewLog(s.ending, s.cluster.Runs, reader, s.clock),
		Rerun:   subresources.NewRerun(s.cluster.Runs, reader, s.cluster.Inputs, s.uploads, writer),
		Cancel:  subresources.NewCancel(writer),
		Run:     subresources.NewRun(s.uploads, writer, config.UploadBytes, s.clock),
	}
	if err := s.generic.InstallAPIGroup(subresources.Group(storages)); err != nil {
		return fmt.Errorf("installing %s: %w", subresources.GroupVersion, err)
	}
	rest.Install(s.generic, restAPI)
	return nil
}

// newChain returns the handlers that precede every frontend.
func (s *Server) newChain(config *Config) *chain {
	return &chain{
		conns:        config.Connections,
		proxies:      config.Proxies,
		probes:       shares.NewLimiter("health requests", probeLimits),
		unusedBodies: newUnusedBodies(s.clock),
		requests:     rest.NewRequestLimiter(),
		reads:        shares.NewRates("reads", config.ReadsPerSecond),
		writes:       shares.NewRates("writes", config.WritesPerSecond),
		reasons: map[string]func(*http.Request) error{
			"caches": func(*http.Request) error {
				if !s.cluster.Synced() {
					return errors.New("the caches of runs and pods are being filled")
				}
				return nil
			},
			"outcome-store": func(*http.Request) error { return s.store.Ready() },
		},
	}
}

// newREST returns the documented API.
func (s *Server) newREST(config *Config, store measured, callers *identity.Callers, chain *chain, code *core.Code, writer *writes.Writer, rules *identity.Rules) *rest.API {
	var namespaces identity.Namespaces = s.cluster.Namespaces
	if config.IgnoreTenants {
		namespaces = identity.WithoutTenants(namespaces)
	}
	return rest.New(rest.Config{
		Cluster:      s.cluster,
		Writer:       writer,
		Catalogue:    core.NewCatalogue(s.cluster.Images, config.CatalogueNamespace),
		Code:         code,
		Inputs:       s.cluster.Inputs,
		Outcomes:     outcomes.NewReader(store),
		Reachability: core.NewReachability(s.cluster.Client, s.clock),
		Callers:      callers,
		Tenancy:      identity.NewTenancy(namespaces, config.DefaultNamespace),
		Rules:        rules,
		Prices:       config.Prices,
		Reads:        chain.reads,
		Writes:       chain.writes,
		Requests:     chain.requests,
		Connected: func(r *http.Request, caller, namespace string) error {
			return chain.connected(r, caller, namespace, true)
		},
		Alive:   s.cluster.Namespaces.Alive,
		Recheck: config.Recheck,
		Synced:  s.cluster.Synced,
		Clock:   s.clock,
	})
}

// Run serves until ctx ends and the server has drained. Discovery is served at once; all other requests once the caches are filled and the
// store is open. Another server can still hold the store's lock until then.
func (s *Server) Run(ctx context.Context) error {
	// Background work continues until the last request has been answered.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var group sync.WaitGroup
	group.Go(func() { s.cluster.Run(background) })
	group.Go(func() { s.work(background) })
	group.Go(func() { s.drainWhenDone(ctx, background) })
	err := s.generic.PrepareRun().RunWithContext(ctx)
	stop()
	group.Wait()
	return errors.Join(err, s.store.Close())
}

// work runs the background work once the store is open and the caches are filled.
func (s *Server) work(ctx context.Context) {
	if !s.openStore(ctx) || !s.waitForCaches(ctx) {
		return
	}
	klog.FromContext(ctx).Info("The outcome store is open and the caches are filled")
	var group sync.WaitGroup
	group.Go(func() { s.exchange.Run(ctx) })
	group.Go(func() { s.watcher.Run(ctx) })
	group.Go(func() { s.startupLogs.Run(ctx) })
	group.Go(func() { s.reporter.Run(ctx, reporters) })
	group.Go(func() { s.sweeper.Run(ctx) })
	group.Go(func() { s.uploadSweeper.Run(ctx) })
	group.Go(func() { quotas.Measure(ctx, s.store, s.clock) })
	group.Wait()
}

// openStore opens the store, and retries until no other server has locked the file or the database is reachable.
func (s *Server) openStore(ctx context.Context) bool {
	for {
		err := s.store.Open(ctx)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		klog.FromContext(ctx).Error(err, "Opening the outcome store failed and will be retried", "interval", openRetry)
		if !s.sleep(ctx, openRetry) {
			return false
		}
	}
}

func (s *Server) waitForCaches(ctx context.Context) bool {
	for !s.cluster.Synced() {
		if !s.sleep(ctx, 50*time.Millisecond) {
			return false
		}
	}
	return true
}

// drainWhenDone ends open calls of workers and streams after the drain time, in which load balancers stop selecting this server.
func (s *Server) drainWhenDone(ctx, background context.Context) {
	select {
	case <-ctx.Done():
	case <-background.Done():
		return
	}
	s.sleep(background, s.drain)
	s.exchange.Drain()
	s.end()
}

func (s *Server) sleep(ctx context.Context, d time.Duration) bool {
	timer := s.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C():
		return true
	}
}

func (s *Server) known(uid types.UID) bool {
	_, ok := s.cluster.Runs.CachedUID(uid)
	return ok
}

// referencedUploads returns the uploads that the cached runs reference.
func (s *Server) referencedUploads() (map[[2]string]bool, error) {
	if !s.cluster.Synced() {
		return nil, errors.New("the caches of runs are being filled")
	}
	referenced := map[[2]string]bool{}
	for _, run := range s.cluster.Runs.List() {
		if v1alpha1.DecodeError(run) != "" {
			referenced[[2]string{run.Namespace, uploads.AnyUpload}] = true // any upload: its reference cannot be decoded
			continue
		}
		if from := run.Spec.ParametersFrom; from != nil && from.Upload != nil {
			referenced[[2]string{run.Namespace, from.Upload.Digest}] = true
		}
	}
	return referenced, nil
}
