package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// minMinor is the minor version of the oldest Kubernetes that the operator supports.
const minMinor = 33

// checkResult is the result of one check.
type checkResult struct {
	state state
	// found is the fact that was found, and todo is what to do about it.
	found, todo string
}

type state int

const (
	stateOK state = iota
	stateFailed
	// stateUnknown: it may be intended, or the user lacks the rights to check it.
	stateUnknown
)

func (f checkResult) String() string {
	text := map[state]string{stateOK: "✓ ", stateFailed: "✗ ", stateUnknown: "? "}[f.state] + f.found
	if f.todo != "" && f.state != stateOK {
		for _, line := range wrapped(f.todo, 110) {
			text += "\n    " + line
		}
	}
	return text
}

func ok(format string, args ...any) checkResult {
	return checkResult{state: stateOK, found: fmt.Sprintf(format, args...)}
}

func newDoctor(o *options) *cobra.Command {
	var system, catalogue, image string
	var smoke bool
	command := &cobra.Command{
		Use:   "doctor [--smoke]",
		Short: "Check an installation of the operator",
		Long: `Check an installation of the operator: the version of Kubernetes, the custom resources, the admission policies, the manager and the
API server, the outcome store, the images, the GPUs and your permissions. A check mark means that a check passed, a cross that it failed,
and a question mark that you lack the permissions for it, or that the result may be intended. With --smoke it also runs a function, which
pulls its image.`,
		Example: `  kubectl function doctor
  kubectl function doctor --smoke --image python`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			c, err := o.connect()
			if err != nil {
				return err
			}
			d := &doctor{cluster: c, system: system, catalogue: catalogue, image: image}
			return d.runChecks(command.Context(), smoke)
		},
	}
	flags := command.Flags()
	flags.StringVar(&system, "system-namespace", "sharedcloud-system", "Namespace of the operator.")
	flags.StringVar(&catalogue, "catalogue-namespace", "sharedcloud-catalogue", "Namespace of the images for all namespaces.")
	flags.BoolVar(&smoke, "smoke", false, "Create a function in the namespace, run it over one input, and delete it.")
	flags.StringVar(&image, "image", "", "With --smoke, name of the FunctionImage. Default: the first image for Python 3 that is ready.")
	return command
}

type doctor struct {
	*cluster
	system, catalogue, image string
	failures                 int
	subs                     *subresources
	images                   []v1alpha1.FunctionImage
}

func (d *doctor) report(found ...checkResult) {
	for _, f := range found {
		if f.state == stateFailed {
			d.failures++
		}
		d.o.out("%s\n", f)
	}
}

// runChecks reports the result of each check as soon as it is known.
func (d *doctor) runChecks(ctx context.Context, smoke bool) error {
	reached, err := d.kubernetes()
	if err != nil {
		return err
	}
	d.report(reached)
	crds := d.resources()
	d.report(crds)
	d.report(d.components(ctx)...)
	d.report(d.apiServer(ctx))
	if d.subs != nil {
		d.report(d.versions(ctx))
	}
	if crds.state == stateOK {
		d.report(d.policies(ctx)...)
		d.report(d.store(ctx))
		d.report(d.functionImages(ctx)...)
	}
	d.report(d.gpus(ctx))
	d.report(d.rights(ctx))
	if smoke && d.failures == 0 {
		d.report(d.run(ctx))
	} else if smoke {
		d.o.notify("Skipped --smoke because a check failed.")
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if d.failures > 0 {
		d.o.notify("%s failed.", count(d.failures, "check"))
		return failed()
	}
	return nil
}

func (d *doctor) kubernetes() (checkResult, error) {
	dc, err := discovery.NewDiscoveryClientForConfig(d.config)
	if err != nil {
		return checkResult{}, usageError("the kubeconfig is not valid: %w", err)
	}
	found, err := dc.ServerVersion()
	if err != nil {
		return checkResult{}, err // no other check is possible
	}
	return checkVersion(found.Major, found.Minor, found.GitVersion, version()), nil
}

func checkVersion(major, minor, full, own string) checkResult {
	n, err := strconv.Atoi(strings.TrimRight(minor, "+"))
	if major == "1" && err == nil && n < minMinor {
		return checkResult{stateFailed, fmt.Sprintf("Kubernetes %s is too old", full), fmt.Sprintf("The operator requires 1.%d or newer.", minMinor)}
	}
	return ok("Kubernetes %s is available (plugin version %s)", full, own)
}

func (d *doctor) resources() checkResult {
	dc, err := discovery.NewDiscoveryClientForConfig(d.config)
	if err != nil {
		return checkResult{stateFailed, err.Error(), ""}
	}
	list, err := dc.ServerResourcesForGroupVersion(v1alpha1.GroupVersion.String())
	missing := []string{"functions", "functionimages", "functionruns"}
	if err == nil {
		for _, resource := range list.APIResources {
			missing = slices.DeleteFunc(missing, func(name string) bool { return name == resource.Name })
		}
	}
	if len(missing) > 0 {
		return checkResult{stateFailed, "the custom resources " + strings.Join(missing, ", ") + " of " + v1alpha1.GroupVersion.String() + " are missing",
			"Install the operator from its repository: kubectl apply --server-side -k config/default."}
	}
	return ok("the custom resources of %s are installed", v1alpha1.GroupVersion)
}

func notReadable(what string, err error) checkResult {
	if apierrors.IsForbidden(err) {
		return checkResult{stateUnknown, "you may not read " + what, "Ask an administrator to run `kubectl function doctor`."}
	}
	return checkResult{stateFailed, "cannot read " + what, upperFirst(userMessage(err)) + "."}
}

// components checks the manager and the API server, and whether they have the same image.
func (d *doctor) components(ctx context.Context) []checkResult {
	var all []checkResult
	list := &appsv1.DeploymentList{}
	if err := d.List(ctx, list, client.InNamespace(d.system), client.MatchingLabels{"app.kubernetes.io/part-of": "sharedcloud"}); err != nil {
		return []checkResult{notReadable("the operator's Deployments in "+d.system, err)}
	}
	images := map[string]string{}
	for _, program := range []struct{ component, name, consequence string }{
		{"controller-manager", "the manager", "Without it, functions do not become ready and runs do not start"},
		{"apiserver", "the API server", "Without it, workers get no inputs, and there are no results and logs"},
	} {
		i := slices.IndexFunc(list.Items, func(deployment appsv1.Deployment) bool {
			return deployment.Labels["app.kubernetes.io/component"] == program.component
		})
		if i < 0 {
			all = append(all, checkResult{stateFailed, program.name + " is not installed in " + d.system, program.consequence + ": apply config/default, or pass its namespace with --system-namespace."})
			continue
		}
		deployment := &list.Items[i]
		for _, container := range deployment.Spec.Template.Spec.Containers {
			images[container.Image] = program.name
		}
		all = append(all, checkDeployment(program.name, program.consequence, deployment))
	}
	if len(images) > 1 {
		all = append(all, checkResult{stateUnknown, "the manager and the API server run different images: " + strings.Join(sortedKeys(images), ", "), "Use the same version for both."})
	}
	return all
}

func checkDeployment(name, consequence string, deployment *appsv1.Deployment) checkResult {
	want := ptr.Deref(deployment.Spec.Replicas, 1)
	switch {
	case deployment.Status.ReadyReplicas == 0:
		return checkResult{stateFailed, fmt.Sprintf("%s is not ready (%d of %d)", name, deployment.Status.ReadyReplicas, want),
			fmt.Sprintf("%s. See kubectl -n %s describe deployment %s and kubectl -n %s logs deployment/%s.", consequence, deployment.Namespace, deployment.Name, deployment.Namespace, deployment.Name)}
	case deployment.Status.ReadyReplicas < want:
		return checkResult{stateUnknown, fmt.Sprintf("%s is ready, but only %d of %d replicas", name, deployment.Status.ReadyReplicas, want), "The other replicas are starting, or no node has room for them."}
	}
	image := ""
	if containers := deployment.Spec.Template.Spec.Containers; len(containers) > 0 {
		image = ", " + containers[0].Image
	}
	return ok("%s is ready (%d of %d%s)", name, deployment.Status.ReadyReplicas, want, image)
}

// apiServer checks whether the plugin reaches the API server.
func (d *doctor) apiServer(ctx context.Context) checkResult {
	s, err := d.subresources(ctx)
	if err != nil {
		return checkResult{stateFailed, "the subresources of the API server cannot be reached", upperFirst(userMessage(err))}
	}
	status, err := s.installed(ctx)
	where := "through the cluster's API"
	if s.direct {
		where = "at " + s.base
	}
	switch {
	case err != nil:
		return checkResult{stateFailed, "the API server is not available " + where, upperFirst(userMessage(err))}
	case status == http.StatusUnauthorized:
		return checkResult{stateFailed, "the API server does not accept your credentials " + where, "Pass a token with --functions-server-token-file; `kubectl function token` creates one."}
	case status != http.StatusOK && status != http.StatusForbidden:
		return checkResult{stateFailed, fmt.Sprintf("the API server responds with status %d %s", status, where), "See kubectl get apiservice v1alpha1.subresources.sharedcloud.io -o yaml."}
	}
	d.subs = s
	return ok("the API server is available %s", where)
}

// versions compares the plugin with the API server.
func (d *doctor) versions(ctx context.Context) checkResult {
	server, err := d.subs.version(ctx)
	if err != nil {
		return checkResult{stateUnknown, "the version of the API server is unknown", upperFirst(userMessage(err))}
	}
	return checkVersions(version(), server)
}

func checkVersions(plugin, server string) checkResult {
	if plugin != server {
		return checkResult{stateUnknown, fmt.Sprintf("the plugin is %s, and the API server is %s", plugin, server), "Use the plugin of the operator's version."}
	}
	return ok("the plugin and the API server are both %s", server)
}

// store reads the results of a run, which requires the outcome store.
func (d *doctor) store(ctx context.Context) checkResult {
	if d.subs == nil {
		return checkResult{stateUnknown, "the outcome store was not checked", "The API server cannot be reached: see above."}
	}
	table, err := d.tableOf(ctx, listQuery{kind: kindRun, namespace: d.namespace})
	if err != nil {
		return notReadable("the runs in "+d.namespace, err)
	}
	if len(table.Rows) == 0 {
		return checkResult{stateUnknown, "the outcome store was not checked, because there are no runs in " + d.namespace, "`kubectl function doctor --smoke` creates one."}
	}
	name, _ := table.Rows[0].Cells[0].(string)
	response, err := d.subs.call(ctx, http.MethodGet, "functionruns", name, "results", url.Values{"limit": {"1"}}, nil)
	switch {
	case apierrors.IsServiceUnavailable(err):
		return checkResult{stateFailed, "the outcome store is not available", "The API server waits for its volume, or for another server that uses it: see kubectl -n " + d.system + " logs deployment/sharedcloud-apiserver. " + upperFirst(err.Error()) + "."}
	case apierrors.IsForbidden(err):
		return notReadable("the results of "+name, err)
	case err != nil:
		return checkResult{stateFailed, "cannot read the results of " + name, upperFirst(userMessage(err)) + "."}
	}
	_ = response.Body.Close()
	return ok("the outcome store is available")
}

func (d *doctor) functionImages(ctx context.Context) []checkResult {
	var all []checkResult
	var list v1alpha1.FunctionImageList
	for _, namespace := range slices.Compact([]string{d.namespace, d.catalogue}) {
		var some v1alpha1.FunctionImageList
		if err := d.List(ctx, &some, client.InNamespace(namespace)); err != nil {
			all = append(all, notReadable("the images in "+namespace, err))
			continue
		}
		list.Items = append(list.Items, some.Items...)
	}
	d.images = list.Items
	ready := 0
	var not []string
	for i := range list.Items {
		if image := &list.Items[i]; meta.IsStatusConditionTrue(image.Status.Conditions, v1alpha1.ConditionReady) {
			ready++
		} else {
			not = append(not, image.Name)
		}
	}
	switch {
	case len(list.Items) == 0 && len(all) == 0:
		all = append(all, checkResult{stateFailed, "there are no images for functions", "Apply config/catalogue, or create a FunctionImage in " + d.namespace + "."})
	case ready > 0:
		all = append(all, ok("%s ready", countWithVerb(ready, "image", "is", "are")))
	}
	if len(not) > 0 {
		all = append(all, checkResult{stateUnknown, "images that are not ready: " + strings.Join(not, ", "), "See kubectl get functionimages -A -o wide."})
	}
	return all
}

func (d *doctor) gpus(ctx context.Context) checkResult {
	nodes := &corev1.NodeList{}
	if err := d.List(ctx, nodes); err != nil {
		return notReadable("the nodes", err)
	}
	return checkGPUs(nodes.Items)
}

// checkGPUs counts the GPUs of the nodes by product, and the devices with other resource names.
func checkGPUs(nodes []corev1.Node) checkResult {
	byProduct, byName := map[string]int64{}, map[string]int64{}
	ready := 0
	var total int64
	for i := range nodes {
		node := &nodes[i]
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue && !node.Spec.Unschedulable {
				ready++
			}
		}
		quantity := node.Status.Allocatable["nvidia.com/gpu"]
		if n := quantity.Value(); n > 0 {
			byProduct[firstOf(node.Labels[v1alpha1.DefaultGPUProductLabel], "of unknown product")] += n
			total += n
		}
		for name, quantity := range node.Status.Allocatable {
			if vendor, device, _ := strings.Cut(string(name), "/"); name != "nvidia.com/gpu" && quantity.Value() > 0 &&
				(vendor == "nvidia.com" || strings.HasPrefix(device, "gpu")) {
				byName[string(name)] += quantity.Value()
			}
		}
	}
	var others []string
	for _, name := range sortedKeys(byName) {
		others = append(others, fmt.Sprintf("%d %s", byName[name], name))
	}
	if ready == 0 {
		return checkResult{stateFailed, fmt.Sprintf("none of %s is ready for pods", count(len(nodes), "node")), "See kubectl get nodes."}
	}
	if total == 0 && len(others) > 0 {
		return ok("%s, no nvidia.com/gpu, but %s: set gpuResource in functions", count(ready, "node"), strings.Join(others, ", "))
	}
	if total == 0 {
		return checkResult{stateUnknown, fmt.Sprintf("%s no GPUs (nvidia.com/gpu)", countWithVerb(ready, "node", "has", "have")),
			"Only functions with gpus: 0 can run. For the others, install the device plugin of your GPUs (NVIDIA's GPU operator)."}
	}
	var parts []string
	for _, product := range sortedKeys(byProduct) {
		parts = append(parts, fmt.Sprintf("%d %s", byProduct[product], product))
	}
	byOtherNames := ""
	if len(others) > 0 {
		byOtherNames = "; other resource names (gpuResource): " + strings.Join(others, ", ")
	}
	return ok("%s and %s: %s%s", count(ready, "node"), count(int(total), "GPU"), strings.Join(parts, ", "), byOtherNames)
}

func (d *doctor) rights(ctx context.Context) checkResult {
	var not []string
	for _, right := range []struct{ verb, group, resource, sub string }{
		{"create", v1alpha1.GroupName, "functions", ""}, {"create", v1alpha1.GroupName, "functionruns", ""},
		{"create", "subresources.sharedcloud.io", "functions", "run"}, {"get", "subresources.sharedcloud.io", "functionruns", "results"},
		{"get", "subresources.sharedcloud.io", "functionruns", "log"},
	} {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: d.namespace, Verb: right.verb, Group: right.group, Resource: right.resource, Subresource: right.sub}}}
		if err := d.Create(ctx, review); err != nil {
			return notReadable("your permissions", err)
		}
		if !review.Status.Allowed {
			not = append(not, strings.TrimSuffix(right.verb+" "+right.resource+"/"+right.sub, "/"))
		}
	}
	if len(not) > 0 {
		return checkResult{stateUnknown, "you may not " + strings.Join(not, ", ") + " in " + d.namespace, "Ask for the ClusterRole edit there, or select another namespace with -n."}
	}
	return ok("you may create and run functions in %s", d.namespace)
}
