package v1alpha1

import "time"

// ExpirationTime returns the time at which a finished run is deleted: its end plus its own ttlSecondsAfterFinished, or else the value
// of its Function that it pinned. It returns false if neither is set or the run has not finished.
func (r *FunctionRun) ExpirationTime() (time.Time, bool) {
	var ofFunction *int32
	if r.Status.Revision != nil {
		ofFunction = r.Status.Revision.TTLSecondsAfterFinished
	}
	return r.endPlus(r.Spec.TTLSecondsAfterFinished, ofFunction)
}

// ResultsExpirationTime returns the time at which the results of a finished run are deleted, according to
// resultsTTLSecondsAfterFinished. See ExpirationTime.
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
