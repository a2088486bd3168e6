package report

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/klog/v2"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// retain deletes the results of a closed run when resultsTTLSecondsAfterFinished has passed since its end, and records that in
// its status. It returns the remaining time, 0 when there is none or a change of the run will announce it.
func (r *Reporter) retain(ctx context.Context, run *v1alpha1.FunctionRun) (time.Duration, error) {
	if left, limited := resultsLeft(run, r.clock.Now()); !limited || left > 0 {
		return left, nil
	}
	// The limit may just have been raised, and a deletion cannot be undone: read the run from the API.
	current, err := r.runs.Refresh(ctx, run.Namespace, run.Name)
	if apierrors.IsNotFound(err) || err == nil && current.UID != run.UID {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading how long the results of FunctionRun %s/%s are kept: %w", run.Namespace, run.Name, err)
	}
	if left, limited := resultsLeft(current, r.clock.Now()); !limited || left > 0 {
		return left, nil
	}
	if err := r.exchange.DeleteResults(ctx, current.UID); err != nil {
		return 0, fmt.Errorf("FunctionRun %s/%s: %w", run.Namespace, run.Name, err)
	}
	progress := *current.Status.Progress
	progress.ResultsDeleted = true
	if err := r.write(ctx, current, progress); err != nil {
		return 0, err
	}
	klog.FromContext(ctx).Info("Deleted the results of a run after their time to live", "run", klog.KObj(run))
	return 0, nil
}

// resultsLeft is how long the results of a closed run stay. limited is false when they stay as long as the run, are already
// deleted, or the controller has not recorded its end yet.
func resultsLeft(run *v1alpha1.FunctionRun, now time.Time) (left time.Duration, limited bool) {
	until, limited := run.ResultsExpirationTime()
	if !limited || !closed(run) || run.Status.Progress.ResultsDeleted {
		return 0, false
	}
	return max(0, until.Sub(now)), true
}
