package work

import (
	"fmt"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/exchange"
)

// Maximum lengths of an error's texts. An exception can contain anything.
const (
	maxErrorType      = 1 << 10
	maxErrorMessage   = 64 << 10
	maxErrorTraceback = 256 << 10
)

// DefaultLimits are the limits of an outcome. The largest result with both outputs, encoded, fits into a request.
var DefaultLimits = exchange.Limits{ResultBytes: 16 << 20, OutputBytes: 256 << 10}

// storedOutcome converts a reported outcome. Workers apply the limits themselves. A worker that does not must neither fill the store nor get
// an error for the whole call.
func storedOutcome(o *exchange.Outcome, limits exchange.Limits) outcomes.Outcome {
	stored := outcomes.Outcome{
		Index:            o.Index,
		StartMicros:      o.StartTime,
		CompletionMicros: o.StartTime + o.DurationMicros,
		StdoutDropped:    o.StdoutDropped,
		StderrDropped:    o.StderrDropped,
	}
	stored.Stdout, stored.StdoutDropped = keepEnd(o.Stdout, limits.OutputBytes, o.StdoutDropped)
	stored.Stderr, stored.StderrDropped = keepEnd(o.Stderr, limits.OutputBytes, o.StderrDropped)
	switch o.Status {
	case v1alpha1.OutcomeSucceeded:
		stored.Status = outcomes.Succeeded
		stored.Result = o.Result
		if o.ResultText != nil {
			stored.ResultText = []byte(*o.ResultText)
		}
		if size := resultSize(&stored, limits.ResultBytes); size > limits.ResultBytes {
			stored.Status, stored.Result, stored.ResultText = outcomes.Failed, nil, nil
			stored.Error = &outcomes.ErrorText{
				Type:    ErrorResultTooLarge,
				Message: fmt.Sprintf("the result has %d bytes; at most %d are kept: store it elsewhere and return where it is", size, limits.ResultBytes),
			}
		}
		return stored
	case v1alpha1.OutcomeTimedOut:
		stored.Status = outcomes.TimedOut
	default:
		stored.Status = outcomes.Failed
	}
	if o.Error != nil {
		text := storedError(o.Error)
		stored.Error = &text
	}
	return stored
}

// resultSize returns the size of a result in bytes of UTF-8: an escape counts as much as the character that it stands for.
func resultSize(o *outcomes.Outcome, limit int) int {
	size := len(o.Result)
	if size > limit {
		size = printable.ReadableSize(o.Result)
	}
	return max(size, len(o.ResultText))
}

func storedError(e *exchange.ErrorText) outcomes.ErrorText {
	return outcomes.ErrorText{
		Type:      printable.Cut(e.Type, maxErrorType),
		Message:   printable.Cut(e.Message, maxErrorMessage),
		Traceback: printable.Cut(e.Traceback, maxErrorTraceback),
	}
}

// keepEnd keeps the last limit bytes, and counts the dropped ones.
func keepEnd(output []byte, limit int, dropped int64) ([]byte, int64) {
	if excess := len(output) - limit; excess > 0 {
		return output[excess:], dropped + int64(excess)
	}
	return output, dropped
}
