package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

const (
	// unavailableTimeout is how long a command retries while a server restarts or a node is drained.
	unavailableTimeout = 2 * time.Minute
	// firstTimeout is how long a command retries if no request has succeeded yet: the address is probably wrong.
	firstTimeout = 5 * time.Second
	// notifyAfter is how long a server is unavailable before the user is notified.
	notifyAfter = 3 * time.Second
	// minRetryDelay and maxRetryDelay limit the delay before a retry.
	minRetryDelay, maxRetryDelay = 500 * time.Millisecond, 10 * time.Second
)

// outcome is one object of functionruns/results.
type outcome struct {
	Index          int             `json:"index"`
	Status         string          `json:"status"`
	Result         json.RawMessage `json:"result"`
	Error          *outcomeError   `json:"error"`
	Attempts       int             `json:"attempts"`
	StartTime      time.Time       `json:"startTime"`
	CompletionTime time.Time       `json:"completionTime"`
	Worker         string          `json:"worker"`
	Node           string          `json:"node"`
	Stdout         string          `json:"stdout"`
	Stderr         string          `json:"stderr"`
	StdoutDropped  int64           `json:"stdoutDropped"`
	StderrDropped  int64           `json:"stderrDropped"`

	// raw is the line as the server sent it.
	raw []byte
}

type outcomeError struct {
	Type      string `json:"type"`
	Message   string `json:"message"`
	Traceback string `json:"traceback"`
}

// selection selects outcomes.
type selection struct {
	from, limit    int
	indexes        string
	failed, output bool
	// rawCSV leaves cells of CSV unchanged that a spreadsheet would execute.
	rawCSV bool
	// follow waits for each index in turn, until the last has its outcome.
	follow bool
}

// resultsReader reads outcomes in order, each once, across responses, failed connections and restarts of the server.
type resultsReader struct {
	open   func(ctx context.Context, query url.Values) (io.ReadCloser, error)
	run    func(ctx context.Context) (*v1alpha1.FunctionRun, error)
	notify func(format string, args ...any)
	clock  clock.WithTicker
}

func (c *cluster) resultsReader(s *subresources, name string) *resultsReader {
	return &resultsReader{
		open: func(ctx context.Context, query url.Values) (io.ReadCloser, error) {
			response, err := s.call(ctx, http.MethodGet, "functionruns", name, "results", query, nil)
			if err != nil {
				return nil, err
			}
			return response.Body, nil
		},
		run:    func(ctx context.Context) (*v1alpha1.FunctionRun, error) { return c.run(ctx, name) },
		notify: c.o.notify,
		clock:  clock.RealClock{},
	}
}

// read yields the outcomes that exist, or with follow those of the whole run.
func (r *resultsReader) read(ctx context.Context, w selection, yield func(*outcome) error) error {
	var uid types.UID
	left := w.limit
	retry := newRetrier(r.clock, r.notify, "the results")
	for next := w.from; ; {
		run, err := r.run(ctx)
		if err != nil {
			if uid != "" && isObjectNotFound(err) {
				return clusterError("the run was deleted while its results were read; the last index above is %d", next-1)
			}
			if err := retry.wait(ctx, err); err != nil {
				return err
			}
			continue
		}
		if uid != "" && run.UID != uid {
			return clusterError("the run was deleted, and another run was created under its name; the results above end at index %d", next-1)
		}
		uid = run.UID
		total, closed := totalOf(run), run.Status.Progress != nil && run.Status.Progress.Closed
		if w.follow && total > 0 && next >= total {
			return nil
		}
		follow := w.follow && !closed
		began, count := r.clock.Now(), 0
		err = r.once(ctx, w.query(next, left, follow), func(found *outcome) error {
			if found.Index < next {
				return nil // the server ignores the parameter from
			}
			if follow && !w.failed && found.Index > next {
				return clusterError("the server omitted index %d", next)
			}
			if err := yield(found); err != nil {
				return &consumerError{err}
			}
			next, count = found.Index+1, count+1
			retry.succeeded()
			if left--; left == 0 {
				return errLimitReached
			}
			return nil
		})
		var failed *consumerError
		switch {
		case errors.Is(err, errLimitReached):
			return nil
		case errors.As(err, &failed):
			return failed.err
		case err != nil:
			if err := retry.wait(ctx, err); err != nil {
				return err
			}
			continue
		}
		retry.succeeded()
		switch {
		case follow:
			// The response ended at its time limit, or because it is complete: the next loop reads the run and decides.
			if count == 0 && r.clock.Since(began) < time.Second {
				if err := sleep(ctx, r.clock, time.Second); err != nil {
					return err
				}
			}
		case count > 0: // the response may have ended at its time limit
		case w.follow && !w.failed && next < total:
			return clusterError("the run has finished, and index %d of %d has no outcome", next, total)
		default:
			return nil
		}
	}
}

// consumerError is an error of the function that gets the outcomes. It is not retried.
type consumerError struct{ err error }

func (e *consumerError) Error() string { return e.err.Error() }

// errLimitReached ends reading at selection.limit.
var errLimitReached = errors.New("limit reached")

func (w selection) query(from, left int, follow bool) url.Values {
	q := url.Values{"format": {"ndjson"}, "from": {strconv.Itoa(from)}}
	set := func(name string, on bool, value string) {
		if on {
			q.Set(name, value)
		}
	}
	set("indexes", w.indexes != "", w.indexes)
	set("failed", w.failed, "true")
	set("output", w.output, "true")
	set("follow", follow, "true")
	// With follow the server's limit counts indexes, not outcomes that did not succeed.
	set("limit", left > 0 && (!follow || !w.failed), strconv.Itoa(left))
	return q
}

// once reads one response. It ignores an incomplete line.
func (r *resultsReader) once(ctx context.Context, query url.Values, yield func(*outcome) error) error {
	body, err := r.open(ctx, query)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	lines := bufio.NewReaderSize(body, 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) > 0 {
			err = io.ErrUnexpectedEOF
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		found := &outcome{raw: bytes.TrimSuffix(line, []byte("\n")), Index: -1}
		if err := json.Unmarshal(line, found); err != nil || found.Index < 0 {
			return clusterError("the response of the server is not an outcome: %.100q", line)
		}
		if err := yield(found); err != nil {
			return err
		}
	}
}

// totalOf is the number of inputs, or 0 if it is not known yet.
func totalOf(run *v1alpha1.FunctionRun) int {
	switch {
	case run.Status.Revision != nil:
		return int(run.Status.Revision.InputCount)
	case run.Status.Progress != nil:
		return int(run.Status.Progress.Total)
	}
	return 0
}

// isObjectNotFound reports whether the object does not exist. An error without a name means that the API does not exist.
func isObjectNotFound(err error) bool {
	var status apierrors.APIStatus
	return apierrors.IsNotFound(err) && errors.As(err, &status) && status.Status().Details != nil && status.Status().Details.Name != "" &&
		status.Status().Message != ""
}

// isTransient reports whether a retry may succeed.
func isTransient(err error) bool {
	var coded *codedError
	var unreachable *url.Error
	var network net.Error
	var unknownAuthority x509.UnknownAuthorityError
	switch {
	case err == nil, errors.As(err, &coded), errors.As(err, &unknownAuthority), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	case apierrors.IsTooManyRequests(err), apierrors.IsServiceUnavailable(err), apierrors.IsInternalError(err),
		apierrors.IsServerTimeout(err), apierrors.IsTimeout(err):
		return true
	case apierrors.IsNotFound(err):
		return !isObjectNotFound(err)
	case apierrors.ReasonForError(err) != "":
		var status apierrors.APIStatus
		// An exhausted quota does not recover by itself.
		return errors.As(err, &status) && status.Status().Code >= 500 && status.Status().Code != http.StatusInsufficientStorage
	case errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &unreachable), errors.As(err, &network):
		return true
	}
	// The errors of a failed HTTP/2 stream have no type.
	var status apierrors.APIStatus
	return !errors.As(err, &status)
}

// retrier retries requests that fail temporarily, with increasing delays, until they have failed for too long.
type retrier struct {
	clock  clock.WithTicker
	notify func(format string, args ...any)
	// what names the resource in messages.
	what string
	// failing is since when requests fail; zero while they succeed.
	failing  time.Time
	delay    time.Duration
	notified bool
	// worked reports whether a request has succeeded.
	worked bool
}

func newRetrier(clk clock.WithTicker, notify func(string, ...any), what string) *retrier {
	return &retrier{clock: clk, notify: notify, what: what}
}

// succeeded records that a request succeeded.
func (r *retrier) succeeded() {
	if r.notified {
		r.notify("The server is available again.")
	}
	r.failing, r.delay, r.notified, r.worked = time.Time{}, 0, false, true
}

// wait returns nil after a delay, or the error if it is not to be retried.
func (r *retrier) wait(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	limit := unavailableTimeout
	if !r.worked {
		limit = firstTimeout
	}
	if !isTransient(err) {
		return err
	}
	if r.failing.IsZero() {
		r.failing, r.delay = r.clock.Now(), minRetryDelay
	}
	if r.clock.Since(r.failing) > limit {
		return fmt.Errorf("no response for %s: %w", r.clock.Since(r.failing).Round(time.Second), err)
	}
	if !r.notified && r.worked && r.clock.Since(r.failing) > notifyAfter {
		r.notify("Cannot reach %s (%v); retrying.", r.what, rootCause(err))
		r.notified = true
	}
	if err := sleep(ctx, r.clock, r.delay); err != nil {
		return err
	}
	r.delay = min(2*r.delay, maxRetryDelay)
	return nil
}

func sleep(ctx context.Context, clk clock.WithTicker, d time.Duration) error {
	timer := clk.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C():
		return nil
	}
}
