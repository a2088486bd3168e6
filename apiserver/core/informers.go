package core

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"

	sharedcloudv1alpha1 "sharedcloud.io/function-operator/api/v1alpha1"
)

// resync is 0: what happened is in the events, and what was missed is found by the reconcilers' own rounds.
const resync time.Duration = 0

// newRunInformer watches all FunctionRuns. The inputs are dropped before anything is kept.
func newRunInformer(config *rest.Config, scheme *runtime.Scheme) (toolscache.SharedIndexInformer, error) {
	restClient, err := restClientFor(config, scheme, "/apis", sharedcloudv1alpha1.GroupVersion)
	if err != nil {
		return nil, err
	}
	listWatch := toolscache.NewFilteredListWatchFromClient(restClient, "functionruns", metav1.NamespaceAll, func(*metav1.ListOptions) {})
	informer := toolscache.NewSharedIndexInformer(listWatch, &sharedcloudv1alpha1.FunctionRun{}, resync, toolscache.Indexers{indexUID: indexByUID})
	return informer, informer.SetTransform(slimRun)
}

// newPodInformer watches the pods of runs: those with the label sharedcloud.io/run-uid.
func newPodInformer(config *rest.Config, scheme *runtime.Scheme) (toolscache.SharedIndexInformer, error) {
	restClient, err := restClientFor(config, scheme, "/api", corev1.SchemeGroupVersion)
	if err != nil {
		return nil, err
	}
	listWatch := toolscache.NewFilteredListWatchFromClient(restClient, "pods", metav1.NamespaceAll, func(options *metav1.ListOptions) {
		options.LabelSelector = sharedcloudv1alpha1.LabelRunUID
	})
	informer := toolscache.NewSharedIndexInformer(listWatch, &corev1.Pod{}, resync, toolscache.Indexers{indexUID: indexByUID})
	return informer, informer.SetTransform(slimPod)
}

// indexUID finds an object by metadata.uid.
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
	config.APIPath = apiPath
	config.GroupVersion = &gv
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("making a client for %s: %w", gv, err)
	}
	return client, nil
}

// lookup returns the object of a key from an informer's store.
func lookup[T any](informer toolscache.SharedIndexInformer, namespace, name string) (T, bool) {
	var none T
	obj, exists, err := informer.GetStore().GetByKey(namespace + "/" + name)
	if err != nil || !exists {
		return none, false
	}
	typed, ok := obj.(T)
	return typed, ok
}

// lookupUID returns the object of a uid from an informer's store.
func lookupUID[T any](informer toolscache.SharedIndexInformer, uid types.UID) (T, bool) {
	var none T
	objs, err := informer.GetIndexer().ByIndex(indexUID, string(uid))
	if err != nil || len(objs) == 0 {
		return none, false
	}
	typed, ok := objs[0].(T)
	return typed, ok
}
