package cli

import (
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

func newRollback(o *options) *cobra.Command {
	var number int
	var force, dry bool
	command := &cobra.Command{
		Use:   "rollback FUNCTION [--to-revision N]",
		Short: "Let a function be what an earlier revision of it was",
		Long: `Let a function be what an earlier revision of it was: its code, files and settings are written back into its spec. Runs that have
started go on with what they execute; new ones execute the old revision, which becomes the present one.

A function whose code is in a ConfigMap, or that Flux or Argo CD keeps, is changed where it is kept: rollback refuses it, unless told
--force.`,
		Example: `  kubectl function rollback train
  kubectl function rollback train --to-revision 3`,
		Args:              exactly("function"),
		ValidArgsFunction: o.completeNames(kindFunction, 1),
		RunE: func(command *cobra.Command, args []string) error {
			if number < 0 {
				return usageError("--to-revision is %d; revisions are counted from 1", number)
			}
			c, err := o.connect()
			if err != nil {
				return err
			}
			ctx := command.Context()
			function, err := c.function(ctx, args[0])
			if err != nil {
				return err
			}
			// As the server has it: fields that this program does not know stay.
			object := &unstructured.Unstructured{}
			object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Function"))
			if err := c.Get(ctx, c.key(args[0]), object); err != nil {
				return err
			}
			spec, _, err := unstructured.NestedMap(object.Object, "spec")
			if err != nil {
				return err
			}
			if why := keptElsewhere(function, spec); why != "" && !force {
				return clusterError("%s", why)
			}
			all, err := c.revisions(ctx, function)
			if err != nil {
				return err
			}
			target, err := chosen(all, args[0], number)
			if err != nil {
				return err
			}
			var present *revision
			if i := presentOf(all); i >= 0 {
				present = all[i]
			}
			patch := specPatch(spec, present, target)
			if len(patch) == 0 {
				o.say("The function %s is what %s is: there is nothing to write.", args[0], target)
				return nil
			}
			options := []client.PatchOption{}
			if dry {
				options = append(options, client.DryRunAll)
			}
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
			done := "is"
			if dry {
				done = "would be"
			}
			o.out("function.sharedcloud.io/%s %s what %s was (%s)\n", args[0], done, target, strings.Join(sortedKeys(patch), ", "))
			if path := registryPathNow(function); target.image() == function.Spec.Image && path != "" && path != target.registryPath() {
				o.say("Its image %s was %s then and is %s now: that is the FunctionImage's to say, and stays.", target.image(), target.registryPath(), path)
			}
			if applied(function) {
				o.say("It was made by kubectl apply: the next apply of its file brings back what the file says.")
			}
			return nil
		},
	}
	command.Flags().IntVar(&number, "to-revision", 0, "The revision's number. Default: the one before the present one.")
	command.Flags().BoolVar(&force, "force", false, "Write into a function that is kept elsewhere, too; code from a ConfigMap becomes spec.code.")
	command.Flags().BoolVar(&dry, "dry-run", false, "Only ask the cluster whether it would be accepted.")
	return command
}

func registryPathNow(function *v1alpha1.Function) string {
	if function.Status.Revision == nil {
		return ""
	}
	return function.Status.Revision.RegistryPath
}

// gitOpsManagers are field managers of tools that put back what a repository says.
var gitOpsManagers = map[string]string{
	"kustomize-controller": "Flux", "helm-controller": "Flux", "flux": "Flux", "flux-client-side-apply": "Flux",
	"argocd-controller": "Argo CD", "argocd-application-controller": "Argo CD", "argocd": "Argo CD",
}

// gitOpsOwner is the tool that keeps an object as a repository says; "" for none.
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

// applied says whether somebody's kubectl apply owns the spec.
func applied(object metav1.Object) bool {
	return slices.ContainsFunc(object.GetManagedFields(), func(entry metav1.ManagedFieldsEntry) bool {
		return entry.Manager == "kubectl-client-side-apply" || entry.Manager == "kubectl" && entry.Operation == metav1.ManagedFieldsOperationApply
	})
}

// keptElsewhere says why writing into the spec would not last, or is not where the truth is.
func keptElsewhere(function *v1alpha1.Function, spec map[string]any) string {
	if name := configMapOf(spec); name != "" {
		return fmt.Sprintf("the code of %s is in the ConfigMap %s (spec.codeFrom): put the old code there, which `kubectl function diff %s` shows. --force writes it into spec.code instead", function.Name, name, function.Name)
	}
	if tool := gitOpsOwner(function); tool != "" {
		return fmt.Sprintf("%s keeps %s as a repository says and would undo it: go back in the repository (git revert). --force writes it nevertheless", tool, function.Name)
	}
	return ""
}

// configMapOf is the ConfigMap that spec.codeFrom names, in whichever way.
func configMapOf(spec map[string]any) string {
	from, _, _ := unstructured.NestedMap(spec, "codeFrom")
	for _, way := range sortedKeys(from) {
		if name, found, _ := unstructured.NestedString(from, way, "name"); found {
			return name
		}
	}
	return ""
}

// defaults of settings that a revision has with their values, and a spec may leave out.
var settingDefaults = map[string]any{
	"workers": float64(v1alpha1.DefaultWorkers), "timeoutSeconds": float64(v1alpha1.DefaultTimeoutSeconds), "retries": float64(v1alpha1.DefaultRetries),
}

// settingFields are fields of a spec that a revision's settings have under the same name.
var settingFields = []string{"runtime", "gpuResource", "gpus", "gpuProducts", "workers", "timeoutSeconds", "batchSize", "retries", "retryDelaySeconds",
	"nonRetryableErrors", "maxFailures", "activeDeadlineSeconds", "priorityClassName", "pod"}

// specPatch is the merge patch that makes a spec what a revision was. What the revision has by default, and the spec does not
// say, is left out; null takes a field away.
func specPatch(spec map[string]any, present, target *revision) map[string]any {
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
		_, said := spec[name]
		switch {
		case !found:
			set(name, nil)
		case !said && same(settingDefaults[name], value):
		case !said && present != nil && spec["image"] == target.image() && present.image() == target.image() && same(present.settings[name], value):
			// What the operator and the image say is what they said then.
		case name == "pod" && said && !same(spec[name], value):
			// A merge patch would keep what the old one has not.
			patch[name] = replaced(spec[name], value)
		default:
			set(name, value)
		}
	}
	return patch
}

// same compares values of JSON: an integer is the same however it was decoded.
func same(a, b any) bool {
	x, errA := json.Marshal(a)
	y, errB := json.Marshal(b)
	return errA == nil && errB == nil && (string(x) == string(y) || reflect.DeepEqual(a, b))
}

// replaced is the merge patch from one object to another: what the new one has not is null.
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
