package report

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/klog/v2"

	sharedcloudv1alpha1 "sharedcloud.io/function-operator/api/v1alpha1"
)

// retain deletes the results of a closed run when resultsTTLSecondsAfterFinished has passed since its end, and notes that in
// its status. It returns how long that is yet, 0 where it never comes or a change of the run will tell.
func (r *Reporter) retain(ctx context.Context, run *sharedcloudv1alpha1.FunctionRun) (time.Duration, error) {
	if left, limited := resultsLeft(run, r.clock.Now()); !limited || left > 0 {
		return left, nil
	}
	// Somebody may have raised the limit a moment ago, and what is deleted is gone: the API itself is asked.
	current, err := r.runs.Refresh(ctx, run.Namespace, run.Name)
	if apierrors.IsNotFound(err) || err == nil && current.UID != run.UID {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("asking how long the results of FunctionRun %s/%s are kept: %w", run.Namespace, run.Name, err)
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
	klog.FromContext(ctx).Info("Deleted the results of a run at the end of their time to live", "run", klog.KObj(run))
	return 0, nil
}

// resultsLeft is how long the results of a closed run stay. limited is false where they stay as long as it, are deleted, or
// the controller has not noted its end yet.
func resultsLeft(run *sharedcloudv1alpha1.FunctionRun, now time.Time) (left time.Duration, limited bool) {
	until, limited := run.ResultsExpirationTime()
	if !limited || !closed(run) || run.Status.Progress.ResultsDeleted {
		return 0, false
	}
	return max(0, until.Sub(now)), true
}
