package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// Main runs a command line and returns its exit code.
func Main(ctx context.Context, args []string, streams genericiooptions.IOStreams) int {
	o := newOptions(streams)
	defer o.flush()
	streams = o.streams
	root := newRoot(o)
	root.SetArgs(args)
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return ExitOK
	}
	var coded *codedError
	switch {
	case errors.As(err, &coded):
	case ctx.Err() != nil:
		err = &codedError{ExitInterrupted, errors.New("interrupted")}
	case o.timedOut(err):
		err = &codedError{ExitTimeout, fmt.Errorf("--timeout (%s) expired", o.timeout)}
	}
	if !errors.Is(err, errReported) {
		_, _ = fmt.Fprintln(streams.ErrOut, "error: "+userMessage(err))
		if !o.ran {
			_, _ = fmt.Fprintf(streams.ErrOut, "See '%s --help' for usage.\n", command.CommandPath())
		}
	}
	return exitCode(err, o.ran)
}

func newRoot(o *options) *cobra.Command {
	root := &cobra.Command{
		Use:   "kubectl-function",
		Short: "Run functions over many inputs, on the GPUs of your cluster",
		Long: `Run functions over many inputs, on the GPUs of your cluster.

A function is code with an image. A run calls the function for each of its inputs and has one outcome per input, in order.

` + exitCodesHelp,
		Example: `  # Create a function, test it on this machine, and run it in the cluster
  kubectl function init hello && kubectl function test hello
  kubectl apply -k hello && kubectl function run hello --params "(('Michael',), ('World',))" --follow

  # Run a function over the inputs in a file, then run the inputs that did not succeed again
  kubectl function run train --file inputs.csv --csv-header --wait
  kubectl function rerun train-x7k2p --failed --wait`,
		Annotations:                map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl function"},
		Version:                    versionText(buildVersion()),
		SilenceUsage:               true,
		SilenceErrors:              true,
		Args:                       cobra.ArbitraryArgs,
		SuggestionsMinimumDistance: 2,
		RunE: func(command *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.ran = false
				return usageError("unknown command %q%s", args[0], similar(command, args[0]))
			}
			return command.Help()
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &codedError{ExitUsage, err} })
	o.addFlags(root.PersistentFlags())
	for _, group := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"Run", []*cobra.Command{newRun(o), newRerun(o), newResults(o), newLog(o)}},
		{"Inspect", []*cobra.Command{newList(o), newGet(o), newDescribe(o)}},
		{"Control", []*cobra.Command{newCancel(o), newSuspend(o), newResume(o)}},
		{"Revisions", []*cobra.Command{newRevisions(o), newDiff(o), newRollback(o)}},
		{"Develop", []*cobra.Command{newInit(o), newTest(o)}},
		{"Setup", []*cobra.Command{newToken(o), newDoctor(o), newVersion(o)}},
	} {
		root.AddGroup(&cobra.Group{ID: group.title, Title: group.title + ":"})
		for _, command := range group.commands {
			command.GroupID = group.title
			command.DisableFlagsInUseLine = true
			root.AddCommand(o.marked(command))
		}
	}
	root.SetHelpCommandGroupID("Setup")
	root.SetCompletionCommandGroupID("Setup")
	return root
}

// marked records that the command's own code has started: an error before that is about usage.
func (o *options) marked(command *cobra.Command) *cobra.Command {
	if run := command.RunE; run != nil {
		command.RunE = func(c *cobra.Command, args []string) error {
			o.ran = true
			return run(c, args)
		}
	}
	for _, sub := range command.Commands() {
		o.marked(sub)
	}
	return command
}

func similar(command *cobra.Command, name string) string {
	if names := command.SuggestionsFor(name); len(names) > 0 {
		return fmt.Sprintf(": did you mean %q?", names[0])
	}
	return ""
}

// exactly requires one argument for each name.
func exactly(names ...string) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return usageError("%s requires the name of a %s: %s", command.CommandPath(), names[len(args)], command.UseLine())
		}
		if len(args) > len(names) {
			return usageError("unexpected argument %q: %s", args[len(names)], command.UseLine())
		}
		return nil
	}
}
