package bodies

import (
	"io"
	"net/http"
	"time"
)

// The maximum number of bytes of a rejected body that are read and dropped, for an authenticated and for another sender.
const (
	DrainAuthenticated   = 64 << 20
	DrainUnauthenticated = 1 << 20

	// drainTimeout is how long that may take.
	drainTimeout = 5 * time.Second
)

// Drain reads and drops the rest of a rejected body, at most maxBytes. If the connection were closed while the client still
// sends, it would be reset, and the client would not see the error response. A client that waits for permission to send
// (Expect: 100-continue) reads the response anyway.
func Drain(w http.ResponseWriter, r *http.Request, maxBytes int64) {
	if r.Header.Get("Expect") != "" || r.ContentLength > maxBytes {
		return
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(drainTimeout))
	_, _ = io.CopyN(io.Discard, r.Body, maxBytes)
	_ = control.SetReadDeadline(time.Time{})
}
