// Command demo creates one FunctionRun of the function digits, shows its progress and prints its results in order.
//
// `make demo` runs it when the cluster and the operator are up. It uses only the Kubernetes API: the custom resources, and
// the subresource functionruns/results for the results.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// The sweep: every learning rate with every seed.
var (
	rates = []float64{0.01, 0.03, 0.1, 0.3, 1, 3}
	seeds = 6
)

func main() {
	namespace := flag.String("namespace", "default", "the namespace of the function digits")
	timeout := flag.Duration("timeout", 5*time.Minute, "give up after this long")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	if err := demo(ctx, *namespace); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func demo(ctx context.Context, namespace string) error {
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("reading the kubeconfig (run `make cluster` first): %w", err)
	}
	config.WarningHandler = rest.NoWarnings{}
	types := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(types); err != nil {
		return err
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: types})
	if err != nil {
		return fmt.Errorf("connecting to the cluster: %w", err)
	}
	run, err := createRun(ctx, c, namespace)
	if err != nil {
		return err
	}
	fmt.Printf("functionrun.sharedcloud.io/%s created: %d learning rates × %d seeds = %d inputs\n\n",
		run.Name, len(rates), seeds, len(run.Spec.Parameters))
	started := time.Now()
	if run, err = follow(ctx, c, run, newProgress(os.Stdout, started)); err != nil {
		return err
	}
	answers, err := results(ctx, config, run)
	if err != nil {
		return err
	}
	printTable(os.Stdout, answers)
	printSummary(os.Stdout, run, answers, time.Since(started))
	return nil
}

// createRun creates a FunctionRun over the whole sweep.
func createRun(ctx context.Context, c client.Client, namespace string) (*v1alpha1.FunctionRun, error) {
	run := &v1alpha1.FunctionRun{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "digits-", Namespace: namespace},
		Spec:       v1alpha1.FunctionRunSpec{FunctionRef: v1alpha1.FunctionReference{Name: "digits"}},
	}
	for _, rate := range rates {
		for seed := range seeds {
			run.Spec.Parameters = append(run.Spec.Parameters, v1alpha1.Input{jsonValue(rate), jsonValue(seed)})
		}
	}
	if err := c.Create(ctx, run); err != nil {
		return nil, fmt.Errorf("creating the run: %w", err)
	}
	return run, nil
}

func jsonValue(v any) apiextensionsv1.JSON {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // numbers always encode
	}
	return apiextensionsv1.JSON{Raw: raw}
}

// follow shows the run's progress until it has finished.
func follow(ctx context.Context, c client.WithWatch, run *v1alpha1.FunctionRun, p *progress) (*v1alpha1.FunctionRun, error) {
	for {
		changes, err := c.Watch(ctx, &v1alpha1.FunctionRunList{}, client.InNamespace(run.Namespace),
			client.MatchingFields{"metadata.name": run.Name})
		if err != nil {
			return nil, fmt.Errorf("watching the run: %w", err)
		}
		for event := range changes.ResultChan() {
			seen, ok := event.Object.(*v1alpha1.FunctionRun)
			if !ok || seen.UID != run.UID {
				continue
			}
			p.show(seen)
			if finished(seen) {
				changes.Stop()
				p.done()
				return seen, nil
			}
		}
		changes.Stop()
		if ctx.Err() != nil {
			p.done()
			return nil, fmt.Errorf("the run %s did not finish in time; `kubectl describe functionrun %s` shows what it waits for", run.Name, run.Name)
		}
	}
}

func finished(run *v1alpha1.FunctionRun) bool {
	for _, condition := range run.Status.Conditions {
		if condition.Type == v1alpha1.ConditionFinished {
			return condition.Status == metav1.ConditionTrue
		}
	}
	return false
}

// results reads the results of a run, in order.
func results(ctx context.Context, config *rest.Config, run *v1alpha1.FunctionRun) ([]answer, error) {
	config = rest.CopyConfig(config)
	config.GroupVersion = &v1alpha1.GroupVersion
	config.APIPath = "/apis"
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	c, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, err
	}
	var raw []byte
	// The aggregator returns an error for a short time after an API server has stopped.
	err = wait.PollUntilContextTimeout(ctx, time.Second, time.Minute, true, func(ctx context.Context) (bool, error) {
		var err error
		raw, err = c.Get().AbsPath("/apis/subresources.sharedcloud.io/v1alpha1/namespaces", run.Namespace,
			"functionruns", run.Name, "results").DoRaw(ctx)
		if apierrors.IsServiceUnavailable(err) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the results: %w", err)
	}
	var answers []answer
	if err := json.Unmarshal(raw, &answers); err != nil {
		return nil, fmt.Errorf("reading the results: %w", err)
	}
	return answers, nil
}
