package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/cli/localexchange"
	"sharedcloud.io/function-operator/exchange"
	"sharedcloud.io/function-operator/parameters"
	"sharedcloud.io/function-operator/runtimes"
)

func newTest(o *options) *cobra.Command {
	var in inputFlags
	var runtime, format string
	var timeout time.Duration
	command := &cobra.Command{
		Use:   "test [DIR | FILE] [--params TEXT | --file FILE]",
		Short: "Run a function's code on this machine, without a cluster",
		Long: `Run a function's code on this machine, without a cluster, by the very runner that runs it there: one worker, one input after the
other. A folder has a Function's manifest (and its handler beside it), or only handler.py or handler.js; a file is a manifest or the
code itself. Inputs are those of --params or --file, else the folder's inputs.json, .ndjson, .csv or .py.

The interpreter is this machine's: what its version and its libraries do differently from the image's shows on the cluster only.`,
		Example: `  kubectl function test
  kubectl function test handler.py --params "((1,), (2,))"
  kubectl function test hello --file many.csv --csv-header -o ndjson`,
		Args: func(command *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError("%q is one word too many: %s", args[1], command.UseLine())
			}
			return nil
		},
		RunE: func(command *cobra.Command, args []string) error {
			path := "."
			if len(args) == 1 {
				path = args[0]
			}
			if format != "" && !slices.Contains(resultFormats, format) {
				return usageError("-o is %q; it must be one of %s", format, strings.Join(resultFormats, ", "))
			}
			if timeout != 0 && (timeout < time.Second || timeout%time.Second != 0) {
				return usageError("--timeout-per-input is %s; it must be whole seconds, at least one", timeout)
			}
			source, err := findSource(path, runtime)
			if err != nil {
				return err
			}
			if in.params == "" && in.file == "" {
				if in.file = source.inputsFile(); in.file == "" {
					return usageError("there are no inputs: give them by --params \"((1,), (2,))\" or --file FILE, or put inputs.json beside the code")
				}
			}
			given, err := in.open(o.streams.In)
			if err != nil {
				return err
			}
			defer given.close()
			inputs, err := parameters.Collect(given.text, given.stream)
			if err != nil {
				return usageError("the inputs in %s cannot be read as %s: %w", in.where(), given.stream.Format, err)
			}
			if timeout != 0 {
				source.timeoutSeconds = int(timeout / time.Second)
			}
			return o.try(command.Context(), source, inputs.Slice(0, inputs.Len()-1), format)
		},
	}
	in.add(command.Flags())
	command.Flags().StringVar(&runtime, "runtime", "", "Language and version. Default: what the Function says, else by the name of the file.")
	command.Flags().DurationVar(&timeout, "timeout-per-input", 0, "Time limit of one input. Default: what the Function says, else 30m.")
	command.Flags().StringVarP(&format, "output", "o", "", "ndjson, json, csv or table. Default: each input with its result and what it printed.")
	return command
}

// try runs the inputs.
func (o *options) try(ctx context.Context, source *source, inputs []parameters.Input, format string) error {
	runtime, known := runtimes.Lookup(source.runtime)
	if !known {
		return usageError("the runtime is %q, which there is no runner for; there are %s", source.runtime, strings.Join(runtimes.Known(), ", "))
	}
	interpreter, err := exec.LookPath(runtime.Command[0])
	if err != nil {
		return usageError("%s is not on this machine's PATH: install it to run %s code here, or run the function on the cluster", runtime.Command[0], source.runtime)
	}
	folder, err := os.MkdirTemp("", "kubectl-function-")
	if err != nil {
		return usageError("a folder for the code cannot be made: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	var show renderer = &story{out: o.streams.Out, inputs: inputs}
	if format != "" {
		out, _ := o.resultsOut(format)
		if show, err = newRenderer(format, out, format != "table", 0); err != nil {
			return err
		}
	}
	succeeded := 0
	var showError error
	server, err := localexchange.New(inputsOf(inputs), source.timeoutSeconds, source.batchSize, func(got exchange.Outcome) {
		found := outcomeOf(got)
		if found.Status == "Succeeded" {
			succeeded++
		}
		showError = errors.Join(showError, show.one(found))
	})
	if err != nil {
		return err
	}
	defer server.Close()
	if err := source.write(folder, runtime, server.Token()); err != nil {
		return usageError("the code cannot be written to %s: %w", folder, err)
	}
	command := exec.CommandContext(ctx, interpreter, append(slices.Clone(runtime.Command[1:]), filepath.Join(folder, "runner", runtime.RunnerFile))...)
	command.Dir = filepath.Join(folder, "work")
	command.Env = append(os.Environ(), source.env...)
	command.Env = append(command.Env,
		"SHAREDCLOUD_EXCHANGE_URL="+server.URL(),
		"SHAREDCLOUD_TOKEN_FILE="+filepath.Join(folder, "identity", "token"),
		"SHAREDCLOUD_CODE="+filepath.Join(folder, "code", runtime.HandlerFile))
	said := &tail{}
	command.Stderr = said // what handlers print is in the outcomes
	command.Cancel = func() error { server.End(); return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 10 * time.Second // the runner may take 5 s to end what the handler started
	err = command.Run()
	switch {
	case ctx.Err() != nil:
		return &codedError{ExitInterrupted, errors.New("interrupted")}
	case showError != nil:
		return fmt.Errorf("writing the results: %w", showError)
	case server.LoadError() != nil:
		_ = show.end()
		fault := server.LoadError()
		o.say("The code cannot be loaded: %s", firstOf(strings.TrimSpace(fault.Traceback), fault.Type+": "+fault.Message))
		return failed()
	case err != nil || server.Left() > 0:
		return &codedError{ExitFailed, runnerEnded(err, said.String())}
	}
	if err := show.end(); err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	o.say("%d of %s succeeded.", succeeded, counting(len(inputs), "input"))
	if succeeded < len(inputs) {
		return failed()
	}
	return nil
}

// runnerEnded says that the runner left before all was done, which it does not by itself.
func runnerEnded(err error, said string) error {
	how := "by itself"
	if err != nil {
		how = err.Error()
	}
	return fmt.Errorf("the runner ended (%s) before all inputs were executed: %s", how, firstOf(strings.TrimSpace(said), "it said nothing"))
}

func inputsOf(inputs []parameters.Input) []exchange.Input {
	served := make([]exchange.Input, len(inputs))
	for i, input := range inputs {
		served[i] = exchange.Input{Index: i, JSON: input.JSON, Literal: input.Literal}
	}
	return served
}

// outcomeOf is an outcome as functionruns/results would have it.
func outcomeOf(got exchange.Outcome) *outcome {
	o := &outcome{Index: got.Index, Status: got.Status, Result: got.Result, Attempts: 1, StartTime: time.UnixMicro(got.StartTime),
		CompletionTime: time.UnixMicro(got.StartTime + got.DurationMicros), Stdout: string(got.Stdout), Stderr: string(got.Stderr),
		StdoutDropped: got.StdoutDropped, StderrDropped: got.StderrDropped}
	if o.Result == nil && got.ResultText != nil {
		o.Result, _ = json.Marshal(*got.ResultText)
	}
	if got.Error != nil {
		o.Error = &outcomeError{got.Error.Type, got.Error.Message, got.Error.Traceback}
	}
	fields := map[string]any{"index": o.Index, "status": o.Status, "attempts": 1, "startTime": moment(o.StartTime),
		"completionTime": moment(o.CompletionTime), "stdout": o.Stdout, "stderr": o.Stderr}
	if o.Result != nil {
		fields["result"] = o.Result
	}
	if got.Error != nil {
		fields["error"] = got.Error
	}
	o.raw, _ = json.Marshal(fields)
	return o
}

// story shows outcomes to a person who is writing the code.
type story struct {
	out    io.Writer
	inputs []parameters.Input
}

func (s *story) one(o *outcome) error {
	var text strings.Builder
	mark, what := "✓", "→ "+oneLine(firstOf(string(o.Result), "nothing"))
	if o.Status != "Succeeded" {
		mark, what = "✗", "→ "+o.Status
		if o.Error != nil {
			what += ": " + oneLine(errorText(o.Error))
		}
	}
	input := s.inputs[o.Index]
	fmt.Fprintf(&text, "%s %d  %s  %s  (%s)\n", mark, o.Index, cutTo(oneLine(firstOf(input.Literal, string(input.JSON))), 60), cutTo(what, 500), durationText(o.CompletionTime.Sub(o.StartTime)))
	for _, stream := range []struct{ name, text string }{{"stdout", o.Stdout}, {"stderr", o.Stderr}} {
		for line := range strings.Lines(stream.text) {
			fmt.Fprintf(&text, "     %s | %s\n", stream.name, printable.Text(strings.TrimRight(line, "\r\n")))
		}
	}
	if o.Error != nil && o.Error.Traceback != "" && !strings.Contains(o.Stderr, strings.TrimSpace(o.Error.Traceback)) {
		for line := range strings.Lines(o.Error.Traceback) {
			fmt.Fprintf(&text, "     %s\n", printable.Text(strings.TrimRight(line, "\r\n")))
		}
	}
	_, err := io.WriteString(s.out, text.String())
	return err
}

func (*story) end() error { return nil }

// tail keeps the end of what is written.
type tail struct{ bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	if t.Len() > 64<<10 {
		t.Reset()
	}
	return t.Buffer.Write(p)
}
