package subresources

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/exchange/indexset"
)

const (
	contentText = "text/plain; charset=utf-8"
	// logWriteTimeout is how long a caller may take to read what was written.
	logWriteTimeout = time.Minute
	// logWindow is the number of indexes that are searched for new outcomes in one step.
	logWindow = 1 << 16
)

// LogReader reads the output of inputs.
type LogReader interface {
	OutcomeReader
	// Finished returns the indexes that have an outcome.
	Finished(ctx context.Context, run types.UID, indexes indexset.Set) (indexset.Set, error)
	// Live returns the output of the inputs that are executed now, in the order of their indexes.
	Live(ctx context.Context, run types.UID) ([]outcomes.LiveOutput, error)
	// LoadWorkers returns the workers whose modules printed something while they were loaded, and LoadOutput what it was, or nil.
	LoadWorkers(ctx context.Context, run types.UID) ([]int64, error)
	LoadOutput(ctx context.Context, run types.UID, worker int64) (*outcomes.LoadOutput, error)
}

// Log is the subresource functionruns/log, see docs/results.md. Because it is named log, kube-apiserver proxies it without a
// timeout.
type Log struct {
	storage
	runs   RunGetter
	reader LogReader
	clock  clock.WithTicker
	slots  slots
	ending context.Context
}

var (
	_ rest.Storage   = (*Log)(nil)
	_ rest.Connecter = (*Log)(nil)
)

// NewLog returns the subresource. Its responses end when ending is done.
func NewLog(ending context.Context, runs RunGetter, reader LogReader, clk clock.WithTicker) *Log {
	return &Log{
		storage: storage{kindRun}, runs: runs, reader: reader, clock: clk, slots: newSlots("logs"), ending: ending,
	}
}

// ConnectMethods implements rest.Connecter.
func (*Log) ConnectMethods() []string { return []string{http.MethodGet} }

// Connect implements rest.Connecter.
func (l *Log) Connect(ctx context.Context, name string, _ runtime.Object, responder rest.Responder) (http.Handler, error) {
	run, err := findRun(ctx, l.runs, apirequest.NamespaceValue(ctx), name)
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		values, err := queryOf(request)
		if err != nil {
			responder.Error(err)
			return
		}
		q, err := parseLogQuery(values)
		if err != nil {
			responder.Error(apierrors.NewBadRequest(err.Error()))
			return
		}
		if pin := run.Status.Revision; pin != nil && q.index >= int(pin.InputCount) {
			responder.Error(apierrors.NewBadRequest(fmt.Sprintf("the run has the inputs 0 to %d and no input %d", pin.InputCount-1, q.index)))
			return
		}
		leave, err := l.slots.enter(ctx, run.Namespace, q.follow)
		if err != nil {
			responder.Error(err)
			return
		}
		defer leave()
		ctx, cancel := context.WithCancel(request.Context())
		defer context.AfterFunc(l.ending, cancel)()
		defer cancel()
		out := newLogWriter(w, l.clock, q)
		err = l.serve(ctx, out, run, q)
		switch {
		case err == nil || ctx.Err() != nil:
			out.finish()
		case !out.started:
			responder.Error(readError(err))
		case out.broken == nil:
			klog.FromContext(ctx).Error(err, "Failed to read output after the response had started", "run", klog.KObj(run))
			panic(http.ErrAbortHandler)
		}
	}), nil
}

// logQuery is a parsed request to functionruns/log.
type logQuery struct {
	// index is the requested input; -1 for all.
	index int
	// follow: until the requested inputs have an outcome.
	follow bool
	// stdout and stderr select the streams.
	stdout, stderr bool
	// prefix: each line begins with the index of its input.
	prefix bool
	failed bool
}

func parseLogQuery(values url.Values) (logQuery, error) {
	q := logQuery{index: -1, stdout: true, stderr: true}
	prefix, prefixGiven := false, values.Has("prefix")
	err := parseAll(values, map[string]func(string) error{
		"index":  number(&q.index, 0),
		"follow": boolean(&q.follow),
		"failed": boolean(&q.failed),
		"prefix": boolean(&prefix),
		"stream": func(text string) error {
			q.stdout, q.stderr = text != "stderr", text != "stdout"
			if text != "stdout" && text != "stderr" && text != "both" {
				return errors.New("must be stdout, stderr or both")
			}
			return nil
		},
	})
	if err == nil && q.failed && (q.follow || q.index >= 0) {
		err = errors.New("the parameter failed cannot be combined with follow or index")
	}
	q.prefix = prefix || !prefixGiven && q.index < 0
	return q, err
}

// serve writes the present output, and new output while the caller follows.
func (l *Log) serve(ctx context.Context, out *logWriter, run *v1alpha1.FunctionRun, q logQuery) error {
	if !q.follow {
		selected := outcomes.All(0)
		selected.Unsuccessful = q.failed
		if q.index >= 0 {
			selected.First, selected.Last = q.index, q.index
		}
		loads := l.loads(out, run.UID, q)
		err := l.reader.Read(ctx, run.UID, selected, 0, loads.outcome(ctx))
		// The load of a worker that executed no input explains inputs that failed without a worker.
		if err == nil && (!q.failed || loads.unknown) {
			err = loads.others(ctx)
		}
		if err != nil || loads.err != nil || q.failed {
			return errors.Join(err, loads.err)
		}
		return l.live(ctx, out, run, q, loads)
	}
	ticker := l.clock.NewTicker(followInterval)
	defer ticker.Stop()
	f := follower{l: l, out: out, run: run, q: q, loads: l.loads(out, run.UID, q)}
	for {
		done, err := f.step(ctx)
		if done || err != nil || out.broken != nil {
			return err
		}
		out.flush()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C():
		}
	}
}

// live writes the output of executing inputs.
func (l *Log) live(ctx context.Context, out *logWriter, run *v1alpha1.FunctionRun, q logQuery, loads *loads) error {
	all, err := l.reader.Live(ctx, run.UID)
	if err != nil {
		return err
	}
	for i := range all {
		if q.index < 0 || all[i].Index == q.index {
			loads.before(ctx, all[i].WorkerID)
			out.live(&all[i])
		}
	}
	return loads.err
}

// follower writes output while it arrives, and completes that of an input when its outcome is stored.
type follower struct {
	l   *Log
	out *logWriter
	run *v1alpha1.FunctionRun
	q   logQuery
	// written contains the inputs whose output was written completely.
	written indexset.Set
	loads   *loads
	steps   int
}

// step writes new output, and reports whether no more can follow.
func (f *follower) step(ctx context.Context) (done bool, err error) {
	// Read before the outcomes, so that the last of them are not missed.
	run, err := f.l.runs.Get(ctx, f.run.Namespace, f.run.Name)
	gone := apierrors.IsNotFound(err) || err == nil && run.UID != f.run.UID
	total := 0
	if err == nil && !gone && run.Status.Revision != nil {
		total = int(run.Status.Revision.InputCount)
	}
	wanted := indexset.Span(0, total-1)
	if f.q.index >= 0 {
		wanted = wanted.And(indexset.Of(f.q.index))
	}
	if err := f.finished(ctx, wanted); err != nil || f.out.broken != nil {
		return false, err
	}
	done = total > 0 && wanted.Minus(f.written).Empty() || gone
	if f.steps++; done || f.steps%loadSteps == 0 {
		if err := f.loads.others(ctx); err != nil || done {
			return done, err
		}
	}
	return false, f.l.live(ctx, f.out, f.run, f.q, f.loads)
}

// finished writes the inputs that got an outcome since the last step.
func (f *follower) finished(ctx context.Context, wanted indexset.Set) error {
	for left := wanted.Minus(f.written); !left.Empty(); {
		var some indexset.Set
		some, left = left.Take(logWindow)
		found, err := f.l.reader.Finished(ctx, f.run.UID, some)
		if err != nil {
			return err
		}
		for r := range found.Ranges() {
			selected := outcomes.Selection{First: r.First, Last: r.Last}
			if err := f.l.reader.Read(ctx, f.run.UID, selected, 0, f.loads.outcome(ctx)); err != nil || f.loads.err != nil || f.out.broken != nil {
				return errors.Join(err, f.loads.err)
			}
		}
		f.written = f.written.Union(found)
		if found.Empty() {
			return nil // inputs are handed out in order: after an empty window there are rarely any
		}
	}
	return nil
}

// logWriter writes output line by line, with the prefix if requested.
type logWriter struct {
	response http.ResponseWriter
	clock    clock.PassiveClock
	buffered *bufio.Writer
	q        logQuery
	started  bool
	broken   error
	// open are the executing inputs: how much of each stream was written, and its incomplete last line.
	open map[int]*openInput
}

type openInput struct {
	start   int64
	streams [2]struct {
		written int64
		rest    []byte
	}
}

// of reports whether the output is of the attempt that led to the outcome. Two processes recorded the start time, one shortly
// after the other.
func (t *openInput) of(o *outcomes.Outcome) bool {
	const slack = int64(time.Second / time.Microsecond)
	return t.start >= o.StartMicros-slack && t.start <= o.CompletionMicros+slack
}

func newLogWriter(w http.ResponseWriter, clk clock.PassiveClock, q logQuery) *logWriter {
	return &logWriter{response: w, clock: clk, buffered: bufio.NewWriterSize(w, streamBuffer), q: q, open: map[int]*openInput{}}
}

// outcome writes the rest of the output of an input that has finished.
func (w *logWriter) outcome(o *outcomes.Outcome) bool {
	seen := w.open[o.Index]
	delete(w.open, o.Index)
	if seen == nil || !seen.of(o) {
		if seen != nil {
			w.close(o.Index, seen) // an earlier attempt of it
		}
		seen = &openInput{}
	}
	w.add(o.Index, seen, 0, outcomes.LiveText{From: o.StdoutDropped, Bytes: o.Stdout})
	w.closeStream(o.Index, seen, 0)
	w.add(o.Index, seen, 1, outcomes.LiveText{From: o.StderrDropped, Bytes: o.Stderr})
	w.close(o.Index, seen)
	return w.broken == nil
}

// live writes the output of an input since it was last written.
func (w *logWriter) live(l *outcomes.LiveOutput) {
	seen := w.open[l.Index]
	if seen == nil || seen.start != l.StartMicros {
		if seen != nil {
			w.close(l.Index, seen)
		}
		seen = &openInput{start: l.StartMicros}
		w.open[l.Index] = seen
	}
	w.add(l.Index, seen, 0, l.Stdout)
	w.add(l.Index, seen, 1, l.Stderr)
}

// add writes new output of a stream.
func (w *logWriter) add(index int, seen *openInput, number int, text outcomes.LiveText) {
	if number == 0 && !w.q.stdout || number == 1 && !w.q.stderr {
		return
	}
	stream := &seen.streams[number]
	bytes := text.Bytes
	switch missing := text.From - stream.written; {
	case missing > 0:
		w.closeStream(index, seen, number)
		w.line(index, number, fmt.Appendf(nil, "[… %d bytes are left out here]", missing))
	case -missing < int64(len(bytes)):
		bytes = bytes[-missing:]
	default:
		return // all of it was written
	}
	stream.written = text.End()
	if !w.q.prefix {
		w.put(bytes)
		return
	}
	stream.rest = w.lines(index, number, append(stream.rest, bytes...))
}

// lines writes complete lines and returns the rest.
func (w *logWriter) lines(index, number int, text []byte) (rest []byte) {
	return eachLine(text, func(line []byte) { w.line(index, number, line) })
}

// eachLine calls write with each complete line and returns the rest. A carriage return ends a line too, because progress bars use it.
func eachLine(text []byte, write func(line []byte)) (rest []byte) {
	for {
		end := bytes.IndexAny(text, "\r\n")
		if end < 0 {
			return text
		}
		next := end + 1
		if text[end] == '\r' && next < len(text) && text[next] == '\n' {
			next++
		}
		write(text[:end])
		text = text[next:]
	}
}

func (w *logWriter) line(index, number int, text []byte) {
	if w.q.prefix {
		head := append(make([]byte, 0, 24), '[')
		head = strconv.AppendInt(head, int64(index), 10)
		if number == 1 {
			head = append(head, " err"...)
		}
		w.put(append(head, "] "...))
	}
	w.put(text)
	w.put([]byte{'\n'})
}

// close ends the last lines of an input.
func (w *logWriter) close(index int, seen *openInput) {
	for number := range seen.streams {
		w.closeStream(index, seen, number)
	}
}

func (w *logWriter) closeStream(index int, seen *openInput, number int) {
	if rest := seen.streams[number].rest; len(rest) > 0 {
		w.line(index, number, rest)
		seen.streams[number].rest = nil
	}
}

func (w *logWriter) begin() {
	if !w.started {
		w.started = true
		w.response.Header().Set("Content-Type", contentText)
		w.response.WriteHeader(http.StatusOK)
	}
}

func (w *logWriter) put(text []byte) {
	w.begin()
	if w.broken != nil || len(text) == 0 {
		return
	}
	if w.buffered.Available() < len(text) {
		w.extendWriteDeadline()
	}
	_, w.broken = w.buffered.Write(text)
}

// extendWriteDeadline gives the caller time to read what is written next.
func (w *logWriter) extendWriteDeadline() {
	_ = http.NewResponseController(w.response).SetWriteDeadline(w.clock.Now().Add(logWriteTimeout))
}

func (w *logWriter) flush() {
	w.begin()
	if w.broken != nil {
		return
	}
	w.extendWriteDeadline()
	if w.broken = w.buffered.Flush(); w.broken == nil {
		w.broken = http.NewResponseController(w.response).Flush()
	}
}

// finish also writes incomplete lines.
func (w *logWriter) finish() {
	for _, index := range slices.Sorted(maps.Keys(w.open)) {
		w.close(index, w.open[index])
	}
	w.flush()
}
