package bodies

import (
	"io"
	"net/http"
	"time"
)

const (
	// maxPassed is how much of a refused body is read and dropped, maxPassing how long that may take.
	maxPassed  = 64 << 20
	maxPassing = 5 * time.Second
)

// Pass reads the rest of a body that is refused, within bounds, and keeps nothing of it. A connection that is closed while its
// client still sends is reset, and the client sees that instead of the refusal. A client that waits for permission to send
// (Expect: 100-continue) reads the refusal anyway.
func Pass(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Expect") != "" || r.ContentLength > maxPassed {
		return
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(maxPassing))
	_, _ = io.CopyN(io.Discard, r.Body, maxPassed)
	_ = control.SetReadDeadline(time.Time{})
}
