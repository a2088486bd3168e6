package apiserver

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/apiserver/bodies"
	"sharedcloud.io/function-operator/apiserver/rest"
	"sharedcloud.io/function-operator/apiserver/subresources"
)

const (
	// maxHeader bounds the bytes of a request's header, including its path. A long request keeps them in memory.
	maxHeader = 128 << 10
	// maxURI bounds the bytes of a path and its query.
	maxURI = 32 << 10
	// maxUnusedBody and unusedBodyTimeout bound a body that no handler reads.
	maxUnusedBody, unusedBodyTimeout = 64 << 10, 30 * time.Second
	// unreadBodyTimeout bounds the time after the response in which the unread rest of a body may arrive.
	unreadBodyTimeout = 5 * time.Second
)

// guard refuses requests that no frontend accepts, before authentication, and sets a deadline for bodies that no handler has read: net/http
// reads part of them to reuse the connection.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status, message := refusedByAll(r); status != 0 {
			w.Header().Set("Connection", "close")
			refuse(w, r, status, message)
			return
		}
		if r.ContentLength != 0 {
			control := http.NewResponseController(w)
			defer func() { _ = control.SetReadDeadline(time.Now().Add(unreadBodyTimeout)) }()
		}
		next.ServeHTTP(w, r)
	})
}

// refusedByAll returns the error for a request that no frontend accepts; 0 for none.
func refusedByAll(r *http.Request) (status int, message string) {
	size := len(r.RequestURI) + len(r.Host)
	impersonates := false
	for name, values := range r.Header {
		for _, value := range values {
			size += len(name) + len(value) + 4
		}
		impersonates = impersonates || strings.HasPrefix(name, "Impersonate-")
	}
	switch {
	case bodies.Upgrades(r) || r.Method == http.MethodConnect:
		return http.StatusBadRequest, "the server supports only HTTP: remove the header Upgrade"
	case len(r.RequestURI) > maxURI:
		return http.StatusRequestURITooLong, fmt.Sprintf("the URL has more than %d bytes", maxURI)
	case size > maxHeader:
		return http.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("the header of the request is larger than %d bytes", maxHeader)
	case impersonates:
		return http.StatusForbidden, "this server does not support impersonation: remove the headers Impersonate-*, or send the request through kube-apiserver, as kubectl --as does"
	}
	return 0, ""
}

// bounded checks requests between the generic server's authorization and its handlers: a path must have one meaning, and a body must not be
// compressed.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, rest.AggregatedPrefix+"/") {
			next.ServeHTTP(w, r) // the documented API has its own checks
			return
		}
		switch coding := bodies.ContentCoding(r.Header); {
		case bodies.AmbiguousPath(r):
			refuse(w, r, http.StatusBadRequest, "the path has an empty segment, a segment of dots, or an ambiguous escaped character")
		case coding != "":
			refuse(w, r, http.StatusUnsupportedMediaType, fmt.Sprintf("the body is compressed (%.40q): send it uncompressed", coding))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// unusedBodies discards bodies that no handler reads, before the generic server's handlers: a deadline on the connection would cancel the
// request, and those handlers would answer 504 or close the connection before the error is written.
type unusedBodies struct {
	limits bodies.Limits
	clock  clock.PassiveClock
}

func newUnusedBodies(clk clock.PassiveClock) unusedBodies {
	return unusedBodies{bodies.Limits{Bytes: maxUnusedBody, Timeout: unusedBodyTimeout}, clk}
}

// discard returns the request without its body, or nil if it has refused the request.
func (n unusedBodies) discard(w http.ResponseWriter, r *http.Request, info *apirequest.RequestInfo) *http.Request {
	if r.ContentLength == 0 || readsBody(r, info) || bodies.ContentCoding(r.Header) != "" {
		return r
	}
	var err error = &http.MaxBytesError{Limit: n.limits.Bytes}
	if r.ContentLength <= n.limits.Bytes {
		err = bodies.New(w, r, n.limits, nil, n.clock).Discard()
	}
	if err != nil {
		w.Header().Set("Connection", "close")
		refuseBody(w, r, err)
		return nil
	}
	bare := *r
	bare.Body, bare.ContentLength = http.NoBody, 0
	return &bare
}

func refuseBody(w http.ResponseWriter, r *http.Request, err error) {
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		refuse(w, r, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes; this path needs no body", long.Limit))
	case errors.Is(err, bodies.ErrSlow):
		refuse(w, r, http.StatusRequestTimeout, err.Error())
	default:
		refuse(w, r, http.StatusBadRequest, "the body cannot be read: it is incomplete or not valid HTTP")
	}
}

// readsBody reports whether the request's handler reads its body and bounds it: functions/run, and writes to the documented API through the
// aggregator. info is nil for paths outside of APIs.
func readsBody(r *http.Request, info *apirequest.RequestInfo) bool {
	if strings.HasPrefix(r.URL.Path, rest.AggregatedPrefix+"/") {
		return r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch
	}
	return info != nil && info.IsResourceRequest && info.APIGroup == subresources.GroupName && info.Resource == "functions" && info.Subresource == "run"
}
