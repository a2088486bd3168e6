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
	// timeLayout is the format of every date, in UTC.
	timeLayout = "02-01-2006 15:04:05"
	// streamBuffer is the number of bytes of a list that are written at once.
	streamBuffer = 32 << 10
	// minZipped is the smallest answer that is compressed.
	minZipped = 1 << 10
	// writeTimeout is the time that a caller has to read what is written at once.
	writeTimeout = 30 * time.Second
)

// Appending to a buffer is most of what a list of thousands costs, so objects are written field by field.

// appendText appends a string of JSON: what is not ASCII as it is, what is not UTF-8 as U+FFFD.
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
		case r == '\u2028' || r == '\u2029': // a script would take them for the end of a line
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

// object appends the fields of an object in their order.
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
	o.b = append(o.b, name...) // a constant of ours
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

func (o *object) truth(name string, value bool) {
	o.name(name)
	o.b = strconv.AppendBool(o.b, value)
}

// raw writes what is JSON already.
func (o *object) raw(name, value string) {
	o.name(name)
	o.b = append(o.b, value...)
}

// date writes a moment in µs since 1970, or null for 0.
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

// stream writes an answer of any length. What fails, fails for good: broken says why.
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

// begin sends the header.
func (s *stream) begin() {
	if s.begun {
		return
	}
	s.begun = true
	header := s.call.w.Header()
	header.Set("Content-Type", contentJSON)
	header.Add("Vary", "Accept-Encoding")
	var sink interface{ Write(p []byte) (int, error) } = patient{s.call}
	if accept.Gzip(s.call.r.Header.Values("Accept-Encoding")) {
		header.Set("Content-Encoding", "gzip")
		s.zip, _ = gzip.NewWriterLevel(sink, gzip.BestSpeed) // the level is one
		sink = s.zip
	}
	s.buffered = bufio.NewWriterSize(sink, streamBuffer)
	s.call.w.WriteHeader(s.status)
	s.put([]byte{'['})
}

// item adds one more object, written by its function at the end of a buffer. It returns false when the caller takes no
// more.
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

// end makes a whole of it.
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

// patient gives the caller some time for each piece.
type patient struct{ call *call }

func (p patient) Write(data []byte) (int, error) {
	_ = p.call.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	// Lets other requests run between two pieces of a long answer.
	runtime.Gosched()
	return p.call.w.Write(data)
}

// answer writes one object.
func (c *call) answer(status int, body []byte) {
	header := c.w.Header()
	header.Set("Content-Type", contentJSON)
	header.Add("Vary", "Accept-Encoding")
	if len(body) >= minZipped && accept.Gzip(c.r.Header.Values("Accept-Encoding")) {
		header.Set("Content-Encoding", "gzip")
		c.w.WriteHeader(status)
		zip, _ := gzip.NewWriterLevel(patient{c}, gzip.BestSpeed)
		_, _ = zip.Write(body)
		_ = zip.Close()
		return
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(status)
	_, _ = patient{c}.Write(body)
}
