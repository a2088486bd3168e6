package work

import (
	"encoding/json"
	"fmt"

	sharedcloudv1alpha1 "sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/exchange/indexset"
)

const (
	// Protocol is the version of the exchange that this server speaks.
	Protocol = 1
	// MaxBody is how many bytes a request may have.
	MaxBody = 32 << 20
	// MaxWaitSeconds is how long a call may be kept open.
	MaxWaitSeconds = 20
	// MaxOutcomes is how many outcomes one request may bring: no worker is ever handed as many.
	MaxOutcomes = 1 << 16
)

// Request is a worker's call, see docs/exchange.md.
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
	Device      string     `json:"device,omitempty"`
	Live        *Live      `json:"live,omitempty"`
	// Suspects are in nobody's hands any more: one call of the handler had them all, and its process ended.
	Suspects Indexes `json:"suspects,omitzero"`
}

// Live is what the input that is being executed has printed since the last call that said so.
type Live struct {
	Index int `json:"index"`
	// StartTime is when it began, by the worker's clock.
	StartTime int64 `json:"startTime"`
	// StdoutFrom and StderrFrom are how many bytes the input had printed before.
	Stdout     []byte `json:"stdout,omitempty"`
	StdoutFrom int64  `json:"stdoutFrom,omitempty"`
	Stderr     []byte `json:"stderr,omitempty"`
	StderrFrom int64  `json:"stderrFrom,omitempty"`
}

// Outcome is what a worker reports of one input.
type Outcome struct {
	Index  int    `json:"index"`
	Status string `json:"status"`
	// Result is the JSON that the worker encoded, byte for byte; nil when it has none.
	Result json.RawMessage `json:"result,omitempty"`
	// ResultText is the value as text, where that doesn't follow from Result.
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

// ErrorText says what went wrong, in the words of the language that the handler is written in.
type ErrorText struct {
	Type      string `json:"type"`
	Message   string `json:"message"`
	Traceback string `json:"traceback,omitempty"`
}

// Action is what the worker shall do.
type Action string

// The actions of an answer.
const (
	ActionWork     Action = "work"
	ActionWait     Action = "wait"
	ActionFinished Action = "finished"
	ActionStop     Action = "stop"
)

// Answer is the server's answer to a call.
type Answer struct {
	Action         Action     `json:"action"`
	PodEnding      bool       `json:"podEnding,omitempty"`
	Inputs         []InputOut `json:"inputs,omitempty"`
	Revoked        Indexes    `json:"revoked,omitzero"`
	LeaseSeconds   float64    `json:"leaseSeconds"`
	TimeoutSeconds int        `json:"timeoutSeconds"`
	HandBackMillis int64      `json:"handBackMillis"`
	LiveMillis     int64      `json:"liveMillis"`
	BatchSize      int        `json:"batchSize,omitempty"`
	Limits         Limits     `json:"limits"`
}

// InputOut is one input handed out: exactly one of JSON and Literal is set.
type InputOut struct {
	Index   int             `json:"index"`
	JSON    json.RawMessage `json:"json,omitempty"`
	Literal string          `json:"literal,omitempty"`
}

// Limits are what an outcome may hold.
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

// IsZero says whether the list is left out.
func (i Indexes) IsZero() bool { return i.Empty() }

// RequestError says why a request is not a call of this protocol. 400.
type RequestError struct{ Sentence string }

func (e *RequestError) Error() string { return e.Sentence }

func badRequest(format string, args ...any) error {
	return &RequestError{Sentence: fmt.Sprintf(format, args...)}
}

// ErrTooLarge: the body has more than MaxBody bytes. 413; the worker splits its outcomes.
var ErrTooLarge = fmt.Errorf("the body has more than %d MiB: send the outcomes in several calls", MaxBody>>20)

// ParseRequest reads a request from its text, which the request shares afterwards. Unknown fields are ignored, so that a newer
// worker can call an older server.
func ParseRequest(text []byte) (*Request, error) {
	request, err := decodeRequest(text)
	if err != nil {
		return nil, err
	}
	if err := request.validate(); err != nil {
		return nil, err
	}
	return request, nil
}

// validate checks what needs no knowledge of the run.
func (r *Request) validate() error {
	switch {
	case r.Protocol != Protocol:
		return badRequest("protocol is %d; this server speaks %d", r.Protocol, Protocol)
	case r.Sequence < 1:
		return badRequest("sequence is %d; a worker's first call has 1", r.Sequence)
	case r.WaitSeconds < 0 || r.WaitSeconds > MaxWaitSeconds:
		return badRequest("waitSeconds is %d; it must be from 0 to %d", r.WaitSeconds, MaxWaitSeconds)
	case r.Executing != nil && !r.Held.Contains(*r.Executing):
		return badRequest("executing is %d, which is not in held", *r.Executing)
	case r.Live != nil && (r.Executing == nil || r.Live.Index != *r.Executing):
		return badRequest("live is of %d, which is not executing", r.Live.Index)
	case r.Live != nil && (r.Live.StdoutFrom < 0 || r.Live.StderrFrom < 0):
		return badRequest("live begins before the beginning")
	}
	indexes := make([]int, len(r.Outcomes))
	for i := range r.Outcomes {
		indexes[i] = r.Outcomes[i].Index
	}
	if reported := indexset.Of(indexes...); reported.Len() != len(r.Outcomes) {
		return badRequest("an index is reported twice in outcomes")
	}
	return nil
}

func (o *Outcome) validate() error {
	if o.Index < 0 || o.Index > indexset.MaxIndex {
		return badRequest("an outcome has index %d", o.Index)
	}
	switch o.Status {
	case sharedcloudv1alpha1.OutcomeSucceeded, sharedcloudv1alpha1.OutcomeFailed, sharedcloudv1alpha1.OutcomeTimedOut:
	default:
		return badRequest("the outcome of index %d has status %.32q; it must be Succeeded, Failed or TimedOut", o.Index, o.Status)
	}
	if o.Crash && o.Status != sharedcloudv1alpha1.OutcomeFailed {
		return badRequest("the outcome of index %d has crash with status %s; a crash is Failed", o.Index, o.Status)
	}
	if o.DurationMicros < 0 || o.StartTime < 0 || o.StdoutDropped < 0 || o.StderrDropped < 0 {
		return badRequest("the outcome of index %d has a negative time or size", o.Index)
	}
	return nil
}

// reported is the set of the indexes in outcomes.
func (r *Request) reported() indexset.Set {
	indexes := make([]int, len(r.Outcomes))
	for i := range r.Outcomes {
		indexes[i] = r.Outcomes[i].Index
	}
	return indexset.Of(indexes...)
}
