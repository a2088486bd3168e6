package cli

import (
	"maps"
	"strings"
	"unicode/utf8"

	"github.com/aymanbagabas/go-udiff"
	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

func newDiff(o *options) *cobra.Command {
	var from, to int
	command := &cobra.Command{
		Use:   "diff FUNCTION [--revision N] [--to M]",
		Short: "Show the differences between two revisions of a function",
		Long: `Show the differences between two revisions of a function, in its files and its settings. By default it compares the revision before
the current one with the current one.`,
		Example: `  kubectl function diff train
  kubectl function diff train --revision 2 --to 5`,
		Args:              exactly("function"),
		ValidArgsFunction: o.completeNames(kindFunction, 1),
		RunE: func(command *cobra.Command, args []string) error {
			if from < 0 || to < 0 {
				return usageError("the numbers of revisions start at 1: `kubectl function revisions %s` lists them", args[0])
			}
			_, all, err := o.revisionsOf(command.Context(), args[0])
			if err != nil {
				return err
			}
			a, err := revisionByNumber(all, args[0], from)
			if err != nil {
				return err
			}
			b := a
			if current := currentIndex(all); current >= 0 {
				b = all[current]
			}
			if to != 0 {
				if b, err = revisionByNumber(all, args[0], to); err != nil {
					return err
				}
			}
			text, err := difference(a, b)
			if err != nil {
				return err
			}
			if text == "" {
				o.notify("There are no differences between %s and %s.", a, b)
			}
			o.out("%s", text)
			return nil
		},
	}
	command.Flags().IntVar(&from, "revision", 0, "Number of the older revision. Default: the one before the current revision.")
	command.Flags().IntVar(&to, "to", 0, "Number of the newer revision. Default: the current revision.")
	return command
}

// difference is what changes from one revision to the other, as a unified diff.
func difference(a, b *revision) (string, error) {
	var text strings.Builder
	for _, name := range sortedKeys(a.files, b.files) {
		before, inA := a.files[name]
		after, inB := b.files[name]
		if before == after && inA == inB {
			continue
		}
		if !utf8.ValidString(before) || !utf8.ValidString(after) {
			text.WriteString("Binary files " + a.name + "/" + name + " and " + b.name + "/" + name + " differ\n")
			continue
		}
		part, err := unified(a.name+"/"+name, b.name+"/"+name, before, after)
		if err != nil {
			return "", err
		}
		text.WriteString(part)
	}
	before, err := settingsText(a)
	if err != nil {
		return "", err
	}
	after, err := settingsText(b)
	if err != nil {
		return "", err
	}
	part, err := unified(a.name+"/settings", b.name+"/settings", before, after)
	if err != nil {
		return "", err
	}
	text.WriteString(part)
	if a.runner != b.runner {
		text.WriteString("The operator's runner differs, too: different versions of the operator created " + a.name + " and " + b.name + ".\n")
	}
	return text.String(), nil
}

// settingsText is the settings that users can set, as YAML, without those that follow from them.
func settingsText(r *revision) (string, error) {
	settings := maps.Clone(r.settings)
	for _, derived := range []string{"command", "handlerFile", "runnerFile", "files", "podVersion"} {
		delete(settings, derived)
	}
	text, err := yaml.Marshal(settings)
	return string(text), err
}

// unified is the unified diff of two texts, with three lines of context. It is empty where they are equal.
func unified(nameA, nameB, a, b string) (string, error) {
	return udiff.ToUnified(nameA, nameB, a, udiff.Lines(a, b), udiff.DefaultContextLines)
}
