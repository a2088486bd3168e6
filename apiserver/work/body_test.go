package work

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sharedcloud.io/function-operator/apiserver/bodies"
	"sharedcloud.io/function-operator/exchange"
)

// pausing is a body whose first byte arrives at once, and the rest when the test sends it.
type pausing struct {
	started chan struct{}
	rest    chan string
	first   bool
}

func (p *pausing) Read(b []byte) (int, error) {
	if !p.first {
		p.first = true
		return copy(b, " "), nil
	}
	p.started <- struct{}{}
	return copy(b, <-p.rest), io.EOF
}

//security:attack worker | Eight pods send headers for bodies of 32 MiB and one byte; one of them calls again meanwhile. | The calls of all other workers are answered; a second body of the same pod gets 429 with Retry-After.
func TestSlowBodiesDoNotBlockOtherWorkers(t *testing.T) {
	c := newCluster(t, nil)
	var pods []*pod
	for index := range 9 {
		pods = append(pods, c.pod(index))
	}
	auth := &byHeader{pods: pods}
	serve := Handler(c.exchange, auth)
	post := func(pod int, body io.Reader, length int64) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, address, body)
		r.ContentLength = length
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Pod", fmt.Sprint(pod))
		w := httptest.NewRecorder()
		serve.ServeHTTP(w, r)
		return w
	}
	call := `{"protocol": 1, "sequence": 1, "held": ""}`
	answers := make(chan *httptest.ResponseRecorder, 8)
	var slow []*pausing
	for index := range 8 {
		p := &pausing{started: make(chan struct{}, 1), rest: make(chan string)}
		slow = append(slow, p)
		go func() { answers <- post(index, p, exchange.MaxBody) }()
	}
	for _, p := range slow {
		<-p.started
	}
	if w := post(8, strings.NewReader(call), int64(len(call))); w.Code != http.StatusOK {
		t.Errorf("another worker: %d %s", w.Code, w.Body)
	}
	if w := post(0, strings.NewReader(call), int64(len(call))); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), bodies.ErrBusy.Error()) {
		t.Errorf("a second body: %d %v %s", w.Code, w.Header(), w.Body)
	}
	for _, p := range slow {
		p.rest <- call
	}
	for range slow {
		if w := <-answers; w.Code != http.StatusOK {
			t.Errorf("the slow call: %d %s", w.Code, w.Body)
		}
	}
	if w := post(0, strings.NewReader(call), int64(len(call))); w.Code != http.StatusOK {
		t.Errorf("the repeated call: %d %s", w.Code, w.Body)
	}
}

// byHeader authenticates the pod that a header names.
type byHeader struct{ pods []*pod }

func (a *byHeader) Worker(r *http.Request, _, _ string) (Worker, error) {
	for index, p := range a.pods {
		if r.Header.Get("X-Pod") == fmt.Sprint(index) {
			return p.worker, nil
		}
	}
	return Worker{}, ErrUnauthenticated
}
