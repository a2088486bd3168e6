package rest

import (
	"bufio"
	"compress/gzip"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"sharedcloud.io/function-operator/apiserver/accept"
)

const (
	contentJSON = "application/json"
	// timeLayout is the format of dates, in UTC.
	timeLayout = "02-01-2006 15:04:05"
	// streamBuffer is the number of bytes of a list that one write sends.
	streamBuffer = 32 << 10
	// minZipped is the smallest response that is compressed.
	minZipped = 1 << 10
	// writeTimeout bounds one write: the time in which the client must receive it.
	writeTimeout = 30 * time.Second
)

// Encoding dominates the cost of a list of thousands, so objects are appended field by field.

// appendText appends a JSON string. It keeps non-ASCII characters and replaces invalid UTF-8 by U+FFFD.
func appendText(b []byte, text string) []byte {
	const hexadecimal = "0123456789abcdef"
	b = append(b, '"')
	start := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			b = append(b, text[start:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\n':
				b = append(b, '\\', 'n')
			case '\r':
				b = append(b, '\\', 'r')
			case '\t':
				b = append(b, '\\', 't')
			default:
				b = append(b, '\\', 'u', '0', '0', hexadecimal[c>>4], hexadecimal[c&0xf])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(b, text[start:i]...)
			b = append(b, '\xef', '\xbf', '\xbd')
			start = i + 1
		case r == '\u2028' || r == '\u2029': // JavaScript treats them as line terminators
			b = append(b, text[start:i]...)
			b = append(b, `\u202`...)
			b = append(b, hexadecimal[r&0xf])
			start = i + size
		}
		i += size
	}
	b = append(b, text[start:]...)
	return append(b, '"')
}

// object appends an object's fields in their order.
type object struct {
	b     []byte
	first bool
}

func newObject(b []byte) object { return object{append(b, '{'), true} }

func (o *object) name(name string) {
	if !o.first {
		o.b = append(o.b, ',')
	}
	o.first = false
	o.b = append(o.b, '"')
	o.b = append(o.b, name...) // names are constants that need no escaping
	o.b = append(o.b, '"', ':')
}

func (o *object) text(name, value string) {
	o.name(name)
	o.b = appendText(o.b, value)
}

// textOrNull writes null for "".
func (o *object) textOrNull(name, value string) {
	if value == "" {
		o.raw(name, "null")
		return
	}
	o.text(name, value)
}

func (o *object) number(name string, value int) {
	o.name(name)
	o.b = strconv.AppendInt(o.b, int64(value), 10)
}

func (o *object) money(name string, value float64) {
	o.name(name)
	start := len(o.b)
	o.b = strconv.AppendFloat(o.b, value, 'f', -1, 64)
	if !strings.ContainsRune(string(o.b[start:]), '.') {
		o.b = append(o.b, '.', '0')
	}
}

func (o *object) boolean(name string, value bool) {
	o.name(name)
	o.b = strconv.AppendBool(o.b, value)
}

// raw writes a value that is already JSON.
func (o *object) raw(name, value string) {
	o.name(name)
	o.b = append(o.b, value...)
}

// date writes a time in µs since 1970, or null for 0.
func (o *object) date(name string, micros int64) {
	o.name(name)
	if micros == 0 {
		o.b = append(o.b, "null"...)
		return
	}
	o.b = append(o.b, '"')
	o.b = time.UnixMicro(micros).UTC().AppendFormat(o.b, timeLayout)
	o.b = append(o.b, '"')
}

func (o *object) end() []byte { return append(o.b, '}') }

// stream writes a list of any length. broken is the first error; nothing is written after it.
type stream struct {
	call     *call
	status   int
	buffered *bufio.Writer
	zip      *gzip.Writer
	begun    bool
	items    int
	scratch  []byte
	broken   error
}

func (c *call) newStream(status int) *stream { return &stream{call: c, status: status} }

// begin sends the response header.
func (s *stream) begin() {
	if s.begun {
		return
	}
	s.begun = true
	header := s.call.w.Header()
	header.Set("Content-Type", contentJSON)
	header.Add("Vary", "Accept-Encoding")
	var sink interface{ Write(p []byte) (int, error) } = timedWriter{s.call}
	if accept.Gzip(s.call.r.Header.Values("Accept-Encoding")) {
		header.Set("Content-Encoding", "gzip")
		s.zip, _ = gzip.NewWriterLevel(sink, gzip.BestSpeed) // the level is valid
		sink = s.zip
	}
	s.buffered = bufio.NewWriterSize(sink, streamBuffer)
	s.call.w.WriteHeader(s.status)
	s.put([]byte{'['})
}

// item appends an object, which write appends to the buffer. It returns false if the client receives no more.
func (s *stream) item(write func(b []byte) []byte) bool {
	s.begin()
	s.scratch = s.scratch[:0]
	if s.items > 0 {
		s.scratch = append(s.scratch, ',')
	}
	s.scratch = write(s.scratch)
	s.items++
	s.put(s.scratch)
	return s.broken == nil
}

// end completes the list.
func (s *stream) end() {
	s.begin()
	s.put([]byte{']'})
	if s.broken == nil {
		s.broken = s.buffered.Flush()
	}
	if s.broken == nil && s.zip != nil {
		s.broken = s.zip.Close()
	}
}

func (s *stream) put(data []byte) {
	if s.broken == nil {
		_, s.broken = s.buffered.Write(data)
	}
}

// timedWriter bounds the time of each write.
type timedWriter struct{ call *call }

func (p timedWriter) Write(data []byte) (int, error) {
	_ = p.call.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	// Let other requests run between two writes of a long response.
	runtime.Gosched()
	return p.call.w.Write(data)
}

// answer sends one object.
func (c *call) answer(status int, body []byte) {
	header := c.w.Header()
	header.Set("Content-Type", contentJSON)
	header.Add("Vary", "Accept-Encoding")
	if len(body) >= minZipped && accept.Gzip(c.r.Header.Values("Accept-Encoding")) {
		header.Set("Content-Encoding", "gzip")
		c.w.WriteHeader(status)
		zip, _ := gzip.NewWriterLevel(timedWriter{c}, gzip.BestSpeed)
		_, _ = zip.Write(body)
		_ = zip.Close()
		return
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(status)
	_, _ = timedWriter{c}.Write(body)
}
