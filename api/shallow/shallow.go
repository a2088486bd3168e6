// Package shallow limits the nesting depth of responses of the Kubernetes API.
//
// A JSON decoder rejects a whole text if any part of it is nested more than 10,000 levels deep. The API server can store such an
// object, and a list that contains it is two levels deeper: one object then makes every list of its kind unreadable for clients.
// The transport of this package limits the depth while the response is read, in constant memory. A truncated object still exceeds
// the depth that its type accepts (v1alpha1.MaxStoredDepth), so it is decoded as its metadata and an error.
//
// The package contains the transport and its reader, and does not depend on the fields of any type.
package shallow

import (
	"io"
	"net/http"
	"strings"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// maxDepth is the maximum nesting depth of a response. An object in a list is two levels deep; the object of a watch event is
// one level deep.
const maxDepth = v1alpha1.MaxStoredDepth + 16

// RoundTripper wraps the transport of a Kubernetes API client. It modifies only responses about the custom resources.
func RoundTripper(next http.RoundTripper) http.RoundTripper { return &roundTripper{next} }

type roundTripper struct{ next http.RoundTripper }

// WrappedRoundTripper returns the wrapped transport for client-go.
func (t *roundTripper) WrappedRoundTripper() http.RoundTripper { return t.next }

// RoundTrip implements http.RoundTripper.
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

// Reader copies JSON and empties each array and object that is nested too deeply.
type Reader struct {
	source  io.Reader
	depth   int
	text    bool // inside a string
	escaped bool // after a backslash
	buffer  []byte
	ready   []byte // the part of buffer that is not read yet
	err     error
}

// NewReader creates a Reader. source must be valid JSON.
func NewReader(source io.Reader) *Reader {
	return &Reader{source: source, buffer: make([]byte, 32<<10)}
}

// Read implements io.Reader. It returns data as soon as the source has some.
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

// cut works in place. An array or an object at the maximum depth keeps its brackets and loses its content.
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
