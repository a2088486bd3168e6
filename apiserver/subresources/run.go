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
	// uploadPatience is how long an upload may take: the largest that the default allows, at 100 kB/s.
	uploadPatience = 12 * time.Hour
)

// Uploader stores inputs, see package uploads.
type Uploader interface {
	Write(ctx context.Context, namespace string, inputs uploads.Inputs) (uploads.Upload, error)
}

// PartUploader also stores inputs that come in several calls.
type PartUploader interface {
	Uploader
	Append(ctx context.Context, namespace, name string, offset int, inputs uploads.Inputs) (have int, err error)
	Finish(ctx context.Context, namespace, name string, inputs int) (uploads.Upload, error)
	Forget(ctx context.Context, namespace, name string) error
}

// RunStarter makes FunctionRuns.
type RunStarter interface {
	// StartRun makes the run, whose function must exist; dry only looks whether it could. The errors are the API's own.
	StartRun(ctx context.Context, run *v1alpha1.FunctionRun, user string, dry bool) (*v1alpha1.FunctionRun, error)
}

// Run is the subresource functions/run, see docs/inputs.md: inputs come in, a run of the function comes out.
type Run struct {
	storage
	uploader  PartUploader
	starter   RunStarter
	clock     clock.PassiveClock
	mostBytes int64
	uploads   *shares.Places
	budget    *bodies.Budget
}

var (
	_ rest.Storage   = (*Run)(nil)
	_ rest.Connecter = (*Run)(nil)
)

// NewRun makes the subresource. mostBytes is how much an upload may have.
func NewRun(uploader PartUploader, starter RunStarter, mostBytes int64, clk clock.PassiveClock) *Run {
	return &Run{storage: storage{kindFunction}, uploader: uploader, starter: starter, clock: clk, mostBytes: mostBytes,
		uploads: shares.NewPlaces("uploads", uploadPlaces), budget: newUploadBudget()}
}

// ConnectMethods implements rest.Connecter.
func (*Run) ConnectMethods() []string { return []string{http.MethodPost} }

// Connect implements rest.Connecter.
func (r *Run) Connect(ctx context.Context, name string, _ runtime.Object, responder rest.Responder) (http.Handler, error) {
	namespace := apirequest.NamespaceValue(ctx)
	who := callerOf(ctx)
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		status, object, err := r.serve(w, request, namespace, name, who)
		if err != nil {
			responder.Error(apiError("the run cannot be made", err))
			return
		}
		answer(w, responder, status, object)
	}), nil
}

// Received is the answer to a call that brings inputs of which more will come.
type Received struct {
	Upload string `json:"upload"`
	// Inputs is how many of the upload are stored: the offset of the next call.
	Inputs int `json:"inputs"`
}

// answer writes an object.
func answer(w http.ResponseWriter, responder rest.Responder, status int, object any) {
	body, err := json.Marshal(object)
	if err != nil {
		responder.Error(apierrors.NewInternalError(err))
		return
	}
	w.Header().Set("Content-Type", contentJSON)
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

// serve answers with the run that was made, or with what there is of inputs of which more will come.
func (r *Run) serve(w http.ResponseWriter, request *http.Request, namespace, function, who string) (status int, object any, err error) {
	ctx := request.Context()
	values, err := queryOf(request)
	if err != nil {
		return 0, nil, err
	}
	asked, err := askedRun(values, request.Header)
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
	run := asked.run
	run.Namespace = namespace
	run.Spec.FunctionRef.Name = function
	if run.Name == "" {
		run.GenerateName = function + "-"
	}
	// Before the inputs are read: who forgot something need not wait until they have all come.
	run.Spec.ParametersFrom = uploadedAs(uploads.Upload{Digest: "sha256:" + strings.Repeat("0", 64), Inputs: 1})
	if _, err := r.starter.StartRun(ctx, run.DeepCopy(), who, true); err != nil {
		return 0, nil, err
	}
	charge, err := openUpload(ctx, r.budget, namespace)
	if err != nil {
		return 0, nil, uploadError(err, nothingKept)
	}
	defer charge.Close()
	body := bodies.New(w, request, bodies.Limits{Bytes: 2 * r.mostBytes, Timeout: uploadPatience}, nil, r.clock)
	defer body.Done()
	upload, have, err := r.receive(ctx, namespace, &asked, newHeld(body, asked.stream, charge))
	if errors.Is(err, bodies.ErrFull) {
		bodies.Drain(w, request, bodies.DrainAuthenticated) // the caller reads the refusal instead of a reset connection
	}
	switch {
	case err != nil && errors.Is(context.Cause(ctx), identity.ErrRevoked):
		return 0, nil, apierrors.NewForbidden(v1alpha1.Resource("functions"), function, identity.ErrRevoked)
	case err != nil && asked.upload == "":
		return 0, nil, uploadError(err, nothingKept)
	case err != nil:
		return 0, nil, partError(function, have, err)
	case asked.more:
		return http.StatusOK, &Received{Upload: asked.upload, Inputs: have}, nil
	}
	run.Spec.ParametersFrom = uploadedAs(upload)
	if run, err = r.starter.StartRun(ctx, run, who, false); err != nil {
		return 0, nil, err
	}
	if asked.upload != "" {
		if err := r.uploader.Forget(ctx, namespace, asked.upload); err != nil {
			klog.FromContext(ctx).V(1).Info("The name of an upload is not forgotten yet; it goes with the upload", "err", err)
		}
	}
	return http.StatusCreated, run, nil
}

// receive stores the inputs of a call. Of those that come in several, the upload has so many then, also beside an error; it
// is only named when all are there.
func (r *Run) receive(ctx context.Context, namespace string, asked *asked, inputs *held) (upload uploads.Upload, have int, err error) {
	if asked.upload == "" {
		upload, err = r.uploader.Write(ctx, namespace, inputs)
		return upload, upload.Inputs, err
	}
	have, err = r.uploader.Append(ctx, namespace, asked.upload, asked.offset, inputs)
	if err == nil && !asked.more {
		upload, err = r.uploader.Finish(ctx, namespace, asked.upload, asked.offset+inputs.Count())
	}
	return upload, have, err
}

func uploadedAs(upload uploads.Upload) *v1alpha1.ParametersSource {
	return &v1alpha1.ParametersSource{
		Upload: &v1alpha1.UploadReference{Digest: upload.Digest, Count: int32(upload.Inputs)},
	}
}

// partError is uploadError of inputs that come in several calls, of which so many are stored.
func partError(function string, have int, err error) error {
	var offset *uploads.OffsetError
	if errors.As(err, &offset) || errors.Is(err, uploads.ErrConflict) {
		return apierrors.NewConflict(v1alpha1.Resource("functions"), function, err)
	}
	switch have {
	case 0:
		return uploadError(err, nothingKept)
	case 1:
		return uploadError(err, "The input before is kept for an hour.")
	default:
		return uploadError(err, fmt.Sprintf("The %d inputs before are kept for an hour.", have))
	}
}

// nothingKept is said of inputs that come in one call, and of those of which none has come.
const nothingKept = "Nothing was kept."

// uploadError says what went wrong, and what is kept.
func uploadError(err error, kept string) error {
	var format *parameters.FormatError
	var long *http.MaxBytesError
	var exceeded *quotas.ExceededError
	switch {
	case errors.As(err, &format):
		return apierrors.NewBadRequest("the inputs cannot be read: " + format.Sentence + ". " + kept)
	case errors.Is(err, uploads.ErrTooLarge):
		return apierrors.NewRequestEntityTooLargeError(err.Error())
	case errors.As(err, &long):
		return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("the body has more than %d bytes: split the run", long.Limit))
	case errors.As(err, &exceeded):
		return storageExceeded(exceeded, kept)
	case errors.Is(err, outcomes.ErrNotReady), errors.Is(err, outcomes.ErrFull), errors.Is(err, uploads.ErrNamespaceUnknown):
		return apierrors.NewServiceUnavailable(err.Error())
	case errors.Is(err, bodies.ErrFull):
		return apierrors.NewTooManyRequests("too many bytes of uploads are in memory: try again in a second. "+kept, 1)
	case errors.Is(err, bodies.ErrSlow):
		slow := apierrors.NewTimeoutError(err.Error()+". "+kept, 0)
		slow.ErrStatus.Code = http.StatusRequestTimeout
		return slow
	case errors.Is(err, io.ErrUnexpectedEOF):
		return apierrors.NewBadRequest("the body ended before all of it had come. " + kept)
	}
	return unavailable("the inputs cannot be stored", err)
}

// storageExceeded says that the namespace has no room: 507. A repeated call gets the same until something is deleted.
func storageExceeded(exceeded *quotas.ExceededError, kept string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status:  metav1.StatusFailure,
		Code:    http.StatusInsufficientStorage,
		Reason:  "StorageQuotaExceeded",
		Message: upper(exceeded.Error()) + ". " + kept,
	}}
}

// upper begins a text with a capital letter.
func upper(text string) string {
	return strings.ToUpper(text[:1]) + text[1:]
}

// asked is what a caller of functions/run asks for, beside the inputs.
type asked struct {
	run    *v1alpha1.FunctionRun
	stream parameters.Stream
	// upload is the name of one that comes in several calls; "" for one that comes in this. offset is how many inputs came
	// before those of this call; more: others follow, and there is no run yet.
	upload string
	offset int
	more   bool
}

// uploadName is what an upload that comes in several calls may be called: something that nobody else thinks of.
var uploadName = regexp.MustCompile(`^[A-Za-z0-9-]{16,64}$`)

func askedRun(values url.Values, header http.Header) (asked, error) {
	a := asked{run: &v1alpha1.FunctionRun{}}
	err := parseAll(values, map[string]func(string) error{
		"name": func(text string) error { a.run.Name = text; return nil },
		"spec": func(text string) error { return specFrom(text, &a.run.Spec) },
		"format": func(text string) (err error) {
			a.stream.Format, err = formatNamed(text)
			return err
		},
		"header": truth(&a.stream.Header),
		"cells": func(text string) error {
			if a.stream.TypedCells = text == "json"; !a.stream.TypedCells && text != "text" {
				return errors.New("must be text or json")
			}
			return nil
		},
		"upload": func(text string) error {
			if a.upload = text; !uploadName.MatchString(text) {
				return errors.New("must be 16 to 64 letters, digits and '-' that nobody else thinks of, such as a UUID")
			}
			return nil
		},
		"offset": func(text string) (err error) {
			if a.offset, err = strconv.Atoi(text); err != nil || a.offset < 0 || a.offset > parameters.MaxInputs {
				return errors.New("must be how many inputs of the upload came before")
			}
			return nil
		},
		"more": truth(&a.more),
	})
	switch {
	case err != nil:
		return asked{}, err
	case a.upload == "" && (a.more || values.Has("offset")):
		return asked{}, errors.New("offset and more are for inputs that come in several calls: name them by the parameter upload")
	case a.upload != "" && !values.Has("offset"):
		return asked{}, errors.New("an upload needs the parameter offset: how many of its inputs came before, 0 for the first call")
	}
	a.stream.MayBeEmpty = a.upload != ""
	if err := plainBody(header); err != nil {
		return asked{}, err
	}
	if a.stream.Format == "" {
		if err := contentFormat(header.Get("Content-Type"), &a.stream); err != nil {
			return asked{}, err
		}
	}
	return a, nil
}

// specFrom reads how the run is to run: fields of a FunctionRun's spec, but what the address and the body say.
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
		return errors.New("must be one JSON object, and there is more behind it")
	}
	if spec.Parameters != nil || spec.ParametersLiteral != nil || spec.ParametersFrom != nil || spec.FunctionRef.Name != "" {
		return errors.New("must have neither inputs, which are the body, nor functionRef, which is in the address")
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

// contentFormat reads the format off a Content-Type. Without one it is JSON.
func contentFormat(contentType string, stream *parameters.Stream) error {
	if contentType == "" {
		stream.Format = v1alpha1.FormatJSON
		return nil
	}
	media, details, err := mime.ParseMediaType(contentType)
	if err != nil {
		return fmt.Errorf("the Content-Type %.100q cannot be read", contentType)
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
		return fmt.Errorf("the Content-Type is %.100q: send application/json, application/x-ndjson, text/csv or text/x-python, or say the format by the parameter format", media)
	}
	return nil
}
