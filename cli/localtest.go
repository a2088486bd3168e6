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
	goruntime "runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/cli/guard"
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
		Short: "Run a function on this machine, without a cluster",
		Long: `Run a function on this machine, without a cluster. The runner is the same as in the cluster, with one worker that executes one input
after the other.

DIR has a kustomization, which is built as kubectl apply -k builds it, or the manifest of a Function, or only handler.py or handler.js.
FILE is a manifest or the code. The inputs are those of --params or --file, or else inputs.json, .ndjson, .csv or .py in DIR or in a
base of its kustomization.

The interpreter and the libraries are those of this machine, not those of the image.`,
		Example: `  kubectl function test
  kubectl function test handler.py --params "((1,), (2,))"
  kubectl function test hello --file many.csv --csv-header -o ndjson`,
		Args: func(command *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError("unexpected argument %q: %s", args[1], command.UseLine())
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
					return usageError("there are no inputs: pass --params \"((1,), (2,))\" or --file FILE, or create inputs.json beside the code")
				}
			}
			given, err := in.open(o.streams.In)
			if err != nil {
				return err
			}
			defer given.close()
			inputs, err := parameters.Collect(given.text, given.stream)
			if err != nil {
				return usageError("the inputs in %s are not valid %s: %w", in.where(), given.stream.Format, err)
			}
			if timeout != 0 {
				source.timeoutSeconds = int(timeout / time.Second)
			}
			return o.testLocally(command.Context(), source, inputs.Slice(0, inputs.Len()-1), format)
		},
	}
	in.add(command.Flags())
	command.Flags().StringVar(&runtime, "runtime", "", "Runtime, such as python311. Default: that of the Function, or else by the file's extension.")
	command.Flags().DurationVar(&timeout, "timeout-per-input", 0, "Time limit of an input. Default: that of the Function, or else 30m.")
	command.Flags().StringVarP(&format, "output", "o", "", "Output format: ndjson, json, csv or table. Default: each input with its result and its output.")
	return command
}

// testLocally runs the inputs.
func (o *options) testLocally(ctx context.Context, source *source, inputs []parameters.Input, format string) error {
	runtime, known := runtimes.Lookup(source.runtime)
	if !known {
		return usageError("the runtime is %q; it must be one of %s", source.runtime, strings.Join(runtimes.Known(), ", "))
	}
	interpreter, err := exec.LookPath(runtime.Command[0])
	if err != nil {
		return usageError("%s is not in PATH: install it to test %s code on this machine, or run the function in the cluster", runtime.Command[0], source.runtime)
	}
	folder, err := os.MkdirTemp("", "kubectl-function-")
	if err != nil {
		return usageError("cannot create a directory for the code: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	var show renderer = &testReport{out: o.streams.Out, inputs: inputs}
	if format != "" {
		out, _ := o.resultsOut(format)
		if show, err = newRenderer(format, out, format != "table", 0); err != nil {
			return err
		}
	}
	succeeded := 0
	var showError error
	loads := &testLoads{out: o.streams.Out}
	if format != "" {
		loads.out = o.streams.ErrOut
	}
	server, err := localexchange.New(inputsOf(inputs), source.timeoutSeconds, source.batchSize, func(got exchange.Outcome) {
		found := outcomeOf(got)
		if found.Status == "Succeeded" {
			succeeded++
		}
		showError = errors.Join(showError, show.one(found))
	}, func(got exchange.LoadOutput) {
		showError = errors.Join(showError, loads.one(got))
	})
	if err != nil {
		return err
	}
	defer server.Close()
	if err := source.write(folder, runtime, server.Token()); err != nil {
		return usageError("cannot write the code to %s: %w", folder, err)
	}
	stderr := &tailBuffer{}
	var temporary []string
	if goruntime.GOOS == "linux" {
		// A runner that is killed leaves its temporary files: below folder they are removed with it. The paths of sockets are too short
		// for that on other systems.
		temporary = []string{"TMPDIR=" + folder}
	}
	command := guard.Command{
		Path: interpreter,
		Args: append(slices.Clone(runtime.Command[1:]), filepath.Join(folder, "runner", runtime.RunnerFile)),
		Dir:  filepath.Join(folder, "work"),
		Env: slices.Concat(os.Environ(), temporary, source.env, []string{
			"SHAREDCLOUD_EXCHANGE_URL=" + server.URL(),
			"SHAREDCLOUD_TOKEN_FILE=" + filepath.Join(folder, "identity", "token"),
			"SHAREDCLOUD_CODE=" + filepath.Join(folder, "code", runtime.HandlerFile),
		}),
		Stderr: stderr, // the output of handlers is in the outcomes
		Remove: folder,
	}
	err = command.Run(ctx, server.End)
	switch {
	case ctx.Err() != nil:
		return &codedError{ExitInterrupted, errors.New("interrupted")}
	case showError != nil:
		return fmt.Errorf("writing the results: %w", showError)
	case server.LoadError() != nil:
		_ = show.end()
		fault := server.LoadError()
		o.notify("The code cannot be loaded: %s", firstOf(strings.TrimSpace(fault.Traceback), fault.Type+": "+fault.Message))
		return failed()
	case err != nil || server.Left() > 0:
		return &codedError{ExitFailed, runnerExitError(err, stderr.String())}
	}
	if err := show.end(); err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	o.notify("%d of %s succeeded.", succeeded, count(len(inputs), "input"))
	if succeeded < len(inputs) {
		return failed()
	}
	return nil
}

// runnerExitError is the error of a runner that exited before all inputs had an outcome.
func runnerExitError(err error, stderr string) error {
	status := "exit status 0"
	if err != nil {
		status = err.Error()
	}
	return fmt.Errorf("the runner ended (%s) before all inputs were executed: %s", status, firstOf(strings.TrimSpace(stderr), "it wrote nothing to stderr"))
}

func inputsOf(inputs []parameters.Input) []exchange.Input {
	served := make([]exchange.Input, len(inputs))
	for i, input := range inputs {
		served[i] = exchange.Input{Index: i, JSON: input.JSON, Literal: input.Literal}
	}
	return served
}

// outcomeOf is an outcome in the format of functionruns/results.
func outcomeOf(got exchange.Outcome) *outcome {
	o := &outcome{Index: got.Index, Status: got.Status, Result: got.Result, Attempts: 1, StartTime: time.UnixMicro(got.StartTime),
		CompletionTime: time.UnixMicro(got.StartTime + got.DurationMicros), Stdout: string(got.Stdout), Stderr: string(got.Stderr),
		StdoutDropped: got.StdoutDropped, StderrDropped: got.StderrDropped}
	if o.Result == nil && got.ResultText != nil {
		o.Result = readableJSON(*got.ResultText)
	}
	if got.Error != nil {
		o.Error = &outcomeError{got.Error.Type, got.Error.Message, got.Error.Traceback}
	}
	fields := map[string]any{"index": o.Index, "status": o.Status, "attempts": 1, "startTime": timestamp(o.StartTime),
		"completionTime": timestamp(o.CompletionTime), "stdout": o.Stdout, "stderr": o.Stderr}
	if o.Result != nil {
		fields["result"] = o.Result
	}
	if got.Error != nil {
		fields["error"] = got.Error
	}
	o.raw = readableJSON(fields)
	return o
}

// readableJSON encodes a value as functionruns/results does, without the escapes of HTML.
func readableJSON(value any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// testReport prints outcomes with their input and output.
type testReport struct {
	out    io.Writer
	inputs []parameters.Input
}

func (s *testReport) one(o *outcome) error {
	var text strings.Builder
	mark, what := "✓", "→ "+oneLine(firstOf(string(printable.Readable(o.Result)), "nothing"))
	if o.Status != "Succeeded" {
		mark, what = "✗", "→ "+o.Status
		if o.Error != nil {
			what += ": " + oneLine(errorText(o.Error))
		}
	}
	input := s.inputs[o.Index]
	fmt.Fprintf(&text, "%s %d  %s  %s  (%s)\n", mark, o.Index, cutTo(oneLine(firstOf(input.Literal, string(printable.Readable(input.JSON)))), 60), cutTo(what, 500), durationText(o.CompletionTime.Sub(o.StartTime)))
	writeStream(&text, "stdout", o.Stdout)
	writeStream(&text, "stderr", o.Stderr)
	if o.Error != nil && o.Error.Traceback != "" && !strings.Contains(o.Stderr, strings.TrimSpace(o.Error.Traceback)) {
		for line := range strings.Lines(o.Error.Traceback) {
			fmt.Fprintf(&text, "     %s\n", printable.Text(strings.TrimRight(line, "\r\n")))
		}
	}
	_, err := io.WriteString(s.out, text.String())
	return err
}

func (*testReport) end() error { return nil }

// testLoads prints what the module printed while it was loaded, once for each load that printed something else.
type testLoads struct {
	out  io.Writer
	last exchange.LoadOutput
}

func (l *testLoads) one(got exchange.LoadOutput) error {
	if got == l.last {
		return nil
	}
	l.last = got
	var text strings.Builder
	writeStream(&text, "load stdout", got.Stdout)
	writeStream(&text, "load stderr", got.Stderr)
	_, err := io.WriteString(l.out, text.String())
	return err
}

func writeStream(text *strings.Builder, name, printed string) {
	for line := range strings.Lines(printed) {
		fmt.Fprintf(text, "     %s | %s\n", name, printable.Text(strings.TrimRight(line, "\r\n")))
	}
}

// tailBuffer keeps the end of the text that is written to it.
type tailBuffer struct{ bytes.Buffer }

func (t *tailBuffer) Write(p []byte) (int, error) {
	if t.Len() > 64<<10 {
		t.Reset()
	}
	return t.Buffer.Write(p)
}
