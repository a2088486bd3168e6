package v1alpha1

import (
	"fmt"
	"strings"
)

// Names that both components use to recognize a worker.
const (
	// WorkerContainer is the name of a worker's container.
	WorkerContainer = "worker"
	// AnnotationImage of a pod is the FunctionImage that it runs, NAMESPACE/NAME.
	AnnotationImage = "sharedcloud.io/image"
)

// MessageWorkersRunning begins the message of Ready while workers execute inputs. A full stop follows, or a semicolon and why
// the other workers wait.
const MessageWorkersRunning = "Workers are running"

// maxIndexesText is the maximum length of the indexes in a sentence.
const maxIndexesText = 100

// WantedWorkers is the number of workers that a pinned run should have now: spec.workers, which may change while the run
// executes, or else the pinned number, and never more than it has inputs. It is 0 for a run that is not pinned.
func (r *FunctionRun) WantedWorkers() int32 {
	pin := r.Status.Revision
	if pin == nil {
		return 0
	}
	workers := pin.Workers
	if r.Spec.Workers != nil {
		workers = *r.Spec.Workers
	}
	return min(max(min(pin.InputCount, workers), 0), MaxWorkers)
}

// Outcomes is the number of inputs that have an outcome, as the API server last reported it.
func (r *FunctionRun) Outcomes() int32 {
	if r.Status.Progress == nil {
		return 0
	}
	return r.Status.Progress.Outcomes()
}

// Outcomes is the number of inputs that have an outcome.
func (p *RunProgress) Outcomes() int32 {
	return boundedSum(p.Succeeded, p.Failed, p.TimedOut, p.Cancelled)
}

// Unsuccessful is the number of inputs that failed, timed out or were cancelled.
func (p *RunProgress) Unsuccessful() int32 { return boundedSum(p.Failed, p.TimedOut, p.Cancelled) }

// boundedSum adds counts that may be older than the schema's bounds.
func boundedSum(counts ...int32) int32 {
	var sum int64
	for _, count := range counts {
		sum += int64(count)
	}
	return int32(min(max(sum, 0), int64(MaxInputs)))
}

// UnsuccessfulCounts lists the counts of inputs that did not succeed: "2 failed, 1 timed out". It is empty when all succeeded.
func (p *RunProgress) UnsuccessfulCounts() string {
	var parts []string
	for _, part := range []struct {
		count int32
		word  string
	}{{p.Failed, "failed"}, {p.TimedOut, "timed out"}, {p.Cancelled, "cancelled"}} {
		if part.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.count, part.word))
		}
	}
	return strings.Join(parts, ", ")
}

// UnsuccessfulSentence counts the inputs that did not succeed: "3 of 100 inputs did not succeed (2 failed, 1 timed out):
// indexes 4,7-8." A long list of indexes is cut.
func (p *RunProgress) UnsuccessfulSentence() string {
	text := fmt.Sprintf("%d of %s did not succeed", p.Unsuccessful(), CountInputs(p.Total))
	if counts := p.UnsuccessfulCounts(); counts != "" {
		text += " (" + counts + ")"
	}
	if p.FailedIndexes != "" {
		text += ": indexes " + firstIndexes(p.FailedIndexes)
	}
	return text + "."
}

// SucceededSentence describes a run of which every input succeeded: "All 100 inputs succeeded."
func (p *RunProgress) SucceededSentence() string {
	if p.Total == 1 {
		return "The only input succeeded."
	}
	return fmt.Sprintf("All %d inputs succeeded.", p.Total)
}

// CountInputs is a number of inputs in words: "1 input", "3 inputs".
func CountInputs(count int32) string {
	if count == 1 {
		return "1 input"
	}
	return fmt.Sprintf("%d inputs", count)
}

// firstIndexes is the beginning of a compressed list of indexes, cut after one of its elements.
func firstIndexes(list string) string {
	if len(list) <= maxIndexesText {
		return list
	}
	return list[:strings.LastIndexByte(list[:maxIndexesText], ',')+1] + "…"
}
