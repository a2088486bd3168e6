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
	var w wanted
	var format, to string
	var quiet bool
	var timeout time.Duration
	command := &cobra.Command{
		Use:   "results RUN [--failed | --indexes LIST] [--follow] [-o table|json|ndjson|csv] [--to FILE]",
		Short: "Show what became of a run's inputs, in order",
		Long: `Show what became of a run's inputs, in order. It may be asked at any time, also while the run goes on; with --follow it waits for
what is missing, until the last. It reads on after each of the server's answers, and after a restart of the server, without leaving
out or repeating one.`,
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
				return usageError("--indexes is %.60q; it must be indexes such as 0-3,17", w.indexes)
			case w.indexes != "" && w.follow:
				return usageError("--indexes and --follow exclude each other: --follow waits for every index")
			case timeout > 0 && !w.follow:
				return usageError("--timeout is for waiting: say --follow too")
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
				return c.verdict(ctx, args[0], run, err)
			}
			err = c.results(ctx, s, args[0], w, format, to)
			if err != nil && ctx.Err() != nil {
				return c.verdict(ctx, args[0], nil, err)
			}
			return err
		},
	}
	flags := command.Flags()
	flags.BoolVar(&w.failed, "failed", false, "Only inputs that did not succeed.")
	flags.StringVar(&w.indexes, "indexes", "", "Only these: 0-3,17.")
	flags.BoolVarP(&w.follow, "follow", "f", false, "One after the other until the last; waits for what has no outcome yet. The exit code then says how the run ended.")
	flags.IntVar(&w.from, "from", 0, "The first index of interest.")
	flags.IntVar(&w.limit, "limit", 0, "The most results wanted.")
	flags.BoolVar(&w.output, "with-output", false, "What each input wrote to stdout and stderr, too.")
	flags.StringVarP(&format, "output", "o", "", "table, json, ndjson or csv. Default: table, or as the ending of --to says.")
	flags.BoolVar(&w.rawCSV, "raw-csv", false, "With -o csv: cells that a spreadsheet would execute as they are. Default: such a cell begins with an apostrophe.")
	flags.StringVar(&to, "to", "", "Write to this file: whole, or not at all.")
	flags.DurationVar(&timeout, "timeout", 0, "With --follow: how long to wait at most.")
	flags.BoolVarP(&quiet, "quiet", "q", false, "With --follow: show no progress.")
	return command
}

// resultsFormat is the format that was asked for, or the one that the name of the file says.
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
func (c *cluster) results(ctx context.Context, s *subresources, name string, w wanted, format, to string) error {
	if to == "" {
		out, width := c.o.resultsOut(format)
		return c.writeResults(ctx, s, name, w, format, out, width)
	}
	file, err := os.CreateTemp(filepath.Dir(to), "."+filepath.Base(to)+".*")
	if err != nil {
		return usageError("the file of --to cannot be written: %w", err)
	}
	defer func() { _ = os.Remove(file.Name()) }() // nothing is there any more where it was renamed
	err = c.writeResults(ctx, s, name, w, format, file, 0)
	if err == nil {
		err = file.Chmod(0o644)
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), to); err != nil {
		return usageError("the file of --to cannot be written: %w", err)
	}
	return nil
}

func (c *cluster) writeResults(ctx context.Context, s *subresources, name string, w wanted, format string, out io.Writer, width int) error {
	writer := bufio.NewWriterSize(out, 64<<10)
	render, err := rendererOf(format, writer, w, width)
	if err != nil {
		return err
	}
	count := 0
	err = c.resultsReader(s, name).read(ctx, w, func(o *outcome) error {
		count++
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
	if count == 0 && format == "table" {
		c.o.say("%s", c.noResults(ctx, name, w))
		return nil
	}
	return errors.Join(render.end(), writer.Flush())
}

// noResults says why there is nothing to show.
func (c *cluster) noResults(ctx context.Context, name string, w wanted) string {
	run, err := c.run(ctx, name)
	switch {
	case err != nil:
		return "There are no results."
	case w.failed && finished(run):
		return fmt.Sprintf("All %d inputs of the run succeeded.", totalOf(run))
	case w.failed:
		return "No input of the run has failed so far."
	case !finished(run):
		return fmt.Sprintf("The run has no results yet. `kubectl function results %s --follow%s` waits for them, `kubectl function describe run %s%s` says how it stands.", name, c.namespaceFlag(), name, c.namespaceFlag())
	}
	return "There are no such results."
}
