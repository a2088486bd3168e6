package core

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	corev1 "k8s.io/api/core/v1"

	sharedcloudv1alpha1 "sharedcloud.io/function-operator/api/v1alpha1"
)

// NewScheme returns a scheme with what the API server reads and writes.
func NewScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(sharedcloudv1alpha1.AddToScheme(scheme))
	return scheme
}

// NewClient makes a client that reads and writes live. It knows where its few kinds are by itself: asking the API for
// them would make the start depend on the discovery of every other API server of the cluster.
func NewClient(config *rest.Config, scheme *runtime.Scheme) (client.Client, error) {
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(sharedcloudv1alpha1.GroupVersion.WithKind("FunctionRun"), meta.RESTScopeNamespace)
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Pod"), meta.RESTScopeNamespace)
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Event"), meta.RESTScopeNamespace)
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Node"), meta.RESTScopeRoot)
	c, err := client.New(config, client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		return nil, fmt.Errorf("making a client of the Kubernetes API: %w", err)
	}
	return c, nil
}

// Cluster is what the API server knows of the cluster.
type Cluster struct {
	Client client.Client
	Runs   *Runs
	Pods   *Pods
	Inputs *Inputs
}

// NewCluster makes the caches. Run fills them.
func NewCluster(config *rest.Config, inputsBytes int64, clock clock.Clock) (*Cluster, error) {
	scheme := NewScheme()
	c, err := NewClient(config, scheme)
	if err != nil {
		return nil, err
	}
	runInformer, err := newRunInformer(config, scheme)
	if err != nil {
		return nil, err
	}
	podInformer, err := newPodInformer(config, scheme)
	if err != nil {
		return nil, err
	}
	runs, err := NewRuns(runInformer, c, clock)
	if err != nil {
		return nil, err
	}
	pods, err := NewPods(podInformer, c, clock)
	if err != nil {
		return nil, err
	}
	return &Cluster{Client: c, Runs: runs, Pods: pods, Inputs: NewInputs(c, inputsBytes)}, nil
}

// Run keeps the caches filled until ctx ends. While the Kubernetes API does not answer they keep what they have.
func (c *Cluster) Run(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Pods.informer.RunWithContext(ctx)
	}()
	c.Runs.informer.RunWithContext(ctx)
	<-done
}

// Synced says whether the caches have seen everything once.
func (c *Cluster) Synced() bool { return c.Runs.Synced() && c.Pods.Synced() }
