package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// inputsOfList is the number of jobs in the list that the attacker requests.
const inputsOfList = 20_000

// cluster is the local cluster, accessed as its administrator.
type cluster struct {
	client.Client
	clientset kubernetes.Interface
}

// prepareCluster creates two tenants: the good client, and the attacker, which has a run with a worker.
func prepareCluster(ctx context.Context) (*bench, func(), error) {
	config, err := ctrl.GetConfig()
	if err != nil {
		return nil, nil, fmt.Errorf("reading the kubeconfig (run `make bench`): %w", err)
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, nil, err
	}
	c := &cluster{}
	if c.Client, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return nil, nil, err
	}
	if c.clientset, err = kubernetes.NewForConfig(config); err != nil {
		return nil, nil, err
	}
	authority, err := os.ReadFile(os.Getenv("SHAREDCLOUD_CA"))
	if err != nil {
		return nil, nil, fmt.Errorf("reading $SHAREDCLOUD_CA (run `make bench`): %w", err)
	}
	address, err := url.Parse(os.Getenv("SHAREDCLOUD_URL"))
	if err != nil {
		return nil, nil, fmt.Errorf("reading $SHAREDCLOUD_URL: %w", err)
	}
	b := &bench{Address: address.Host, Authority: authority}
	var made []string
	clean := func() {
		for _, namespace := range made {
			_ = c.Delete(context.WithoutCancel(ctx), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
		}
	}
	good, token, err := c.tenant(ctx)
	made = append(made, good)
	if err == nil {
		b.GoodToken = token
		err = c.work(ctx, b, good)
	}
	if err == nil {
		b.Tenant.Namespace, b.Tenant.Token, err = c.tenant(ctx)
		made = append(made, b.Tenant.Namespace)
	}
	if err == nil {
		err = c.attacker(ctx, b)
	}
	if err != nil {
		clean()
		return nil, nil, err
	}
	return b, clean, nil
}

// tenant creates a namespace with a service account that has the edit role in it.
func (c *cluster) tenant(ctx context.Context) (namespace, token string, err error) {
	made := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "bench-attack-"}}
	if err := c.Create(ctx, made); err != nil {
		return "", "", fmt.Errorf("creating a namespace: %w", err)
	}
	meta := metav1.ObjectMeta{Name: "bench", Namespace: made.Name}
	err = errors.Join(
		c.Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta}),
		c.Create(ctx, &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edit"},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "bench", Namespace: made.Name}}}))
	if err != nil {
		return made.Name, "", err
	}
	request, err := c.clientset.CoreV1().ServiceAccounts(made.Name).CreateToken(ctx, "bench", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return made.Name, "", fmt.Errorf("making a token: %w", err)
	}
	return made.Name, request.Status.Token, nil
}

func functionOf(namespace, name, image, code string) *v1alpha1.Function {
	return &v1alpha1.Function{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: v1alpha1.FunctionSpec{Runtime: "python311", Image: image, Code: ptr.To(code)}}
}

// work creates the objects that the good client reads, and waits until they are readable.
func (c *cluster) work(ctx context.Context, b *bench, namespace string) error {
	function := functionOf(namespace, "good", "python", "def handler(event): return 42\n")
	if err := c.Create(ctx, function); err != nil {
		return err
	}
	b.GoodPath = "/api/v1/functions/" + string(function.UID)
	client := b.client()
	defer client.CloseIdleConnections()
	return until(ctx, func() error {
		status, err := send(ctx, client, http.MethodGet, b.url(b.GoodPath), b.GoodToken, "")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("the good client gets status %d", status)
		}
		return err
	})
}

// attacker creates a run that a worker executes, obtains that worker's token, and creates a run with many jobs that never starts.
func (c *cluster) attacker(ctx context.Context, b *bench) error {
	never := functionOf(b.Tenant.Namespace, "never", "missing", "def handler(event): return 42\n")
	run := &v1alpha1.FunctionRun{ObjectMeta: metav1.ObjectMeta{Name: "sleeper", Namespace: b.Tenant.Namespace},
		Spec: v1alpha1.FunctionRunSpec{FunctionRef: v1alpha1.FunctionReference{Name: "sleeper"}, ParametersLiteral: ptr.To("((600,),)")}}
	many := &v1alpha1.FunctionRun{ObjectMeta: metav1.ObjectMeta{Name: "many", Namespace: b.Tenant.Namespace},
		Spec: v1alpha1.FunctionRunSpec{FunctionRef: v1alpha1.FunctionReference{Name: "never"}, ParametersLiteral: ptr.To("(" + strings.Repeat("(1,),", inputsOfList) + ")")}}
	for _, object := range []client.Object{
		functionOf(b.Tenant.Namespace, "sleeper", "python", "import time\ndef handler(event): time.sleep(event[0])\n"), never, run, many,
	} {
		if err := c.Create(ctx, object); err != nil {
			return fmt.Errorf("creating %s: %w", object.GetName(), err)
		}
	}
	b.Tenant.Function, b.Tenant.Run = string(never.UID), run.Name
	return until(ctx, func() error {
		pods := &corev1.PodList{}
		if err := c.List(ctx, pods, client.InNamespace(b.Tenant.Namespace), client.MatchingLabels{v1alpha1.LabelRun: run.Name}); err != nil {
			return err
		}
		if len(pods.Items) == 0 || pods.Items[0].Status.Phase != corev1.PodRunning {
			return errors.New("the run has no worker yet")
		}
		pod := &pods.Items[0]
		request, err := c.clientset.CoreV1().ServiceAccounts(pod.Namespace).CreateToken(ctx, pod.Spec.ServiceAccountName, &authenticationv1.TokenRequest{
			Spec: authenticationv1.TokenRequestSpec{
				Audiences:      []string{v1alpha1.ExchangeAudience},
				BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID},
			},
		}, metav1.CreateOptions{})
		if err == nil {
			b.Tenant.WorkerToken = request.Status.Token
		}
		return err
	})
}

// until retries for a minute.
func until(ctx context.Context, one func() error) (err error) {
	for range 600 {
		if err = one(); err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}
