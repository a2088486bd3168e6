package work

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/exchange"
)

// What of an error is kept. A handler can put anything into an exception.
const (
	maxErrorType      = 1 << 10
	maxErrorMessage   = 64 << 10
	maxErrorTraceback = 256 << 10
)

// DefaultLimits are what an outcome may hold: the largest with both outputs, encoded, fits a request.
var DefaultLimits = exchange.Limits{ResultBytes: 16 << 20, OutputBytes: 256 << 10}

// storedOutcome is a reported outcome as it is kept. A worker keeps the limits by itself; one that doesn't must neither
// fill the store nor be sent away with its other outcomes.
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
		if size := max(len(stored.Result), len(stored.ResultText)); size > limits.ResultBytes {
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

func storedError(e *exchange.ErrorText) outcomes.ErrorText {
	return outcomes.ErrorText{
		Type:      cutText(e.Type, maxErrorType),
		Message:   cutText(e.Message, maxErrorMessage),
		Traceback: cutText(e.Traceback, maxErrorTraceback),
	}
}

// keepEnd keeps the last limit bytes, and counts those that it drops.
func keepEnd(output []byte, limit int, dropped int64) ([]byte, int64) {
	if excess := len(output) - limit; excess > 0 {
		return output[excess:], dropped + int64(excess)
	}
	return output, dropped
}

// cutText keeps the beginning of a text, at most limit bytes with the mark of the cut.
func cutText(text string, limit int) string {
	const mark = "…"
	if len(text) <= limit {
		return text
	}
	return strings.TrimRight(validPrefix(text[:limit-len(mark)]), " ") + mark
}

// validPrefix is the text up to the first bytes that are not UTF-8. It reads each byte once: texts come from workers.
func validPrefix(text string) string {
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRuneInString(text[at:])
		if r == utf8.RuneError && size <= 1 {
			return text[:at]
		}
		at += size
	}
	return text
}
