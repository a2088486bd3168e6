package subresources

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/api/strictjson"
	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/bodies"
	"sharedcloud.io/function-operator/apiserver/identity"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/quotas"
	"sharedcloud.io/function-operator/apiserver/shares"
	"sharedcloud.io/function-operator/apiserver/uploads"
	"sharedcloud.io/function-operator/parameters"
)

const (
	// uploadTimeout is how long an upload may take: enough for the default maximum at 100 kB/s.
	uploadTimeout = 12 * time.Hour
)

// Uploader stores inputs, see package uploads.
type Uploader interface {
	Write(ctx context.Context, namespace string, inputs uploads.Inputs) (uploads.Upload, error)
}

// PartUploader also stores inputs that are sent in several calls.
type PartUploader interface {
	Uploader
	Append(ctx context.Context, namespace, name string, offset int, inputs uploads.Inputs) (have int, err error)
	Finish(ctx context.Context, namespace, name string, inputs int) (uploads.Upload, error)
	Forget(ctx context.Context, namespace, name string) error
}

// RunStarter creates FunctionRuns.
type RunStarter interface {
	// StartRun creates the run, whose function must exist; dry only checks whether it could. Its errors are those of the API.
	StartRun(ctx context.Context, run *v1alpha1.FunctionRun, user string, dry bool) (*v1alpha1.FunctionRun, error)
}

// Run is the subresource functions/run, see docs/inputs.md: it creates a run of the function with the inputs in the body.
type Run struct {
	storage
	uploader PartUploader
	starter  RunStarter
	clock    clock.PassiveClock
	maxBytes int64
	uploads  *shares.Limiter
	budget   *bodies.Budget
}

var (
	_ rest.Storage   = (*Run)(nil)
	_ rest.Connecter = (*Run)(nil)
)

// NewRun returns the subresource. maxBytes is the maximum size of an upload.
func NewRun(uploader PartUploader, starter RunStarter, maxBytes int64, clk clock.PassiveClock) *Run {
	return &Run{storage: storage{kindFunction}, uploader: uploader, starter: starter, clock: clk, maxBytes: maxBytes,
		uploads: shares.NewLimiter("uploads", uploadLimits), budget: newUploadBudget()}
}

// ConnectMethods implements rest.Connecter.
func (*Run) ConnectMethods() []string { return []string{http.MethodPost} }

// Connect implements rest.Connecter.
func (r *Run) Connect(ctx context.Context, name string, _ runtime.Object, responder rest.Responder) (http.Handler, error) {
	namespace := apirequest.NamespaceValue(ctx)
	user := callerOf(ctx)
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		status, object, err := r.serve(w, request, namespace, name, user)
		if err != nil {
			responder.Error(apiError("the run cannot be created", err))
			return
		}
		writeJSON(w, responder, status, object)
	}), nil
}

// Received is the response to a call after which more inputs will follow.
type Received struct {
	Upload string `json:"upload"`
	// Inputs is the number of stored inputs of the upload: the offset of the next call.
	Inputs int `json:"inputs"`
}

// writeJSON writes an object.
func writeJSON(w http.ResponseWriter, responder rest.Responder, status int, object any) {
	body, err := json.Marshal(object)
	if err != nil {
		responder.Error(apierrors.NewInternalError(err))
		return
	}
	w.Header().Set("Content-Type", contentJSON)
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

// serve returns the created run, or the progress of an upload of which more inputs will follow.
func (r *Run) serve(w http.ResponseWriter, request *http.Request, namespace, function, user string) (status int, object any, err error) {
	ctx := request.Context()
	values, err := queryOf(request)
	if err != nil {
		return 0, nil, err
	}
	runRequest, err := parseRunRequest(values, request.Header)
	if apierrors.IsUnsupportedMediaType(err) {
		return 0, nil, err
	}
	if err != nil {
		return 0, nil, apierrors.NewBadRequest(err.Error())
	}
	leave, err := enter(ctx, r.uploads, namespace)
	if err != nil {
		return 0, nil, err
	}
	defer leave()
	run := runRequest.run
	run.Namespace = namespace
	run.Spec.FunctionRef.Name = function
	if run.Name == "" {
		run.GenerateName = function + "-"
	}
	// Checked before the inputs are read, so that the caller learns of a mistake before the upload.
	run.Spec.ParametersFrom = uploadedAs(uploads.Upload{Digest: "sha256:" + strings.Repeat("0", 64), Inputs: 1})
	if _, err := r.starter.StartRun(ctx, run.DeepCopy(), user, true); err != nil {
		return 0, nil, err
	}
	charge, err := openUpload(ctx, r.budget, namespace)
	if err != nil {
		return 0, nil, uploadError(err, noInputStored)
	}
	defer charge.Close()
	body := bodies.New(w, request, bodies.Limits{Bytes: 2 * r.maxBytes, Timeout: uploadTimeout}, nil, r.clock)
	defer body.Done()
	upload, have, err := r.receive(ctx, namespace, &runRequest, newChargedInputs(body, runRequest.stream, charge))
	if errors.Is(err, bodies.ErrFull) {
		bodies.Drain(w, request, bodies.DrainAuthenticated) // the caller reads the error instead of a connection reset
	}
	switch {
	case err != nil && errors.Is(context.Cause(ctx), identity.ErrRevoked):
		return 0, nil, apierrors.NewForbidden(v1alpha1.Resource("functions"), function, identity.ErrRevoked)
	case err != nil && runRequest.upload == "":
		return 0, nil, uploadError(err, noInputStored)
	case err != nil:
		return 0, nil, partError(function, have, err)
	case runRequest.more:
		return http.StatusOK, &Received{Upload: runRequest.upload, Inputs: have}, nil
	}
	run.Spec.ParametersFrom = uploadedAs(upload)
	if run, err = r.starter.StartRun(ctx, run, user, false); err != nil {
		return 0, nil, err
	}
	if runRequest.upload != "" {
		if err := r.uploader.Forget(ctx, namespace, runRequest.upload); err != nil {
			klog.FromContext(ctx).V(1).Info("Failed to delete the name of an upload; it is deleted with the upload", "err", err)
		}
	}
	return http.StatusCreated, run, nil
}

// receive stores the inputs of a call. have is the number of inputs that the upload has afterwards, also with an error;
// upload is set only when it is complete.
func (r *Run) receive(ctx context.Context, namespace string, runRequest *runRequest, inputs *chargedInputs) (upload uploads.Upload, have int, err error) {
	if runRequest.upload == "" {
		upload, err = r.uploader.Write(ctx, namespace, inputs)
		return upload, upload.Inputs, err
	}
	have, err = r.uploader.Append(ctx, namespace, runRequest.upload, runRequest.offset, inputs)
	if err == nil && !runRequest.more {
		upload, err = r.uploader.Finish(ctx, namespace, runRequest.upload, runRequest.offset+inputs.Count())
	}
	return upload, have, err
}

func uploadedAs(upload uploads.Upload) *v1alpha1.ParametersSource {
	return &v1alpha1.ParametersSource{
		Upload: &v1alpha1.UploadReference{Digest: upload.Digest, Count: int32(upload.Inputs)},
	}
}

// partError is uploadError for an upload in several calls, which has stored this number of inputs.
func partError(function string, have int, err error) error {
	var offset *uploads.OffsetError
	if errors.As(err, &offset) || errors.Is(err, uploads.ErrConflict) {
		return apierrors.NewConflict(v1alpha1.Resource("functions"), function, err)
	}
	switch have {
	case 0:
		return uploadError(err, noInputStored)
	case 1:
		return uploadError(err, "The input before it is kept for an hour.")
	default:
		return uploadError(err, fmt.Sprintf("The %d inputs before it are kept for an hour.", have))
	}
}

// noInputStored is the hint if no input was stored.
const noInputStored = "No input was stored."

// uploadError returns the API error, with a hint which inputs are kept.
func uploadError(err error, kept string) error {
	var format *parameters.FormatError
	var long *http.MaxBytesError
	var exceeded *quotas.ExceededError
	switch {
	case errors.As(err, &format):
		return apierrors.NewBadRequest("the inputs cannot be read: " + format.Message + ". " + kept)
	case errors.Is(err, uploads.ErrTooLarge):
		return apierrors.NewRequestEntityTooLargeError(err.Error())
	case errors.As(err, &long):
		return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("the body has more than %d bytes: split the run", long.Limit))
	case errors.As(err, &exceeded):
		return storageExceeded(exceeded, kept)
	case errors.Is(err, outcomes.ErrNotReady), errors.Is(err, outcomes.ErrFull), errors.Is(err, uploads.ErrNamespaceUnknown):
		return apierrors.NewServiceUnavailable(err.Error())
	case errors.Is(err, bodies.ErrFull):
		return apierrors.NewTooManyRequests("the memory for uploads is used up: try again in a second. "+kept, 1)
	case errors.Is(err, bodies.ErrSlow):
		slow := apierrors.NewTimeoutError(err.Error()+". "+kept, 0)
		slow.ErrStatus.Code = http.StatusRequestTimeout
		return slow
	case errors.Is(err, io.ErrUnexpectedEOF):
		return apierrors.NewBadRequest("the body is incomplete. " + kept)
	}
	return unavailable("the inputs cannot be stored", err)
}

// storageExceeded reports an exceeded quota: 507. A repeated call fails too, until something is deleted.
func storageExceeded(exceeded *quotas.ExceededError, kept string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status:  metav1.StatusFailure,
		Code:    http.StatusInsufficientStorage,
		Reason:  "StorageQuotaExceeded",
		Message: upper(exceeded.Error()) + ". " + kept,
	}}
}

// upper capitalizes the first letter.
func upper(text string) string {
	return strings.ToUpper(text[:1]) + text[1:]
}

// runRequest is a parsed request to functions/run, without its body.
type runRequest struct {
	run    *v1alpha1.FunctionRun
	stream parameters.Stream
	// upload is the name of an upload in several calls; "" for an upload in one call. offset is the number of inputs before
	// this call; more: other calls follow, and no run is created yet.
	upload string
	offset int
	more   bool
}

// uploadName is the format of the name of an upload: long enough that clients do not choose the same one.
var uploadName = regexp.MustCompile(`^[A-Za-z0-9-]{16,64}$`)

func parseRunRequest(values url.Values, header http.Header) (runRequest, error) {
	a := runRequest{run: &v1alpha1.FunctionRun{}}
	err := parseAll(values, map[string]func(string) error{
		"name": func(text string) error { a.run.Name = text; return nil },
		"spec": func(text string) error { return specFrom(text, &a.run.Spec) },
		"format": func(text string) (err error) {
			a.stream.Format, err = formatNamed(text)
			return err
		},
		"header": boolean(&a.stream.Header),
		"cells": func(text string) error {
			if a.stream.TypedCells = text == "json"; !a.stream.TypedCells && text != "text" {
				return errors.New("must be text or json")
			}
			return nil
		},
		"upload": func(text string) error {
			if a.upload = text; !uploadName.MatchString(text) {
				return errors.New("must be a unique name of 16 to 64 letters, digits and '-', such as a UUID")
			}
			return nil
		},
		"offset": func(text string) (err error) {
			if a.offset, err = strconv.Atoi(text); err != nil || a.offset < 0 || a.offset > parameters.MaxInputs {
				return errors.New("must be the number of inputs of the upload that were sent before")
			}
			return nil
		},
		"more": boolean(&a.more),
	})
	switch {
	case err != nil:
		return runRequest{}, err
	case a.upload == "" && (a.more || values.Has("offset")):
		return runRequest{}, errors.New("offset and more are for inputs that are sent in several calls: name the upload with the parameter upload")
	case a.upload != "" && !values.Has("offset"):
		return runRequest{}, errors.New("an upload needs the parameter offset: the number of its inputs that were sent before, 0 for the first call")
	}
	a.stream.MayBeEmpty = a.upload != ""
	if err := plainBody(header); err != nil {
		return runRequest{}, err
	}
	if a.stream.Format == "" {
		if err := contentFormat(header.Get("Content-Type"), &a.stream); err != nil {
			return runRequest{}, err
		}
	}
	return a, nil
}

// specFrom parses the parameter spec: fields of a FunctionRun's spec, except those that the path and the body contain.
func specFrom(text string, spec *v1alpha1.FunctionRunSpec) error {
	const wanted = "must be a JSON object with fields of a FunctionRun's spec, such as {\"workers\": 4}: %w"
	var wrong *strictjson.Error
	if err := strictjson.CheckNames([]byte(text)); errors.As(err, &wrong) && !wrong.Syntax {
		return fmt.Errorf(wanted, err)
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(spec); err != nil {
		return fmt.Errorf(wanted, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("must be one JSON object without text after it")
	}
	if spec.Parameters != nil || spec.ParametersLiteral != nil || spec.ParametersFrom != nil || spec.FunctionRef.Name != "" {
		return errors.New("must not contain inputs, which are in the body, or functionRef, which is in the path")
	}
	return nil
}

var formats = map[string]v1alpha1.ParametersFormat{
	"json":   v1alpha1.FormatJSON,
	"ndjson": v1alpha1.FormatNDJSON,
	"csv":    v1alpha1.FormatCSV,
	"python": v1alpha1.FormatPython,
}

func formatNamed(text string) (v1alpha1.ParametersFormat, error) {
	if format, ok := formats[strings.ToLower(text)]; ok {
		return format, nil
	}
	return "", errors.New("must be json, ndjson, csv or python")
}

// contentFormat returns the format of a Content-Type. The default is JSON.
func contentFormat(contentType string, stream *parameters.Stream) error {
	if contentType == "" {
		stream.Format = v1alpha1.FormatJSON
		return nil
	}
	media, details, err := mime.ParseMediaType(contentType)
	if err != nil {
		return fmt.Errorf("the Content-Type %.100q is invalid", contentType)
	}
	switch media {
	case contentJSON:
		stream.Format = v1alpha1.FormatJSON
	case contentNDJSON, "application/jsonl", "application/x-jsonlines":
		stream.Format = v1alpha1.FormatNDJSON
	case contentCSV:
		stream.Format = v1alpha1.FormatCSV
		stream.Header = stream.Header || details["header"] == "present"
	case "text/x-python":
		stream.Format = v1alpha1.FormatPython
	default:
		return fmt.Errorf("the Content-Type %.100q is not supported: send application/json, application/x-ndjson, text/csv or text/x-python, or set the parameter format", media)
	}
	return nil
}
