package v1alpha1

import "time"

// ExpirationTime is when a run that is over is deleted: its own ttlSecondsAfterFinished after its end, else its Function's as it was
// pinned. False where neither says so, or the run is not over.
func (r *FunctionRun) ExpirationTime() (time.Time, bool) {
	var ofFunction *int32
	if r.Status.Revision != nil {
		ofFunction = r.Status.Revision.TTLSecondsAfterFinished
	}
	return r.endPlus(r.Spec.TTLSecondsAfterFinished, ofFunction)
}

// ResultsExpirationTime is ExpirationTime of the run's results, by resultsTTLSecondsAfterFinished.
func (r *FunctionRun) ResultsExpirationTime() (time.Time, bool) {
	var ofFunction *int32
	if r.Status.Revision != nil {
		ofFunction = r.Status.Revision.ResultsTTLSecondsAfterFinished
	}
	return r.endPlus(r.Spec.ResultsTTLSecondsAfterFinished, ofFunction)
}

func (r *FunctionRun) endPlus(own, ofFunction *int32) (time.Time, bool) {
	seconds := own
	if seconds == nil {
		seconds = ofFunction
	}
	if seconds == nil || r.Status.CompletionTime == nil {
		return time.Time{}, false
	}
	return r.Status.CompletionTime.Add(time.Duration(max(*seconds, 0)) * time.Second), true
}
