package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/api/printable"
)

// logFlags are the flags of log.
type logFlags struct {
	follow, failed, prefix, prefixSet bool
	stream                            string
}

func newLog(o *options) *cobra.Command {
	var f logFlags
	command := &cobra.Command{
		Use:     "log RUN [INDEX] [--follow] [--failed] [--stream stdout|stderr]",
		Aliases: []string{"logs"},
		Short:   "Print the output of a run's inputs",
		Long: `Print the output of a run's inputs, both of inputs that are running and of inputs whose pods no longer exist. Each line begins with
the index of its input, unless you request the output of one input. What the code of a worker printed while it was loaded precedes the
worker's first input: [load POD].

On a terminal, control sequences other than colours are shown as escapes (\x1b[2J). A file or a pipe gets the output unchanged.`,
		Example: `  kubectl function log train-x7k2p --follow
  kubectl function log train-x7k2p 17
  kubectl function log train-x7k2p --failed --stream stderr`,
		Args: func(command *cobra.Command, args []string) error {
			if len(args) > 2 || len(args) == 0 {
				return usageError("%s requires the name of a run, and optionally the index of an input: %s", command.CommandPath(), command.UseLine())
			}
			return nil
		},
		ValidArgsFunction: o.completeNames(kindRun, 1),
		RunE: func(command *cobra.Command, args []string) error {
			f.prefixSet = command.Flags().Changed("prefix")
			index := ""
			if len(args) == 2 {
				index = args[1]
			}
			query, err := f.query(index)
			if err != nil {
				return err
			}
			ctx := command.Context()
			c, s, err := o.reach(ctx)
			if err != nil {
				return err
			}
			l := &logReader{cluster: c, subs: s, run: args[0], index: index, query: query, follow: f.follow, prefixed: f.prefixed(index), clock: clock.RealClock{}}
			written, err := l.print(ctx, o)
			switch {
			case err != nil && ctx.Err() != nil:
				return &codedError{ExitInterrupted, errReported}
			case err != nil:
				return err
			case written == 0:
				o.notify("There is no output.")
			}
			return nil
		},
	}
	flags := command.Flags()
	flags.BoolVarP(&f.follow, "follow", "f", false, "Stream the output until the run, or the input, has finished.")
	flags.BoolVar(&f.failed, "failed", false, "Print only the output of inputs that did not succeed.")
	flags.BoolVar(&f.prefix, "prefix", true, "Begin each line with the index of its input: [17], or [17 err] for stderr. Default: true, unless you request one input.")
	flags.StringVar(&f.stream, "stream", "both", "Output stream to print: stdout, stderr or both.")
	return command
}

// query validates the flags and the index, which is empty for all inputs, and returns the parameters of functionruns/log.
func (f *logFlags) query(index string) (url.Values, error) {
	if index != "" {
		if _, err := strconv.ParseUint(index, 10, 31); err != nil {
			return nil, usageError("%q is not an index; the indexes of inputs start at 0", index)
		}
	}
	if f.failed && (f.follow || index != "") {
		return nil, usageError("--failed excludes --follow and an index")
	}
	if f.stream != "both" && f.stream != "stdout" && f.stream != "stderr" {
		return nil, usageError("--stream is %q; it must be stdout, stderr or both", f.stream)
	}
	query := url.Values{"stream": {f.stream}}
	set := func(name string, on bool, value string) {
		if on {
			query.Set(name, value)
		}
	}
	set("index", index != "", index)
	set("follow", f.follow, "true")
	set("failed", f.failed, "true")
	set("prefix", f.prefixSet, strconv.FormatBool(f.prefix))
	return query, nil
}

// prefixed reports whether lines have a prefix, by which they can be matched when the output is requested again.
func (f *logFlags) prefixed(index string) bool {
	if f.prefixSet {
		return f.prefix
	}
	return index == ""
}

// logReader reads the output of a run. With follow it continues after the connection or the server failed: the server then sends
// the output from its beginning, and the reader skips, for each prefix, as many lines as it has written before.
type logReader struct {
	*cluster
	subs       *subresources
	run, index string
	query      url.Values
	follow     bool
	prefixed   bool
	clock      clock.WithTicker
	// written is the number of lines written, by their prefix: [17], [17 err], [load POD].
	written map[string]int
}

// print copies the log to standard output: unchanged to a file or a pipe, and without control sequences other than colours to a
// terminal.
func (l *logReader) print(ctx context.Context, o *options) (written int, err error) {
	if _, terminal := terminalWidth(o.raw.Out); !terminal {
		return l.copy(ctx, o.raw.Out)
	}
	out := printable.NewLogWriter(o.raw.Out)
	written, err = l.copy(ctx, out)
	return written, errors.Join(err, out.Flush())
}

func (l *logReader) copy(ctx context.Context, out io.Writer) (written int, err error) {
	l.written = map[string]int{}
	r := newRetrier(l.clock, l.o.notify, "the output")
	for {
		n, err := l.once(ctx, out)
		written += n
		if n > 0 || err == nil {
			r.succeeded()
		}
		var failed *consumerError
		switch {
		case errors.As(err, &failed):
			return written, fmt.Errorf("writing the output: %w", failed.err)
		case err == nil && !l.follow:
			return written, nil
		case err == nil:
			done, getErr := l.finished(ctx)
			if done {
				return written, nil
			}
			if err = getErr; err == nil {
				err = errLogEnded
			}
			if written > 0 && !l.prefixed {
				return written, clusterError("the server closed the connection while the input is running: run the command again; the server keeps the output")
			}
		case written > 0 && (!l.follow || !l.prefixed):
			return written, clusterError("the connection failed (%w): run the command again; the server keeps the output", rootCause(err))
		}
		if err := r.wait(ctx, err); err != nil {
			return written, err
		}
	}
}

// maxLogPrefix is more than the length of the longest prefix, which has the name of a pod.
const maxLogPrefix = 280

// errLogEnded: the response is complete, and the run has not finished.
var errLogEnded = &url.Error{Op: "Get", URL: "log", Err: io.ErrUnexpectedEOF}

// finished reports whether there can be no further output.
func (l *logReader) finished(ctx context.Context) (bool, error) {
	run, err := l.cluster.run(ctx, l.run)
	switch {
	case isObjectNotFound(err):
		return true, nil
	case err != nil:
		return false, err
	case finished(run) || run.Status.Progress != nil && run.Status.Progress.Closed:
		return true, nil
	case l.index == "":
		return false, nil
	}
	found := false
	err = l.resultsReader(l.subs, l.run).read(ctx, selection{indexes: l.index}, func(*outcome) error { found = true; return nil })
	return found, err
}

// once writes the new part of one response and returns its length.
func (l *logReader) once(ctx context.Context, out io.Writer) (int, error) {
	response, err := l.subs.call(ctx, http.MethodGet, "functionruns", l.run, "log", l.query, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	if !l.prefixed {
		n, err := io.Copy(out, response.Body)
		return int(n), err
	}
	written, received := 0, map[string]int{}
	lines := bufio.NewReaderSize(response.Body, 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) > 0 {
			err = io.ErrUnexpectedEOF // the next response has the complete line
		}
		if errors.Is(err, io.EOF) {
			return written, nil
		}
		if err != nil {
			return written, err
		}
		prefix, _, _ := bytes.Cut(line, []byte("] "))
		key := string(prefix[:min(len(prefix), maxLogPrefix)])
		if received[key]++; received[key] <= l.written[key] {
			continue
		}
		l.written[key]++
		n, err := out.Write(line)
		written += n
		if err != nil {
			return written, &consumerError{err}
		}
	}
}
