package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

// completionTimeout limits how long a shell waits for names.
const completionTimeout = 3 * time.Second

// completeNames completes the names of objects, for the first maxArgs arguments; 0 means for all.
func (o *options) completeNames(k kind, maxArgs int) cobra.CompletionFunc {
	return func(command *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if maxArgs > 0 && len(args) >= maxArgs {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return o.names(command.Context(), k), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeKindAndName completes "function NAME" and "run NAME".
func (o *options) completeKindAndName(command *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		return []string{"function", "run"}, cobra.ShellCompDirectiveNoFileComp
	case 1:
		if k, err := kindNamed(args[0]); err == nil {
			return o.names(command.Context(), k), cobra.ShellCompDirectiveNoFileComp
		}
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

func (o *options) names(ctx context.Context, k kind) []string {
	c, err := o.connect()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	table, err := c.tableOf(ctx, listQuery{kind: k, namespace: c.namespace})
	if err != nil {
		return nil
	}
	var names []string
	for _, row := range table.Rows {
		if name, ok := row.Cells[0].(string); ok {
			names = append(names, name)
		}
	}
	return names
}
