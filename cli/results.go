package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

var indexesPattern = regexp.MustCompile(`^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$`)

func newResults(o *options) *cobra.Command {
	var w selection
	var format, to string
	var quiet bool
	var timeout time.Duration
	command := &cobra.Command{
		Use:   "results RUN [--failed | --indexes LIST] [--follow] [-o table|json|ndjson|csv] [--to FILE]",
		Short: "Print the results of a run, in order",
		Long: `Print the results of a run's inputs, in order. You can use it while the run is in progress; with --follow it waits for the missing
results, until the last. It continues after a restart of the server, and omits or repeats no result.`,
		Example: `  kubectl function results train-x7k2p
  kubectl function results train-x7k2p --failed --with-output
  kubectl function results train-x7k2p --indexes 0-9,400 -o json
  kubectl function results train-x7k2p --follow -o ndjson | jq .result
  kubectl function results train-x7k2p --to results.csv`,
		Args:              exactly("run"),
		ValidArgsFunction: o.completeNames(kindRun, 1),
		RunE: func(command *cobra.Command, args []string) error {
			switch {
			case w.indexes != "" && !indexesPattern.MatchString(w.indexes):
				return usageError("--indexes is %.60q; it must be a list of indexes such as 0-3,17", w.indexes)
			case w.indexes != "" && w.follow:
				return usageError("--indexes and --follow exclude each other: --follow waits for every index")
			case timeout > 0 && !w.follow:
				return usageError("--timeout requires --follow")
			case w.limit < 0 || w.from < 0:
				return usageError("--limit and --from must not be negative")
			}
			format, err := resultsFormat(format, to)
			if err != nil {
				return err
			}
			ctx, cancel := o.withTimeout(command.Context(), timeout)
			defer cancel()
			c, s, err := o.reach(ctx)
			if err != nil {
				return err
			}
			if w.follow && to == "" && w.limit == 0 {
				run, err := c.follow(ctx, s, args[0], w, format, quiet)
				return c.finish(ctx, args[0], run, err)
			}
			err = c.results(ctx, s, args[0], w, format, to)
			if err != nil && ctx.Err() != nil {
				return c.finish(ctx, args[0], nil, err)
			}
			return err
		},
	}
	flags := command.Flags()
	flags.BoolVar(&w.failed, "failed", false, "Print only the inputs that did not succeed.")
	flags.StringVar(&w.indexes, "indexes", "", "Print only these indexes: 0-3,17.")
	flags.BoolVarP(&w.follow, "follow", "f", false, "Print each result in order, and wait for those that are missing. The exit code then is that of the run.")
	flags.IntVar(&w.from, "from", 0, "First index to print.")
	flags.IntVar(&w.limit, "limit", 0, "Maximum number of results.")
	flags.BoolVar(&w.output, "with-output", false, "Print the output of each input (stdout and stderr), too.")
	flags.StringVarP(&format, "output", "o", "", "Output format: table, json, ndjson or csv. Default: by the extension of --to, or else table.")
	flags.BoolVar(&w.rawCSV, "raw-csv", false, "With -o csv, leave cells unchanged that a spreadsheet would execute. Default: such cells begin with an apostrophe.")
	flags.StringVar(&to, "to", "", "Write the results to this file. If that fails, the file is not changed.")
	flags.DurationVar(&timeout, "timeout", 0, "With --follow, maximum time to wait.")
	flags.BoolVarP(&quiet, "quiet", "q", false, "With --follow, print no progress.")
	return command
}

// resultsFormat is the format of --output, or that of the file's extension.
func resultsFormat(format, to string) (string, error) {
	if format == "" {
		switch strings.ToLower(filepath.Ext(to)) {
		case ".csv":
			format = "csv"
		case ".json":
			format = "json"
		case ".ndjson", ".jsonl":
			format = "ndjson"
		default:
			format = "table"
		}
	}
	_, err := newRenderer(format, io.Discard, false, 0)
	return format, err
}

// results writes outcomes to standard output or to a file.
func (c *cluster) results(ctx context.Context, s *subresources, name string, w selection, format, to string) error {
	if to == "" {
		out, width := c.o.resultsOut(format)
		return c.writeResults(ctx, s, name, w, format, out, width)
	}
	file, err := os.CreateTemp(filepath.Dir(to), "."+filepath.Base(to)+".*")
	if err != nil {
		return usageError("cannot write the file of --to: %w", err)
	}
	defer func() { _ = os.Remove(file.Name()) }() // fails after the rename
	err = c.writeResults(ctx, s, name, w, format, file, 0)
	if err == nil {
		err = file.Chmod(0o644)
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), to); err != nil {
		return usageError("cannot write the file of --to: %w", err)
	}
	return nil
}

func (c *cluster) writeResults(ctx context.Context, s *subresources, name string, w selection, format string, out io.Writer, width int) error {
	writer := bufio.NewWriterSize(out, 64<<10)
	render, err := rendererOf(format, writer, w, width)
	if err != nil {
		return err
	}
	written := 0
	err = c.resultsReader(s, name).read(ctx, w, func(o *outcome) error {
		written++
		if err := render.one(o); err != nil {
			return fmt.Errorf("writing the results: %w", err)
		}
		if w.follow {
			return writer.Flush()
		}
		return nil
	})
	if err != nil {
		return errors.Join(err, writer.Flush())
	}
	if written == 0 && format == "table" {
		c.o.notify("%s", c.noResults(ctx, name, w))
		return nil
	}
	return errors.Join(render.end(), writer.Flush())
}

// noResults is the message if there are no results to print.
func (c *cluster) noResults(ctx context.Context, name string, w selection) string {
	run, err := c.run(ctx, name)
	switch {
	case err != nil:
		return "There are no results."
	case w.failed && finished(run) && run.Status.Progress != nil:
		return run.Status.Progress.SucceededSentence()
	case w.failed:
		return "No input of the run has failed yet."
	case !finished(run):
		return fmt.Sprintf("The run has no results yet. `kubectl function results %s --follow%s` waits for them, `kubectl function describe run %s%s` shows its state.", name, c.namespaceFlag(), name, c.namespaceFlag())
	}
	return "There are no matching results."
}
