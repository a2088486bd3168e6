package subresources

import (
	"bufio"
	"net/http"
	"runtime"

	"sharedcloud.io/function-operator/apiserver/outcomes"
)

// streamBuffer is the size of a write. yieldEvery is the number of outcomes after which other requests may run.
const (
	streamBuffer = 64 << 10
	yieldEvery   = 64
)

// format is the format of a response with many outcomes.
type format interface {
	// The beginning, one outcome (first or not), and the end after so many outcomes. The results are valid until the next
	// call.
	beginning() []byte
	one(o *outcomes.Outcome, first bool) []byte
	end(written int) []byte
}

// newFormat returns the format of a content type.
func newFormat(q query) format {
	switch q.format {
	case contentCSV:
		return newTable(q)
	case contentNDJSON:
		return lines{newEncoder(q.output)}
	}
	return array{newEncoder(q.output)}
}

// lines writes one JSON object per line.
type lines struct{ *encoder }

func (lines) beginning() []byte { return nil }

func (l lines) one(o *outcomes.Outcome, _ bool) []byte {
	l.encode(o)
	l.buffer.WriteByte('\n')
	return l.buffer.Bytes()
}

func (lines) end(int) []byte { return nil }

// array writes one JSON array, also with one outcome per line, so that it is readable.
type array struct{ *encoder }

func (array) beginning() []byte { return []byte("[") }

func (a array) one(o *outcomes.Outcome, first bool) []byte {
	if first {
		return append([]byte("\n"), a.encode(o)...)
	}
	return append([]byte(",\n"), a.encode(o)...)
}

func (array) end(written int) []byte {
	if written > 0 {
		return []byte("\n]\n")
	}
	return []byte("]\n")
}

// stream writes outcomes to a client. The header is sent with the first of them: until then, an error can be returned as an
// error response.
type stream struct {
	response http.ResponseWriter
	buffered *bufio.Writer
	format   format
	kind     string
	started  bool
	written  int
	// broken is why nothing more can be written.
	broken error
}

func newStream(w http.ResponseWriter, q query) *stream {
	return &stream{response: w, buffered: bufio.NewWriterSize(w, streamBuffer), format: newFormat(q), kind: q.format}
}

func (s *stream) begin() {
	if s.started {
		return
	}
	s.started = true
	s.response.Header().Set("Content-Type", s.kind)
	s.response.WriteHeader(http.StatusOK)
	s.put(s.format.beginning())
}

// write writes one outcome. It returns false if nothing more can be written.
func (s *stream) write(o *outcomes.Outcome) bool {
	s.begin()
	s.put(s.format.one(o, s.written == 0))
	s.written++
	if s.written%yieldEvery == 0 {
		runtime.Gosched() // lets other requests run
	}
	return s.broken == nil
}

// flush sends what was written.
func (s *stream) flush() {
	s.begin()
	if s.broken != nil {
		return
	}
	if s.broken = s.buffered.Flush(); s.broken != nil {
		return
	}
	if err := http.NewResponseController(s.response).Flush(); err != nil {
		s.broken = err
	}
}

// end completes the response.
func (s *stream) end() {
	s.begin()
	s.put(s.format.end(s.written))
	if s.broken == nil {
		s.broken = s.buffered.Flush()
	}
}

func (s *stream) put(data []byte) {
	if s.broken == nil {
		_, s.broken = s.buffered.Write(data)
	}
}
