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

// revisionSettingsKey is the key of a revision's ConfigMap that has its settings.
const revisionSettingsKey = "revision.json"

// revision is a version of a Function that its runs execute or executed.
type revision struct {
	// number is the ordinal of the revision in its Function, from 1. The current revision has the largest one.
	number int
	name   string
	// since is when it last became the current revision.
	since   time.Time
	current bool
	// settings is the decoded revision.json.
	settings map[string]any
	// files are the files of the code, by name. runner is the operator's runner.
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

// revisionOf decodes the ConfigMap of a revision.
func revisionOf(configMap *corev1.ConfigMap) (*revision, error) {
	r := &revision{name: configMap.Name, since: configMap.CreationTimestamp.Time, files: map[string]string{}}
	text, found := configMap.Data[revisionSettingsKey]
	if !found {
		return nil, clusterError("the ConfigMap %s is not a revision: it has no key %s", configMap.Name, revisionSettingsKey)
	}
	if err := json.Unmarshal([]byte(text), &r.settings); err != nil {
		return nil, clusterError("cannot decode the revision %s: %w", configMap.Name, err)
	}
	if n, err := strconv.Atoi(configMap.Annotations[v1alpha1.AnnotationRevisionNumber]); err == nil {
		r.number = n
	}
	if since, err := time.Parse(time.RFC3339, configMap.Annotations[v1alpha1.AnnotationRevisionCurrentSince]); err == nil {
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

// sortAndNumber sorts revisions, marks the current one, and numbers them if none has a number.
func sortAndNumber(all []*revision, current string) {
	slices.SortStableFunc(all, func(a, b *revision) int {
		return cmp.Or(cmp.Compare(a.number, b.number), a.since.Compare(b.since), cmp.Compare(a.name, b.name))
	})
	if len(all) > 0 && all[len(all)-1].number == 0 {
		for i := range all {
			all[i].number = i + 1
		}
	}
	for _, r := range all {
		r.current = r.name == current
	}
}

// revisionsOf connects to the cluster and reads the revisions of a Function, the oldest first.
func (o *options) revisionsOf(ctx context.Context, name string) (*cluster, []*revision, error) {
	c, err := o.connect()
	if err != nil {
		return nil, nil, err
	}
	function, err := c.function(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	all, err := c.revisions(ctx, function)
	return c, all, err
}

// revisions reads the revisions of a Function, the oldest first.
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
	current := ""
	if function.Status.Revision != nil {
		current = function.Status.Revision.Name
	}
	sortAndNumber(all, current)
	return all, nil
}

// currentIndex is the position of the current revision, or -1 if it is not in the list.
func currentIndex(all []*revision) int {
	return slices.IndexFunc(all, func(r *revision) bool { return r.current })
}

// revisionByNumber finds a revision by its number; 0 means the one before the current revision.
func revisionByNumber(all []*revision, function string, number int) (*revision, error) {
	if number != 0 {
		for _, r := range all {
			if r.number == number {
				return r, nil
			}
		}
		return nil, usageError("the function %s has no revision %d: `kubectl function revisions %s` lists them", function, number, function)
	}
	current := currentIndex(all)
	if current < 0 && len(all) > 0 {
		return all[len(all)-1], nil
	}
	if current > 0 {
		return all[current-1], nil
	}
	return nil, usageError("the function %s has no revision before the current one", function)
}

func newRevisions(o *options) *cobra.Command {
	var format string
	command := &cobra.Command{
		Use:               "revisions FUNCTION",
		Aliases:           []string{"history"},
		Short:             "List the revisions of a function",
		Long:              "List the revisions of a function: the code, image and settings that its runs execute or executed. An asterisk marks the current one.",
		Example:           "  kubectl function revisions train",
		Args:              exactly("function"),
		ValidArgsFunction: o.completeNames(kindFunction, 1),
		RunE: func(command *cobra.Command, args []string) error {
			if format != "" && format != "json" && format != "name" {
				return usageError("-o is %q; it must be name or json", format)
			}
			c, all, err := o.revisionsOf(command.Context(), args[0])
			if err != nil {
				return err
			}
			return c.printRevisions(all, format)
		},
	}
	command.Flags().StringVarP(&format, "output", "o", "", "Output format: name or json.")
	return command
}

func (c *cluster) printRevisions(all []*revision, format string) error {
	switch {
	case format == "json":
		list := []map[string]any{}
		for _, r := range all {
			list = append(list, map[string]any{"number": r.number, "name": r.name, "current": r.current, "since": r.since, "settings": r.settings})
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
		c.o.notify("The function has no revisions yet; `kubectl function describe` shows why.")
		return nil
	}
	rows := [][]string{{"NUMBER", "", "NAME", "SINCE", "IMAGE", "CHANGED"}}
	for i, r := range all {
		mark, changed := "", "first"
		if r.current {
			mark = "*"
		}
		if i > 0 {
			changed = firstOf(strings.Join(changes(all[i-1], r), ", "), "nothing")
		}
		rows = append(rows, []string{strconv.Itoa(r.number), mark, r.name, ago(r.since), r.registryPath(), changed})
	}
	return columns(c.o.streams.Out, rows)
}

// changes are the names of the files and the settings that differ between two revisions.
func changes(a, b *revision) []string {
	var names []string
	for _, name := range sortedKeys(a.files, b.files) {
		if a.files[name] != b.files[name] {
			names = append(names, name)
		}
	}
	for _, name := range sortedKeys(a.settings, b.settings) {
		switch {
		case name == "files" || name == "command" || name == "podVersion" || reflect.DeepEqual(a.settings[name], b.settings[name]):
		default:
			names = append(names, name)
		}
	}
	if a.runner != b.runner {
		names = append(names, "the operator's runner")
	}
	return names
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
