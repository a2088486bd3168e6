package subresources

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sharedcloud.io/function-operator/apiserver/outcomes"
)

// encoder writes outcomes as JSON, each as one object on one line without white space. Its buffer is reused.
type encoder struct {
	buffer bytes.Buffer
	json   *json.Encoder
	output bool
}

func newEncoder(output bool) *encoder {
	e := &encoder{output: output}
	e.json = json.NewEncoder(&e.buffer)
	// The response is not HTML, and results should stay readable.
	e.json.SetEscapeHTML(false)
	return e
}

// encode returns the JSON of an outcome. It is valid until the next call.
func (e *encoder) encode(o *outcomes.Outcome) []byte {
	b := &e.buffer
	b.Reset()
	b.WriteString(`{"index":`)
	e.number(int64(o.Index))
	b.WriteString(`,"status":`)
	e.text(o.Status.String())
	e.result(o)
	if o.Error != nil {
		b.WriteString(`,"error":{"type":`)
		e.text(o.Error.Type)
		b.WriteString(`,"message":`)
		e.text(o.Error.Message)
		if o.Error.Traceback != "" {
			b.WriteString(`,"traceback":`)
			e.text(o.Error.Traceback)
		}
		b.WriteByte('}')
	}
	b.WriteString(`,"attempts":`)
	e.number(int64(o.Attempts))
	e.time("startTime", o.StartMicros)
	e.time("completionTime", o.CompletionMicros)
	e.optional("worker", o.PodName)
	e.optional("node", o.Node)
	if e.output {
		e.stream("stdout", o.Stdout, o.StdoutDropped)
		e.stream("stderr", o.Stderr, o.StderrDropped)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// result writes the result of the handler, or its text if JSON cannot represent it.
func (e *encoder) result(o *outcomes.Outcome) {
	switch {
	case o.Result != nil:
		e.buffer.WriteString(`,"result":`)
		// Compact rejects invalid or too deeply nested JSON, and then writes nothing.
		if err := json.Compact(&e.buffer, o.Result); err != nil {
			e.text(string(o.Result))
		}
	case o.ResultText != nil:
		e.buffer.WriteString(`,"result":`)
		e.text(string(o.ResultText))
	}
}

func (e *encoder) stream(name string, data []byte, dropped int64) {
	e.buffer.WriteString(`,"` + name + `":`)
	e.text(string(data)) // what is not UTF-8 becomes U+FFFD
	if dropped > 0 {
		e.buffer.WriteString(`,"` + name + `Dropped":`)
		e.number(dropped)
	}
}

func (e *encoder) optional(name, value string) {
	if value != "" {
		e.buffer.WriteString(`,"` + name + `":`)
		e.text(value)
	}
}

func (e *encoder) time(name string, micros int64) {
	if micros > 0 {
		e.buffer.WriteString(`,"` + name + `":"`)
		e.buffer.Write(time.UnixMicro(micros).UTC().AppendFormat(e.buffer.AvailableBuffer(), metav1.RFC3339Micro))
		e.buffer.WriteByte('"')
	}
}

func (e *encoder) number(n int64) {
	e.buffer.Write(strconv.AppendInt(e.buffer.AvailableBuffer(), n, 10))
}

func (e *encoder) text(s string) {
	// A string is always encodable, and a bytes.Buffer does not fail.
	if err := e.json.Encode(s); err == nil {
		e.buffer.Truncate(e.buffer.Len() - 1) // the newline
	}
}
