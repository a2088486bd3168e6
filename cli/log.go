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

func newLog(o *options) *cobra.Command {
	var follow, onlyFailed, prefix bool
	var stream string
	command := &cobra.Command{
		Use:     "log RUN [INDEX] [--follow] [--failed] [--stream stdout|stderr]",
		Aliases: []string{"logs"},
		Short:   "Show what a run's inputs printed",
		Long: `Show what a run's inputs printed: those that are executed at this moment, and those whose pods are long gone. Each line says which
input printed it, unless only one is asked for.

On a terminal, control sequences but colours are shown as escapes (\x1b[2J); into a file or a pipe goes what was printed, byte by byte.`,
		Example: `  kubectl function log train-x7k2p --follow
  kubectl function log train-x7k2p 17
  kubectl function log train-x7k2p --failed --stream stderr`,
		Args: func(command *cobra.Command, args []string) error {
			if len(args) > 2 || len(args) == 0 {
				return usageError("a run, and perhaps the index of one of its inputs, are needed: %s", command.UseLine())
			}
			return nil
		},
		ValidArgsFunction: o.completeNames(kindRun, 1),
		RunE: func(command *cobra.Command, args []string) error {
			query := url.Values{}
			if len(args) == 2 {
				if _, err := strconv.ParseUint(args[1], 10, 31); err != nil {
					return usageError("%q is no index: the inputs of a run are counted from 0", args[1])
				}
				query.Set("index", args[1])
			}
			if onlyFailed && (follow || len(args) == 2) {
				return usageError("--failed is for all inputs of what has happened so far: leave out --follow and the index")
			}
			if stream != "both" && stream != "stdout" && stream != "stderr" {
				return usageError("--stream is %q; it must be stdout, stderr or both", stream)
			}
			query.Set("stream", stream)
			for name, on := range map[string]bool{"follow": follow, "failed": onlyFailed} {
				if on {
					query.Set(name, "true")
				}
			}
			if command.Flags().Changed("prefix") {
				query.Set("prefix", strconv.FormatBool(prefix))
			}
			ctx := command.Context()
			c, s, err := o.reach(ctx)
			if err != nil {
				return err
			}
			l := &logReader{cluster: c, subs: s, run: args[0], query: query, follow: follow, clock: clock.RealClock{}}
			if len(args) == 2 {
				l.index = args[1]
			}
			// Lines that say whose they are can be told from each other when the output is asked for again.
			l.prefixed = len(args) == 1 && !command.Flags().Changed("prefix") || prefix && command.Flags().Changed("prefix")
			written, err := l.print(ctx, o)
			switch {
			case err != nil && ctx.Err() != nil:
				return &codedError{ExitInterrupted, errSaid}
			case err != nil:
				return err
			case written == 0:
				o.say("Nothing was printed.")
			}
			return nil
		},
	}
	flags := command.Flags()
	flags.BoolVarP(&follow, "follow", "f", false, "Go on until the run, or that input, is over.")
	flags.BoolVar(&onlyFailed, "failed", false, "Only inputs that did not succeed.")
	flags.BoolVar(&prefix, "prefix", true, "Begin each line with the input that printed it: [17], or [17 err]. Default: unless one input is asked for.")
	flags.StringVar(&stream, "stream", "both", "stdout, stderr or both.")
	return command
}

// logReader reads what a run prints. Where it follows, it goes on after a connection broke or the server ended: the server then
// tells all from the start, and what was written before is passed over, line by line for each input.
type logReader struct {
	*cluster
	subs       *subresources
	run, index string
	query      url.Values
	follow     bool
	prefixed   bool
	clock      clock.WithTicker
	// seen is how many lines were written, by what they begin with: [17], [17 err].
	seen map[string]int
}

// print copies the log to standard output: as it is into a file or a pipe, and to a terminal without what would steer it. Colours
// pass.
func (l *logReader) print(ctx context.Context, o *options) (written int, err error) {
	if _, terminal := terminalWidth(o.raw.Out); !terminal {
		return l.copy(ctx, o.raw.Out)
	}
	out := printable.NewLogWriter(o.raw.Out)
	written, err = l.copy(ctx, out)
	return written, errors.Join(err, out.Flush())
}

func (l *logReader) copy(ctx context.Context, out io.Writer) (written int, err error) {
	l.seen = map[string]int{}
	o := newOutage(l.clock, l.o.say, "The output")
	for {
		n, err := l.once(ctx, out)
		written += n
		if n > 0 || err == nil {
			o.over()
		}
		var full *yieldError
		switch {
		case errors.As(err, &full):
			return written, fmt.Errorf("writing the output: %w", full.err)
		case err == nil && !l.follow:
			return written, nil
		case err == nil:
			over, lookError := l.over(ctx)
			if over {
				return written, nil
			}
			if err = lookError; err == nil {
				err = errServerEnded
			}
			if written > 0 && !l.prefixed {
				return written, clusterError("the server ended in the middle of the output, and the input is executed still: ask again; the server keeps what was printed")
			}
		case written > 0 && (!l.follow || !l.prefixed):
			return written, clusterError("the connection broke in the middle of the output (%w): ask again; the server keeps what was printed", rootCause(err))
		}
		if err := o.wait(ctx, err); err != nil {
			return written, err
		}
	}
}

// errServerEnded: the answer ended well, and the run has not.
var errServerEnded = &url.Error{Op: "Get", URL: "log", Err: io.ErrUnexpectedEOF}

// over says whether nothing can come any more.
func (l *logReader) over(ctx context.Context) (bool, error) {
	run, err := l.cluster.run(ctx, l.run)
	switch {
	case namedNotFound(err):
		return true, nil
	case err != nil:
		return false, err
	case finished(run) || run.Status.Progress != nil && run.Status.Progress.Closed:
		return true, nil
	case l.index == "":
		return false, nil
	}
	found := false
	err = l.resultsReader(l.subs, l.run).read(ctx, wanted{indexes: l.index}, func(*outcome) error { found = true; return nil })
	return found, err
}

// once writes one answer and returns how much was new of it.
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
	written, told := 0, map[string]int{}
	lines := bufio.NewReaderSize(response.Body, 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) > 0 {
			err = io.ErrUnexpectedEOF // half a line comes again, whole
		}
		if errors.Is(err, io.EOF) {
			return written, nil
		}
		if err != nil {
			return written, err
		}
		whose, _, _ := bytes.Cut(line, []byte("] "))
		key := string(whose[:min(len(whose), 24)])
		if told[key]++; told[key] <= l.seen[key] {
			continue
		}
		l.seen[key]++
		n, err := out.Write(line)
		written += n
		if err != nil {
			return written, &yieldError{err}
		}
	}
}
