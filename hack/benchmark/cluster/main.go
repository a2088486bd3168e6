// Command cluster compares, on the local cluster with the operator deployed, a run with plain Jobs that do the same work,
// side by side, and prints ratios.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/hack/benchmark/figures"
	"sharedcloud.io/function-operator/test/builders"
)

// image is the image of both sides.
const image = "docker.io/sharedcloud/python:latest"

// trivial is the handler of both sides.
const trivial = "def handler(event): return event[0] * 2\n"

type bench struct {
	c         client.WithWatch
	namespace string
	rounds    int
}

func main() {
	rounds := flag.Int("rounds", 3, "repetitions of the short measurements; medians are printed")
	only := flag.String("only", "", "one measurement by its number, 1 to 5; all by default")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *rounds, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds int, only string) error {
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("reading the kubeconfig (run `make bench`): %w", err)
	}
	config.QPS, config.Burst, config.WarningHandler = 500, 1000, rest.NoWarnings{}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "bench-"}}
	if err := c.Create(ctx, namespace); err != nil {
		return fmt.Errorf("creating a namespace: %w", err)
	}
	defer func() { _ = c.Delete(context.WithoutCancel(ctx), namespace) }()
	b := &bench{c: c, namespace: namespace.Name, rounds: rounds}
	measurements := []func(context.Context) (figures.Figure, error){b.jobLatency, b.loopingJob, b.podPerInput, b.longestInput, b.fewerGPUs}
	for i, measure := range measurements {
		if only != "" && only != strconv.Itoa(i+1) {
			continue
		}
		figure, err := measure(ctx)
		if err != nil {
			return err
		}
		figure.Print(os.Stdout)
	}
	return nil
}

// jobLatency: from a run's creation to its Job seen on a watch, against the same for a bare Job.
func (b *bench) jobLatency(ctx context.Context) (figures.Figure, error) {
	figure := figures.Figure{Name: "a run's creation to its Job on a watch / the same for a bare Job", AtMost: 2.5}
	nowhere := map[string]v1alpha1.LabelValue{"sharedcloud.io/no-such-node": "true"} // nothing is started: only the Job counts
	function, err := b.function(ctx, "latency", func(f *v1alpha1.Function) {
		f.Spec.Pod = &v1alpha1.PodSettings{NodeSelector: nowhere}
	})
	if err != nil {
		return figure, err
	}
	jobs, err := b.c.Watch(ctx, &batchv1.JobList{}, client.InNamespace(b.namespace))
	if err != nil {
		return figure, err
	}
	defer jobs.Stop()
	var ours, bare []time.Duration
	// Both measure an idle control plane: wait until the work of the previous round has finished.
	const quiet = 500 * time.Millisecond
	for range 10 * b.rounds {
		pause(ctx, quiet)
		start := time.Now()
		created, err := b.startRun(ctx, function, builders.Inputs(1, builders.Index))
		if err != nil {
			return figure, err
		}
		if err := jobSeen(ctx, jobs, func(job *batchv1.Job) bool { return metav1.IsControlledBy(job, created) }); err != nil {
			return figure, err
		}
		ours = append(ours, time.Since(start))
		job := plainJob(b.namespace, 1, 1, "pass")
		job.Spec.Template.Spec.NodeSelector = map[string]string{"sharedcloud.io/no-such-node": "true"}
		pause(ctx, quiet)
		start = time.Now()
		if err := b.c.Create(ctx, job); err != nil {
			return figure, err
		}
		if err := jobSeen(ctx, jobs, func(seen *batchv1.Job) bool { return seen.UID == job.UID }); err != nil {
			return figure, err
		}
		bare = append(bare, time.Since(start))
		if err := b.remove(ctx, created, job); err != nil {
			return figure, err
		}
	}
	figure.Ours, figure.Theirs = median(ours), median(bare)
	return figure, nil
}

func jobSeen(ctx context.Context, jobs watch.Interface, wanted func(*batchv1.Job) bool) error {
	timeout := time.After(time.Minute)
	for {
		select {
		case event, open := <-jobs.ResultChan():
			if !open {
				return fmt.Errorf("the watch of Jobs ended")
			}
			if job, ok := event.Object.(*batchv1.Job); ok && event.Type == watch.Added && wanted(job) {
				return nil
			}
		case <-timeout:
			return fmt.Errorf("no Job within a minute")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// loopingJob: 8,000 trivial inputs on 8 workers, created to complete, against an Indexed Job of 8 pods that each loop
// over 1,000 of them.
func (b *bench) loopingJob(ctx context.Context) (figures.Figure, error) {
	figure := figures.Figure{Name: "8,000 trivial inputs, created to complete / an Indexed Job of 8 pods that loop over 1,000 each", AtMost: 0.6}
	function, err := b.function(ctx, "trivial", nil)
	if err != nil {
		return figure, err
	}
	loop := trivial + "import json\nfor i in range(1000): json.dumps(handler((i,)))\n"
	var ours, plain []time.Duration
	for range b.rounds {
		took, err := b.timeRun(ctx, function, builders.Inputs(8000, builders.Index))
		if err != nil {
			return figure, err
		}
		ours = append(ours, took)
		if took, err = b.timeJob(ctx, 8, 8, loop); err != nil {
			return figure, err
		}
		plain = append(plain, took)
	}
	figure.Ours, figure.Theirs = median(ours), median(plain)
	return figure, nil
}

// podPerInput: 100 inputs against an Indexed Job with one pod an input.
func (b *bench) podPerInput(ctx context.Context) (figures.Figure, error) {
	figure := figures.Figure{Name: "100 inputs, created to complete / an Indexed Job with a pod for each", AtMost: 0.05}
	function, err := b.function(ctx, "hundred", nil)
	if err != nil {
		return figure, err
	}
	var ours []time.Duration
	for range b.rounds {
		took, err := b.timeRun(ctx, function, builders.Inputs(100, builders.Index))
		if err != nil {
			return figure, err
		}
		ours = append(ours, took)
	}
	plain, err := b.timeJob(ctx, 100, 8, trivial+"import json\njson.dumps(handler((1,)))\n")
	figure.Ours, figure.Theirs = median(ours), plain
	return figure, err
}

// longestInput: 400 inputs of 50 ms and one of 20 s on 4 workers, against the 20 s of that one. Striped over the workers, the
// inputs behind the long one would follow it.
func (b *bench) longestInput(ctx context.Context) (figures.Figure, error) {
	const longest = 20 * time.Second
	figure := figures.Figure{Name: "400 inputs of 50 ms and one of 20 s on 4 workers, created to complete / the longest input", AtMost: 1.2, Theirs: longest}
	function, err := b.function(ctx, "lengths", func(f *v1alpha1.Function) {
		f.Spec.Code, f.Spec.Workers = ptr.To("import time\ndef handler(event): time.sleep(event[0])\n"), ptr.To[int32](4)
	})
	if err != nil {
		return figure, err
	}
	figure.Ours, err = b.timeRun(ctx, function, builders.Inputs(401, func(i int) float64 {
		if i == 7 {
			return longest.Seconds()
		}
		return 0.05
	}))
	return figure, err
}

// fewerGPUs: 6 workers of 4 GPUs each on a node with 8, against 2 such workers. A run does not wait for pods that the scheduler
// cannot place.
func (b *bench) fewerGPUs(ctx context.Context) (figures.Figure, error) {
	figure := figures.Figure{Name: "40 inputs of 200 ms on 6 workers of 4 GPUs, of which 2 fit on the node / on 2 workers", AtMost: 1.3}
	function, err := b.function(ctx, "greedy", func(f *v1alpha1.Function) {
		f.Spec.Code, f.Spec.GPUs, f.Spec.Workers = ptr.To("import time\ndef handler(event): time.sleep(0.2)\n"), ptr.To[int32](4), ptr.To[int32](6)
	})
	if err != nil {
		return figure, err
	}
	var ours, theirs []time.Duration
	for range b.rounds {
		took, err := b.timeRun(ctx, function, builders.Inputs(40, builders.Index))
		if err != nil {
			return figure, err
		}
		ours = append(ours, took)
		if took, err = b.timeRun(ctx, function, builders.Inputs(40, builders.Index), func(r *v1alpha1.FunctionRun) { r.Spec.Workers = ptr.To[int32](2) }); err != nil {
			return figure, err
		}
		theirs = append(theirs, took)
	}
	figure.Ours, figure.Theirs = median(ours), median(theirs)
	return figure, nil
}

func (b *bench) function(ctx context.Context, name string, change func(*v1alpha1.Function)) (*v1alpha1.Function, error) {
	function := builders.Function(b.namespace, name, func(f *v1alpha1.Function) {
		f.Spec.Code, f.Spec.GPUs, f.Spec.Workers = ptr.To(trivial), ptr.To[int32](0), ptr.To[int32](8)
	})
	if change != nil {
		change(function)
	}
	if err := b.c.Create(ctx, function); err != nil {
		return nil, fmt.Errorf("creating the function %s: %w", name, err)
	}
	return function, b.until(ctx, function, func() bool {
		return meta.IsStatusConditionTrue(function.Status.Conditions, v1alpha1.ConditionReady)
	})
}

func (b *bench) startRun(ctx context.Context, function *v1alpha1.Function, inputs []v1alpha1.Input, change ...func(*v1alpha1.FunctionRun)) (*v1alpha1.FunctionRun, error) {
	run := builders.Run(b.namespace, function.Name+"-", function.Name, inputs, change...)
	if err := b.c.Create(ctx, run); err != nil {
		return nil, fmt.Errorf("creating a run: %w", err)
	}
	return run, nil
}

// timeRun is the time from a run's creation to its condition Complete.
func (b *bench) timeRun(ctx context.Context, function *v1alpha1.Function, inputs []v1alpha1.Input, change ...func(*v1alpha1.FunctionRun)) (time.Duration, error) {
	start := time.Now()
	run, err := b.startRun(ctx, function, inputs, change...)
	if err != nil {
		return 0, err
	}
	err = b.until(ctx, run, func() bool { return meta.IsStatusConditionTrue(run.Status.Conditions, v1alpha1.ConditionComplete) })
	took := time.Since(start)
	if err != nil {
		return 0, err
	}
	return took, b.settle(ctx, run)
}

// timeJob is the time from a plain Indexed Job's creation to its condition Complete.
func (b *bench) timeJob(ctx context.Context, completions, parallelism int32, code string) (time.Duration, error) {
	job := plainJob(b.namespace, completions, parallelism, code)
	start := time.Now()
	if err := b.c.Create(ctx, job); err != nil {
		return 0, fmt.Errorf("creating a Job: %w", err)
	}
	err := b.until(ctx, job, func() bool {
		return slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
			return c.Type == batchv1.JobComplete && c.Status == corev1.ConditionTrue
		})
	})
	took := time.Since(start)
	if err != nil {
		return 0, err
	}
	return took, b.settle(ctx, job)
}

// settle deletes the measured objects and waits until no pod is left, so that the next measurement starts on an idle node.
func (b *bench) settle(ctx context.Context, object client.Object) error {
	if err := b.remove(ctx, object); err != nil {
		return err
	}
	pods := &corev1.PodList{}
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); pause(ctx, 200*time.Millisecond) {
		if err := b.c.List(ctx, pods, client.InNamespace(b.namespace)); err != nil {
			return err
		}
		if len(pods.Items) == 0 {
			return nil
		}
	}
	return fmt.Errorf("%d pods do not go", len(pods.Items))
}

func (b *bench) remove(ctx context.Context, objects ...client.Object) error {
	for _, object := range objects {
		if err := b.c.Delete(ctx, object, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
			return client.IgnoreNotFound(err)
		}
	}
	return nil
}

// until watches the object until the condition holds.
func (b *bench) until(ctx context.Context, object client.Object, holds func() bool) error {
	deadline := time.Now().Add(5 * time.Minute)
	for time.Now().Before(deadline) && ctx.Err() == nil {
		if err := b.c.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
			return err
		}
		if holds() {
			return nil
		}
		pause(ctx, 25*time.Millisecond)
	}
	return fmt.Errorf("%s did not finish within 5 minutes", object.GetName())
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, length time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(length):
	}
}

func plainJob(namespace string, completions, parallelism int32, code string) *batchv1.Job {
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "plain-", Namespace: namespace},
		Spec: batchv1.JobSpec{
			Completions: &completions, Parallelism: &parallelism, CompletionMode: ptr.To(batchv1.IndexedCompletion),
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
				RestartPolicy: corev1.RestartPolicyNever,
				Containers: []corev1.Container{{Name: "plain", Image: image, ImagePullPolicy: corev1.PullIfNotPresent,
					Command: []string{"python3", "-c", code}}},
			}},
		},
	}
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}
