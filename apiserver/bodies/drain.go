package bodies

import (
	"io"
	"net/http"
	"time"
)

// How much of a refused body is read and dropped: of an authenticated sender, and of any other.
const (
	DrainAuthenticated   = 64 << 20
	DrainUnauthenticated = 1 << 20

	// maxPassing is how long that may take.
	maxPassing = 5 * time.Second
)

// Pass reads the rest of a body that is refused, at most so many bytes, and keeps nothing of it. A connection that is closed while its
// client still sends is reset, and the client sees that instead of the refusal. A client that waits for permission to send
// (Expect: 100-continue) reads the refusal anyway.
func Drain(w http.ResponseWriter, r *http.Request, most int64) {
	if r.Header.Get("Expect") != "" || r.ContentLength > most {
		return
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(maxPassing))
	_, _ = io.CopyN(io.Discard, r.Body, most)
	_ = control.SetReadDeadline(time.Time{})
}
