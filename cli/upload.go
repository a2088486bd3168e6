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
	// partBytes is from which size on inputs are sent in several calls: below, a call is not worth repeating in part.
	partBytes = 1 << 20
	// callBytes and callTime bound what one of these calls sends. The cluster's API gives a call 60 seconds.
	callBytes = 16 << 20
	callTime  = 20 * time.Second
	// spoolBytes is how much is kept in memory: what is being sent, and what is read ahead meanwhile.
	spoolBytes = 2 * callBytes
	// quietTime is how long nothing is said of an upload.
	quietTime = 10 * time.Second
)

// upload sends the inputs, and returns the run that was made of them.
func (c *cluster) upload(ctx context.Context, s *subresources, function, name string, query url.Values, in *inputs) (*v1alpha1.FunctionRun, error) {
	text := bufio.NewReaderSize(in.text, partBytes)
	beginning, err := text.Peek(partBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, usageError("the inputs in %s cannot be read: %w", in.where, err)
	}
	// A Python literal has no parts that could be told from each other before all of it is read, and is short.
	if len(beginning) < partBytes || in.stream.Format == v1alpha1.FormatPython {
		in.query(query)
		response, err := s.call(ctx, http.MethodPost, "functions", function, "run", query, text)
		return c.made(ctx, name, response, err)
	}
	filling, stop := context.WithCancel(ctx)
	defer stop()
	spool := newSpool(spoolBytes)
	go spool.fill(filling, parameters.NewReader(text, in.stream))
	u := &sender{spool: spool, say: c.o.say, clock: clock.RealClock{}, callBytes: callBytes, callTime: callTime}
	query.Set("format", "ndjson")
	query.Set("upload", string(uuid.NewUUID()))
	u.call = func(ctx context.Context, behind int, more bool, body io.Reader) (*http.Response, error) {
		query.Set("offset", strconv.Itoa(behind))
		query.Set("more", strconv.FormatBool(more))
		return s.call(ctx, http.MethodPost, "functions", function, "run", query, body)
	}
	have, err := u.send(ctx)
	var format *parameters.FormatError
	var unreadable *inputsError
	switch {
	case errors.As(err, &format):
		return nil, usageError("the inputs in %s cannot be read as %s: %w. No run was made", in.where, in.stream.Format, err)
	case errors.As(err, &unreadable):
		return nil, usageError("the inputs in %s cannot be read: %w. No run was made", in.where, err)
	case ctx.Err() != nil:
		return nil, errInterruptedUpload
	case err != nil:
		return nil, err
	}
	// All inputs are there; what is left makes the run, once.
	out := newOutage(u.clock, u.say, "The server")
	out.over()
	for again := false; ; again = true {
		response, err := u.call(ctx, have, false, http.NoBody)
		run, err := c.made(ctx, name, response, err)
		if err == nil {
			return run, nil
		}
		if again && apierrors.IsAlreadyExists(err) {
			return c.run(ctx, name)
		}
		if err := out.wait(ctx, err); err != nil {
			return nil, err
		}
	}
}

// errInterruptedUpload is how Ctrl-C ends an upload.
var errInterruptedUpload = &codedError{ExitInterrupted, errors.New("interrupted before all inputs were sent: no run was made")}

// sender sends inputs in several calls of functions/run. A call that breaks costs what was under way: the next one goes on
// behind what the server has.
type sender struct {
	spool *spool
	// call makes one call: the body comes behind so many inputs.
	call      func(ctx context.Context, behind int, more bool, body io.Reader) (*http.Response, error)
	say       func(format string, args ...any)
	clock     clock.WithTicker
	callBytes int
	callTime  time.Duration
}

// send returns how many inputs the server has when it has all of them.
func (u *sender) send(ctx context.Context) (have int, err error) {
	out := newOutage(u.clock, u.say, "The server")
	said := u.clock.Now()
	// First, and after a call that broke, it is asked what is there: no input is sent to a server that cannot tell.
	for asking, first := true, true; ; {
		some, err := u.spool.wait(ctx)
		if !some || err != nil {
			return have, err
		}
		behind, body := 0, io.Reader(http.NoBody)
		if !asking {
			behind, body = have, u.spool.begin(u.callBytes, u.callTime)
		}
		now, err := u.part(ctx, behind, body)
		if err == nil && now < have {
			return have, clusterError("the server has lost what was uploaded: nothing came for too long, or its store was moved meanwhile. No run was made: send the inputs again")
		}
		if err == nil {
			if err := u.spool.acknowledge(now - have); err != nil {
				return have, clusterError("%w", err)
			}
			if now > have || !asking || first {
				out.over()
			}
			have, asking, first = now, false, false
			if u.clock.Since(said) > quietTime {
				said = u.clock.Now()
				u.say("%s sent so far.", counting(have, "input"))
			}
			continue
		}
		if apierrors.IsConflict(err) {
			// The call that broke has not ended at the server yet.
			err = apierrors.NewServiceUnavailable(err.Error())
		}
		if err := out.wait(ctx, err); err != nil {
			return have, err
		}
		asking = true
	}
}

// part makes one call, and returns how many inputs the server has.
func (u *sender) part(ctx context.Context, behind int, body io.Reader) (int, error) {
	response, err := u.call(ctx, behind, true, body)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Inputs int `json:"inputs"`
	}
	err = json.NewDecoder(response.Body).Decode(&answer)
	return answer.Inputs, err
}
