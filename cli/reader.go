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
	// patience is for how long nothing may answer before a command gives up: servers restart, nodes are drained.
	patience = 2 * time.Minute
	// firstPause and longestPause are how long a call waits before it is repeated.
	firstPause, longestPause = 500 * time.Millisecond, 10 * time.Second
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

	// raw is the line as it came.
	raw []byte
}

type outcomeError struct {
	Type      string `json:"type"`
	Message   string `json:"message"`
	Traceback string `json:"traceback"`
}

// wanted is which outcomes are of interest.
type wanted struct {
	from, limit    int
	indexes        string
	failed, output bool
	// rawCSV: cells of CSV as they are, also those that a spreadsheet would execute.
	rawCSV bool
	// follow: one index after the other, until the last has its outcome.
	follow bool
}

// resultsReader reads outcomes across the ends of answers, broken connections and restarts: each once, in order.
type resultsReader struct {
	open  func(ctx context.Context, query url.Values) (io.ReadCloser, error)
	run   func(ctx context.Context) (*v1alpha1.FunctionRun, error)
	say   func(format string, args ...any)
	clock clock.WithTicker
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
		run:   func(ctx context.Context) (*v1alpha1.FunctionRun, error) { return c.run(ctx, name) },
		say:   c.o.say,
		clock: clock.RealClock{},
	}
}

// read yields the outcomes. Without follow it ends with what there is; with it, at the end of the run.
func (r *resultsReader) read(ctx context.Context, w wanted, yield func(*outcome) error) error {
	var uid types.UID
	left := w.limit
	o := newOutage(r.clock, r.say, "The results")
	for next := w.from; ; {
		run, err := r.run(ctx)
		if err != nil {
			if uid != "" && namedNotFound(err) {
				return clusterError("the run was deleted while its results were read; %d is the last index that there is an outcome of above", next-1)
			}
			if err := o.wait(ctx, err); err != nil {
				return err
			}
			continue
		}
		if uid != "" && run.UID != uid {
			return clusterError("the run was deleted, and another was made under its name: its results are not mixed with those above, which end at index %d", next-1)
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
				return nil // a server that knows no parameter from
			}
			if follow && !w.failed && found.Index > next {
				return clusterError("the server left out index %d", next)
			}
			if err := yield(found); err != nil {
				return &yieldError{err}
			}
			next, count = found.Index+1, count+1
			o.over()
			if left--; left == 0 {
				return errEnough
			}
			return nil
		})
		var refused *yieldError
		switch {
		case errors.Is(err, errEnough):
			return nil
		case errors.As(err, &refused):
			return refused.err
		case err != nil:
			if err := o.wait(ctx, err); err != nil {
				return err
			}
			continue
		}
		o.over()
		switch {
		case follow:
			// It ended because its time was up, or because all is there: the next look at the run tells.
			if count == 0 && r.clock.Since(began) < time.Second {
				if err := pause(ctx, r.clock, time.Second); err != nil {
					return err
				}
			}
		case count > 0: // perhaps its time was up: ask for what follows
		case w.follow && !w.failed && next < total:
			return clusterError("the run is over, and index %d of %d has no outcome", next, total)
		default:
			return nil
		}
	}
}

// yieldError is an error of who takes the outcomes: the call is not repeated for it.
type yieldError struct{ err error }

func (e *yieldError) Error() string { return e.err.Error() }

// errEnough: as many as were wanted.
var errEnough = errors.New("enough")

func (w wanted) query(from, left int, follow bool) url.Values {
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
	// With follow the limit counts indexes, not outcomes that did not succeed.
	set("limit", left > 0 && (!follow || !w.failed), strconv.Itoa(left))
	return q
}

// once reads one answer. What is no whole line is as if it had not come.
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
			return clusterError("the answer of the server is no outcome: %.100q", line)
		}
		if err := yield(found); err != nil {
			return err
		}
	}
}

// totalOf is the number of inputs; 0 where it is not known yet.
func totalOf(run *v1alpha1.FunctionRun) int {
	switch {
	case run.Status.Revision != nil:
		return int(run.Status.Revision.InputCount)
	case run.Status.Progress != nil:
		return int(run.Status.Progress.Total)
	}
	return 0
}

// namedNotFound says that the very object is not there: without a name it is the API that is not.
func namedNotFound(err error) bool {
	var status apierrors.APIStatus
	return apierrors.IsNotFound(err) && errors.As(err, &status) && status.Status().Details != nil && status.Status().Details.Name != "" &&
		status.Status().Message != ""
}

// forNow says that an error is one of the moment: repeating may help.
func forNow(err error) bool {
	var coded *codedError
	var unreachable *url.Error
	var network net.Error
	var stranger x509.UnknownAuthorityError
	switch {
	case err == nil, errors.As(err, &coded), errors.As(err, &stranger), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	case apierrors.IsTooManyRequests(err), apierrors.IsServiceUnavailable(err), apierrors.IsInternalError(err),
		apierrors.IsServerTimeout(err), apierrors.IsTimeout(err):
		return true
	case apierrors.IsNotFound(err):
		return !namedNotFound(err)
	case apierrors.ReasonForError(err) != "":
		var status apierrors.APIStatus
		// A quota that is used up stays so until somebody deletes something.
		return errors.As(err, &status) && status.Status().Code >= 500 && status.Status().Code != http.StatusInsufficientStorage
	case errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &unreachable), errors.As(err, &network):
		return true
	}
	// What a broken HTTP/2 stream says has no type.
	var status apierrors.APIStatus
	return !errors.As(err, &status)
}

// outage repeats what fails for the moment, later and later, until nothing has answered for too long.
type outage struct {
	clock clock.WithTicker
	say   func(format string, args ...any)
	what  string
	begun time.Time
	pause time.Duration
	said  bool
	ever  bool
}

func newOutage(clk clock.WithTicker, say func(string, ...any), what string) *outage {
	return &outage{clock: clk, say: say, what: what}
}

// over notes that something answered.
func (o *outage) over() {
	if o.said {
		o.say("The server answers again.")
	}
	o.begun, o.pause, o.said, o.ever = time.Time{}, 0, false, true
}

// wait returns after a pause, or with the error where it is final.
func (o *outage) wait(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	// What has never answered is more likely wrong than away: say so soon.
	limit := patience
	if !o.ever {
		limit = 5 * time.Second
	}
	if !forNow(err) {
		return err
	}
	if o.begun.IsZero() {
		o.begun, o.pause = o.clock.Now(), firstPause
	}
	if o.clock.Since(o.begun) > limit {
		return fmt.Errorf("nothing has answered for %s: %w", o.clock.Since(o.begun).Round(time.Second), err)
	}
	if !o.said && o.ever && o.clock.Since(o.begun) > 3*time.Second {
		o.say("%s cannot be reached at the moment (%v); trying again.", o.what, rootCause(err))
		o.said = true
	}
	if err := pause(ctx, o.clock, o.pause); err != nil {
		return err
	}
	o.pause = min(2*o.pause, longestPause)
	return nil
}

func pause(ctx context.Context, clk clock.WithTicker, d time.Duration) error {
	timer := clk.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C():
		return nil
	}
}
