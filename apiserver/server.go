// Package apiserver is the extension API server: the exchange for workers, and the aggregated API for people.
//
//	server.go, generic.go   construction, from the port that opens to the store that is closed
//	front.go, places.go     the handlers that all frontends have in common, and how many requests they serve at once
//	guard.go                the checks of requests before any frontend has them
//	recheck.go              long requests are authorized again while they last
//	store.go                the store with metrics, and adapters between packages
//	probes.go, metrics.go   health, readiness and metrics
//	quiet.go                log lines that are omitted
//	openapi*.go, rbac.go    markers of generators and the OpenAPI document of the aggregated API
//
// What must not be here: the behaviour of one of the packages that it connects: options (flags), identity, connections and shares
// (who calls, and what a caller may do and take), core and writes (the cluster), the frontends rest, subresources and work, workers,
// uploads, quotas, report and outcomes (the store).
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
	// reporters is how many runs' progress is written at a time.
	reporters = 4
	// openRetry is how soon the store is tried again after an error.
	openRetry = 5 * time.Second
)

// Config is what a server is made of.
type Config struct {
	// Generic is the library's configuration, from NewGenericConfig, with its port and its delegated authentication and
	// authorization.
	Generic *genericapiserver.Config
	// ClientConfig is how the Kubernetes API is reached.
	ClientConfig *clientrest.Config
	// Store says at which URL the outcome store is.
	Store outcomes.Source
	// LeaseDuration is for how long an input is a worker's that does not call.
	LeaseDuration time.Duration
	// SweepInterval is how far apart a run must be seen gone twice before its outcomes are deleted.
	SweepInterval time.Duration
	// InputsBytes bounds the inputs that are kept in memory.
	InputsBytes int64
	// UploadBytes is how much inputs that are uploaded at once may have.
	UploadBytes int64
	// Quotas are what each namespace may have in the outcome store, unless an annotation says otherwise.
	Quotas quotas.Limits
	// ResultBytes and OutputBytes bound what an outcome may hold.
	ResultBytes, OutputBytes int
	// GPUProductLabel is the label of a node that says what GPUs it has.
	GPUProductLabel string
	// CatalogueNamespace is the namespace of the FunctionImages that all functions may use; DefaultNamespace is where
	// callers of REST work to whom no namespace belongs, "" for nowhere.
	CatalogueNamespace, DefaultNamespace string
	// IgnoreTenants says that the annotation sharedcloud.io/tenants of a namespace counts for nothing.
	IgnoreTenants bool
	// GPUResource is the resource by which pods ask for GPUs; Prices are what a minute of one costs.
	GPUResource corev1.ResourceName
	Prices      core.Prices
	// ReadsPerSecond and WritesPerSecond are what one caller of REST may ask for.
	ReadsPerSecond, WritesPerSecond float64
	// Drain is for how long the server goes on serving after it was told to end.
	Drain time.Duration
	// Connections is the listener of the generic configuration, nil if connections are not counted. Proxies are the networks whose
	// X-Forwarded-For is trusted.
	Connections *connections.Listener
	Proxies     connections.Proxies
	// MaxConnections bounds the calls of workers.
	MaxConnections int
	// Recheck is how often a stream or an upload is authorized again.
	Recheck time.Duration
	// Clock is the time; nil for the real one.
	Clock clock.WithTicker
}

// Defaults are the values of what flags may change.
func Defaults() Config {
	return Config{
		LeaseDuration:      work.DefaultLease,
		SweepInterval:      time.Hour,
		InputsBytes:        128 << 20,
		UploadBytes:        uploads.DefaultMostBytes,
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
	generic  *genericapiserver.GenericAPIServer
	cluster  *core.Cluster
	store    outcomes.Database
	exchange *work.Exchange
	watcher  *workers.Watcher
	births   *workers.Births
	reporter *report.Reporter
	sweeper  *report.Sweeper
	uploads  *uploads.Store
	unused   *uploads.Sweeper
	drain    time.Duration
	clock    clock.WithTicker
	// ending is cancelled when requests that take their time shall come to their end.
	ending context.Context
	end    context.CancelFunc
}

// New makes a server. It starts nothing but the port that the configuration has opened.
func New(config *Config) (*Server, error) {
	s := &Server{drain: config.Drain, clock: config.Clock}
	if s.clock == nil {
		s.clock = clock.RealClock{}
	}
	s.ending, s.end = context.WithCancel(context.Background())
	var err error
	if s.store, err = outcomes.At(config.Store); err != nil {
		return nil, err
	}
	store := measured{s.store}
	quota := quotas.New(config.Quotas, namespacesOf{s}, s.clock)
	s.uploads = uploads.New(store, quota, config.UploadBytes, config.InputsBytes, s.clock)
	if s.cluster, err = core.NewCluster(config.ClientConfig, s.uploads, config.InputsBytes, config.GPUResource, config.GPUProductLabel, s.clock); err != nil {
		return nil, err
	}
	podExits := workers.NewPodExits(s.cluster.Pods)
	s.births = workers.NewBirths(s.cluster.Client, store, config.GPUProductLabel, s.clock)
	// The reporter needs the exchange, and the exchange tells the reporter: it does so only when it runs.
	s.exchange = work.NewExchange(store, workers.NewRuns(s.cluster.Runs), workers.NewInputs(s.cluster.Inputs), podExits, work.Options{
		Lease:   config.LeaseDuration,
		Limits:  exchange.Limits{ResultBytes: config.ResultBytes, OutputBytes: config.OutputBytes},
		Clock:   s.clock,
		Quotas:  quota,
		Changed: func(run types.UID) { s.reporter.Enqueue(run) },
		Joined:  s.births.Joined,
	})
	s.reporter = report.NewReporter(s.cluster.Runs, s.exchange, s.cluster.Client, workers.RunOf, s.clock)
	if _, err := s.reporter.Watch(s.cluster.Runs.Informer()); err != nil {
		return nil, err
	}
	if s.watcher, err = workers.NewWatcher(s.cluster, podExits, s.exchange, store, s.clock); err != nil {
		return nil, err
	}
	s.sweeper = report.NewSweeper(stored{s.exchange, store}, s.cluster.Client, s.known, s.cluster.Inputs.Forget, config.SweepInterval, s.clock)
	s.unused = uploads.NewSweeper(s.uploads, s.namedUploads, config.SweepInterval, s.clock)
	return s, s.serveWith(config, store)
}

// serveWith puts the faces in front of it all.
func (s *Server) serveWith(config *Config, store measured) error {
	// The budgets of package identity bound the reviews. A rate limit of the client would make known tokens wait for unknown ones.
	unthrottled := clientrest.CopyConfig(config.ClientConfig)
	unthrottled.QPS = -1
	reviews, err := authenticationv1client.NewForConfig(unthrottled)
	if err != nil {
		return fmt.Errorf("making a client for TokenReviews: %w", err)
	}
	tokens, err := identity.NewPodTokens(reviews)
	if err != nil {
		return err
	}
	callers := workers.NewCallers(tokens, s.cluster.Pods, s.cluster.Runs, s.clock)
	exchange := instrument(work.Handler(s.exchange, newPlaced(callers, config.Connections, config.MaxConnections)))

	generic := config.Generic
	code := core.NewCode(s.cluster.Client)
	rules := identity.NewRules(config.Generic.Authorization.Authorizer, s.clock)
	writer := writes.New(s.cluster, code, rules, s.clock)
	people := identity.NewCallers(reviews, s.clock)
	front := s.newFront(config)
	face := s.newREST(config, store, people, front, code, writer, rules)
	generic.Authentication.Authenticator = identity.RefuseAnonymous(identity.ReviewedTokens(generic.Authentication.Authenticator, people), probePaths...)
	generic.Authorization.Authorizer = identity.OwnRules(
		identity.ResourceRules(generic.Authorization.Authorizer, subresources.GroupName, subresources.Rules), rest.GroupVersion.Group)
	recheck := &rechecker{interval: config.Recheck, authorizer: generic.Authorization.Authorizer, callers: people, reader: s.cluster.Client, alive: s.cluster.Namespaces.Alive}
	front.recheck = recheck.wrap
	generic.BuildHandlerChainFunc = front.build(exchange, face.Handler())
	for name, check := range front.reasons {
		generic.AddReadyzChecks(healthz.NamedCheck(name, check))
	}
	if s.generic, err = generic.Complete(nil).New("sharedcloud-apiserver", genericapiserver.NewEmptyDelegate()); err != nil {
		return fmt.Errorf("making the server: %w", err)
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
	rest.Install(s.generic, face)
	return nil
}

// newFront makes the front, which handles every request before its frontend.
func (s *Server) newFront(config *Config) *front {
	return &front{
		conns:    config.Connections,
		proxies:  config.Proxies,
		probes:   shares.NewPlaces("requests for health", probePlaces),
		needless: newNeedless(s.clock),
		requests: rest.NewRequestPlaces(),
		reads:    shares.NewRates("reads", config.ReadsPerSecond),
		writes:   shares.NewRates("writes", config.WritesPerSecond),
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

// newREST makes the face of the documented API.
func (s *Server) newREST(config *Config, store measured, people *identity.Callers, front *front, code *core.Code, writer *writes.Writer, rules *identity.Rules) *rest.API {
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
		Callers:      people,
		Tenancy:      identity.NewTenancy(namespaces, config.DefaultNamespace),
		Rules:        rules,
		Prices:       config.Prices,
		Reads:        front.reads,
		Writes:       front.writes,
		Requests:     front.requests,
		Connected: func(r *http.Request, caller, namespace string) error {
			return front.connected(r, caller, namespace, true)
		},
		Alive:   s.cluster.Namespaces.Alive,
		Recheck: config.Recheck,
		Synced:  s.cluster.Synced,
		Clock:   s.clock,
	})
}

// Run serves until ctx ends and then until everybody has noticed. It answers discovery at once; all else when the caches
// are filled and the store is open, which may be another server's still.
func (s *Server) Run(ctx context.Context) error {
	// What is done beside requests goes on until the last of them is answered.
	beside, stop := context.WithCancel(context.WithoutCancel(ctx))
	var group sync.WaitGroup
	group.Go(func() { s.cluster.Run(beside) })
	group.Go(func() { s.work(beside) })
	group.Go(func() { s.drainWhenDone(ctx, beside) })
	err := s.generic.PrepareRun().RunWithContext(ctx)
	stop()
	group.Wait()
	return errors.Join(err, s.store.Close())
}

// work does what is done beside requests, as soon as there is something to do it with.
func (s *Server) work(ctx context.Context) {
	if !s.openStore(ctx) || !s.waitForCaches(ctx) {
		return
	}
	klog.FromContext(ctx).Info("The outcome store is open and the caches are filled")
	var group sync.WaitGroup
	group.Go(func() { s.exchange.Run(ctx) })
	group.Go(func() { s.watcher.Run(ctx) })
	group.Go(func() { s.births.Run(ctx) })
	group.Go(func() { s.reporter.Run(ctx, reporters) })
	group.Go(func() { s.sweeper.Run(ctx) })
	group.Go(func() { s.unused.Run(ctx) })
	group.Go(func() { quotas.Measure(ctx, s.store, s.clock) })
	group.Wait()
}

// openStore waits until the store can be used: until no other server has the file, or the database answers. What keeps it from opening may be mended meanwhile.
func (s *Server) openStore(ctx context.Context) bool {
	for {
		err := s.store.Open(ctx)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		klog.FromContext(ctx).Error(err, "The outcome store cannot be opened; it is tried again", "after", openRetry)
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

// drainWhenDone lets calls that are kept open and answers that follow a run come to their end, when whoever chooses
// between servers has had the time to choose another.
func (s *Server) drainWhenDone(ctx, beside context.Context) {
	select {
	case <-ctx.Done():
	case <-beside.Done():
		return
	}
	s.sleep(beside, s.drain)
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

// namedUploads are the uploads that runs name, by what the cache knows.
func (s *Server) namedUploads() (map[[2]string]bool, error) {
	if !s.cluster.Synced() {
		return nil, errors.New("the caches of runs are being filled")
	}
	named := map[[2]string]bool{}
	for _, run := range s.cluster.Runs.List() {
		if v1alpha1.DecodeError(run) != "" {
			named[[2]string{run.Namespace, uploads.AnyUpload}] = true // which one it names is not known
			continue
		}
		if from := run.Spec.ParametersFrom; from != nil && from.Upload != nil {
			named[[2]string{run.Namespace, from.Upload.Digest}] = true
		}
	}
	return named, nil
}
