package exchange

import (
	"encoding/json"
	"fmt"
	"strings"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/exchange/indexset"
)

const (
	// Protocol is the version of the protocol.
	Protocol = 1
	// Path is the pattern of a run's address for http.ServeMux.
	Path = "/work/v1/namespaces/{namespace}/runs/{run}/exchange"
	// MaxBody is the maximum size of a request in bytes.
	MaxBody = 32 << 20
	// MaxWaitSeconds is the maximum time for which a call is kept open.
	MaxWaitSeconds = 20
	// MaxOutcomes is the maximum number of outcomes in one request. No worker has that many leased inputs.
	MaxOutcomes = 1 << 16
	// MaxLoadOutput is the maximum size of each stream of a LoadOutput in bytes. Of a longer one, the end is kept.
	MaxLoadOutput = 8 << 10
)

// PathOf returns the path of a run's exchange.
func PathOf(namespace, run string) string {
	return strings.NewReplacer("{namespace}", namespace, "{run}", run).Replace(Path)
}

// Request is a call of a worker.
type Request struct {
	Protocol    int        `json:"protocol"`
	Sequence    int64      `json:"sequence"`
	Held        Indexes    `json:"held"`
	Executing   *int       `json:"executing,omitempty"`
	Want        bool       `json:"want,omitempty"`
	WaitSeconds int        `json:"waitSeconds,omitempty"`
	Outcomes    []Outcome  `json:"outcomes,omitempty"`
	Leaving     bool       `json:"leaving,omitempty"`
	LoadError   *ErrorText `json:"loadError,omitempty"`
	// LoadOutput is what the module printed while it was loaded. A worker sends it once after each load, in the call that has LoadError if
	// the load has failed.
	LoadOutput *LoadOutput `json:"loadOutput,omitempty"`
	Device     string      `json:"device,omitempty"`
	Live       *Live       `json:"live,omitempty"`
	// Suspects are inputs that were in one call of the handler whose process ended. They are no longer leased to the worker.
	Suspects Indexes `json:"suspects,omitzero"`
}

// Live is what the executing input has printed since the last call that reported its output.
type Live struct {
	Index int `json:"index"`
	// StartTime is when execution started, µs since 1970 by the worker's clock.
	StartTime int64 `json:"startTime"`
	// StdoutFrom and StderrFrom are the offsets of Stdout and Stderr in what the input has printed, in bytes.
	Stdout     []byte `json:"stdout,omitempty"`
	StdoutFrom int64  `json:"stdoutFrom,omitempty"`
	Stderr     []byte `json:"stderr,omitempty"`
	StderrFrom int64  `json:"stderrFrom,omitempty"`
}

// LoadOutput is the end of what a module printed while it was loaded, at most MaxLoadOutput bytes of each stream.
type LoadOutput struct {
	Stdout string `json:"stdout,omitempty"`
	Stderr string `json:"stderr,omitempty"`
}

// Outcome is the outcome of one input.
type Outcome struct {
	Index  int    `json:"index"`
	Status string `json:"status"`
	// Result is the JSON that the worker encoded, byte for byte; nil when it has none.
	Result json.RawMessage `json:"result,omitempty"`
	// ResultText is the value as text, if that does not follow from Result.
	ResultText     *string    `json:"resultText,omitempty"`
	Error          *ErrorText `json:"error,omitempty"`
	Crash          bool       `json:"crash,omitempty"`
	StartTime      int64      `json:"startTime"`
	DurationMicros int64      `json:"durationMicros"`
	Stdout         []byte     `json:"stdout,omitempty"`
	Stderr         []byte     `json:"stderr,omitempty"`
	StdoutDropped  int64      `json:"stdoutDropped,omitempty"`
	StderrDropped  int64      `json:"stderrDropped,omitempty"`
}

// ErrorText is an error as the runtime of the handler's language reports it.
type ErrorText struct {
	Type      string `json:"type"`
	Message   string `json:"message"`
	Traceback string `json:"traceback,omitempty"`
}

// Action is what the worker must do next.
type Action string

// The actions of an answer.
const (
	ActionWork     Action = "work"
	ActionWait     Action = "wait"
	ActionFinished Action = "finished"
	ActionStop     Action = "stop"
)

// Answer is the answer to a call.
type Answer struct {
	Action         Action  `json:"action"`
	PodEnding      bool    `json:"podEnding,omitempty"`
	Inputs         []Input `json:"inputs,omitempty"`
	Revoked        Indexes `json:"revoked,omitzero"`
	LeaseSeconds   float64 `json:"leaseSeconds"`
	TimeoutSeconds int     `json:"timeoutSeconds"`
	HandBackMillis int64   `json:"handBackMillis"`
	LiveMillis     int64   `json:"liveMillis"`
	BatchSize      int     `json:"batchSize,omitempty"`
	Limits         Limits  `json:"limits"`
}

// Input is one input that is handed out. Exactly one of JSON and Literal is set.
type Input struct {
	Index   int             `json:"index"`
	JSON    json.RawMessage `json:"json,omitempty"`
	Literal string          `json:"literal,omitempty"`
}

// Limits are the maximum sizes in an outcome.
type Limits struct {
	ResultBytes int `json:"resultBytes"`
	OutputBytes int `json:"outputBytes"`
}

// Indexes is a set of indexes in its text form.
type Indexes struct{ indexset.Set }

// MarshalJSON writes the text form.
func (i Indexes) MarshalJSON() ([]byte, error) { return json.Marshal(i.String()) }

// UnmarshalJSON reads the text form.
func (i *Indexes) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf(`a list of indexes is a string like "17,20-31"`)
	}
	set, err := indexset.Parse(text)
	i.Set = set
	return err
}

// IsZero reports whether the field is omitted.
func (i Indexes) IsZero() bool { return i.Empty() }

// RequestError describes why a request is not a valid call of this protocol. HTTP status 400.
type RequestError struct {
	Message string
	// Index is the index of the outcome that is not valid; nil if it is not known, or if the error is about something else.
	Index *int
}

// ErrorResultNotSerializable is the type of the error of an input whose result JSON cannot represent.
const ErrorResultNotSerializable = "ResultNotSerializable"

// Refusal is the body of a response to a request that is refused.
type Refusal struct {
	Error string `json:"error"`
	Index *int   `json:"index,omitempty"`
}

func (e *RequestError) Error() string { return e.Message }

// BadRequest returns a *RequestError.
func BadRequest(format string, args ...any) error {
	return &RequestError{Message: fmt.Sprintf(format, args...)}
}

// ErrTooLarge: the body has more than MaxBody bytes. HTTP status 413; the worker splits its outcomes into several calls.
var ErrTooLarge = fmt.Errorf("the body has more than %d MiB: send the outcomes in several calls", MaxBody>>20)

// ParseRequest decodes and checks a request. The request shares memory with text. Unknown fields are ignored, so that a newer worker can call an
// older server.
func ParseRequest(text []byte) (*Request, error) {
	request, err := decodeRequest(text)
	if err != nil {
		return nil, err
	}
	if err := request.Validate(); err != nil {
		return nil, err
	}
	return request, nil
}

// Validate checks what needs no knowledge of the run.
func (r *Request) Validate() error {
	switch {
	case r.Protocol != Protocol:
		return BadRequest("protocol is %d; this server supports %d", r.Protocol, Protocol)
	case r.Sequence < 1:
		return BadRequest("sequence is %d; a worker's first call has 1", r.Sequence)
	case r.WaitSeconds < 0 || r.WaitSeconds > MaxWaitSeconds:
		return BadRequest("waitSeconds is %d; it must be from 0 to %d", r.WaitSeconds, MaxWaitSeconds)
	case r.Executing != nil && !r.Held.Contains(*r.Executing):
		return BadRequest("executing is %d, which is not in held", *r.Executing)
	case r.Live != nil && (r.Executing == nil || r.Live.Index != *r.Executing):
		return BadRequest("live has index %d, which is not executing", r.Live.Index)
	case r.Live != nil && (r.Live.StdoutFrom < 0 || r.Live.StderrFrom < 0):
		return BadRequest("stdoutFrom and stderrFrom of live must not be negative")
	}
	if r.Reported().Len() == len(r.Outcomes) {
		return nil
	}
	seen := make(map[int]bool, len(r.Outcomes))
	for i := range r.Outcomes {
		index := r.Outcomes[i].Index
		if seen[index] {
			return &RequestError{Message: fmt.Sprintf("the index %d is reported twice in outcomes", index), Index: &index}
		}
		seen[index] = true
	}
	return nil
}

func (o *Outcome) validate() error {
	if o.Index < 0 || o.Index > indexset.MaxIndex {
		return BadRequest("an outcome has index %d", o.Index)
	}
	switch o.Status {
	case v1alpha1.OutcomeSucceeded, v1alpha1.OutcomeFailed, v1alpha1.OutcomeTimedOut:
	default:
		return BadRequest("the outcome of index %d has status %.32q; it must be Succeeded, Failed or TimedOut", o.Index, o.Status)
	}
	if o.Crash && o.Status != v1alpha1.OutcomeFailed {
		return BadRequest("the outcome of index %d has crash with status %s; a crash is Failed", o.Index, o.Status)
	}
	if o.DurationMicros < 0 || o.StartTime < 0 || o.StdoutDropped < 0 || o.StderrDropped < 0 {
		return BadRequest("the outcome of index %d has a negative time or size", o.Index)
	}
	return nil
}

// Reported returns the indexes of the outcomes.
func (r *Request) Reported() indexset.Set {
	indexes := make([]int, len(r.Outcomes))
	for i := range r.Outcomes {
		indexes[i] = r.Outcomes[i].Index
	}
	return indexset.Of(indexes...)
}
