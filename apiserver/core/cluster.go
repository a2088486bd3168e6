package core

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	corev1 "k8s.io/api/core/v1"

	"sharedcloud.io/function-operator/api/shallow"
	"sharedcloud.io/function-operator/api/v1alpha1"
)

// NewScheme returns a scheme with what the API server reads and writes.
func NewScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	return scheme
}

// NewClient makes a client that reads and writes live. It knows where its few kinds are by itself: asking the API for
// them would make the start depend on the discovery of every other API server of the cluster.
func NewClient(config *rest.Config, scheme *runtime.Scheme) (client.Client, error) {
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, kind := range []string{"Function", "FunctionImage", "FunctionRun"} {
		mapper.Add(v1alpha1.GroupVersion.WithKind(kind), meta.RESTScopeNamespace)
	}
	for _, kind := range []string{"Pod", "ConfigMap", "Event", "ServiceAccount"} {
		mapper.Add(corev1.SchemeGroupVersion.WithKind(kind), meta.RESTScopeNamespace)
	}
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Node"), meta.RESTScopeRoot)
	config = rest.CopyConfig(config)
	config.Wrap(shallow.RoundTripper)
	c, err := client.New(config, client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		return nil, fmt.Errorf("making a client of the Kubernetes API: %w", err)
	}
	return c, nil
}

// Cluster is what the API server knows of the cluster.
type Cluster struct {
	Client client.Client
	// Runs and Inputs are what the exchange asks; Pods say what became of workers.
	Runs   *Runs
	Pods   *Pods
	Inputs *Inputs
	// Functions, Images and FunctionRuns are what REST asks. FunctionRuns are the same objects as in Runs, found by
	// functionKey, and by the part of their uuids that jobs have.
	Functions    *Cache[*v1alpha1.Function]
	Images       *Cache[*v1alpha1.FunctionImage]
	FunctionRuns *Cache[*v1alpha1.FunctionRun]
	Nodes        *Nodes
	Namespaces   *Namespaces

	informers []toolscache.SharedIndexInformer
	synced    []toolscache.InformerSynced
}

// NewCluster makes the caches. Run fills them. uploads are inputs that are kept elsewhere, gpus is the resource by which pods ask for GPUs, and productLabel the label
// of a node that says which product they are.
func NewCluster(config *rest.Config, uploads Uploads, inputsBytes int64, gpus corev1.ResourceName, productLabel string, clk clock.WithTicker) (*Cluster, error) {
	scheme := NewScheme()
	live, err := NewClient(config, scheme)
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		Client:       live,
		Inputs:       NewInputs(live, uploads, inputsBytes),
		Functions:    NewCache[*v1alpha1.Function](clk, nil),
		Images:       NewCache[*v1alpha1.FunctionImage](clk, nil),
		FunctionRuns: NewCache(clk, runKeys).ClaimedBy(v1alpha1.JobUUIDPrefix),
	}
	nodes := nodeSource
	nodes.transform = slimNode(productLabel)
	made := map[string]toolscache.SharedIndexInformer{}
	for _, s := range []source{runSource, podSource, functionSource, imageSource, nodes, namespaceSource} {
		informer, err := s.informer(config, scheme)
		if err != nil {
			return nil, err
		}
		made[s.resource] = informer
		c.informers = append(c.informers, informer)
		c.synced = append(c.synced, informer.HasSynced)
	}
	c.Nodes = &Nodes{informer: made[nodeSource.resource], resource: gpus, label: productLabel}
	c.Namespaces = &Namespaces{informer: made[namespaceSource.resource]}
	if c.Runs, err = NewRuns(made[runSource.resource], live, clk); err != nil {
		return nil, err
	}
	if c.Pods, err = NewPods(made[podSource.resource], live, clk); err != nil {
		return nil, err
	}
	return c, errors.Join(
		feed(c, c.Functions, made[functionSource.resource]),
		feed(c, c.Images, made[imageSource.resource]),
		feed(c, c.FunctionRuns, made[runSource.resource]))
}

// feed fills a table from an informer; the cluster is not synced before it is full.
func feed[T client.Object](c *Cluster, table *Cache[T], informer toolscache.SharedIndexInformer) error {
	registration, err := table.Feed(informer)
	if err != nil {
		return err
	}
	c.synced = append(c.synced, registration.HasSynced)
	return nil
}

// Run keeps the caches filled until ctx ends. While the Kubernetes API does not answer they keep what they have.
func (c *Cluster) Run(ctx context.Context) {
	var group sync.WaitGroup
	for _, informer := range c.informers {
		group.Go(func() { informer.RunWithContext(ctx) })
	}
	group.Wait()
}

// Synced says whether the caches and the tables have seen everything once.
func (c *Cluster) Synced() bool {
	return !slices.ContainsFunc(c.synced, func(synced toolscache.InformerSynced) bool { return !synced() })
}
