package workers

import (
	"context"
	"errors"
	"fmt"
	"math"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/core"
	"sharedcloud.io/function-operator/apiserver/work"
)

// Runs finds runs for the exchange.
type Runs struct{ runs *core.Runs }

var _ work.Runs = (*Runs)(nil)

// NewRuns returns a Runs that reads from the core.
func NewRuns(runs *core.Runs) *Runs { return &Runs{runs: runs} }

// Run returns the run of that name. If it has no pinned revision in the cache, it is read from the Kubernetes API: a worker exists, so a Job
// was created, so a revision was pinned before, and the cache is behind.
func (r *Runs) Run(ctx context.Context, namespace, name string) (work.Run, error) {
	run, err := r.runs.Get(ctx, namespace, name)
	if err == nil && v1alpha1.DecodeError(run) != "" {
		return work.Run{}, work.ErrNotDecodable
	}
	if err == nil && run.Status.Revision == nil {
		run, err = r.runs.Refresh(ctx, namespace, name)
	}
	switch {
	case apierrors.IsNotFound(err):
		return work.Run{}, work.ErrNoRun
	case err != nil:
		return work.Run{}, fmt.Errorf("finding FunctionRun %s/%s: %w", namespace, name, err)
	case v1alpha1.DecodeError(run) != "":
		return work.Run{}, work.ErrNotDecodable
	case run.Status.Revision == nil:
		return work.Run{}, work.ErrNoRun
	}
	return RunOf(run), nil
}

// RunOf converts a run for the exchange. Without a pinned revision it has no inputs and no workers.
func RunOf(run *v1alpha1.FunctionRun) work.Run {
	known := work.Run{
		UID:       run.UID,
		Namespace: run.Namespace,
		Name:      run.Name,
		Suspended: run.Spec.Suspend,
		Finished:  meta.IsStatusConditionTrue(run.Status.Conditions, v1alpha1.ConditionFinished),
	}
	if pinned := run.Status.Revision; pinned != nil {
		// Limited again: the object may have been stored before the schema had maxima.
		known.Total = within(pinned.InputCount, 0, v1alpha1.MaxInputs)
		known.Workers = within(pinned.Workers, 0, v1alpha1.MaxWorkers)
		known.Retries = within(pinned.Retries, 0, v1alpha1.MaxRetries)
		known.TimeoutSeconds = within(pinned.TimeoutSeconds, 1, v1alpha1.MaxTimeoutSeconds)
		known.GPUs = within(pinned.GPUs, 0, v1alpha1.MaxGPUs)
		known.BatchSize = within(pinned.BatchSize, 0, v1alpha1.MaxBatchSize)
		known.RetryDelaySeconds = within(ptr.Deref(pinned.RetryDelaySeconds, v1alpha1.DefaultRetryDelaySeconds),
			0, v1alpha1.MaxRetryDelaySeconds)
		known.NonRetryable = pinned.NonRetryableErrors
		if pinned.MaxFailures != nil {
			known.MaxFailures = ptr.To(within(*pinned.MaxFailures, 0, v1alpha1.MaxInputs))
		}
	}
	if now := run.Status.Workers; now > 0 {
		known.Workers = within(now, 0, v1alpha1.MaxWorkers)
	}
	if job := run.Status.Job; job != nil {
		known.JobUID = job.UID
	}
	if ending := meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionEnding); ending != nil && ending.Status == "True" {
		known.Ending, known.EndingMessage = ending.Reason, ending.Message
	}
	return known
}

func within(value, minimum, maximum int32) int { return int(min(max(value, minimum), maximum)) }

// Inputs reads the inputs of runs for the exchange.
type Inputs struct{ inputs *core.Inputs }

var _ work.Inputs = (*Inputs)(nil)

// NewInputs returns an Inputs that reads from the core.
func NewInputs(inputs *core.Inputs) *Inputs { return &Inputs{inputs: inputs} }

// Inputs implements work.Inputs.
func (i *Inputs) Inputs(ctx context.Context, run work.Run, first, last int) ([]work.Input, error) {
	if run.Total < 0 || run.Total > math.MaxInt32 {
		return nil, fmt.Errorf("FunctionRun %s/%s has %d inputs", run.Namespace, run.Name, run.Total)
	}
	inputs, err := i.inputs.Slice(ctx, run.Namespace, run.Name, run.UID, run.Total, first, last)
	switch {
	case apierrors.IsNotFound(err), errors.Is(err, core.ErrRunReplaced):
		return nil, work.ErrNoRun
	case errors.Is(err, core.ErrInputsGone), errors.Is(err, core.ErrInputsChanged):
		return nil, fmt.Errorf("%w: %w", work.ErrInputs, err)
	case err != nil:
		return nil, err
	}
	served := make([]work.Input, len(inputs))
	for n, input := range inputs {
		served[n] = work.Input{JSON: input.JSON, Literal: input.Literal}
	}
	return served, nil
}
