package subresources

import (
	"bufio"
	"net/http"

	"sharedcloud.io/function-operator/apiserver/outcomes"
)

// streamBuffer is how much is written at once.
const streamBuffer = 64 << 10

// stream writes outcomes to a caller, as an array or one a line. The header is sent with the first of them, so that
// until then an error can still be answered as one.
type stream struct {
	response http.ResponseWriter
	buffered *bufio.Writer
	encoder  *encoder
	lines    bool
	begun    bool
	written  int
	// broken is why the caller gets nothing more.
	broken error
}

func newStream(w http.ResponseWriter, q query) *stream {
	return &stream{
		response: w,
		buffered: bufio.NewWriterSize(w, streamBuffer),
		encoder:  newEncoder(q.output),
		lines:    q.lines,
	}
}

func (s *stream) begin() {
	if s.begun {
		return
	}
	s.begun = true
	s.response.Header().Set("Content-Type", contentType(s.lines))
	s.response.WriteHeader(http.StatusOK)
	if !s.lines {
		s.put([]byte("["))
	}
}

// write writes one more outcome. It returns false when the caller takes no more.
func (s *stream) write(o *outcomes.Outcome) bool {
	s.begin()
	if !s.lines && s.written > 0 {
		s.put([]byte(","))
	}
	if !s.lines {
		// A line an outcome in the array too: people look at it.
		s.put([]byte("\n"))
	}
	s.put(s.encoder.encode(o))
	if s.lines {
		s.put([]byte("\n"))
	}
	s.written++
	return s.broken == nil
}

// flush brings what was written to the caller.
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

// end makes a whole of it.
func (s *stream) end() {
	s.begin()
	if !s.lines {
		if s.written > 0 {
			s.put([]byte("\n"))
		}
		s.put([]byte("]\n"))
	}
	if s.broken == nil {
		s.broken = s.buffered.Flush()
	}
}

func (s *stream) put(data []byte) {
	if s.broken == nil {
		_, s.broken = s.buffered.Write(data)
	}
}
