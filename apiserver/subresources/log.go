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
	// logPatience is how long a caller may take nothing of what was written.
	logPatience = time.Minute
	// logWindow is how many indexes are looked through at once for outcomes that came in.
	logWindow = 1 << 16
)

// LogReader reads what inputs print.
type LogReader interface {
	OutcomeReader
	// Finished returns which of the indexes have an outcome.
	Finished(ctx context.Context, run types.UID, indexes indexset.Set) (indexset.Set, error)
	// Live returns what the inputs have printed that are executed at this moment, in the order of their indexes.
	Live(ctx context.Context, run types.UID) ([]outcomes.LiveOutput, error)
}

// Log is the subresource functionruns/log, see docs/results.md. Its name lets kube-apiserver proxy it for as long as it
// takes.
type Log struct {
	storage
	runs    RunGetter
	reader  LogReader
	clock   clock.WithTicker
	answers answers
	ending  context.Context
}

var (
	_ rest.Storage   = (*Log)(nil)
	_ rest.Connecter = (*Log)(nil)
)

// NewLog makes the subresource. When ending is done, answers that are under way end.
func NewLog(ending context.Context, runs RunGetter, reader LogReader, clk clock.WithTicker) *Log {
	return &Log{
		storage: storage{kindRun}, runs: runs, reader: reader, clock: clk, answers: newAnswers("logs"), ending: ending,
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
			responder.Error(apierrors.NewBadRequest(fmt.Sprintf("the run has the inputs 0 to %d, and none with the index %d", pin.InputCount-1, q.index)))
			return
		}
		leave, err := l.answers.enter(ctx, run.Namespace, q.follow)
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
		case !out.begun:
			responder.Error(readError(err))
		case out.broken == nil:
			klog.FromContext(ctx).Error(err, "Reading output failed in the middle of an answer", "run", klog.KObj(run))
			panic(http.ErrAbortHandler)
		}
	}), nil
}

// logQuery is what a caller of functionruns/log asked for.
type logQuery struct {
	// index is the input of interest; -1 for all.
	index int
	// follow: until the input, or the last of them, has its outcome.
	follow bool
	// stdout and stderr say which streams.
	stdout, stderr bool
	// prefix: each line says which input printed it.
	prefix bool
	failed bool
}

func parseLogQuery(values url.Values) (logQuery, error) {
	q := logQuery{index: -1, stdout: true, stderr: true}
	prefix, prefixGiven := false, values.Has("prefix")
	err := parseAll(values, map[string]func(string) error{
		"index":  number(&q.index, 0),
		"follow": truth(&q.follow),
		"failed": truth(&q.failed),
		"prefix": truth(&prefix),
		"stream": func(text string) error {
			q.stdout, q.stderr = text != "stderr", text != "stdout"
			if text != "stdout" && text != "stderr" && text != "both" {
				return errors.New("must be stdout, stderr or both")
			}
			return nil
		},
	})
	if err == nil && q.failed && (q.follow || q.index >= 0) {
		err = errors.New("the parameter failed goes with all inputs of what has happened so far: leave out follow and index")
	}
	q.prefix = prefix || !prefixGiven && q.index < 0
	return q, err
}

// serve writes what is there, and what comes while the caller follows.
func (l *Log) serve(ctx context.Context, out *logWriter, run *v1alpha1.FunctionRun, q logQuery) error {
	if !q.follow {
		selected := outcomes.All(0)
		selected.Unsuccessful = q.failed
		if q.index >= 0 {
			selected.First, selected.Last = q.index, q.index
		}
		if err := l.reader.Read(ctx, run.UID, selected, 0, out.outcome); err != nil || q.failed {
			return err
		}
		return l.live(ctx, out, run, q)
	}
	ticker := l.clock.NewTicker(followInterval)
	defer ticker.Stop()
	f := follower{l: l, out: out, run: run, q: q}
	for {
		over, err := f.step(ctx)
		if over || err != nil || out.broken != nil {
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

// live writes what is being printed.
func (l *Log) live(ctx context.Context, out *logWriter, run *v1alpha1.FunctionRun, q logQuery) error {
	all, err := l.reader.Live(ctx, run.UID)
	if err != nil {
		return err
	}
	for i := range all {
		if q.index < 0 || all[i].Index == q.index {
			out.live(&all[i])
		}
	}
	return nil
}

// follower writes what inputs print, each one's end when its outcome is there.
type follower struct {
	l   *Log
	out *logWriter
	run *v1alpha1.FunctionRun
	q   logQuery
	// written has the inputs of which all was written.
	written indexset.Set
}

// step writes what is new. It says whether nothing can come any more.
func (f *follower) step(ctx context.Context) (over bool, err error) {
	// Before the outcomes, so that the last of them are not missed.
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
	if total > 0 && wanted.Minus(f.written).Empty() || gone {
		return true, nil
	}
	return false, f.l.live(ctx, f.out, f.run, f.q)
}

// finished writes the inputs that have got their outcome since the last step.
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
			if err := f.l.reader.Read(ctx, f.run.UID, selected, 0, f.out.outcome); err != nil || f.out.broken != nil {
				return err
			}
		}
		f.written = f.written.Union(found)
		if found.Empty() {
			return nil // inputs are handed out in order: behind a window without any there is hardly one
		}
	}
	return nil
}

// logWriter writes output line by line, each with the input that printed it where that is asked for.
type logWriter struct {
	response http.ResponseWriter
	clock    clock.PassiveClock
	buffered *bufio.Writer
	q        logQuery
	begun    bool
	broken   error
	// open are the inputs that are being executed: how much of each stream was written, and what is no whole line yet.
	open map[int]*openInput
}

type openInput struct {
	start   int64
	streams [2]struct {
		written int64
		rest    []byte
	}
}

// of says whether it is the attempt that the outcome speaks of. When it began was noted by two processes, one after the other.
func (t *openInput) of(o *outcomes.Outcome) bool {
	const slack = int64(time.Second / time.Microsecond)
	return t.start >= o.StartMicros-slack && t.start <= o.CompletionMicros+slack
}

func newLogWriter(w http.ResponseWriter, clk clock.PassiveClock, q logQuery) *logWriter {
	return &logWriter{response: w, clock: clk, buffered: bufio.NewWriterSize(w, streamBuffer), q: q, open: map[int]*openInput{}}
}

// outcome writes what is left to say of an input that is over.
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

// live writes what an input has printed since it was last written.
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

// add writes what is new of a stream.
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

// lines writes whole lines and returns the rest. A carriage return ends one too: bars of progress use it.
func (w *logWriter) lines(index, number int, text []byte) (rest []byte) {
	for {
		end := bytes.IndexAny(text, "\r\n")
		if end < 0 {
			return text
		}
		next := end + 1
		if text[end] == '\r' && next < len(text) && text[next] == '\n' {
			next++
		}
		w.line(index, number, text[:end])
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

// close ends the lines of an input that nothing follows.
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
	if !w.begun {
		w.begun = true
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
		w.patience()
	}
	_, w.broken = w.buffered.Write(text)
}

// patience lets the caller take what comes next for a while.
func (w *logWriter) patience() {
	_ = http.NewResponseController(w.response).SetWriteDeadline(w.clock.Now().Add(logPatience))
}

func (w *logWriter) flush() {
	w.begin()
	if w.broken != nil {
		return
	}
	w.patience()
	if w.broken = w.buffered.Flush(); w.broken == nil {
		w.broken = http.NewResponseController(w.response).Flush()
	}
}

// finish writes what is no whole line yet, too.
func (w *logWriter) finish() {
	for _, index := range slices.Sorted(maps.Keys(w.open)) {
		w.close(index, w.open[index])
	}
	w.flush()
}
