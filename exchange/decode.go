package exchange

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"sharedcloud.io/function-operator/api/strictjson"
	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/exchange/indexset"
)

// A call is checked while it is decoded, since a body of 32 MiB can describe a hundred times as much as it has bytes. Names of
// fields are compared exactly, unknown fields are ignored, and null means that the field is absent. What a worker passes on for
// its handler never makes a call invalid, because the worker would repeat the call: a result is kept byte for byte, and in
// texts half a surrogate pair becomes U+FFFD.

// decodeRequest decodes a call. The request shares memory with text.
func decodeRequest(text []byte) (*Request, error) {
	d := decoder{strictjson.NewDecoder(text, strictjson.Options{FoldNames: true}), len(text)}
	request := &Request{}
	err := d.request(request)
	if err == nil {
		err = d.End()
	}
	var own *RequestError
	switch {
	case errors.As(err, &own):
		return nil, own
	case err != nil:
		return nil, BadRequest("the body is not a request of the exchange: %s", err)
	}
	return request, nil
}

type decoder struct {
	*strictjson.Decoder
	size int
}

func (d decoder) request(r *Request) error {
	return d.Object(func(name []byte) (err error) {
		if d.Null() {
			return nil
		}
		switch string(name) {
		case "protocol":
			r.Protocol, err = d.Int32()
		case "sequence":
			r.Sequence, err = d.Int()
		case "held":
			r.Held, err = d.indexes()
		case "executing":
			var executing int
			executing, err = d.Int32()
			r.Executing = &executing
		case "want":
			r.Want, err = d.Bool()
		case "waitSeconds":
			r.WaitSeconds, err = d.Int32()
		case "outcomes":
			r.Outcomes, err = d.outcomes()
		case "leaving":
			r.Leaving, err = d.Bool()
		case "loadError":
			r.LoadError, err = d.errorText()
		case "loadOutput":
			r.LoadOutput, err = d.loadOutput()
		case "device":
			r.Device, err = d.Lossy()
		case "live":
			r.Live, err = d.live()
		case "suspects":
			r.Suspects, err = d.indexes()
		default:
			err = d.Skip()
		}
		return err
	})
}

func (d decoder) indexes() (Indexes, error) {
	if c := d.Peek(); c != '"' {
		return Indexes{}, BadRequest(`a list of indexes is a string like "17,20-31"`)
	}
	text, err := d.Text(indexset.MaxText)
	if err != nil {
		return Indexes{}, err
	}
	set, err := indexset.Parse(text)
	if err != nil {
		return Indexes{}, BadRequest("%s", err)
	}
	return Indexes{set}, nil
}

// outcomes decodes the outcomes and checks each before it allocates the next.
func (d decoder) outcomes() (all []Outcome, err error) {
	err = d.Array(func(index int) error {
		if index == MaxOutcomes {
			return BadRequest("outcomes has more than %d items", MaxOutcomes)
		}
		var o Outcome
		before := d.Offset()
		o.Index = noIndex
		if !d.Null() {
			if err := d.outcome(&o); err != nil {
				return ofOutcome(err, o.Index, index)
			}
		}
		if o.Index == noIndex {
			o.Index = 0
		}
		if err := o.validate(); err != nil {
			return ofOutcome(err, o.Index, index)
		}
		if all == nil {
			// Outcomes are usually of similar length: allocate all of them at once.
			size := d.Offset() - before + 1
			all = make([]Outcome, 0, min((d.size-before)/size+1, MaxOutcomes))
		}
		all = append(all, o)
		return nil
	})
	return all, err
}

// deepResult is a result that is nested too deeply, until the outcome is decoded. No other result is empty.
var deepResult = json.RawMessage{}

// noIndex is the index of an outcome until it is decoded.
const noIndex = -1 << 31

// ofOutcome adds to an error which outcome it is about: its index, if that was decoded before, and its position in the call.
func ofOutcome(err error, index, position int) error {
	request := &RequestError{}
	if !errors.As(err, &request) {
		request = &RequestError{Message: "the outcome is not valid: " + err.Error()}
	}
	named := *request
	switch {
	case index < 0:
		named.Message = fmt.Sprintf("outcomes[%d]: %s", position, request.Message)
	case !strings.Contains(request.Message, fmt.Sprintf("index %d", index)):
		named.Message = fmt.Sprintf("outcomes[%d], index %d: %s", position, index, request.Message)
	}
	if index >= 0 {
		named.Index = &index
	}
	return &named
}

func (d decoder) outcome(o *Outcome) error {
	err := d.Object(func(name []byte) (err error) {
		if string(name) == "result" { // null is a result
			var deep bool
			if o.Result, deep, err = d.OpaqueOfAnyDepth(); deep {
				o.Result = deepResult
			}
			return err
		}
		if d.Null() {
			return nil
		}
		switch string(name) {
		case "index":
			o.Index, err = d.Int32()
		case "status":
			o.Status, err = d.String()
		case "resultText":
			var text string
			text, err = d.Lossy()
			o.ResultText = &text
		case "error":
			o.Error, err = d.errorText()
		case "crash":
			o.Crash, err = d.Bool()
		case "startTime":
			o.StartTime, err = d.Int()
		case "durationMicros":
			o.DurationMicros, err = d.Int()
		case "stdout":
			o.Stdout, err = d.Base64()
		case "stderr":
			o.Stderr, err = d.Base64()
		case "stdoutDropped":
			o.StdoutDropped, err = d.Int()
		case "stderrDropped":
			o.StderrDropped, err = d.Int()
		default:
			err = d.Skip()
		}
		return err
	})
	if err == nil && o.Result != nil && len(o.Result) == 0 {
		o.withoutDeepResult()
	}
	return err
}

// withoutDeepResult makes an outcome whose result cannot be stored a failed one: the other outcomes of the call are accepted.
func (o *Outcome) withoutDeepResult() {
	o.Result, o.ResultText = nil, nil
	if o.Status == v1alpha1.OutcomeSucceeded {
		o.Status = v1alpha1.OutcomeFailed
		o.Error = &ErrorText{
			Type:    ErrorResultNotSerializable,
			Message: "the result cannot be stored as JSON: it is nested too deeply, in more than 10,000 levels: return a list of its parts, or store it elsewhere and return where it is",
		}
	}
}

func (d decoder) live() (*Live, error) {
	l := &Live{}
	err := d.Object(func(name []byte) (err error) {
		if d.Null() {
			return nil
		}
		switch string(name) {
		case "index":
			l.Index, err = d.Int32()
		case "startTime":
			l.StartTime, err = d.Int()
		case "stdout":
			l.Stdout, err = d.Base64()
		case "stdoutFrom":
			l.StdoutFrom, err = d.Int()
		case "stderr":
			l.Stderr, err = d.Base64()
		case "stderrFrom":
			l.StderrFrom, err = d.Int()
		default:
			err = d.Skip()
		}
		return err
	})
	return l, err
}

func (d decoder) loadOutput() (*LoadOutput, error) {
	l := &LoadOutput{}
	err := d.Object(func(name []byte) (err error) {
		if d.Null() {
			return nil
		}
		switch string(name) {
		case "stdout":
			l.Stdout, err = d.Lossy()
		case "stderr":
			l.Stderr, err = d.Lossy()
		default:
			err = d.Skip()
		}
		return err
	})
	l.Stdout, l.Stderr = end(l.Stdout), end(l.Stderr)
	return l, err
}

// end returns the last MaxLoadOutput bytes of a text, from the start of a character.
func end(text string) string {
	if len(text) <= MaxLoadOutput {
		return text
	}
	text = text[len(text)-MaxLoadOutput:]
	for len(text) > 0 && !utf8.RuneStart(text[0]) {
		text = text[1:]
	}
	return strings.Clone(text)
}

func (d decoder) errorText() (*ErrorText, error) {
	e := &ErrorText{}
	err := d.Object(func(name []byte) (err error) {
		if d.Null() {
			return nil
		}
		switch string(name) {
		case "type":
			e.Type, err = d.Lossy()
		case "message":
			e.Message, err = d.Lossy()
		case "traceback":
			e.Traceback, err = d.Lossy()
		default:
			err = d.Skip()
		}
		return err
	})
	return e, err
}
