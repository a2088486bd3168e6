package bodies

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"
)

//security:attack tenant | Sends a body of 7 MiB where 6 MiB are allowed. | The response is always 413, and never a connection reset while the body is sent.
func TestARejectedBodyIsDrained(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Drain(w, r, DrainAuthenticated)
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	}))
	defer server.Close()
	body := make([]byte, 7<<20)
	for range 20 {
		response, err := server.Client().Post(server.URL, "text/plain", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("the answer is %d", response.StatusCode)
		}
	}
}
