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
	// bodyBytes is how many bytes of calls may be in memory at the same time. Thousands of workers call at a time with a few
	// hundred bytes each; a few at a time with all that the protocol allows.
	bodyBytes = 256 << 20
	// namespaceBytes and podBytes are how many of them may be one namespace's and one pod's: one call that is read and one that
	// is being answered.
	namespaceBytes, podBytes = bodyBytes / 2, 2 * exchange.MaxBody
	// bodyPatience is how long a call may take to arrive: the largest at some 280 kB/s.
	bodyPatience = 2 * time.Minute
)

func newBudget() *bodies.Budget {
	return bodies.NewBudget(bodies.Exchange, bodyBytes, map[bodies.Kind]int64{bodies.Pod: podBytes, bodies.Namespace: namespaceBytes})
}

// read reads the call of a worker, who may have one on its way at a time. The charge lasts as long as the call.
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
	text, err := bodies.New(w, r, bodies.Limits{Bytes: exchange.MaxBody, Timeout: bodyPatience}, charge, h.exchange.options.Clock).ReadAll(r.ContentLength)
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
