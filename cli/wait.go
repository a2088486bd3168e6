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

// waitInterval is how often a run is looked at while somebody waits for it.
const waitInterval = 500 * time.Millisecond

// waitFlags say whether a command that started a run stays for its end.
type waitFlags struct {
	wait, follow, quiet bool
	timeout             time.Duration
	output              string
}

func (f *waitFlags) add(flags *pflag.FlagSet) {
	flags.BoolVarP(&f.wait, "wait", "w", false, "Stay until the run is over. The exit code then says how it ended.")
	flags.BoolVar(&f.follow, "follow", false, "As --wait, and write the results to standard output in order, as they come.")
	flags.DurationVar(&f.timeout, "timeout", 0, "How long to wait at most, such as 10m. The run goes on after that.")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "Show no progress.")
	flags.StringVarP(&f.output, "output", "o", "", "With --follow: ndjson (the default), json, csv or table. Else: name, json or yaml of the run.")
}

func (f *waitFlags) check() error {
	switch {
	case f.timeout < 0:
		return usageError("--timeout is %s; it must be positive", f.timeout)
	case f.timeout > 0 && !f.wait && !f.follow:
		return usageError("--timeout is for waiting: say --wait or --follow too")
	case f.follow:
		_, err := newRenderer(firstOf(f.output, "ndjson"), nil, false, 0)
		return err
	}
	if f.output != "" && objectPrinter(f.output) == nil {
		return usageError("-o is %q; it must be name, json or yaml, or with --follow one of %s", f.output, strings.Join(resultFormats, ", "))
	}
	return nil
}

// started says that a run was made, and stays for its end where that is wanted.
func (c *cluster) started(ctx context.Context, s *subresources, run *v1alpha1.FunctionRun, f *waitFlags) error {
	sentence := fmt.Sprintf("functionrun.sharedcloud.io/%s started", run.Name)
	if from := run.Spec.ParametersFrom; from != nil && from.Upload != nil {
		sentence += fmt.Sprintf(" over %s", counting(int(from.Upload.Count), "input"))
	}
	switch {
	case f.follow:
		c.o.say("%s", sentence)
	case f.output != "":
		if err := c.o.printObject(run, f.output); err != nil {
			return err
		}
	default:
		c.o.out("%s\n", sentence)
	}
	if !f.wait && !f.follow {
		return nil
	}
	ctx, cancel := c.o.withTimeout(ctx, f.timeout)
	defer cancel()
	var ended *v1alpha1.FunctionRun
	var err error
	if f.follow {
		ended, err = c.follow(ctx, s, run.Name, wanted{follow: true}, firstOf(f.output, "ndjson"), f.quiet)
	} else {
		ended, err = c.wait(ctx, run.Name, run.UID, c.o.newReporter(f.quiet))
	}
	return c.verdict(ctx, run.Name, ended, err)
}

// verdict turns how waiting ended into words and a code.
func (c *cluster) verdict(ctx context.Context, name string, run *v1alpha1.FunctionRun, err error) error {
	if err != nil && ctx.Err() != nil {
		code, why := ExitInterrupted, "Interrupted"
		if errors.Is(context.Cause(ctx), errTimeUp) {
			code, why = ExitTimeout, fmt.Sprintf("The time of --timeout (%s) is over", c.o.timeout)
		}
		c.o.say("%s: the run %s goes on. `kubectl function results %s --follow%s` waits for it again, `kubectl function cancel %s%s` ends it.",
			why, name, name, c.namespaceFlag(), name, c.namespaceFlag())
		return &codedError{code, errSaid}
	}
	if err != nil {
		return err
	}
	c.o.say("%s", summary(run, c.namespaceFlag()))
	if standingOf(run).succeeded < standingOf(run).total || standingOf(run).total == 0 {
		return failed()
	}
	return nil
}

// namespaceFlag is how a command says the namespace, for commands that are proposed.
func (c *cluster) namespaceFlag() string {
	if given := *c.o.config.Namespace; given != "" {
		return " -n " + given
	}
	return ""
}

// wait returns the run when it is over.
func (c *cluster) wait(ctx context.Context, name string, uid types.UID, report reporter) (*v1alpha1.FunctionRun, error) {
	defer report.end()
	clk := clock.RealClock{}
	o := newOutage(clk, func(format string, args ...any) {
		_ = report.aside(func() error { c.o.say(format, args...); return nil })
	}, "The cluster")
	for {
		run, err := c.run(ctx, name)
		switch {
		case namedNotFound(err), err == nil && uid != "" && run.UID != uid:
			return nil, clusterError("the run %s was deleted meanwhile", name)
		case err != nil:
			if err := o.wait(ctx, err); err != nil {
				return nil, err
			}
			continue
		}
		o.over()
		uid = run.UID
		report.update(standingOf(run))
		if finished(run) {
			return run, nil
		}
		if err := pause(ctx, clk, waitInterval); err != nil {
			return nil, err
		}
	}
}

// follow writes results as they come while progress is shown, and returns the run when it is over and all was written.
func (c *cluster) follow(ctx context.Context, s *subresources, name string, w wanted, format string, quiet bool) (*v1alpha1.FunctionRun, error) {
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
		return report.aside(func() error { return out.one(o) })
	}); err != nil {
		// A JSON array stays open: who reads it sees that it is not whole.
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

// counting is a number with its noun.
func counting(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
