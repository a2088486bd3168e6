package rest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/klog/v2"

	"sharedcloud.io/function-operator/apiserver/core"
	"sharedcloud.io/function-operator/apiserver/identity"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/rest/wire"
	"sharedcloud.io/function-operator/apiserver/shares"
	"sharedcloud.io/function-operator/apiserver/writes"
)

// maxMessage is how many bytes of a message of the Kubernetes API are passed on, and are logged.
const maxMessage = 2000

// errPrecondition: the object is not the one that If-Match names.
var errPrecondition = errors.New("the object has changed since it was read")

// refusal is an answer other than success.
type refusal struct {
	status int
	body   any
	// retryAfter is when to come again; 0 where that helps nothing.
	retryAfter time.Duration
	// headers beside that, name and value in turn.
	headers []string
}

func (r *refusal) Error() string { return fmt.Sprintf("%d %v", r.status, r.body) }

type detail struct {
	Detail string `json:"detail"`
}

func refuse(status int, format string, args ...any) *refusal {
	return &refusal{status: status, body: detail{fmt.Sprintf(format, args...)}}
}

func notFound() *refusal { return refuse(http.StatusNotFound, "Not found.") }
func forbidden() *refusal {
	return refuse(http.StatusForbidden, "You do not have permission to perform this action.")
}
func notAllowed(method string, allowed []string) *refusal {
	r := refuse(http.StatusMethodNotAllowed, "Method %q not allowed.", wire.Cut(method, 32))
	r.headers = []string{"Allow", strings.Join(allowed, ", ")}
	return r
}
func later(status int, after time.Duration, format string, args ...any) *refusal {
	r := refuse(status, format, args...)
	r.retryAfter = after
	return r
}

// problems are what is wrong with the fields of a body: field to sentences. 400.
type problems map[string][]string

func (p problems) Error() string { return fmt.Sprintf("fields: %v", map[string][]string(p)) }

func (p problems) add(field, sentence string) { p[field] = append(p[field], sentence) }

// orNil is the error, if there is a problem.
func (p problems) orNil() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// refusalOf is the one place that turns errors into answers.
func refusalOf(err error) *refusal {
	var refused *refusal
	var fields problems
	var token *identity.TokenError
	var owned *writes.OwnedError
	var broken *core.NotDecodableError
	var reference *identity.ReferenceError
	var body *wire.Error
	var media *wire.MediaTypeError
	var share *shares.Error
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &refused):
		return refused
	case errors.As(err, &fields):
		return &refusal{status: http.StatusBadRequest, body: map[string][]string(fields)}
	case errors.As(err, &body) && body.OfNoField:
		return &refusal{status: http.StatusBadRequest, body: map[string][]string{"non_field_errors": {body.Sentence}}}
	case errors.As(err, &body):
		return refuse(http.StatusBadRequest, "%s", body.Sentence)
	case errors.As(err, &media):
		return refuse(http.StatusUnsupportedMediaType, "Unsupported media type %q in request.", wire.Cut(media.Given, 100))
	case errors.As(err, &token):
		return &refusal{status: http.StatusUnauthorized, body: detail{token.Sentence}, headers: []string{"WWW-Authenticate", "Token"}}
	case errors.As(err, &owned):
		return refuse(http.StatusConflict, "%s.", upper(owned.Error()))
	case errors.As(err, &broken):
		return refuse(http.StatusConflict, "%s.", upper(broken.Error()))
	case errors.As(err, &reference):
		return refuse(http.StatusForbidden, "You do not have permission to perform this action. %s.", reference.Error())
	case errors.As(err, &tooLarge):
		return refuse(http.StatusRequestEntityTooLarge, "The body is larger than %d bytes.", tooLarge.Limit)
	case errors.Is(err, core.ErrNotFound):
		return notFound()
	case errors.Is(err, writes.ErrChanged), errors.Is(err, writes.ErrKeyReused):
		return refuse(http.StatusConflict, "%s.", upper(err.Error()))
	case errors.Is(err, errPrecondition):
		return refuse(http.StatusPreconditionFailed, "%s.", upper(err.Error()))
	case errors.As(err, &share):
		return later(http.StatusTooManyRequests, share.RetryAfter, "%s", sentence(share.Sentence))
	case errors.Is(err, core.ErrBusy):
		return later(http.StatusTooManyRequests, time.Second, "Request was throttled. Expected available in 1 second.")
	case errors.Is(err, core.ErrUnavailable), errors.Is(err, identity.ErrUnavailable):
		return later(http.StatusServiceUnavailable, 5*time.Second, "The Kubernetes API does not answer at the moment: try again in some seconds.")
	case errors.Is(err, outcomes.ErrNotReady), errors.Is(err, outcomes.ErrDisk), errors.Is(err, outcomes.ErrFull), errors.Is(err, outcomes.ErrDamaged):
		return later(http.StatusServiceUnavailable, 5*time.Second, "The outcome store cannot be read at the moment: try again in some seconds.")
	}
	return refusalOfAPI(err)
}

// refusalOfAPI turns what the Kubernetes API refused into an answer.
func refusalOfAPI(err error) *refusal {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		klog.Background().Error(logged(err), "A request of REST failed")
		return refuse(http.StatusInternalServerError, "Something went wrong here, and it is not your request: its id is in the log of the API server.")
	}
	message := wire.Cut(status.Status().Message, maxMessage)
	switch {
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		return refuse(http.StatusBadRequest, "%s", message)
	case apierrors.IsForbidden(err): // a quota, or a policy of admission
		return refuse(http.StatusForbidden, "%s", message)
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return refuse(http.StatusConflict, "%s", message)
	}
	klog.Background().Error(logged(err), "The Kubernetes API refused a request of REST")
	return later(http.StatusServiceUnavailable, 5*time.Second, "The Kubernetes API refused the request for now: try again in some seconds.")
}

// logged is an error as it is logged: what the Kubernetes API says may repeat all that a caller sent.
func logged(err error) error {
	if text := err.Error(); len(text) > maxMessage {
		return errors.New(wire.Cut(text, maxMessage))
	}
	return err
}

// write writes the refusal.
func (r *refusal) write(w http.ResponseWriter) {
	header := w.Header()
	for i := 0; i+1 < len(r.headers); i += 2 {
		header.Set(r.headers[i], r.headers[i+1])
	}
	if r.retryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(int((r.retryAfter+time.Second-1)/time.Second)))
	}
	body, err := encodeJSON(r.body)
	if err != nil {
		body = []byte(`{"detail":"Something went wrong here."}`)
	}
	header.Del("Content-Encoding")
	header.Set("Content-Type", contentJSON)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(r.status)
	_, _ = w.Write(body)
}

// encodeJSON writes a small value as the documentation does: compact, and what is not ASCII as it is.
func encodeJSON(value any) ([]byte, error) {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return []byte(strings.TrimSuffix(b.String(), "\n")), nil
}

// sentence makes one of a message that begins with a small letter.
func sentence(text string) string {
	if text = upper(text); !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text
}

func upper(text string) string {
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
