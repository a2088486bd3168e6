// Command rest compares, on the local cluster with the operator deployed, the Functions API with the Kubernetes API for the
// same objects: the same client, TLS and a token on both sides, side by side. It prints ratios.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/hack/benchmark/figures"
)

const (
	// connections is the number of concurrent requests when rates are measured.
	connections = 16
	// rateFor is the duration of each measurement of a rate.
	rateFor = 4 * time.Second
	// codeBytes is the length of the code of each function in the long list.
	codeBytes = 1024
)

// bench has its own namespace and the token of a service account with the edit role in it.
type bench struct {
	admin     client.Client
	namespace string
	// functionsAPI and kube are the base addresses of the two sides.
	functionsAPI, kube side
	image              string // uuid of an image
	many               int
}

// side is one of the two APIs.
type side struct {
	url    string
	token  string
	client *http.Client
}

func main() {
	many := flag.Int("functions", 10000, "number of functions in the long list")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *many); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, many int) error {
	b, err := prepare(ctx, many)
	if err != nil {
		return err
	}
	defer func() {
		_ = b.admin.Delete(context.WithoutCancel(ctx), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: b.namespace}})
		_ = b.admin.Delete(context.WithoutCancel(ctx), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: b.namespace}})
		_ = b.admin.Delete(context.WithoutCancel(ctx), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: b.namespace}})
	}()
	for _, measure := range []func(context.Context) error{b.gets, b.creates, b.lists} {
		if err := measure(ctx); err != nil {
			return err
		}
	}
	return nil
}

// prepare makes the namespace, the caller and an image.
func prepare(ctx context.Context, many int) (*bench, error) {
	config, err := ctrl.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig (run `make bench`): %w", err)
	}
	config.QPS, config.Burst, config.WarningHandler = 2000, 4000, rest.NoWarnings{}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	admin, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, err
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "bench-"}}
	if err := admin.Create(ctx, namespace); err != nil {
		return nil, fmt.Errorf("creating a namespace: %w", err)
	}
	b := &bench{admin: admin, namespace: namespace.Name, many: many}
	subjects := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "bench", Namespace: b.namespace}}
	image := &v1alpha1.FunctionImage{
		ObjectMeta: metav1.ObjectMeta{Name: "python", Namespace: b.namespace},
		Spec:       v1alpha1.FunctionImageSpec{RegistryPath: "sharedcloud/python:latest", Runtime: "python311"},
	}
	for _, object := range []client.Object{
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "bench", Namespace: b.namespace}},
		&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "bench", Namespace: b.namespace}, Subjects: subjects,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edit"}},
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: b.namespace},
			Rules: []rbacv1.PolicyRule{{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}}}},
		&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: b.namespace}, Subjects: subjects,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: b.namespace}},
		image,
	} {
		if err := admin.Create(ctx, object); err != nil {
			return nil, fmt.Errorf("creating %s: %w", object.GetName(), err)
		}
	}
	b.image = string(image.UID)
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	request, err := clientset.CoreV1().ServiceAccounts(b.namespace).CreateToken(ctx, "bench", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("making a token: %w", err)
	}
	b.functionsAPI, b.kube, err = sides(config, request.Status.Token)
	return b, err
}

// request sends one request and reads the whole response.
func (s side) request(ctx context.Context, method, path, body string) (time.Duration, []byte, error) {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	request, err := http.NewRequestWithContext(ctx, method, s.url+path, reader)
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Authorization", "Bearer "+s.token)
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Accept-Encoding", "identity")
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	start := time.Now()
	response, err := s.client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	took := time.Since(start)
	if err == nil && response.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %d %.300s", method, path, response.StatusCode, data)
	}
	return took, data, err
}

// gets: GET of one function, one after the other and many at a time, direct and through the aggregator.
func (b *bench) gets(ctx context.Context) error {
	function := &v1alpha1.Function{
		ObjectMeta: metav1.ObjectMeta{Name: "one", Namespace: b.namespace},
		Spec:       v1alpha1.FunctionSpec{Runtime: "python311", Image: "python", Code: ptr.To("def handler(event): return 42\n")},
	}
	if err := b.admin.Create(ctx, function); err != nil {
		return err
	}
	ours, theirs := "/api/v1/functions/"+string(function.UID), b.functionsPath()+"/one"
	aggregated := "/apis/rest.sharedcloud.io/v1/functions/" + string(function.UID)
	if err := b.until(ctx, ours); err != nil {
		return err
	}
	var direct, kube, behind []time.Duration
	for range 1000 {
		for _, one := range []struct {
			side side
			path string
			into *[]time.Duration
		}{{b.functionsAPI, ours, &direct}, {b.kube, theirs, &kube}, {b.kube, aggregated, &behind}} {
			took, _, err := one.side.request(ctx, http.MethodGet, one.path, "")
			if err != nil {
				return err
			}
			*one.into = append(*one.into, took)
		}
	}
	figures.Figure{Name: "GET of a function by uuid, p50 / kube-apiserver's GET of the same object", Ours: median(direct), Theirs: median(kube), AtMost: 0.5}.Print(os.Stdout)
	figures.Figure{Name: "the same GET through the aggregator, p50 / the direct one", Ours: median(behind), Theirs: median(direct), AtMost: 2.2}.Print(os.Stdout)
	oursEach, err := b.rate(ctx, b.functionsAPI, ours)
	if err != nil {
		return err
	}
	theirsEach, err := b.rate(ctx, b.kube, theirs)
	if err != nil {
		return err
	}
	figures.Figure{Name: fmt.Sprintf("time per GET over %d connections / kube-apiserver's (%.0f / %.0f a second)", connections, 1/oursEach.Seconds(), 1/theirsEach.Seconds()),
		Ours: oursEach, Theirs: theirsEach, AtMost: 0.5}.Print(os.Stdout)
	return nil
}

func (b *bench) functionsPath() string {
	return "/apis/sharedcloud.io/v1alpha1/namespaces/" + b.namespace + "/functions"
}

// until waits until the Functions API serves the path.
func (b *bench) until(ctx context.Context, path string) (err error) {
	for range 200 {
		if _, _, err = b.functionsAPI.request(ctx, http.MethodGet, path, ""); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

// rate is the time per request with many concurrent connections.
func (b *bench) rate(ctx context.Context, s side, path string) (time.Duration, error) {
	var group sync.WaitGroup
	var count atomic.Int64
	var failed atomic.Value
	began := time.Now()
	for range connections {
		group.Go(func() {
			for time.Since(began) < rateFor {
				if _, _, err := s.request(ctx, http.MethodGet, path, ""); err != nil {
					failed.Store(err)
					return
				}
				count.Add(1)
			}
		})
	}
	group.Wait()
	if err, ok := failed.Load().(error); ok {
		return 0, err
	}
	return time.Since(began) / time.Duration(max(1, count.Load())), nil
}

// creates compares POST of a function with the same create through kube-apiserver.
func (b *bench) creates(ctx context.Context) error {
	var ours, theirs []time.Duration
	for i := range 100 {
		took, _, err := b.functionsAPI.request(ctx, http.MethodPost, "/api/v1/functions",
			fmt.Sprintf(`{"name":"f%d","runtime":"python311","image":%q,"code":"def handler(event): return 42"}`, i, b.image))
		if err != nil {
			return err
		}
		ours = append(ours, took)
		time.Sleep(50 * time.Millisecond) // the controllers reconcile it
		took, _, err = b.kube.request(ctx, http.MethodPost, b.functionsPath(), fmt.Sprintf(
			`{"apiVersion":"sharedcloud.io/v1alpha1","kind":"Function","metadata":{"generateName":"f-","labels":{"a":"b"},"annotations":{"c":"d","e":"f"}},"spec":{"name":"f%d","runtime":"python311","image":"python","code":"def handler(event): return 42"}}`, i))
		if err != nil {
			return err
		}
		theirs = append(theirs, took)
		time.Sleep(50 * time.Millisecond)
	}
	figures.Figure{Name: "POST of a function, p50 / the same create through kube-apiserver", Ours: median(ours), Theirs: median(theirs), AtMost: 1.5}.Print(os.Stdout)
	return nil
}

// lists: many functions of 1 KB of code. Their image is missing, so that the controllers make no revisions of them.
func (b *bench) lists(ctx context.Context) error {
	before, err := b.resident(ctx)
	if err != nil {
		return err
	}
	code := "def handler(event): return 42\n" + strings.Repeat("# some more lines of code ...\n", codeBytes/29)
	var group sync.WaitGroup
	var failed atomic.Value
	numbers := make(chan int)
	for range 8 {
		group.Go(func() {
			for i := range numbers {
				err := b.admin.Create(ctx, &v1alpha1.Function{
					ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("many-%d", i), Namespace: b.namespace},
					Spec:       v1alpha1.FunctionSpec{Runtime: "python311", Image: "missing", Code: ptr.To(code[:codeBytes])},
				})
				if err != nil {
					failed.Store(err)
				}
			}
		})
	}
	for i := range b.many {
		numbers <- i
	}
	close(numbers)
	group.Wait()
	if err, ok := failed.Load().(error); ok {
		return err
	}
	if err := b.settled(ctx); err != nil {
		return err
	}
	after, err := b.resident(ctx)
	if err != nil {
		return err
	}
	var ours, theirs, first []time.Duration
	for range 7 {
		took, data, err := b.functionsAPI.request(ctx, http.MethodGet, "/api/v1/functions", "")
		if err != nil {
			return err
		}
		if got := strings.Count(string(data), `"current_server_time"`); got < b.many {
			return fmt.Errorf("the list has %d functions", got)
		}
		ours = append(ours, took)
		begun, err := b.firstByte(ctx)
		if err != nil {
			return err
		}
		first = append(first, begun)
		if took, _, err = b.kube.request(ctx, http.MethodGet, b.functionsPath(), ""); err != nil {
			return err
		}
		theirs = append(theirs, took)
	}
	figures.Figure{Name: fmt.Sprintf("list of %d functions of 1 KB / kube-apiserver's list of the same objects", b.many), Ours: median(ours), Theirs: median(theirs), AtMost: 0.15}.Print(os.Stdout)
	fmt.Printf("       first byte of that list after %v; the API server's memory: %.0f MiB before the %d functions, %.0f MiB with them\n",
		median(first).Round(10*time.Microsecond), before, b.many, after)
	return nil
}

// settled waits until the functions are no longer written to.
func (b *bench) settled(ctx context.Context) error {
	for range 300 {
		_, data, err := b.kube.request(ctx, http.MethodGet, b.functionsPath(), "")
		if err != nil {
			return err
		}
		if strings.Count(string(data), `"observedGeneration":-1`) == 0 {
			return nil
		}
		time.Sleep(time.Second)
	}
	return fmt.Errorf("the controllers do not stop writing")
}

// firstByte is the time to the first byte of a list.
func (b *bench) firstByte(ctx context.Context) (time.Duration, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, b.functionsAPI.url+"/api/v1/functions", nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Token "+b.functionsAPI.token)
	request.Header.Set("Accept-Encoding", "identity")
	start := time.Now()
	response, err := b.functionsAPI.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if _, err := response.Body.Read(make([]byte, 1)); err != nil {
		return 0, err
	}
	took := time.Since(start)
	_, err = io.Copy(io.Discard, response.Body)
	return took, err
}

// resident is the resident memory of the API server's process in MiB.
func (b *bench) resident(ctx context.Context) (float64, error) {
	_, data, err := b.functionsAPI.request(ctx, http.MethodGet, "/metrics", "")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, "process_resident_memory_bytes "); ok {
			bytes, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return bytes / (1 << 20), err
		}
	}
	return 0, fmt.Errorf("the metrics have no process_resident_memory_bytes")
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}
