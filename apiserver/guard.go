package apiserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/apiserver/bodies"
	"sharedcloud.io/function-operator/apiserver/rest"
	"sharedcloud.io/function-operator/apiserver/subresources"
)

const (
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
		switch {
		case bodies.Upgrades(r):
			w.Header().Set("Connection", "close")
			refuseAs(w, r, http.StatusBadRequest, "no other protocol is spoken here: leave out the header Upgrade")
			return
		case len(r.RequestURI) > longestAddress:
			w.Header().Set("Connection", "close")
			refuseAs(w, r, http.StatusRequestURITooLong, fmt.Sprintf("the address has more than %d bytes", longestAddress))
			return
		}
		if r.ContentLength != 0 {
			control := http.NewResponseController(w)
			defer func() { _ = control.SetReadDeadline(time.Now().Add(restPatience)) }()
		}
		next.ServeHTTP(w, r)
	})
}

// refuseAs answers in the form of the frontend that the path belongs to.
func refuseAs(w http.ResponseWriter, r *http.Request, status int, sentence string) {
	var body any
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, workPrefix):
		body = map[string]string{"error": sentence}
	case path == restPrefix, strings.HasPrefix(path, restPrefix+"/"), strings.HasPrefix(path, rest.AggregatedPrefix+"/"):
		body = map[string]string{"detail": strings.ToUpper(sentence[:1]) + sentence[1:] + "."}
	default:
		refused := apierrors.NewGenericServerResponse(status, r.Method, schema.GroupResource{}, "", "", 0, false).Status()
		refused.Kind, refused.APIVersion, refused.Message = "Status", "v1", sentence
		body = refused
	}
	text, err := json.Marshal(body)
	if err != nil {
		text = []byte("{}")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

// bounded stands behind the library's authentication and authorization, and in front of its handlers: a path has one meaning,
// a body is not compressed, and one that the handler does not read is bounded in bytes and time all the same.
func bounded(next http.Handler, clk clock.PassiveClock) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, rest.AggregatedPrefix+"/") {
			next.ServeHTTP(w, r) // which has rules of its own
			return
		}
		switch coding := bodies.Encoded(r.Header); {
		case bodies.Odd(r):
			refuseAs(w, r, http.StatusBadRequest, "the path has an empty segment, dots for one, or an escaped character that could be taken for another")
			return
		case coding != "":
			refuseAs(w, r, http.StatusUnsupportedMediaType, fmt.Sprintf("the body is compressed (%.40q): send it as it is", coding))
			return
		}
		if !readsBody(r) && r.ContentLength != 0 {
			limits := bodies.Limits{Bytes: needlessBody, Patience: needlessPatience}
			var err error = &http.MaxBytesError{Limit: limits.Bytes}
			if r.ContentLength <= limits.Bytes {
				err = bodies.New(w, r, limits, nil, clk).Discard()
			}
			if err != nil {
				w.Header().Set("Connection", "close")
				refuseBody(w, r, err)
				return
			}
			r.Body = http.NoBody
		}
		next.ServeHTTP(w, r)
	})
}

func refuseBody(w http.ResponseWriter, r *http.Request, err error) {
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		refuseAs(w, r, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes, and none is needed here", long.Limit))
	case errors.Is(err, bodies.ErrSlow):
		refuseAs(w, r, http.StatusRequestTimeout, err.Error())
	default:
		refuseAs(w, r, http.StatusBadRequest, "the body cannot be read: it ends before it is complete, or is no body of HTTP")
	}
}

// readsBody says whether the request's handler reads its body, and bounds it by itself: functions/run.
func readsBody(r *http.Request) bool {
	info, ok := apirequest.RequestInfoFrom(r.Context())
	return ok && info.IsResourceRequest && info.APIGroup == subresources.GroupName && info.Resource == "functions" && info.Subresource == "run"
}
