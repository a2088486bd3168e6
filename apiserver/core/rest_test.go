package core

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

func TestAPIErrorsAreClassified(t *testing.T) {
	gr := v1alpha1.Resource("functions")
	for name, tc := range map[string]struct{ err, want error }{
		"not found":      {apierrors.NewNotFound(gr, "x"), ErrNotFound},
		"no connection":  {errors.New("dial tcp: connection refused"), ErrUnavailable},
		"no answer":      {context.DeadlineExceeded, ErrUnavailable},
		"overloaded":     {apierrors.NewTooManyRequests("later", 1), ErrUnavailable},
		"internal error": {apierrors.NewInternalError(errors.New("x")), ErrUnavailable},
		"starting":       {apierrors.NewServiceUnavailable("x"), ErrUnavailable},
		"cancelled":      {context.Canceled, context.Canceled},
	} {
		if got := APIError("reading", fmt.Errorf("wrapped: %w", tc.err)); !errors.Is(got, tc.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := APIError("reading", apierrors.NewForbidden(gr, "x", errors.New("quota"))); !apierrors.IsForbidden(got) {
		t.Errorf("a 403 must be returned unchanged: %v", got)
	}
}

func TestCodeOfAFunction(t *testing.T) {
	revision := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "space", Name: "f-1", Labels: map[string]string{v1alpha1.LabelFunctionUID: idA}},
		Data: map[string]string{"handler.py": "from a ConfigMap"}}
	other := revision.DeepCopy()
	other.Name, other.Labels = "secret", nil
	reader := newGets(t, revision, other)
	code := NewCode(reader)
	from := func(revision string) *v1alpha1.Function {
		return makeFunction("f", idA, "1", func(f *v1alpha1.Function) {
			f.Spec.Runtime = "python311"
			f.Spec.CodeFrom = &v1alpha1.CodeSource{}
			if revision != "" {
				f.Status.Revision = &v1alpha1.FunctionRevision{Name: revision}
			}
		})
	}
	own := "its own"
	for name, tc := range map[string]struct {
		function *v1alpha1.Function
		want     string
	}{
		"in the Function":                         {makeFunction("f", idA, "1", func(f *v1alpha1.Function) { f.Spec.Code = &own }), own},
		"in its revision":                         {from("f-1"), "from a ConfigMap"},
		"without a revision":                      {from(""), ""},
		"in a deleted revision":                   {from("gone"), ""},
		"in a ConfigMap that is not its revision": {from("secret"), ""},
	} {
		if got, err := code.Of(t.Context(), tc.function); got != tc.want || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	reads := reader.count
	if _, err := code.Of(t.Context(), from("f-1")); err != nil || reader.count != reads {
		t.Errorf("cached code is read again: %d reads, %v", reader.count-reads, err)
	}
}

func TestImagesOfTheCatalogue(t *testing.T) {
	clk := clocktesting.NewFakeClock(time.Now())
	cache := NewCache[*v1alpha1.FunctionImage](clk, nil)
	for i, where := range []string{"catalogue/python", "catalogue/node", "space/python", "other/secret"} {
		namespace, name, _ := strings.Cut(where, "/")
		image := &v1alpha1.FunctionImage{}
		image.Namespace, image.Name, image.UID = namespace, name, types.UID(where)
		image.ResourceVersion = fmt.Sprint(i + 1)
		image.CreationTimestamp = metav1.NewTime(time.Unix(int64(1000+i), 0))
		cache.AddWritten(image)
	}
	catalogue := NewCatalogue(cache, "catalogue")
	uids := func(own bool) []string {
		list := []string{}
		for _, image := range catalogue.List("space", own) {
			list = append(list, string(image.UID))
		}
		return list
	}
	if diff := cmp.Diff([]string{"space/python", "catalogue/node"}, uids(true)); diff != "" {
		t.Errorf("the namespace's image is preferred (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"catalogue/node", "catalogue/python"}, uids(false)); diff != "" {
		t.Errorf("without the right to list the namespace's images (-want +got):\n%s", diff)
	}
	if image, ok := catalogue.Named("space", "python"); !ok || image.UID != "space/python" {
		t.Errorf("%v", image)
	}
	if _, shadowed, found := catalogue.Get("space", "catalogue/python", true); !found || shadowed == nil || shadowed.UID != "space/python" {
		t.Errorf("shadowed by %v, found %v", shadowed, found)
	}
	if _, _, found := catalogue.Get("space", "space/python", false); found {
		t.Error("an image that the caller may not see is found")
	}
	if _, _, found := catalogue.Get("space", "other/secret", true); found {
		t.Error("another tenant's image is found")
	}
}

func TestNodesAndTheirGPUs(t *testing.T) {
	informer := idle(&corev1.Node{})
	nodes := &Nodes{informer: informer, resource: "nvidia.com/gpu", label: "product"}
	node := func(name, product string, change ...func(*corev1.Node)) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name), Labels: map[string]string{"product": product, "other": "x"},
			CreationTimestamp: metav1.NewTime(time.Unix(1000, 0))}}
		n.Status.Allocatable = corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("1")}
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeDiskPressure, Status: corev1.ConditionTrue}, {Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		n.Status.Images = []corev1.ContainerImage{{Names: []string{"docker.io/sharedcloud/python:latest"}}}
		for _, act := range change {
			act(n)
		}
		return slimmedNode(n, "product")
	}
	add(t, informer,
		node("a", "Tesla-T4"),
		node("b", "Tesla-T4", func(n *corev1.Node) { n.CreationTimestamp = metav1.NewTime(time.Unix(10, 0)) }),
		node("c", "Tesla-K80", func(n *corev1.Node) { n.Spec.Unschedulable = true }),
		node("d", "", func(n *corev1.Node) { n.Status.Images = nil }))
	type gpu struct {
		Product   string
		Available bool
		Created   int64
	}
	var got []gpu
	for _, g := range nodes.GPUs() {
		got = append(got, gpu{g.Product, g.Available, g.Created.Unix()})
	}
	if diff := cmp.Diff([]gpu{{"Tesla-K80", false, 1000}, {"Tesla-T4", true, 10}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for path, want := range map[string]int{"sharedcloud/python": 3, "sharedcloud/python:latest": 3, "docker.io/sharedcloud/python:latest": 3, "sharedcloud/python:1": 0, "not a reference": 0} {
		if got := nodes.WithImage(path); got != want {
			t.Errorf("%d nodes have %s, want %d", got, path, want)
		}
	}
	if nodes.UID("a") != "uid-a" || nodes.UID("z") != "" {
		t.Errorf("%q %q", nodes.UID("a"), nodes.UID("z"))
	}
}

func TestTenantsOfNamespaces(t *testing.T) {
	for text, want := range map[string][]string{
		"user:alice, group:vision": {"user:alice", "group:vision"},
		"user:alice,,bob":          {"user:alice"},
		"":                         nil,
	} {
		got, err := indexByTenant(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{v1alpha1.AnnotationTenants: text}}})
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%q: %v (-want +got):\n%s", text, err, diff)
		}
	}
	if got, err := indexByTenant("nonsense"); got != nil || err != nil {
		t.Errorf("%v %v", got, err)
	}
}

func TestPrices(t *testing.T) {
	prices, err := ParsePrices([]string{"Tesla-T4=0.6", " A100 = 3 "})
	if err != nil {
		t.Fatal(err)
	}
	if got := prices.Cost("Tesla-T4", 2, 30*time.Second); got != 0.6 {
		t.Errorf("the cost of half a minute on two GPUs is %v", got)
	}
	if got := prices.Cost("other", 8, time.Hour); got != 0 {
		t.Errorf("the cost of a product without a price is %v", got)
	}
	for _, bad := range []string{"", "x", "=1", "x=", "x=y", "x=-1", "x=Inf", "x=NaN"} {
		if _, err := ParsePrices([]string{bad}); err == nil {
			t.Errorf("%q is accepted as a price", bad)
		}
	}
}

func TestReachabilitySharesOneRequestPerSecond(t *testing.T) {
	clk := clocktesting.NewFakeClock(time.Now())
	reader := newGets(t)
	away := &switched{gets: reader}
	reachability := NewReachability(away, clk)
	for range 5 {
		if err := reachability.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if away.lists != 1 {
		t.Errorf("%d requests within a second", away.lists)
	}
	away.err = errors.New("connection refused")
	clk.Step(reachableFor)
	if err := reachability.Check(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("while the API is unreachable: %v", err)
	}
	away.err = nil
	if err := reachability.Check(t.Context()); err != nil {
		t.Errorf("after the API became reachable: %v", err)
	}
}

// switched is an API that can be made unreachable.
type switched struct {
	*gets
	err   error
	lists int
}

// List implements client.Reader.
func (s *switched) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	s.lists++
	if s.err != nil {
		return s.err
	}
	return s.gets.List(ctx, list, opts...)
}
