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

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/apiserver/core"
	"sharedcloud.io/function-operator/apiserver/identity"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/rest/wire"
	"sharedcloud.io/function-operator/apiserver/shares"
	"sharedcloud.io/function-operator/apiserver/writes"
)

// maxMessage bounds the bytes of a message of the Kubernetes API in responses and in the log.
const maxMessage = 2000

// internalError is the detail of a 500.
const internalError = "Internal server error: find the request by its X-Request-Id in the log of the API server."

// errPrecondition: If-Match does not contain the object's ETag.
var errPrecondition = errors.New("the object has changed since it was read")

// refusal is an error response.
type refusal struct {
	status int
	body   any
	// retryAfter is the value of Retry-After; 0 if a retry does not help.
	retryAfter time.Duration
	// headers are further headers, name and value in turn.
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
	r := refuse(http.StatusMethodNotAllowed, "Method %q not allowed.", printable.Cut(method, 32))
	r.headers = []string{"Allow", strings.Join(allowed, ", ")}
	return r
}
func later(status int, after time.Duration, format string, args ...any) *refusal {
	r := refuse(status, format, args...)
	r.retryAfter = after
	return r
}

// problems are the errors of fields: field to messages. 400.
type problems map[string][]string

func (p problems) Error() string { return fmt.Sprintf("fields: %v", map[string][]string(p)) }

func (p problems) add(field, message string) { p[field] = append(p[field], message) }

// orNil returns nil if there are no problems.
func (p problems) orNil() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// refusalOf maps all errors to responses.
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
	case errors.As(err, &body) && body.NonField:
		return &refusal{status: http.StatusBadRequest, body: map[string][]string{"non_field_errors": {body.Message}}}
	case errors.As(err, &body):
		return refuse(http.StatusBadRequest, "%s", body.Message)
	case errors.As(err, &media):
		return refuse(http.StatusUnsupportedMediaType, "Unsupported media type %q in request.", printable.Cut(media.Given, 100))
	case errors.As(err, &token):
		return &refusal{status: http.StatusUnauthorized, body: detail{token.Message}, headers: []string{"WWW-Authenticate", "Token"}}
	case errors.As(err, &owned):
		return refuse(http.StatusConflict, "%s.", capitalize(owned.Error()))
	case errors.As(err, &broken):
		return refuse(http.StatusConflict, "%s.", capitalize(broken.Error()))
	case errors.As(err, &reference):
		return refuse(http.StatusForbidden, "You do not have permission to perform this action. %s.", reference.Error())
	case errors.As(err, &tooLarge):
		return refuse(http.StatusRequestEntityTooLarge, "The body is larger than %d bytes.", tooLarge.Limit)
	case errors.Is(err, core.ErrNotFound):
		return notFound()
	case errors.Is(err, writes.ErrChanged), errors.Is(err, writes.ErrKeyReused):
		return refuse(http.StatusConflict, "%s.", capitalize(err.Error()))
	case errors.Is(err, errPrecondition):
		return refuse(http.StatusPreconditionFailed, "%s.", capitalize(err.Error()))
	case errors.As(err, &share):
		return later(http.StatusTooManyRequests, share.RetryAfter, "%s", asSentence(share.Message))
	case errors.Is(err, core.ErrBusy):
		return later(http.StatusTooManyRequests, time.Second, "Request was throttled. Expected available in 1 second.")
	case errors.Is(err, core.ErrUnavailable), errors.Is(err, identity.ErrUnavailable):
		return later(http.StatusServiceUnavailable, 5*time.Second, "The Kubernetes API is temporarily unavailable: retry in a few seconds.")
	case errors.Is(err, outcomes.ErrNotReady), errors.Is(err, outcomes.ErrDisk), errors.Is(err, outcomes.ErrFull), errors.Is(err, outcomes.ErrDamaged):
		return later(http.StatusServiceUnavailable, 5*time.Second, "The outcome store is temporarily unavailable: retry in a few seconds.")
	}
	return refusalOfAPI(err)
}

// refusalOfAPI maps an error of the Kubernetes API to a response.
func refusalOfAPI(err error) *refusal {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		klog.Background().Error(logged(err), "REST request failed")
		return refuse(http.StatusInternalServerError, "%s", internalError)
	}
	message := printable.Cut(status.Status().Message, maxMessage)
	switch {
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		return refuse(http.StatusBadRequest, "%s", message)
	case apierrors.IsForbidden(err): // a quota or an admission policy
		return refuse(http.StatusForbidden, "%s", message)
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return refuse(http.StatusConflict, "%s", message)
	}
	klog.Background().Error(logged(err), "The Kubernetes API refused a REST request")
	return later(http.StatusServiceUnavailable, 5*time.Second, "The Kubernetes API temporarily refused the request: retry in a few seconds.")
}

// logged bounds the text of an error for the log: messages of the Kubernetes API can repeat the caller's whole request.
func logged(err error) error {
	if text := err.Error(); len(text) > maxMessage {
		return errors.New(printable.Cut(text, maxMessage))
	}
	return err
}

// write sends the response.
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
		body = []byte(`{"detail":"Internal server error."}`)
	}
	header.Del("Content-Encoding")
	header.Set("Content-Type", contentJSON)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(r.status)
	_, _ = w.Write(body)
}

// encodeJSON encodes a small value as in the documentation: compact, with unescaped non-ASCII characters.
func encodeJSON(value any) ([]byte, error) {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return []byte(strings.TrimSuffix(b.String(), "\n")), nil
}

// asSentence begins a message with a capital letter and ends it with a full stop.
func asSentence(text string) string {
	if text = capitalize(text); !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text
}

func capitalize(text string) string {
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
