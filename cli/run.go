package cli

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// runFlags are the flags of commands that create a run: the fields of its spec that override the Function's, and whether the command
// waits for the run.
type runFlags struct {
	wait    waitFlags
	name    string
	workers int32
	gpus    int32
	timeout time.Duration
	retries int32
	spec    string
	flags   *pflag.FlagSet
}

func (f *runFlags) add(flags *pflag.FlagSet) {
	f.flags = flags
	f.wait.add(flags)
	flags.StringVar(&f.name, "name", "", "Name of the run. Default: a generated name.")
	flags.Int32Var(&f.workers, "workers", 0, "Maximum number of workers (pods).")
	flags.Int32Var(&f.gpus, "gpus", 0, "Number of GPUs of each worker.")
	flags.DurationVar(&f.timeout, "timeout-per-input", 0, "Time limit of an input in whole seconds, such as 90s or 10m.")
	flags.Int32Var(&f.retries, "retries", 0, "How often an input is executed again after an exception.")
	flags.StringVar(&f.spec, "spec", "", `Other fields of the FunctionRun's spec as JSON, such as '{"gpuProducts": ["NVIDIA-L4"]}'.`)
}

// specJSON is the spec of the run that the flags set, or "" if they set none.
func (f *runFlags) specJSON() (string, error) {
	spec := map[string]any{}
	if f.spec != "" {
		if err := json.Unmarshal([]byte(f.spec), &spec); err != nil || spec == nil {
			return "", usageError(`--spec is %.60q; it must be a JSON object with fields of a FunctionRun's spec, such as {"workers": 4}`, f.spec)
		}
		for _, taken := range []string{"parameters", "parametersLiteral", "parametersFrom", "functionRef"} {
			if _, found := spec[taken]; found {
				return "", usageError("--spec must not have the field %s: pass inputs with --params or --file, and the name of the function as an argument", taken)
			}
		}
	}
	changed := func(name string) bool { return f.flags.Changed(name) }
	if changed("workers") {
		if f.workers < 1 {
			return "", usageError("--workers is %d; it must be at least 1", f.workers)
		}
		spec["workers"] = f.workers
	}
	if changed("gpus") {
		if f.gpus < 0 {
			return "", usageError("--gpus is %d; it must not be negative", f.gpus)
		}
		spec["gpus"] = f.gpus
	}
	if changed("retries") {
		if f.retries < 0 {
			return "", usageError("--retries is %d; it must not be negative", f.retries)
		}
		spec["retries"] = f.retries
	}
	if changed("timeout-per-input") {
		if f.timeout < time.Second || f.timeout%time.Second != 0 {
			return "", usageError("--timeout-per-input is %s; it must be whole seconds, at least one", f.timeout)
		}
		spec["timeoutSeconds"] = int64(f.timeout / time.Second)
	}
	if len(spec) == 0 {
		return "", nil
	}
	text, err := json.Marshal(spec)
	return string(text), err
}

// query validates the flags. It returns the name of the run, which begins with base unless --name is set, and the parameters of the
// subresource that creates it.
func (f *runFlags) query(base string) (name string, query url.Values, err error) {
	if err := f.wait.check(); err != nil {
		return "", nil, err
	}
	spec, err := f.specJSON()
	if err != nil {
		return "", nil, err
	}
	if name, err = f.runName(base); err != nil {
		return "", nil, err
	}
	query = url.Values{"name": {name}}
	if spec != "" {
		query.Set("spec", spec)
	}
	return name, query, nil
}

// runName is --name or a generated name. The plugin generates it, so that it finds the run if the response is lost, and does not
// create it twice.
func (f *runFlags) runName(base string) (string, error) {
	if f.name != "" {
		if problems := validation.IsDNS1123Label(f.name); len(problems) > 0 {
			return "", usageError("--name is %q; it must have at most 63 lower case letters, digits and '-', and begin and end with a letter or digit", f.name)
		}
		return f.name, nil
	}
	return base[:min(len(base), 50)] + "-" + rand.String(5), nil
}

func newRun(o *options) *cobra.Command {
	var in inputFlags
	var run runFlags
	command := &cobra.Command{
		Use:   "run FUNCTION (--params TEXT | --file FILE) [--wait | --follow]",
		Short: "Run a function over many inputs",
		Long: `Run a function over many inputs.

An input is a list of values, which the handler gets as event. A file is streamed and may be larger than memory. Its extension selects
the format: .json (an array of inputs), .ndjson (an input per line), .csv (an input of strings per row), .py (a Python tuple of tuples).
The run is created only if all inputs are valid.`,
		Example: `  kubectl function run hello --params "(('Michael',), ('World',))" --follow
  kubectl function run train --file grid.csv --csv-header --typed-cells --workers 16 --gpus 1 --wait
  seq 1000 | kubectl function run primes --file - --format ndjson --wait --timeout 10m
  run=$(kubectl function run train --file grid.json -o name)`,
		Args:              exactly("function"),
		ValidArgsFunction: o.completeNames(kindFunction, 1),
		RunE: func(command *cobra.Command, args []string) error {
			name, query, err := run.query(args[0])
			if err != nil {
				return err
			}
			inputs, err := in.open(o.streams.In)
			if err != nil {
				return err
			}
			defer inputs.close()
			ctx := command.Context()
			c, s, err := o.reach(ctx)
			if err != nil {
				return err
			}
			created, err := c.upload(ctx, s, args[0], name, query, inputs)
			if err != nil {
				return err
			}
			return c.started(ctx, s, created, &run.wait)
		},
	}
	in.add(command.Flags())
	run.add(command.Flags())
	return command
}

// created reads the response to a request that creates a run. If the response was lost, it gets the run by its name.
func (c *cluster) created(ctx context.Context, name string, response *http.Response, err error) (*v1alpha1.FunctionRun, error) {
	run := &v1alpha1.FunctionRun{}
	if err == nil {
		err = json.NewDecoder(response.Body).Decode(run)
		_ = response.Body.Close()
		if err == nil && run.Name == name {
			return run, nil
		}
		if err == nil {
			return nil, clusterError("the response of the server is not a run")
		}
	}
	var status apierrors.APIStatus
	if errors.As(err, &status) && (status.Status().Code < 500 || status.Status().Code == http.StatusInsufficientStorage) {
		return nil, err
	}
	found, getErr := c.lostRun(ctx, name)
	switch {
	case getErr != nil:
		return nil, clusterError("%s: it is unknown whether the run %s was created; `kubectl function list runs%s` shows it", userMessage(err), name, c.namespaceFlag())
	case found != nil:
		return found, nil
	case ctx.Err() != nil:
		return nil, errInterruptedUpload
	}
	return nil, err
}

// lostRun gets the run of that name, or nil if it does not exist, after a request without a response. It also works shortly after
// Ctrl-C.
func (c *cluster) lostRun(ctx context.Context, name string) (*v1alpha1.FunctionRun, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	// The server may still be processing the request.
	for attempt := 0; ; attempt++ {
		run, err := c.run(ctx, name)
		switch {
		case err == nil:
			return run, nil
		case isObjectNotFound(err) && attempt >= 2:
			return nil, nil
		case attempt >= 10:
			return nil, err
		}
		if err := sleep(ctx, clock.RealClock{}, time.Second); err != nil {
			return nil, err
		}
	}
}

func newRerun(o *options) *cobra.Command {
	var flags runFlags
	var onlyFailed bool
	command := &cobra.Command{
		Use:   "rerun RUN --failed [--wait | --follow]",
		Short: "Run the inputs that did not succeed again",
		Long: `Run the inputs of RUN that failed, timed out or were cancelled again, in a new run of the current revision of the function. The
annotation sharedcloud.io/rerun-indexes of the new run has their indexes in RUN.`,
		Example: `  kubectl function rerun train-x7k2p --failed --wait
  kubectl function rerun train-x7k2p --failed --timeout-per-input 1h --retries 2`,
		Args:              exactly("run"),
		ValidArgsFunction: o.completeNames(kindRun, 1),
		RunE: func(command *cobra.Command, args []string) error {
			if !onlyFailed {
				return usageError("--failed is required, because rerun does not repeat inputs that succeeded: to run all inputs again, pass them to `kubectl function run`")
			}
			name, query, err := flags.query(strings.TrimSuffix(args[0][:min(len(args[0]), 44)], "-") + "-again")
			if err != nil {
				return err
			}
			ctx := command.Context()
			c, s, err := o.reach(ctx)
			if err != nil {
				return err
			}
			response, err := s.call(ctx, http.MethodPost, "functionruns", args[0], "rerun", query, nil)
			run, err := c.created(ctx, name, response, err)
			if err != nil {
				return conflictMessage(err)
			}
			return c.started(ctx, s, run, &flags.wait)
		},
	}
	command.Flags().BoolVar(&onlyFailed, "failed", false, "Run the inputs that did not succeed (required).")
	flags.add(command.Flags())
	return command
}

// conflictMessage removes the prefix for programs from the message of a conflict.
func conflictMessage(err error) error {
	if !apierrors.IsConflict(err) {
		return err
	}
	_, message, found := strings.Cut(err.Error(), ": ")
	if !found {
		return err
	}
	return clusterError("%s", message)
}
