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

// clocked is a connection that knows the time limits that were set on it.
type clocked struct {
	*httptest.ResponseRecorder
	reading time.Time
}

// SetReadDeadline is what http.ResponseController looks for.
func (c *clocked) SetReadDeadline(t time.Time) error { c.reading = t; return nil }

// SetWriteDeadline is what http.ResponseController looks for.
func (c *clocked) SetWriteDeadline(time.Time) error { return nil }

// A limit for reading that is hit while an answer is written makes the HTTP library give the request up.
func TestNoTimeLimitForReadingStaysWhileAnAnswerIsWritten(t *testing.T) {
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
			t.Errorf("%s %s was answered with %d, reading is limited to %v", method, path, w.Code, w.reading)
		}
	}
}

func TestTextOfJSON(t *testing.T) {
	for _, text := range []string{"", "plain", "\"quoted\" \\ /", "\n\r\t\x00\x1f\x7f", "ä€😀", "a\u2028b\u2029", strings.Repeat("x\n", 1000)} {
		var back string
		if err := json.Unmarshal(appendText(nil, text), &back); err != nil || back != text {
			t.Errorf("%q became %s: %v", text, appendText(nil, text), err)
		}
	}
	if got := string(appendText(nil, "<ä&\xff\u2028>")); got != `"<ä&`+"\ufffd"+`\u2028>"` {
		t.Errorf("%s", got)
	}
}
