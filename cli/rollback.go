package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// rollbackFlags are the flags of rollback.
type rollbackFlags struct {
	number        int
	force, dryRun bool
}

func newRollback(o *options) *cobra.Command {
	var f rollbackFlags
	command := &cobra.Command{
		Use:   "rollback FUNCTION [--to-revision N]",
		Short: "Restore an earlier revision of a function",
		Long: `Restore an earlier revision of a function: write its code, files and settings into the function's spec. Runs that have started
continue with their revision. New runs execute the old revision, which becomes the current one.

Without --force, rollback refuses a function whose code is in a ConfigMap, and a function that Flux or Argo CD manages.`,
		Example: `  kubectl function rollback train
  kubectl function rollback train --to-revision 3`,
		Args:              exactly("function"),
		ValidArgsFunction: o.completeNames(kindFunction, 1),
		RunE: func(command *cobra.Command, args []string) error {
			if f.number < 0 {
				return usageError("--to-revision is %d; the numbers of revisions start at 1", f.number)
			}
			c, err := o.connect()
			if err != nil {
				return err
			}
			return c.rollback(command.Context(), args[0], f)
		},
	}
	command.Flags().IntVar(&f.number, "to-revision", 0, "Number of the revision. Default: the one before the current revision.")
	command.Flags().BoolVar(&f.force, "force", false, "Change a function that is managed elsewhere, too. Code from a ConfigMap becomes spec.code.")
	command.Flags().BoolVar(&f.dryRun, "dry-run", false, "Send the request without changing the function, to check whether the cluster accepts it.")
	return command
}

// rollback writes a revision of a function into its spec.
func (c *cluster) rollback(ctx context.Context, name string, f rollbackFlags) error {
	function, err := c.function(ctx, name)
	if err != nil {
		return err
	}
	// The unstructured object has fields that the plugin does not know, too.
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Function"))
	if err := c.Get(ctx, c.key(name), object); err != nil {
		return err
	}
	spec, _, err := unstructured.NestedMap(object.Object, "spec")
	if err != nil {
		return err
	}
	if why := managedElsewhere(function, spec); why != "" && !f.force {
		return clusterError("%s", why)
	}
	all, err := c.revisions(ctx, function)
	if err != nil {
		return err
	}
	target, err := revisionByNumber(all, name, f.number)
	if err != nil {
		return err
	}
	var current *revision
	if i := currentIndex(all); i >= 0 {
		current = all[i]
	}
	patch := specPatch(spec, current, target)
	if len(patch) == 0 {
		c.o.notify("The function %s equals %s; nothing was changed.", name, target)
		return nil
	}
	mode := ""
	var options []client.PatchOption
	if f.dryRun {
		mode, options = " (dry run)", append(options, client.DryRunAll)
	}
	// The API server refuses the patch if the function was changed or created again after it was read.
	text, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": object.GetResourceVersion(), "uid": object.GetUID()},
		"spec":     patch,
	})
	if err != nil {
		return err
	}
	if err := c.Patch(ctx, object, client.RawPatch(types.MergePatchType, text), options...); err != nil {
		return fmt.Errorf("the function was not changed: %w", err)
	}
	c.o.out("function.sharedcloud.io/%s rolled back to %s: %s%s\n", name, target, strings.Join(sortedKeys(patch), ", "), mode)
	if path := currentRegistryPath(function); target.image() == function.Spec.Image && path != "" && path != target.registryPath() {
		c.o.notify("The FunctionImage %s had the path %s in that revision and has %s now; rollback does not change it.", target.image(), target.registryPath(), path)
	}
	if applied(function) {
		c.o.notify("The function was created with kubectl apply: the next apply of its file overwrites the rollback.")
	}
	return nil
}

func currentRegistryPath(function *v1alpha1.Function) string {
	if function.Status.Revision == nil {
		return ""
	}
	return function.Status.Revision.RegistryPath
}

// gitOpsManagers are the field managers of tools that apply the content of a repository.
var gitOpsManagers = map[string]string{
	"kustomize-controller": "Flux", "helm-controller": "Flux", "flux": "Flux", "flux-client-side-apply": "Flux",
	"argocd-controller": "Argo CD", "argocd-application-controller": "Argo CD", "argocd": "Argo CD",
}

// gitOpsOwner is the tool that applies an object from a repository, or "".
func gitOpsOwner(object metav1.Object) string {
	for _, entry := range object.GetManagedFields() {
		if tool, found := gitOpsManagers[entry.Manager]; found && entry.Subresource == "" {
			return tool
		}
	}
	for key := range object.GetLabels() {
		switch {
		case strings.HasPrefix(key, "kustomize.toolkit.fluxcd.io/"), strings.HasPrefix(key, "helm.toolkit.fluxcd.io/"):
			return "Flux"
		case key == "argocd.argoproj.io/instance":
			return "Argo CD"
		}
	}
	if _, found := object.GetAnnotations()["argocd.argoproj.io/tracking-id"]; found {
		return "Argo CD"
	}
	return ""
}

// applied reports whether the object was written by kubectl apply.
func applied(object metav1.Object) bool {
	return slices.ContainsFunc(object.GetManagedFields(), func(entry metav1.ManagedFieldsEntry) bool {
		return entry.Manager == "kubectl-client-side-apply" || entry.Manager == "kubectl" && entry.Operation == metav1.ManagedFieldsOperationApply
	})
}

// managedElsewhere is why a change of the spec would be overwritten, or would not be where the code is kept. It is empty otherwise.
func managedElsewhere(function *v1alpha1.Function, spec map[string]any) string {
	if name := configMapOf(spec); name != "" {
		return fmt.Sprintf("the code of %s is in the ConfigMap %s (spec.codeFrom): restore the code there (`kubectl function diff %s` shows it), or pass --force to write it into spec.code", function.Name, name, function.Name)
	}
	if tool := gitOpsOwner(function); tool != "" {
		return fmt.Sprintf("%s manages %s and would overwrite the change: revert it in the repository (git revert), or pass --force", tool, function.Name)
	}
	return ""
}

// configMapOf is the name of the ConfigMap in spec.codeFrom.
func configMapOf(spec map[string]any) string {
	from, _, _ := unstructured.NestedMap(spec, "codeFrom")
	for _, way := range sortedKeys(from) {
		if name, found, _ := unstructured.NestedString(from, way, "name"); found {
			return name
		}
	}
	return ""
}

// settingDefaults are the values that a revision has for settings that the spec omits.
var settingDefaults = map[string]any{
	"workers": float64(v1alpha1.DefaultWorkers), "timeoutSeconds": float64(v1alpha1.DefaultTimeoutSeconds), "retries": float64(v1alpha1.DefaultRetries),
}

// settingFields are the fields of a spec that a revision's settings have under the same name.
var settingFields = []string{"runtime", "gpuResource", "gpus", "gpuProducts", "workers", "timeoutSeconds", "batchSize", "retries", "retryDelaySeconds",
	"nonRetryableErrors", "maxFailures", "activeDeadlineSeconds", "priorityClassName", "pod"}

// specPatch is the merge patch from a spec to a revision. It omits defaults that the spec does not set; null removes a field.
func specPatch(spec map[string]any, current, target *revision) map[string]any {
	patch := map[string]any{}
	set := func(name string, value any) {
		if now, found := spec[name]; value == nil && found || value != nil && !same(now, value) {
			patch[name] = value
		}
	}
	if spec["image"] != target.image() {
		patch["image"] = target.image()
	}
	set("code", target.files[target.handler()])
	set("codeFrom", nil)
	files := map[string]any{}
	for name, text := range target.files {
		if name != target.handler() {
			files[name] = text
		}
	}
	old, _ := spec["files"].(map[string]any)
	for name := range old {
		if _, stays := files[name]; !stays {
			files[name] = nil
		}
	}
	for name, text := range files {
		if text != nil && old[name] == text {
			delete(files, name)
		}
	}
	if len(files) > 0 {
		patch["files"] = files
	}
	for _, name := range settingFields {
		value, found := target.settings[name]
		_, inSpec := spec[name]
		switch {
		case !found:
			set(name, nil)
		case !inSpec && same(settingDefaults[name], value):
		case !inSpec && current != nil && spec["image"] == target.image() && current.image() == target.image() && same(current.settings[name], value):
			// The values that the operator and the image provide have not changed.
		case name == "pod" && inSpec && !same(spec[name], value):
			// A merge patch alone would keep keys that the revision does not have.
			patch[name] = replaced(spec[name], value)
		default:
			set(name, value)
		}
	}
	return patch
}

// same compares JSON values: integers are equal whatever type they were decoded to.
func same(a, b any) bool {
	x, errA := json.Marshal(a)
	y, errB := json.Marshal(b)
	return errA == nil && errB == nil && (string(x) == string(y) || reflect.DeepEqual(a, b))
}

// replaced is the merge patch from one object to another: null removes a key.
func replaced(from, to any) any {
	before, ok := from.(map[string]any)
	after, also := to.(map[string]any)
	if !ok || !also {
		return to
	}
	patch := map[string]any{}
	for _, key := range sortedKeys(before, after) {
		value, stays := after[key]
		switch {
		case !stays:
			patch[key] = nil
		case !same(before[key], value):
			patch[key] = replaced(before[key], value)
		}
	}
	return patch
}
