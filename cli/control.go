package cli

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// change is one of the fields by which a run is steered while it goes on.
type change struct {
	verb, done, long string
	patch            map[string]any
	// already says that there is nothing to do; refused, why it cannot be done.
	already func(run *v1alpha1.FunctionRun) string
	refused func(run *v1alpha1.FunctionRun) string
}

func newCancel(o *options) *cobra.Command {
	return newChange(o, change{
		verb: "cancel", done: "is being cancelled", patch: map[string]any{"cancel": true},
		long: "End runs: what has no outcome yet becomes Cancelled, what has one keeps it. It cannot be taken back.",
		already: func(run *v1alpha1.FunctionRun) string {
			switch {
			case finished(run):
				return "is over already"
			case run.Spec.Cancel:
				return "is being cancelled already"
			}
			return ""
		},
	})
}

func newSuspend(o *options) *cobra.Command {
	return newChange(o, change{
		verb: "suspend", done: "is being suspended", patch: map[string]any{"suspend": true},
		long: "Take the workers away from runs until they are resumed. What has an outcome keeps it; what is executed is finished if it can be within half a minute, and executed again later if not.",
		already: func(run *v1alpha1.FunctionRun) string {
			if run.Spec.Suspend {
				return "is suspended already"
			}
			return ""
		},
		refused: overOrCancelled,
	})
}

func newResume(o *options) *cobra.Command {
	return newChange(o, change{
		verb: "resume", done: "goes on", patch: map[string]any{"suspend": false},
		long: "Let suspended runs go on.",
		already: func(run *v1alpha1.FunctionRun) string {
			if !run.Spec.Suspend {
				return "is not suspended"
			}
			return ""
		},
		refused: overOrCancelled,
	})
}

func overOrCancelled(run *v1alpha1.FunctionRun) string {
	switch {
	case finished(run):
		return "is over"
	case run.Spec.Cancel:
		return "is being cancelled"
	}
	return ""
}

func newChange(o *options, ch change) *cobra.Command {
	return &cobra.Command{
		Use:     ch.verb + " RUN…",
		Short:   map[string]string{"cancel": "End runs", "suspend": "Take the workers away from runs for a while", "resume": "Let suspended runs go on"}[ch.verb],
		Long:    ch.long,
		Example: "  kubectl function " + ch.verb + " train-x7k2p",
		Args: func(command *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError("%s needs the name of a run: %s", command.CommandPath(), command.UseLine())
			}
			return nil
		},
		ValidArgsFunction: o.completeNames(kindRun, 0),
		RunE: func(command *cobra.Command, args []string) error {
			c, err := o.connect()
			if err != nil {
				return err
			}
			return c.change(command.Context(), ch, args)
		},
	}
}

// change looks at all runs before it changes the first: a name that is wrong leaves all as they are.
func (c *cluster) change(ctx context.Context, ch change, names []string) error {
	runs := make([]*v1alpha1.FunctionRun, len(names))
	for i, name := range names {
		run, err := c.run(ctx, name)
		if err != nil {
			return err
		}
		if ch.refused != nil {
			if why := ch.refused(run); why != "" {
				return usageError("the run %s %s: it cannot be %s", name, why, map[string]string{"suspend": "suspended", "resume": "resumed"}[ch.verb])
			}
		}
		runs[i] = run
	}
	for _, run := range runs {
		if why := ch.already(run); why != "" {
			c.o.out("functionrun.sharedcloud.io/%s %s\n", run.Name, why)
			continue
		}
		// The uid keeps a run apart that was made again under the name.
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": run.UID}, "spec": ch.patch})
		if err != nil {
			return err
		}
		if err := c.Patch(ctx, run, client.RawPatch(types.MergePatchType, patch)); err != nil {
			return err
		}
		c.o.out("functionrun.sharedcloud.io/%s %s\n", run.Name, ch.done)
	}
	return nil
}
