package core

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// idle returns an informer without events, which a test fills.
func idle(object runtime.Object) toolscache.SharedIndexInformer {
	return toolscache.NewSharedIndexInformer(&toolscache.ListWatch{
		ListWithContextFunc:  func(context.Context, metav1.ListOptions) (runtime.Object, error) { return &metav1.List{}, nil },
		WatchFuncWithContext: func(context.Context, metav1.ListOptions) (watch.Interface, error) { return watch.NewFake(), nil },
	}, object, 0, toolscache.Indexers{indexUID: indexByUID})
}

func makeRun(name string, uid types.UID, version string) *v1alpha1.FunctionRun {
	run := &v1alpha1.FunctionRun{}
	run.Namespace, run.Name, run.UID, run.ResourceVersion = "space", name, uid, version
	run.Spec.FunctionRef.Name = "f"
	run.Spec.Parameters = []v1alpha1.Input{{{Raw: []byte("1")}}, {{Raw: []byte("2")}}}
	return run
}

// gets is a fake API that counts reads.
type gets struct {
	client.Client
	count int
	// before is called before each read.
	before func()
}

func newGets(t *testing.T, objects ...client.Object) *gets {
	t.Helper()
	g := &gets{}
	g.Client = fake.NewClientBuilder().WithScheme(NewScheme()).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			g.count++
			if g.before != nil {
				g.before()
			}
			return c.Get(ctx, key, obj, opts...)
		},
	}).Build()
	return g
}

func add(t *testing.T, informer toolscache.SharedIndexInformer, objects ...any) {
	t.Helper()
	for _, object := range objects {
		if err := informer.GetIndexer().Add(object); err != nil {
			t.Fatal(err)
		}
	}
}
