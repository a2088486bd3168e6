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

// policyFlags say how a run is to run, where it differs from what the Function says.
type policyFlags struct {
	name    string
	workers int32
	gpus    int32
	timeout time.Duration
	retries int32
	spec    string
	flags   *pflag.FlagSet
}

func (f *policyFlags) add(flags *pflag.FlagSet) {
	f.flags = flags
	flags.StringVar(&f.name, "name", "", "Name of the run. Default: the function's, with five letters behind it.")
	flags.Int32Var(&f.workers, "workers", 0, "The most pods that work at it at the same time.")
	flags.Int32Var(&f.gpus, "gpus", 0, "How many GPUs each worker gets.")
	flags.DurationVar(&f.timeout, "timeout-per-input", 0, "Time limit of one input, in whole seconds: 90s, 10m.")
	flags.Int32Var(&f.retries, "retries", 0, "How many further attempts an input gets after an exception.")
	flags.StringVar(&f.spec, "spec", "", `More fields of a FunctionRun's spec, as JSON: '{"gpuProducts": ["NVIDIA-L4"]}'.`)
}

// specJSON is what the flags say of the run's spec; "" for nothing.
func (f *policyFlags) specJSON() (string, error) {
	spec := map[string]any{}
	if f.spec != "" {
		if err := json.Unmarshal([]byte(f.spec), &spec); err != nil || spec == nil {
			return "", usageError(`--spec is %.60q; it must be a JSON object with fields of a FunctionRun's spec, such as {"workers": 4}`, f.spec)
		}
		for _, taken := range []string{"parameters", "parametersLiteral", "parametersFrom", "functionRef"} {
			if _, found := spec[taken]; found {
				return "", usageError("--spec has the field %s: inputs are given by --params or --file, and the function by its name", taken)
			}
		}
	}
	given := func(name string) bool { return f.flags.Changed(name) }
	if given("workers") {
		if f.workers < 1 {
			return "", usageError("--workers is %d; it must be at least 1", f.workers)
		}
		spec["workers"] = f.workers
	}
	if given("gpus") {
		if f.gpus < 0 {
			return "", usageError("--gpus is %d; it must not be negative", f.gpus)
		}
		spec["gpus"] = f.gpus
	}
	if given("retries") {
		if f.retries < 0 {
			return "", usageError("--retries is %d; it must not be negative", f.retries)
		}
		spec["retries"] = f.retries
	}
	if given("timeout-per-input") {
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

// query is the name of the run, made from base where none is given, and the parameters that say how it is to run.
func (f *policyFlags) query(base string) (name string, query url.Values, err error) {
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

// runName is the name that was asked for, or a new one: it is known before the call, so that a run whose answer was lost
// is found and not made twice.
func (f *policyFlags) runName(base string) (string, error) {
	if f.name != "" {
		if problems := validation.IsDNS1123Label(f.name); len(problems) > 0 {
			return "", usageError("--name is %q; a run's name has lower case letters, digits and '-' only, at most 63, and begins and ends with a letter or digit", f.name)
		}
		return f.name, nil
	}
	return base[:min(len(base), 50)] + "-" + rand.String(5), nil
}

func newRun(o *options) *cobra.Command {
	var in inputFlags
	var policy policyFlags
	var wait waitFlags
	command := &cobra.Command{
		Use:   "run FUNCTION (--params TEXT | --file FILE) [--wait | --follow]",
		Short: "Run a function over many inputs",
		Long: `Run a function over many inputs.

An input is a list of values, which the handler gets as event. A file is streamed: it may be larger than memory, and is read by
its ending: .json (one array of inputs), .ndjson (an input a line), .csv (a row is an input of strings), .py (a Python tuple of tuples).
Nothing is made unless all inputs can be read.`,
		Example: `  kubectl function run hello --params "(('Michael',), ('World',))" --follow
  kubectl function run train --file grid.csv --csv-header --typed-cells --workers 16 --gpus 1 --wait
  seq 1000 | kubectl function run primes --file - --format ndjson --wait --timeout 10m
  run=$(kubectl function run train --file grid.json -o name)`,
		Args:              exactly("function"),
		ValidArgsFunction: o.completeNames(kindFunction, 1),
		RunE: func(command *cobra.Command, args []string) error {
			if err := wait.check(); err != nil {
				return err
			}
			name, query, err := policy.query(args[0])
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
			run, err := c.upload(ctx, s, args[0], name, query, inputs)
			if err != nil {
				return err
			}
			return c.started(ctx, s, run, &wait)
		},
	}
	in.add(command.Flags())
	policy.add(command.Flags())
	wait.add(command.Flags())
	return command
}

// made reads the answer to a call that makes a run. Where the answer was lost, the run is looked for under its name.
func (c *cluster) made(ctx context.Context, name string, response *http.Response, err error) (*v1alpha1.FunctionRun, error) {
	run := &v1alpha1.FunctionRun{}
	if err == nil {
		err = json.NewDecoder(response.Body).Decode(run)
		_ = response.Body.Close()
		if err == nil && run.Name == name {
			return run, nil
		}
		if err == nil {
			return nil, clusterError("the answer of the server is no run")
		}
	}
	var status apierrors.APIStatus
	if errors.As(err, &status) && (status.Status().Code < 500 || status.Status().Code == http.StatusInsufficientStorage) {
		return nil, err
	}
	found, lookError := c.lostRun(ctx, name)
	switch {
	case lookError != nil:
		return nil, clusterError("%s Whether the run %s was made is not known: `kubectl function list runs%s` shows it.", ended(sentence(err)), name, c.namespaceFlag())
	case found != nil:
		return found, nil
	case ctx.Err() != nil:
		return nil, errInterruptedUpload
	}
	return nil, err
}

// lostRun looks whether a run of that name exists, after a call whose answer did not come. It works for a moment after
// Ctrl-C, too.
func (c *cluster) lostRun(ctx context.Context, name string) (*v1alpha1.FunctionRun, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	// What is on its way to the store may still become a run in a moment.
	for attempt := 0; ; attempt++ {
		run, err := c.run(ctx, name)
		switch {
		case err == nil:
			return run, nil
		case namedNotFound(err) && attempt >= 2:
			return nil, nil
		case attempt >= 10:
			return nil, err
		}
		if err := pause(ctx, clock.RealClock{}, time.Second); err != nil {
			return nil, err
		}
	}
}

func ended(text string) string { return strings.TrimSuffix(text, ".") + "." }

func newRerun(o *options) *cobra.Command {
	var policy policyFlags
	var wait waitFlags
	var onlyFailed bool
	command := &cobra.Command{
		Use:   "rerun RUN --failed [--wait | --follow]",
		Short: "Run what did not succeed once more",
		Long: `Run what did not succeed once more: a new run of the function as it is now, over the inputs of RUN that failed, timed out or were
cancelled. Its annotation sharedcloud.io/rerun-indexes says which they were.`,
		Example: `  kubectl function rerun train-x7k2p --failed --wait
  kubectl function rerun train-x7k2p --failed --timeout-per-input 1h --retries 2`,
		Args:              exactly("run"),
		ValidArgsFunction: o.completeNames(kindRun, 1),
		RunE: func(command *cobra.Command, args []string) error {
			if !onlyFailed {
				return usageError("say --failed: inputs that succeeded are not run again. To run all of them again, give them to `kubectl function run`")
			}
			if err := wait.check(); err != nil {
				return err
			}
			name, query, err := policy.query(strings.TrimSuffix(args[0][:min(len(args[0]), 44)], "-") + "-again")
			if err != nil {
				return err
			}
			ctx := command.Context()
			c, s, err := o.reach(ctx)
			if err != nil {
				return err
			}
			response, err := s.call(ctx, http.MethodPost, "functionruns", args[0], "rerun", query, nil)
			run, err := c.made(ctx, name, response, err)
			if err != nil {
				return conflictSentence(err)
			}
			return c.started(ctx, s, run, &wait)
		},
	}
	command.Flags().BoolVar(&onlyFailed, "failed", false, "The inputs that did not succeed.")
	policy.add(command.Flags())
	wait.add(command.Flags())
	return command
}

// conflictSentence takes what is said to programs off a conflict's message.
func conflictSentence(err error) error {
	if !apierrors.IsConflict(err) {
		return err
	}
	_, message, found := strings.Cut(err.Error(), ": ")
	if !found {
		return err
	}
	return clusterError("%s", message)
}
