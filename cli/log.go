package cli

import (
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"
)

func newLog(o *options) *cobra.Command {
	var follow, onlyFailed, prefix bool
	var stream string
	command := &cobra.Command{
		Use:     "log RUN [INDEX] [--follow] [--failed] [--stream stdout|stderr]",
		Aliases: []string{"logs"},
		Short:   "Show what a run's inputs printed",
		Long: `Show what a run's inputs printed: those that are executed at this moment, and those whose pods are long gone. Each line says which
input printed it, unless only one is asked for.`,
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
			c, err := o.connect()
			if err != nil {
				return err
			}
			ctx := command.Context()
			s, err := c.subresources(ctx)
			if err != nil {
				return err
			}
			response, err := s.call(ctx, http.MethodGet, "functionruns", args[0], "log", query, nil)
			if err != nil {
				return err
			}
			defer func() { _ = response.Body.Close() }()
			written, err := io.Copy(o.streams.Out, response.Body)
			switch {
			case err != nil && ctx.Err() != nil:
				return &codedError{ExitInterrupted, errSaid}
			case err != nil:
				return clusterError("the connection broke in the middle of the output (%w): ask again; what was shown is kept by the server, too", err)
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
