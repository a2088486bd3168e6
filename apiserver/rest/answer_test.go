package rest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"
)

// clocked is a response writer that records its deadlines.
type clocked struct {
	*httptest.ResponseRecorder
	reading time.Time
}

// SetReadDeadline is called by http.ResponseController.
func (c *clocked) SetReadDeadline(t time.Time) error { c.reading = t; return nil }

// SetWriteDeadline is called by http.ResponseController.
func (c *clocked) SetWriteDeadline(time.Time) error { return nil }

// An expired read deadline makes net/http cancel the request while its response is written.
func TestResponsesAreWrittenWithoutAReadDeadline(t *testing.T) {
	api := New(Config{Clock: clock.RealClock{}, ReadsPerSecond: 1, WritesPerSecond: 1})
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		w := &clocked{ResponseRecorder: httptest.NewRecorder()}
		path := "/api/v1/openapi.json"
		if method == http.MethodPost {
			path = "/api/v1/api-token-auth"
		}
		r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader("{}"))
		r.Header.Set("Content-Type", "application/json")
		api.Handler().ServeHTTP(w, r)
		if !w.reading.IsZero() {
			t.Errorf("%s %s: status %d, and the read deadline is %v", method, path, w.Code, w.reading)
		}
	}
}

func TestTextOfJSON(t *testing.T) {
	for _, text := range []string{"", "plain", "\"quoted\" \\ /", "\n\r\t\x00\x1f\x7f", "ä€😀", "a\u2028b\u2029", strings.Repeat("x\n", 1000)} {
		var back string
		if err := json.Unmarshal(appendText(nil, text), &back); err != nil || back != text {
			t.Errorf("%q is encoded as %s: %v", text, appendText(nil, text), err)
		}
	}
	if got := string(appendText(nil, "<ä&\xff\u2028>")); got != `"<ä&`+"\ufffd"+`\u2028>"` {
		t.Errorf("%s", got)
	}
}
