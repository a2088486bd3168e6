package work

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"sharedcloud.io/function-operator/apiserver/bodies"
	"sharedcloud.io/function-operator/exchange"
)

const (
	// maxBodyBytes is the maximum size of all calls in memory. Thousands of workers send calls of a few hundred bytes at a time; only a few
	// send calls of the maximum size.
	maxBodyBytes = 256 << 20
	// maxNamespaceBytes and maxPodBytes are the shares of one namespace and of one pod: one call that is being read and one that is being
	// answered.
	maxNamespaceBytes, maxPodBytes = maxBodyBytes / 2, 2 * exchange.MaxBody
	// bodyTimeout is the maximum time in which a call must arrive: the largest with about 280 kB/s.
	bodyTimeout = 2 * time.Minute
)

func newBudget() *bodies.Budget {
	return bodies.NewBudget(bodies.Exchange, maxBodyBytes, map[bodies.Kind]int64{bodies.Pod: maxPodBytes, bodies.Namespace: maxNamespaceBytes})
}

// read reads the call of a worker, one at a time for each worker. The charge must stay open during the call.
func (h *handler) read(w http.ResponseWriter, r *http.Request, worker Worker) (*exchange.Request, *bodies.Charge, error) {
	if r.ContentLength > exchange.MaxBody {
		bodies.Drain(w, r, bodies.DrainAuthenticated)
		return nil, nil, exchange.ErrTooLarge
	}
	pod := bodies.Key{Kind: bodies.Pod, Name: string(worker.PodUID)}
	charge, err := h.budget.OpenExclusive(pod, pod, bodies.Key{Kind: bodies.Namespace, Name: worker.Namespace})
	if err != nil {
		return nil, nil, err
	}
	text, err := bodies.New(w, r, bodies.Limits{Bytes: exchange.MaxBody, Timeout: bodyTimeout}, charge, h.exchange.options.Clock).ReadAll(r.ContentLength)
	var request *exchange.Request
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		err = exchange.ErrTooLarge
	case err != nil:
		err = fmt.Errorf("reading the request: %w", err)
	default:
		request, err = exchange.ParseRequest(text)
	}
	if err != nil {
		charge.Close()
		return nil, nil, err
	}
	return request, charge, nil
}
