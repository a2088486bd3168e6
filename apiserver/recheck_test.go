package apiserver

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// deadlined is a response that fails the test if its deadline is set after its handler has returned.
type deadlined struct {
	*httptest.ResponseRecorder
	t    *testing.T
	mu   sync.Mutex
	done bool
	set  int
}

func (d *deadlined) SetReadDeadline(time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.done {
		d.t.Error("the deadline of a response is set after its handler has returned")
	}
	d.set++
	return nil
}

//security:attack tenant | ends streams at the moment of their revocation, so that the server uses a finished response and crashes | the response is not used after its handler has returned
func TestAResponseIsNotInterruptedAfterItsHandler(t *testing.T) {
	response := &deadlined{ResponseRecorder: httptest.NewRecorder(), t: t}
	waiting := &interrupter{control: http.NewResponseController(response)}
	waiting.interrupt()
	if response.set != 1 {
		t.Errorf("the deadline was set %d times while the handler ran, want once", response.set)
	}
	for range 1000 { // concurrently
		response := &deadlined{ResponseRecorder: httptest.NewRecorder(), t: t}
		waiting := &interrupter{control: http.NewResponseController(response)}
		var group sync.WaitGroup
		group.Go(waiting.interrupt)
		waiting.finish()
		response.mu.Lock()
		response.done = true
		response.mu.Unlock()
		group.Wait()
	}
}
