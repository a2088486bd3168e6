package work

import (
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"strconv"

	"k8s.io/klog/v2"

	"sharedcloud.io/function-operator/apiserver/bodies"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/shares"
	"sharedcloud.io/function-operator/exchange"
)

// Handler serves the exchange at exchange.Path; other paths below /work/ are 404. An open call ends when the client disconnects or the
// exchange is drained.
func Handler(e *Exchange, authenticator Authenticator) http.Handler {
	h := &handler{e, authenticator, newBudget()}
	mux := http.NewServeMux()
	// Without a method, because the mux's own 405 is plain text.
	mux.HandleFunc(exchange.Path, h.serve)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, "this path does not exist; the exchange is at "+exchange.Path)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if bodies.AmbiguousPath(r) { // the mux would redirect
			refuse(w, http.StatusNotFound, "this path does not exist; the exchange is at "+exchange.Path)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

type handler struct {
	exchange      *Exchange
	authenticator Authenticator
	budget        *bodies.Budget
}

func (h *handler) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, "the method must be POST")
		return
	}
	// Authenticate before reading: only a worker may send a body of 32 MiB.
	worker, err := h.authenticator.Worker(r, r.PathValue("namespace"), r.PathValue("run"))
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		refuse(w, http.StatusUnsupportedMediaType, "the body must be application/json")
		return
	}
	if bodies.ContentCoding(r.Header) != "" {
		refuse(w, http.StatusUnsupportedMediaType, "the body must not be compressed")
		return
	}
	request, charge, err := h.read(w, r, worker)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	defer charge.Close()
	answer, err := h.exchange.Call(r.Context(), worker, request)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	write(w, http.StatusOK, answer)
}

// fail maps errors to statuses.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	var request *exchange.RequestError
	var share *shares.Error
	switch {
	case errors.As(err, &share):
		w.Header().Set("Retry-After", strconv.Itoa(share.Seconds()))
		refuse(w, http.StatusTooManyRequests, share.Message)
	case errors.As(err, &request):
		write(w, http.StatusBadRequest, exchange.Refusal{Error: request.Message, Index: request.Index})
	case errors.Is(err, ErrUnauthenticated):
		w.Header().Set("WWW-Authenticate", "Bearer")
		refuse(w, http.StatusUnauthorized, ErrUnauthenticated.Error())
	case errors.Is(err, ErrForbidden):
		refuse(w, http.StatusForbidden, ErrForbidden.Error())
	case errors.Is(err, ErrNoRun):
		refuse(w, http.StatusNotFound, ErrNoRun.Error())
	case errors.Is(err, ErrNotDecodable):
		w.Header().Set("Retry-After", "10")
		refuse(w, http.StatusServiceUnavailable, ErrNotDecodable.Error())
	case errors.Is(err, ErrSequence):
		refuse(w, http.StatusConflict, ErrSequence.Error())
	case errors.Is(err, ErrPodEnded):
		refuse(w, http.StatusConflict, ErrPodEnded.Error())
	case errors.Is(err, exchange.ErrTooLarge):
		refuse(w, http.StatusRequestEntityTooLarge, exchange.ErrTooLarge.Error())
	case errors.Is(err, bodies.ErrFull), errors.Is(err, bodies.ErrBusy):
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusTooManyRequests, err.Error())
	case errors.Is(err, bodies.ErrSlow):
		// 503, because a worker repeats its call after it. After 408 it would exit.
		w.Header().Set("Connection", "close")
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, err.Error())
	case r.Context().Err() != nil || errors.Is(err, context.Canceled):
		// The client has disconnected.
		refuse(w, http.StatusServiceUnavailable, "the call ended before it was answered")
	default:
		klog.FromContext(r.Context()).Error(err, "Cannot answer a worker", "run", klog.KRef(r.PathValue("namespace"), r.PathValue("run")))
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, unavailable(err))
	}
}

// unavailable returns what a reader of the worker's log can act on, without internal details.
func unavailable(err error) string {
	for _, known := range []error{outcomes.ErrFull, outcomes.ErrDamaged, outcomes.ErrDisk, outcomes.ErrNotReady} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "the exchange cannot answer now: try again; the API server's log has the cause"
}

func refuse(w http.ResponseWriter, status int, sentence string) {
	write(w, status, exchange.Refusal{Error: sentence})
}

func write(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		// Only invalid stored inputs of the run can cause this.
		status, body = http.StatusInternalServerError, []byte(`{"error":"an answer could not be written as JSON: the inputs of this run are damaged"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
