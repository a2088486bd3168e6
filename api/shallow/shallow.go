// Package shallow cuts what nests too deeply out of the answers of the Kubernetes API.
//
// A JSON decoder refuses a text that nests deeper than 10,000 levels as a whole. The API server stores an object that nests
// so deeply, and the list that holds it nests two levels deeper: one object then keeps a client from every list of its kind.
// The transport of this package keeps the nesting of such an answer within bounds, while it is read, in constant memory. An
// object that was cut still nests too deeply for its type (v1alpha1.MaxStoredDepth): it is decoded as its metadata and an
// error.
//
// What lives here: the transport and its reader. What must not: any knowledge of fields.
package shallow

import (
	"io"
	"net/http"
	"strings"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// maxDepth is how deeply an answer may nest: an object of a list is two levels down, that of an event of a watch one.
const maxDepth = v1alpha1.MaxStoredDepth + 16

// RoundTripper wraps the transport of a client of the Kubernetes API. It changes answers about the custom resources alone.
func RoundTripper(next http.RoundTripper) http.RoundTripper { return &roundTripper{next} }

type roundTripper struct{ next http.RoundTripper }

// WrappedRoundTripper lets client-go find the transport below.
func (t *roundTripper) WrappedRoundTripper() http.RoundTripper { return t.next }

// RoundTrip sends the request.
func (t *roundTripper) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := t.next.RoundTrip(request)
	// A cluster behind a proxy has a prefix before its paths.
	if err != nil || !strings.Contains(request.URL.Path, "/apis/"+v1alpha1.GroupName+"/") ||
		!strings.Contains(response.Header.Get("Content-Type"), "json") {
		return response, err
	}
	response.Body = &body{Reader: NewReader(response.Body), Closer: response.Body}
	response.ContentLength = -1
	response.Header.Del("Content-Length")
	return response, nil
}

type body struct {
	io.Reader
	io.Closer
}

// Reader copies JSON texts, and empties each array and object that is nested too deeply.
type Reader struct {
	source  io.Reader
	depth   int
	text    bool // inside a string
	escaped bool // after a backslash
	buffer  []byte
	ready   []byte // of buffer, not yet read
	err     error
}

// NewReader reads valid JSON from source.
func NewReader(source io.Reader) *Reader {
	return &Reader{source: source, buffer: make([]byte, 32<<10)}
}

// Read implements io.Reader. It returns what the source has as soon as it has something.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(r.ready) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		var n int
		n, r.err = r.source.Read(r.buffer)
		r.ready = r.cut(r.buffer[:n])
	}
	n := copy(p, r.ready)
	r.ready = r.ready[n:]
	return n, nil
}

// cut works in place. An array or an object of the greatest depth keeps its brackets and loses what is between them.
func (r *Reader) cut(data []byte) []byte {
	kept := data[:0]
	for _, c := range data {
		inside := r.depth > maxDepth
		switch {
		case r.escaped:
			r.escaped = false
		case r.text:
			switch c {
			case '\\':
				r.escaped = true
			case '"':
				r.text = false
			}
		case c == '"':
			r.text = true
		case c == '{' || c == '[':
			r.depth++
		case c == '}' || c == ']':
			r.depth--
			inside = r.depth > maxDepth
		}
		if !inside {
			kept = append(kept, c)
		}
	}
	return kept
}
