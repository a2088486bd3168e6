package cli

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// control changes one field of the spec of runs.
type control struct {
	verb, participle  string
	short, long, done string
	patch             map[string]any
	// unchanged says why there is nothing to do; refused says why the change is not possible. Both are empty otherwise.
	unchanged func(run *v1alpha1.FunctionRun) string
	refused   func(run *v1alpha1.FunctionRun) string
}

func newCancel(o *options) *cobra.Command {
	return newControl(o, control{
		verb: "cancel", participle: "cancelled", done: "is being cancelled", patch: map[string]any{"cancel": true},
		short: "Cancel runs",
		long:  "Cancel runs. Inputs without an outcome become Cancelled, the others keep their outcome. You cannot undo this.",
		unchanged: func(run *v1alpha1.FunctionRun) string {
			switch {
			case finished(run):
				return "has already finished"
			case run.Spec.Cancel:
				return "is already being cancelled"
			}
			return ""
		},
		refused: func(*v1alpha1.FunctionRun) string { return "" },
	})
}

func newSuspend(o *options) *cobra.Command {
	return newControl(o, control{
		verb: "suspend", participle: "suspended", done: "is being suspended", patch: map[string]any{"suspend": true},
		short: "Suspend runs: remove their workers until you resume them",
		long: `Suspend runs: remove their workers until you resume them. Inputs that have an outcome keep it. A worker finishes the input that it
executes if that takes at most half a minute; otherwise the input is executed again later.`,
		unchanged: func(run *v1alpha1.FunctionRun) string {
			if run.Spec.Suspend {
				return "is already suspended"
			}
			return ""
		},
		refused: finishedOrCancelled,
	})
}

func newResume(o *options) *cobra.Command {
	return newControl(o, control{
		verb: "resume", participle: "resumed", done: "resumed", patch: map[string]any{"suspend": false},
		short: "Resume suspended runs",
		long:  "Resume suspended runs.",
		unchanged: func(run *v1alpha1.FunctionRun) string {
			if !run.Spec.Suspend {
				return "is not suspended"
			}
			return ""
		},
		refused: finishedOrCancelled,
	})
}

func finishedOrCancelled(run *v1alpha1.FunctionRun) string {
	switch {
	case finished(run):
		return "has finished"
	case run.Spec.Cancel:
		return "is being cancelled"
	}
	return ""
}

func newControl(o *options, ctl control) *cobra.Command {
	return &cobra.Command{
		Use:     ctl.verb + " RUN...",
		Short:   ctl.short,
		Long:    ctl.long,
		Example: "  kubectl function " + ctl.verb + " train-x7k2p",
		Args: func(command *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError("%s requires the name of a run: %s", command.CommandPath(), command.UseLine())
			}
			return nil
		},
		ValidArgsFunction: o.completeNames(kindRun, 0),
		RunE: func(command *cobra.Command, args []string) error {
			c, err := o.connect()
			if err != nil {
				return err
			}
			return c.control(command.Context(), ctl, args)
		},
	}
}

// control reads all runs before it changes the first, so that a wrong name changes nothing.
func (c *cluster) control(ctx context.Context, ctl control, names []string) error {
	runs := make([]*v1alpha1.FunctionRun, len(names))
	for i, name := range names {
		run, err := c.run(ctx, name)
		if err != nil {
			return err
		}
		if why := ctl.refused(run); why != "" {
			return usageError("the run %s %s and cannot be %s", name, why, ctl.participle)
		}
		runs[i] = run
	}
	for _, run := range runs {
		if why := ctl.unchanged(run); why != "" {
			c.o.out("functionrun.sharedcloud.io/%s %s\n", run.Name, why)
			continue
		}
		// With the uid the API server refuses the patch for another run that was created under the same name.
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": run.UID}, "spec": ctl.patch})
		if err != nil {
			return err
		}
		if err := c.Patch(ctx, run, client.RawPatch(types.MergePatchType, patch)); err != nil {
			return err
		}
		c.o.out("functionrun.sharedcloud.io/%s %s\n", run.Name, ctl.done)
	}
	return nil
}
