package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/api/v1alpha1"
)

// Annotations of a revision.
const (
	annotationRevisionNumber = "sharedcloud.io/revision-number"
	annotationRevisionSince  = "sharedcloud.io/current-since"
	// revisionSettingsKey is the key of a revision's ConfigMap that holds its settings.
	revisionSettingsKey = "revision.json"
)

// revision is what a Function executes, or did.
type revision struct {
	// number counts a Function's revisions; the greatest became the present one last.
	number  int
	name    string
	since   time.Time
	present bool
	// settings is revision.json, decoded.
	settings map[string]any
	// files are the code by name; runner is the operator's own file.
	files  map[string]string
	runner string
}

func (r *revision) setting(name string) string {
	value, _ := r.settings[name].(string)
	return value
}

func (r *revision) handler() string { return r.setting("handlerFile") }

func (r *revision) image() string {
	name, _, _ := unstructured.NestedString(r.settings, "image", "name")
	return name
}

func (r *revision) registryPath() string {
	path, _, _ := unstructured.NestedString(r.settings, "image", "registryPath")
	return path
}

// revisionOf reads a revision out of its ConfigMap.
func revisionOf(configMap *corev1.ConfigMap) (*revision, error) {
	r := &revision{name: configMap.Name, since: configMap.CreationTimestamp.Time, files: map[string]string{}}
	text, found := configMap.Data[revisionSettingsKey]
	if !found {
		return nil, clusterError("the ConfigMap %s is no revision: it has no key %s", configMap.Name, revisionSettingsKey)
	}
	if err := json.Unmarshal([]byte(text), &r.settings); err != nil {
		return nil, clusterError("the revision %s cannot be read: %w", configMap.Name, err)
	}
	if n, err := strconv.Atoi(configMap.Annotations[annotationRevisionNumber]); err == nil {
		r.number = n
	}
	if since, err := time.Parse(time.RFC3339, configMap.Annotations[annotationRevisionSince]); err == nil {
		r.since = since
	}
	runner := r.setting("runnerFile")
	for name, content := range configMap.Data {
		switch name {
		case revisionSettingsKey:
		case runner:
			r.runner = content
		default:
			r.files[name] = content
		}
	}
	for name, content := range configMap.BinaryData {
		r.files[name] = string(content)
	}
	return r, nil
}

// numbered puts revisions in order and gives numbers to those that have none: they are from before there were any.
func numbered(all []*revision, present string) {
	slices.SortStableFunc(all, func(a, b *revision) int {
		return cmp.Or(cmp.Compare(a.number, b.number), a.since.Compare(b.since), cmp.Compare(a.name, b.name))
	})
	if len(all) > 0 && all[len(all)-1].number == 0 {
		for i := range all {
			all[i].number = i + 1
		}
	}
	for _, r := range all {
		r.present = r.name == present
	}
}

// revisionsOf is revisions of the function with the name.
func (c *cluster) revisionsOf(ctx context.Context, name string) ([]*revision, error) {
	function, err := c.function(ctx, name)
	if err != nil {
		return nil, err
	}
	return c.revisions(ctx, function)
}

// revisions reads those of a Function, the oldest first.
func (c *cluster) revisions(ctx context.Context, function *v1alpha1.Function) ([]*revision, error) {
	list := &corev1.ConfigMapList{}
	if err := c.List(ctx, list, client.InNamespace(function.Namespace), client.MatchingLabels{v1alpha1.LabelFunctionUID: string(function.UID)}); err != nil {
		return nil, err
	}
	var all []*revision
	for i := range list.Items {
		r, err := revisionOf(&list.Items[i])
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	present := ""
	if function.Status.Revision != nil {
		present = function.Status.Revision.Name
	}
	numbered(all, present)
	return all, nil
}

// presentOf is the position of the present revision, -1 where it is not there.
func presentOf(all []*revision) int {
	return slices.IndexFunc(all, func(r *revision) bool { return r.present })
}

// chosen finds a revision by its number; 0 is the one before the present.
func chosen(all []*revision, function string, number int) (*revision, error) {
	if number != 0 {
		for _, r := range all {
			if r.number == number {
				return r, nil
			}
		}
		return nil, usageError("the function %s has no revision %d: `kubectl function revisions %s` lists them", function, number, function)
	}
	present := presentOf(all)
	if present < 0 && len(all) > 0 {
		return all[len(all)-1], nil
	}
	if present > 0 {
		return all[present-1], nil
	}
	return nil, usageError("the function %s has no revision before the present one", function)
}

func newRevisions(o *options) *cobra.Command {
	var format string
	command := &cobra.Command{
		Use:               "revisions FUNCTION",
		Aliases:           []string{"history"},
		Short:             "List what a function has executed so far",
		Long:              "List the revisions of a function: code, image and settings that its runs execute, or did. The star is at the present one.",
		Example:           "  kubectl function revisions train",
		Args:              exactly("function"),
		ValidArgsFunction: o.completeNames(kindFunction, 1),
		RunE: func(command *cobra.Command, args []string) error {
			if format != "" && format != "json" && format != "name" {
				return usageError("-o is %q; it must be name or json", format)
			}
			c, err := o.connect()
			if err != nil {
				return err
			}
			all, err := c.revisionsOf(command.Context(), args[0])
			if err != nil {
				return err
			}
			return c.printRevisions(all, format)
		},
	}
	command.Flags().StringVarP(&format, "output", "o", "", "name or json.")
	return command
}

func (c *cluster) printRevisions(all []*revision, format string) error {
	switch {
	case format == "json":
		list := []map[string]any{}
		for _, r := range all {
			list = append(list, map[string]any{"number": r.number, "name": r.name, "present": r.present, "since": r.since, "settings": r.settings})
		}
		text, err := json.MarshalIndent(list, "", "  ")
		if err != nil {
			return err
		}
		c.o.out("%s\n", printable.JSON(text))
		return nil
	case format == "name":
		for _, r := range all {
			c.o.out("configmap/%s\n", r.name)
		}
		return nil
	case len(all) == 0:
		c.o.say("The function has no revision yet: `kubectl function describe` says why.")
		return nil
	}
	rows := [][]string{{"NUMBER", "", "NAME", "SINCE", "IMAGE", "CHANGED"}}
	for i, r := range all {
		mark, changed := "", "first"
		if r.present {
			mark = "*"
		}
		if i > 0 {
			changed = firstOf(strings.Join(changes(all[i-1], r), ", "), "nothing")
		}
		rows = append(rows, []string{strconv.Itoa(r.number), mark, r.name, ago(r.since), r.registryPath(), changed})
	}
	return columns(c.o.streams.Out, rows)
}

// changes are the words for what differs between two revisions: names of files and of settings.
func changes(a, b *revision) []string {
	var words []string
	for _, name := range sortedKeys(a.files, b.files) {
		if a.files[name] != b.files[name] {
			words = append(words, name)
		}
	}
	for _, name := range sortedKeys(a.settings, b.settings) {
		switch {
		case name == "files" || name == "command" || reflect.DeepEqual(a.settings[name], b.settings[name]):
		default:
			words = append(words, name)
		}
	}
	if a.runner != b.runner {
		words = append(words, "the operator's runner")
	}
	return words
}

func sortedKeys[V any](maps ...map[string]V) []string {
	var keys []string
	for _, m := range maps {
		for key := range m {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func (r *revision) String() string { return fmt.Sprintf("revision %d (%s)", r.number, r.name) }
