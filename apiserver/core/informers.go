package core

import (
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"

	"sharedcloud.io/function-operator/api/shallow"
	"sharedcloud.io/function-operator/api/v1alpha1"
)

// resync is 0: events report all changes, and the reconcilers' periodic passes find what was missed.
const resync time.Duration = 0

// source describes what an informer watches and what its cache keeps.
type source struct {
	path      string // of the API, /api or /apis
	version   schema.GroupVersion
	resource  string
	object    runtime.Object
	transform toolscache.TransformFunc
	selector  string // by labels; "" for all
	indexers  toolscache.Indexers
}

var (
	// runSource drops the inputs before the cache stores a run.
	runSource      = source{path: "/apis", version: v1alpha1.GroupVersion, resource: "functionruns", object: &v1alpha1.FunctionRun{}, transform: slimRun}
	functionSource = source{path: "/apis", version: v1alpha1.GroupVersion, resource: "functions", object: &v1alpha1.Function{}, transform: slimFunction}
	imageSource    = source{path: "/apis", version: v1alpha1.GroupVersion, resource: "functionimages", object: &v1alpha1.FunctionImage{}, transform: slimImage}
	// podSource selects the pods of runs.
	podSource       = source{path: "/api", version: corev1.SchemeGroupVersion, resource: "pods", object: &corev1.Pod{}, transform: slimPod, selector: v1alpha1.LabelRunUID}
	nodeSource      = source{path: "/api", version: corev1.SchemeGroupVersion, resource: "nodes", object: &corev1.Node{}}
	namespaceSource = source{path: "/api", version: corev1.SchemeGroupVersion, resource: "namespaces", object: &corev1.Namespace{}, transform: slimNamespace,
		indexers: toolscache.Indexers{indexTenant: indexByTenant}}
)

// informer returns an informer of the source's objects in all namespaces.
func (s source) informer(config *rest.Config, scheme *runtime.Scheme) (toolscache.SharedIndexInformer, error) {
	restClient, err := restClientFor(config, scheme, s.path, s.version)
	if err != nil {
		return nil, err
	}
	listWatch := toolscache.NewFilteredListWatchFromClient(restClient, s.resource, metav1.NamespaceAll, func(options *metav1.ListOptions) {
		options.LabelSelector = s.selector
	})
	indexers := toolscache.Indexers{indexUID: indexByUID}
	maps.Copy(indexers, s.indexers)
	informer := toolscache.NewSharedIndexInformer(listWatch, s.object, resync, indexers)
	return informer, informer.SetTransform(s.transform)
}

// indexUID is the index by metadata.uid.
const indexUID = "uid"

func indexByUID(obj any) ([]string, error) {
	object, ok := obj.(metav1.Object)
	if !ok {
		return nil, nil
	}
	return []string{string(object.GetUID())}, nil
}

func restClientFor(config *rest.Config, scheme *runtime.Scheme, apiPath string, gv schema.GroupVersion) (rest.Interface, error) {
	config = rest.CopyConfig(config)
	config.Wrap(shallow.RoundTripper)
	config.APIPath = apiPath
	config.GroupVersion = &gv
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("creating a client for %s: %w", gv, err)
	}
	return client, nil
}

// lookup returns the object with the name from an informer's cache.
func lookup[T any](informer toolscache.SharedIndexInformer, namespace, name string) (T, bool) {
	var none T
	obj, exists, err := informer.GetStore().GetByKey(namespace + "/" + name)
	if err != nil || !exists {
		return none, false
	}
	typed, ok := obj.(T)
	return typed, ok
}

// lookupUID returns the object with the uid from an informer's cache.
func lookupUID[T any](informer toolscache.SharedIndexInformer, uid types.UID) (T, bool) {
	var none T
	objs, err := informer.GetIndexer().ByIndex(indexUID, string(uid))
	if err != nil || len(objs) == 0 {
		return none, false
	}
	typed, ok := objs[0].(T)
	return typed, ok
}
