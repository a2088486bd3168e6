package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/parameters"
)

const (
	// partBytes is the minimum size of inputs that are sent in several requests.
	partBytes = 1 << 20
	// callBytes and callTime limit one of these requests. The cluster's API ends a request after 60 seconds.
	callBytes = 16 << 20
	callTime  = 20 * time.Second
	// spoolBytes limits the inputs in memory: those of the current request, and those that are read ahead.
	spoolBytes = 2 * callBytes
	// uploadReportInterval is the interval between two messages about an upload.
	uploadReportInterval = 10 * time.Second
)

// upload sends the inputs, and returns the run that the server created.
func (c *cluster) upload(ctx context.Context, s *subresources, function, name string, query url.Values, in *inputs) (*v1alpha1.FunctionRun, error) {
	text := bufio.NewReaderSize(in.text, partBytes)
	beginning, err := text.Peek(partBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, usageError("cannot read the inputs in %s: %w", in.where, err)
	}
	// A Python literal cannot be split before all of it is read, and is short.
	if len(beginning) < partBytes || in.stream.Format == v1alpha1.FormatPython {
		in.query(query)
		response, err := s.call(ctx, http.MethodPost, "functions", function, "run", query, text)
		return c.created(ctx, name, response, err)
	}
	filling, stop := context.WithCancel(ctx)
	defer stop()
	spool := newSpool(spoolBytes)
	go spool.fill(filling, parameters.NewReader(text, in.stream))
	u := &sender{spool: spool, notify: c.o.notify, clock: clock.RealClock{}, callBytes: callBytes, callTime: callTime}
	query.Set("format", "ndjson")
	query.Set("upload", string(uuid.NewUUID()))
	u.call = func(ctx context.Context, offset int, more bool, body io.Reader) (*http.Response, error) {
		query.Set("offset", strconv.Itoa(offset))
		query.Set("more", strconv.FormatBool(more))
		return s.call(ctx, http.MethodPost, "functions", function, "run", query, body)
	}
	received, err := u.send(ctx)
	var format *parameters.FormatError
	var unreadable *inputsError
	switch {
	case errors.As(err, &format):
		return nil, usageError("the inputs in %s are not valid %s: %w: no run was created", in.where, in.stream.Format, err)
	case errors.As(err, &unreadable):
		return nil, usageError("cannot read the inputs in %s: %w: no run was created", in.where, err)
	case ctx.Err() != nil:
		return nil, errInterruptedUpload
	case err != nil:
		return nil, err
	}
	// The server has all inputs; the last request creates the run.
	retry := newRetrier(u.clock, u.notify, "the server")
	retry.succeeded()
	for again := false; ; again = true {
		response, err := u.call(ctx, received, false, http.NoBody)
		run, err := c.created(ctx, name, response, err)
		if err == nil {
			return run, nil
		}
		if again && apierrors.IsAlreadyExists(err) {
			return c.run(ctx, name)
		}
		if err := retry.wait(ctx, err); err != nil {
			return nil, err
		}
	}
}

// errInterruptedUpload is the error of an upload that Ctrl-C ended.
var errInterruptedUpload = &codedError{ExitInterrupted, errors.New("interrupted before all inputs were sent: no run was created")}

// sender sends inputs in several requests to functions/run. After a request that fails, the next one continues after the inputs that
// the server has received.
type sender struct {
	spool *spool
	// call sends one request, whose body follows the first offset inputs.
	call      func(ctx context.Context, offset int, more bool, body io.Reader) (*http.Response, error)
	notify    func(format string, args ...any)
	clock     clock.WithTicker
	callBytes int
	callTime  time.Duration
}

// send sends all inputs and returns their number.
func (u *sender) send(ctx context.Context) (received int, err error) {
	retry := newRetrier(u.clock, u.notify, "the server")
	notified := u.clock.Now()
	// The first request, and the one after a failure, only ask how many inputs the server has.
	for asking, first := true, true; ; {
		some, err := u.spool.wait(ctx)
		if !some || err != nil {
			return received, err
		}
		offset, body := 0, io.Reader(http.NoBody)
		if !asking {
			offset, body = received, u.spool.begin(u.callBytes, u.callTime)
		}
		now, err := u.part(ctx, offset, body)
		if err == nil && now < received {
			return received, clusterError("the server no longer has the uploaded inputs: the upload paused for too long, or the store was moved. No run was created; start the run again")
		}
		if err == nil {
			if err := u.spool.acknowledge(now - received); err != nil {
				return received, clusterError("%w", err)
			}
			if now > received || !asking || first {
				retry.succeeded()
			}
			received, asking, first = now, false, false
			if u.clock.Since(notified) > uploadReportInterval {
				notified = u.clock.Now()
				u.notify("Sent %s.", count(received, "input"))
			}
			continue
		}
		if apierrors.IsConflict(err) {
			// The server is still processing the request that failed.
			err = apierrors.NewServiceUnavailable(err.Error())
		}
		if err := retry.wait(ctx, err); err != nil {
			return received, err
		}
		asking = true
	}
}

// part sends one request, and returns how many inputs the server has.
func (u *sender) part(ctx context.Context, offset int, body io.Reader) (int, error) {
	response, err := u.call(ctx, offset, true, body)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	var result struct {
		Inputs int `json:"inputs"`
	}
	err = json.NewDecoder(response.Body).Decode(&result)
	return result.Inputs, err
}
