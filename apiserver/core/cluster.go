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

// NewScheme returns a scheme with the types that the API server reads and writes.
func NewScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	return scheme
}

// NewClient returns a client without a cache. Its REST mapping is static: with discovery, the server could not start while another
// aggregated API server of the cluster is unavailable.
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
		return nil, fmt.Errorf("creating a client of the Kubernetes API: %w", err)
	}
	return c, nil
}

// Cluster is the API server's view of the cluster: a client and caches.
type Cluster struct {
	Client client.Client
	// The exchange uses Runs and Inputs, and reads from Pods how workers ended.
	Runs   *Runs
	Pods   *Pods
	Inputs *Inputs
	// REST uses Functions, Images and FunctionRuns. FunctionRuns contains the same objects as Runs, indexed by functionKey and by the
	// part of their uuids that the uuids of their jobs share.
	Functions    *Cache[*v1alpha1.Function]
	Images       *Cache[*v1alpha1.FunctionImage]
	FunctionRuns *Cache[*v1alpha1.FunctionRun]
	Nodes        *Nodes
	Namespaces   *Namespaces

	informers []toolscache.SharedIndexInformer
	synced    []toolscache.InformerSynced
}

// NewCluster returns empty caches, which Run fills. uploads are the inputs in the outcome store, gpus is the resource with which pods
// request GPUs, and productLabel the node label that contains the GPU product.
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
	informers := map[string]toolscache.SharedIndexInformer{}
	for _, s := range []source{runSource, podSource, functionSource, imageSource, nodes, namespaceSource} {
		informer, err := s.informer(config, scheme)
		if err != nil {
			return nil, err
		}
		informers[s.resource] = informer
		c.informers = append(c.informers, informer)
		c.synced = append(c.synced, informer.HasSynced)
	}
	c.Nodes = &Nodes{informer: informers[nodeSource.resource], resource: gpus, label: productLabel}
	c.Namespaces = &Namespaces{informer: informers[namespaceSource.resource]}
	if c.Runs, err = NewRuns(informers[runSource.resource], live, clk); err != nil {
		return nil, err
	}
	if c.Pods, err = NewPods(informers[podSource.resource], live, clk); err != nil {
		return nil, err
	}
	return c, errors.Join(
		fillFrom(c, c.Functions, informers[functionSource.resource]),
		fillFrom(c, c.Images, informers[imageSource.resource]),
		fillFrom(c, c.FunctionRuns, informers[runSource.resource]))
}

// fillFrom fills a cache from an informer. The cluster is not synced before the cache has all objects of the first list.
func fillFrom[T client.Object](c *Cluster, cache *Cache[T], informer toolscache.SharedIndexInformer) error {
	registration, err := cache.FillFrom(informer)
	if err != nil {
		return err
	}
	c.synced = append(c.synced, registration.HasSynced)
	return nil
}

// Run keeps the caches up to date until ctx ends. While the Kubernetes API is unreachable, they keep their content.
func (c *Cluster) Run(ctx context.Context) {
	var group sync.WaitGroup
	for _, informer := range c.informers {
		group.Go(func() { informer.RunWithContext(ctx) })
	}
	group.Wait()
}

// Synced reports whether all caches have received their first list.
func (c *Cluster) Synced() bool {
	return !slices.ContainsFunc(c.synced, func(synced toolscache.InformerSynced) bool { return !synced() })
}
