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
	// maxHeader bounds the bytes of a request's header, its path included. A long request keeps them in memory.
	maxHeader = 128 << 10
	// longestAddress is how many bytes a path and its query may have.
	longestAddress = 32 << 10
	// needlessBody is how many bytes a body may have that no handler reads, needlessPatience how long it may take.
	needlessBody, needlessPatience = 64 << 10, 30 * time.Second
	// restPatience is how long what no handler has read of a body may take to arrive, after the answer.
	restPatience = 5 * time.Second
)

// guard refuses what no frontend takes, before anybody asks who calls, and sees to it that no body is waited for without end
// that no handler has read: net/http reads some of it to keep the connection.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status, sentence := unserved(r); status != 0 {
			w.Header().Set("Connection", "close")
			refuse(w, r, status, sentence)
			return
		}
		if r.ContentLength != 0 {
			control := http.NewResponseController(w)
			defer func() { _ = control.SetReadDeadline(time.Now().Add(restPatience)) }()
		}
		next.ServeHTTP(w, r)
	})
}

// unserved returns the refusal of a request that no frontend accepts; 0 for none.
func unserved(r *http.Request) (status int, sentence string) {
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
		return http.StatusBadRequest, "the server speaks HTTP and changes to no other protocol: leave out the header Upgrade"
	case len(r.RequestURI) > longestAddress:
		return http.StatusRequestURITooLong, fmt.Sprintf("the address has more than %d bytes", longestAddress)
	case size > maxHeader:
		return http.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("the header of the request is larger than %d bytes", maxHeader)
	case impersonates:
		return http.StatusForbidden, "impersonation is not possible at this address: leave out the headers Impersonate-*, or send the request through the Kubernetes API, as kubectl --as does"
	}
	return 0, ""
}

// bounded stands behind the library's authentication and authorization, and in front of its handlers: a path has one meaning,
// and a body is not compressed.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, rest.AggregatedPrefix+"/") {
			next.ServeHTTP(w, r) // which has rules of its own
			return
		}
		switch coding := bodies.ContentCoding(r.Header); {
		case bodies.AmbiguousPath(r):
			refuse(w, r, http.StatusBadRequest, "the path has an empty segment, dots for one, or an escaped character that could be taken for another")
		case coding != "":
			refuse(w, r, http.StatusUnsupportedMediaType, fmt.Sprintf("the body is compressed (%.40q): send it as it is", coding))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// needless discards bodies that no handler reads, in front of the library's handlers: a deadline that the connection meets cancels
// the request, and a handler of the library would answer 504, or only close the connection, before the refusal is written.
type needless struct {
	limits bodies.Limits
	clock  clock.PassiveClock
}

func newNeedless(clk clock.PassiveClock) needless {
	return needless{bodies.Limits{Bytes: needlessBody, Timeout: needlessPatience}, clk}
}

// discard returns the request without its body. It returns nil when it has refused the request.
func (n needless) discard(w http.ResponseWriter, r *http.Request, info *apirequest.RequestInfo) *http.Request {
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
		refuse(w, r, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes, and none is needed here", long.Limit))
	case errors.Is(err, bodies.ErrSlow):
		refuse(w, r, http.StatusRequestTimeout, err.Error())
	default:
		refuse(w, r, http.StatusBadRequest, "the body cannot be read: it ends before it is complete, or is no body of HTTP")
	}
}

// readsBody says whether the request's handler reads its body, and bounds it by itself: functions/run, and what writes to the
// documented API through the aggregator. info is nil where the path is none of an API.
func readsBody(r *http.Request, info *apirequest.RequestInfo) bool {
	if strings.HasPrefix(r.URL.Path, rest.AggregatedPrefix+"/") {
		return r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch
	}
	return info != nil && info.IsResourceRequest && info.APIGroup == subresources.GroupName && info.Resource == "functions" && info.Subresource == "run"
}
