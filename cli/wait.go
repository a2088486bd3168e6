package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// waitInterval is how often the plugin reads a run for which it waits.
const waitInterval = 500 * time.Millisecond

// waitFlags select whether a command waits for the run that it created.
type waitFlags struct {
	wait, follow, quiet bool
	timeout             time.Duration
	output              string
}

func (f *waitFlags) add(flags *pflag.FlagSet) {
	flags.BoolVarP(&f.wait, "wait", "w", false, "Wait until the run has finished. The exit code then is that of the run.")
	flags.BoolVar(&f.follow, "follow", false, "Wait, and print the results in order as they arrive.")
	flags.DurationVar(&f.timeout, "timeout", 0, "Maximum time to wait, such as 10m. The run continues after that.")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "Print no progress.")
	flags.StringVarP(&f.output, "output", "o", "", "Output format. With --follow, of the results: ndjson (default), json, csv or table. Otherwise, of the run: name, json or yaml.")
}

func (f *waitFlags) check() error {
	switch {
	case f.timeout < 0:
		return usageError("--timeout is %s; it must be positive", f.timeout)
	case f.timeout > 0 && !f.wait && !f.follow:
		return usageError("--timeout requires --wait or --follow")
	case f.follow:
		_, err := newRenderer(firstOf(f.output, "ndjson"), nil, false, 0)
		return err
	}
	if f.output != "" && objectPrinter(f.output) == nil {
		return usageError("-o is %q; it must be name, json or yaml, or with --follow one of %s", f.output, strings.Join(resultFormats, ", "))
	}
	return nil
}

// started prints the run that was created, and waits for it if the flags say so.
func (c *cluster) started(ctx context.Context, s *subresources, run *v1alpha1.FunctionRun, f *waitFlags) error {
	message := fmt.Sprintf("functionrun.sharedcloud.io/%s started", run.Name)
	if from := run.Spec.ParametersFrom; from != nil && from.Upload != nil {
		message += fmt.Sprintf(" over %s", count(int(from.Upload.Count), "input"))
	}
	switch {
	case f.follow:
		c.o.notify("%s", message)
	case f.output != "":
		if err := c.o.printObject(run, f.output); err != nil {
			return err
		}
	default:
		c.o.out("%s\n", message)
	}
	if !f.wait && !f.follow {
		return nil
	}
	ctx, cancel := c.o.withTimeout(ctx, f.timeout)
	defer cancel()
	var ended *v1alpha1.FunctionRun
	var err error
	if f.follow {
		ended, err = c.follow(ctx, s, run.Name, selection{follow: true}, firstOf(f.output, "ndjson"), f.quiet)
	} else {
		ended, err = c.wait(ctx, run.Name, run.UID, c.o.newReporter(f.quiet))
	}
	return c.finish(ctx, run.Name, ended, err)
}

// finish prints how waiting ended, and returns an error with the exit code.
func (c *cluster) finish(ctx context.Context, name string, run *v1alpha1.FunctionRun, err error) error {
	if err != nil && ctx.Err() != nil {
		code, why := ExitInterrupted, "Interrupted"
		if errors.Is(context.Cause(ctx), errTimeout) {
			code, why = ExitTimeout, fmt.Sprintf("--timeout (%s) expired", c.o.timeout)
		}
		c.o.notify("%s: the run %s continues. `kubectl function results %s --follow%s` waits for it again, `kubectl function cancel %s%s` cancels it.",
			why, name, name, c.namespaceFlag(), name, c.namespaceFlag())
		return &codedError{code, errReported}
	}
	if err != nil {
		return err
	}
	c.o.notify("%s", summary(run, c.namespaceFlag()))
	if snapshotOf(run).succeeded < snapshotOf(run).total || snapshotOf(run).total == 0 {
		return failed()
	}
	return nil
}

// namespaceFlag is the flag -n for commands in messages, if it was passed.
func (c *cluster) namespaceFlag() string {
	if given := *c.o.config.Namespace; given != "" {
		return " -n " + given
	}
	return ""
}

// wait returns the run after it has finished.
func (c *cluster) wait(ctx context.Context, name string, uid types.UID, report reporter) (*v1alpha1.FunctionRun, error) {
	defer report.end()
	clk := clock.RealClock{}
	retry := newRetrier(clk, func(format string, args ...any) {
		_ = report.writeAbove(func() error { c.o.notify(format, args...); return nil })
	}, "the cluster")
	for {
		run, err := c.run(ctx, name)
		switch {
		case isObjectNotFound(err), err == nil && uid != "" && run.UID != uid:
			return nil, clusterError("the run %s was deleted", name)
		case err != nil:
			if err := retry.wait(ctx, err); err != nil {
				return nil, err
			}
			continue
		}
		retry.succeeded()
		uid = run.UID
		report.update(snapshotOf(run))
		if finished(run) {
			return run, nil
		}
		if err := sleep(ctx, clk, waitInterval); err != nil {
			return nil, err
		}
	}
}

// follow prints the results as they arrive, and the progress. It returns the run after it has finished and all results are printed.
func (c *cluster) follow(ctx context.Context, s *subresources, name string, w selection, format string, quiet bool) (*v1alpha1.FunctionRun, error) {
	report := c.o.newReporter(quiet)
	stdout, width := c.o.resultsOut(format)
	out, err := rendererOf(format, stdout, w, width)
	if err != nil {
		return nil, err
	}
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	var ended *v1alpha1.FunctionRun
	var waitError error
	var group sync.WaitGroup
	group.Go(func() { ended, waitError = c.wait(waiting, name, "", report) })
	reader := c.resultsReader(s, name)
	if err := reader.read(ctx, w, func(o *outcome) error {
		return report.writeAbove(func() error { return out.one(o) })
	}); err != nil {
		// A JSON array stays open, so that a reader detects that it is incomplete.
		stop()
		group.Wait()
		return nil, err
	}
	if err := out.end(); err != nil {
		stop()
		group.Wait()
		return nil, err
	}
	group.Wait()
	return ended, waitError
}
