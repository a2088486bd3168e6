package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/client-go/discovery"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/runtimes"
)

// leastMinor is the oldest Kubernetes that the operator runs on: 1.33.
const leastMinor = 33

// verdict of one check.
type finding struct {
	state state
	// what was looked at and found, and what to do where it is not as it should be.
	found, todo string
}

type state int

const (
	fine state = iota
	wrong
	// unsure: it is no mistake, or this user may not look.
	unsure
)

func (f finding) String() string {
	text := map[state]string{fine: "✓ ", wrong: "✗ ", unsure: "? "}[f.state] + f.found
	if f.todo != "" && f.state != fine {
		for _, line := range wrapped(f.todo, 110) {
			text += "\n    " + line
		}
	}
	return text
}

func ok(format string, args ...any) finding {
	return finding{state: fine, found: fmt.Sprintf(format, args...)}
}

func newDoctor(o *options) *cobra.Command {
	var system, catalogue, image string
	var smoke bool
	command := &cobra.Command{
		Use:   "doctor [--smoke]",
		Short: "Check an installation, and say what to do where something is wrong",
		Long: `Check an installation: Kubernetes and its version, the custom resources, the operator's two programs and the store of outcomes, the
way to results and logs, images, GPUs, and what you may do. A cross is something that is wrong, a question mark something that this
user may not see, or that is as you want it perhaps. --smoke runs a function too, and so pulls its image.`,
		Example: `  kubectl function doctor
  kubectl function doctor --smoke --image python`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			c, err := o.connect()
			if err != nil {
				return err
			}
			d := &doctor{cluster: c, system: system, catalogue: catalogue, image: image}
			return d.examine(command.Context(), smoke)
		},
	}
	flags := command.Flags()
	flags.StringVar(&system, "system-namespace", "sharedcloud-system", "Where the operator is installed.")
	flags.StringVar(&catalogue, "catalogue-namespace", "sharedcloud-catalogue", "Where the images for all are.")
	flags.BoolVar(&smoke, "smoke", false, "Make a function in the namespace, run it over one input, and delete it.")
	flags.StringVar(&image, "image", "", "With --smoke: the FunctionImage. Default: the first one for Python 3 that is ready.")
	return command
}

type doctor struct {
	*cluster
	system, catalogue, image string
	bad                      int
	subs                     *subresources
	images                   []v1alpha1.FunctionImage
}

func (d *doctor) tell(found ...finding) {
	for _, f := range found {
		if f.state == wrong {
			d.bad++
		}
		d.o.out("%s\n", f)
	}
}

// examine tells each finding as it is made.
func (d *doctor) examine(ctx context.Context, smoke bool) error {
	reached, err := d.kubernetes()
	if err != nil {
		return err
	}
	d.tell(reached)
	crds := d.resources()
	d.tell(crds)
	d.tell(d.policy(ctx))
	d.tell(d.programs(ctx)...)
	d.tell(d.way(ctx))
	if d.subs != nil {
		d.tell(d.versions(ctx))
	}
	if crds.state == fine {
		d.tell(d.references(ctx)...)
		d.tell(d.store(ctx))
		d.tell(d.catalogued(ctx)...)
	}
	d.tell(d.gpus(ctx))
	d.tell(d.rights(ctx))
	if smoke && d.bad == 0 {
		d.tell(d.run(ctx))
	} else if smoke {
		d.o.say("The run of --smoke is left out, for what is wrong above.")
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if d.bad > 0 {
		d.o.say("%s wrong.", counting(d.bad, "thing")+map[bool]string{true: " is", false: " are"}[d.bad == 1])
		return failed()
	}
	return nil
}

func (d *doctor) kubernetes() (finding, error) {
	dc, err := discovery.NewDiscoveryClientForConfig(d.config)
	if err != nil {
		return finding{}, usageError("the kubeconfig cannot be used: %w", err)
	}
	found, err := dc.ServerVersion()
	if err != nil {
		return finding{}, err // nothing else can be looked at
	}
	return versionFinding(found.Major, found.Minor, found.GitVersion, version()), nil
}

func versionFinding(major, minor, full, own string) finding {
	n, err := strconv.Atoi(strings.TrimRight(minor, "+"))
	if major == "1" && err == nil && n < leastMinor {
		return finding{wrong, fmt.Sprintf("Kubernetes %s is too old", full), fmt.Sprintf("The operator needs 1.%d or newer.", leastMinor)}
	}
	return ok("Kubernetes %s answers (this plugin: %s)", full, own)
}

func (d *doctor) resources() finding {
	dc, err := discovery.NewDiscoveryClientForConfig(d.config)
	if err != nil {
		return finding{wrong, err.Error(), ""}
	}
	list, err := dc.ServerResourcesForGroupVersion(v1alpha1.GroupVersion.String())
	missing := []string{"functions", "functionimages", "functionruns"}
	if err == nil {
		for _, resource := range list.APIResources {
			missing = slices.DeleteFunc(missing, func(name string) bool { return name == resource.Name })
		}
	}
	if len(missing) > 0 {
		return finding{wrong, "the custom resources " + strings.Join(missing, ", ") + " of " + v1alpha1.GroupVersion.String() + " are missing",
			"Install the operator: kubectl apply --server-side -k config/default, from its repository."}
	}
	return ok("the custom resources of %s are there", v1alpha1.GroupVersion)
}

func (d *doctor) policy(ctx context.Context) finding {
	policy := &unstructured.Unstructured{}
	policy.SetGroupVersionKind(schema.GroupVersionKind{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingAdmissionPolicy"})
	err := d.Get(ctx, client.ObjectKey{Name: "functionrun-parameters"}, policy)
	switch {
	case err == nil:
		return ok("the policy functionrun-parameters refuses runs without inputs")
	case apierrors.IsNotFound(err):
		return finding{unsure, "the ValidatingAdmissionPolicy functionrun-parameters is missing", "Runs with wrong inputs are not refused then, but told so in their conditions: apply config/policy."}
	}
	return unseen("the ValidatingAdmissionPolicy functionrun-parameters", err)
}

func unseen(what string, err error) finding {
	if apierrors.IsForbidden(err) {
		return finding{unsure, what + " cannot be seen by you", "Ask an administrator to run `kubectl function doctor`."}
	}
	return finding{wrong, what + " cannot be read", upperFirst(sentence(err))}
}

// programs looks at the manager and the API server, and at whether they are of one version.
func (d *doctor) programs(ctx context.Context) []finding {
	var all []finding
	list := &appsv1.DeploymentList{}
	if err := d.List(ctx, list, client.InNamespace(d.system), client.MatchingLabels{"app.kubernetes.io/part-of": "sharedcloud"}); err != nil {
		return []finding{unseen("the operator's Deployments in "+d.system, err)}
	}
	images := map[string]string{}
	for _, program := range []struct{ component, name, does string }{
		{"controller-manager", "the manager", "Without it nothing becomes of functions and runs"},
		{"apiserver", "the API server", "Without it runs have no inputs, results and logs"},
	} {
		i := slices.IndexFunc(list.Items, func(deployment appsv1.Deployment) bool {
			return deployment.Labels["app.kubernetes.io/component"] == program.component
		})
		if i < 0 {
			all = append(all, finding{wrong, program.name + " is not installed in " + d.system, program.does + ": apply config/default, or say where it is by --system-namespace."})
			continue
		}
		deployment := &list.Items[i]
		for _, container := range deployment.Spec.Template.Spec.Containers {
			images[container.Image] = program.name
		}
		all = append(all, deploymentFinding(program.name, program.does, deployment))
	}
	if len(images) > 1 {
		all = append(all, finding{unsure, "manager and API server run different images: " + strings.Join(sortedKeys(images), ", "), "Let both be of the same version."})
	}
	return all
}

func deploymentFinding(name, does string, deployment *appsv1.Deployment) finding {
	want := ptr.Deref(deployment.Spec.Replicas, 1)
	switch {
	case deployment.Status.ReadyReplicas == 0:
		return finding{wrong, fmt.Sprintf("%s is not ready (%d of %d)", name, deployment.Status.ReadyReplicas, want),
			fmt.Sprintf("%s: kubectl -n %s describe deployment %s and kubectl -n %s logs deployment/%s say why.", does, deployment.Namespace, deployment.Name, deployment.Namespace, deployment.Name)}
	case deployment.Status.ReadyReplicas < want:
		return finding{unsure, fmt.Sprintf("%s is ready, but only %d of %d", name, deployment.Status.ReadyReplicas, want), "It starts, or there is no room for all of it."}
	}
	image := ""
	if containers := deployment.Spec.Template.Spec.Containers; len(containers) > 0 {
		image = ", " + containers[0].Image
	}
	return ok("%s is ready (%d of %d%s)", name, deployment.Status.ReadyReplicas, want, image)
}

// way looks for the API server from here.
func (d *doctor) way(ctx context.Context) finding {
	s, err := d.subresources(ctx)
	if err != nil {
		return finding{wrong, "the API server's results, logs and runs cannot be reached", upperFirst(sentence(err))}
	}
	status, err := s.installed(ctx)
	where := "through the cluster's API"
	if s.facade {
		where = "at its facade " + s.base
	}
	switch {
	case err != nil:
		return finding{wrong, "the API server does not answer " + where, upperFirst(sentence(err))}
	case status == http.StatusUnauthorized:
		return finding{wrong, "the API server does not accept your credentials " + where, "Give a token by --facade-token-file: `kubectl function token` makes one."}
	case status != http.StatusOK && status != http.StatusForbidden:
		return finding{wrong, fmt.Sprintf("the API server answers %d %s", status, where), "kubectl get apiservice v1alpha1.subresources.sharedcloud.io -o yaml says why."}
	}
	d.subs = s
	return ok("the API server answers %s", where)
}

// versions compares the plugin with the API server.
func (d *doctor) versions(ctx context.Context) finding {
	server, err := d.subs.version(ctx)
	if err != nil {
		return finding{unsure, "the version of the API server is not known", upperFirst(sentence(err))}
	}
	return versionsFinding(version(), server)
}

func versionsFinding(plugin, server string) finding {
	if plugin != server {
		return finding{unsure, fmt.Sprintf("the plugin is %s, and the API server is %s", plugin, server), "Use the plugin of the operator's version."}
	}
	return ok("the plugin and the API server are both %s", server)
}

// store asks for the results of a run, which only an open store has.
func (d *doctor) store(ctx context.Context) finding {
	if d.subs == nil {
		return finding{unsure, "whether the store of outcomes is open cannot be seen", "See above."}
	}
	table, err := d.tableOf(ctx, listQuery{kind: kindRun, namespace: d.namespace})
	if err != nil {
		return unseen("the runs in "+d.namespace, err)
	}
	if len(table.Rows) == 0 {
		return finding{unsure, "whether the store of outcomes is open shows with the first run: there is none in " + d.namespace, "`kubectl function doctor --smoke` makes one."}
	}
	name, _ := table.Rows[0].Cells[0].(string)
	response, err := d.subs.call(ctx, http.MethodGet, "functionruns", name, "results", url.Values{"limit": {"1"}}, nil)
	switch {
	case apierrors.IsServiceUnavailable(err):
		return finding{wrong, "the store of outcomes is not open", "The API server waits for its volume, or for another server that has it: kubectl -n " + d.system + " logs deployment/sharedcloud-apiserver says for which. " + err.Error()}
	case apierrors.IsForbidden(err):
		return unseen("the results of "+name, err)
	case err != nil:
		return finding{wrong, "the results of " + name + " cannot be read", upperFirst(sentence(err))}
	}
	_ = response.Body.Close()
	return ok("the store of outcomes is open")
}

func (d *doctor) catalogued(ctx context.Context) []finding {
	var all []finding
	var list v1alpha1.FunctionImageList
	for _, namespace := range slices.Compact([]string{d.namespace, d.catalogue}) {
		var some v1alpha1.FunctionImageList
		if err := d.List(ctx, &some, client.InNamespace(namespace)); err != nil {
			all = append(all, unseen("the images in "+namespace, err))
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
		all = append(all, finding{wrong, "there are no images for functions", "Apply config/catalogue, or make a FunctionImage in " + d.namespace + "."})
	case ready > 0:
		all = append(all, ok("%s ready for functions", counting(ready, "image")+map[bool]string{true: " is", false: " are"}[ready == 1]))
	}
	if len(not) > 0 {
		all = append(all, finding{unsure, "images that are not ready: " + strings.Join(not, ", "), "kubectl get functionimages -A -o wide says why."})
	}
	return all
}

func (d *doctor) gpus(ctx context.Context) finding {
	nodes := &corev1.NodeList{}
	if err := d.List(ctx, nodes); err != nil {
		return unseen("the nodes", err)
	}
	return gpuFinding(nodes.Items)
}

// gpuFinding counts the GPUs that nodes offer, by product, and what device plugins offer under other names.
func gpuFinding(nodes []corev1.Node) finding {
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
			byProduct[firstOf(node.Labels[v1alpha1.DefaultGPUProductLabel], "of an unnamed product")] += n
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
		return finding{wrong, fmt.Sprintf("none of %s takes pods", counting(len(nodes), "node")), "kubectl get nodes says why."}
	}
	if total == 0 && len(others) > 0 {
		return ok("%s, no GPU by the name nvidia.com/gpu, but %s: functions name it in gpuResource", counting(ready, "node"), strings.Join(others, ", "))
	}
	if total == 0 {
		return finding{unsure, fmt.Sprintf("%s no GPU (nvidia.com/gpu)", counting(ready, "node")+map[bool]string{true: " offers", false: " offer"}[ready == 1]),
			"Functions with gpus: 0 run. For the others install the device plugin of your GPUs (NVIDIA's GPU operator)."}
	}
	var parts []string
	for _, product := range sortedKeys(byProduct) {
		parts = append(parts, fmt.Sprintf("%d %s", byProduct[product], product))
	}
	byOtherNames := ""
	if len(others) > 0 {
		byOtherNames = "; by other names (gpuResource): " + strings.Join(others, ", ")
	}
	return ok("%s and %s: %s%s", counting(ready, "node"), counting(int(total), "GPU"), strings.Join(parts, ", "), byOtherNames)
}

func (d *doctor) rights(ctx context.Context) finding {
	var not []string
	for _, right := range []struct{ verb, group, resource, sub string }{
		{"create", v1alpha1.GroupName, "functions", ""}, {"create", v1alpha1.GroupName, "functionruns", ""},
		{"create", "subresources.sharedcloud.io", "functions", "run"}, {"get", "subresources.sharedcloud.io", "functionruns", "results"},
		{"get", "subresources.sharedcloud.io", "functionruns", "log"},
	} {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: d.namespace, Verb: right.verb, Group: right.group, Resource: right.resource, Subresource: right.sub}}}
		if err := d.Create(ctx, review); err != nil {
			return unseen("what you may do", err)
		}
		if !review.Status.Allowed {
			not = append(not, strings.TrimSuffix(right.verb+" "+right.resource+"/"+right.sub, "/"))
		}
	}
	if len(not) > 0 {
		return finding{unsure, "you may not " + strings.Join(not, ", ") + " in " + d.namespace, "Ask for the role edit there, or choose another namespace by -n."}
	}
	return ok("you may make and run functions in %s", d.namespace)
}

// smokeImage is the image for the run of --smoke.
func (d *doctor) smokeImage() (*v1alpha1.FunctionImage, error) {
	for i := range d.images {
		image := &d.images[i]
		language, _ := runtimes.Language(image.Spec.Runtime)
		fits := d.image == "" && language == "python" && image.Spec.Runtime != "python27" && !image.Spec.RequiresGPU
		if (image.Name == d.image || fits) && meta.IsStatusConditionTrue(image.Status.Conditions, v1alpha1.ConditionReady) {
			return image, nil
		}
	}
	if d.image != "" {
		return nil, fmt.Errorf("there is no image %q that is ready", d.image)
	}
	return nil, fmt.Errorf("there is no image for Python 3 that is ready")
}

const smokeTime = 3 * time.Minute

// run makes a function, runs it over one input, and deletes both.
func (d *doctor) run(ctx context.Context) finding {
	image, err := d.smokeImage()
	if err != nil {
		return finding{wrong, "no function can be run: " + err.Error(), "`kubectl function list images -A` shows which there are."}
	}
	name := "doctor-" + rand.String(5)
	code := "def handler(event):\n    return event[0] + 1\n"
	if language, _ := runtimes.Language(image.Spec.Runtime); language == "node" {
		code = "function handler(event) { return event[0] + 1; }\n"
	}
	function := &v1alpha1.Function{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: d.namespace},
		Spec:       v1alpha1.FunctionSpec{Runtime: image.Spec.Runtime, Image: image.Name, Code: ptr.To(code)},
	}
	run := &v1alpha1.FunctionRun{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: d.namespace},
		Spec:       v1alpha1.FunctionRunSpec{FunctionRef: v1alpha1.FunctionReference{Name: name}, ParametersLiteral: ptr.To("((41,),)")},
	}
	defer func() {
		// Also after Ctrl-C.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		for _, object := range []client.Object{run, function} {
			if err := client.IgnoreNotFound(d.Delete(ctx, object)); err != nil {
				d.o.say("What --smoke made is left behind: kubectl delete -n %s function,functionrun %s (%v)", d.namespace, name, err)
			}
		}
	}()
	for _, object := range []client.Object{function, run} {
		if err := d.Create(ctx, object); err != nil {
			return finding{wrong, "a function cannot be made in " + d.namespace, upperFirst(sentence(err))}
		}
	}
	began := time.Now()
	waiting, cancel := context.WithTimeout(ctx, smokeTime)
	defer cancel()
	ended, err := d.wait(waiting, name, run.UID, d.o.newReporter(false))
	if err != nil {
		todo := upperFirst(sentence(err))
		if last, lookError := d.cluster.run(ctx, name); lookError == nil {
			found := adviceForRun(last, d.namespaceFlag())
			todo = firstOf(found.wrong+" "+found.todo, todo)
		}
		return finding{wrong, fmt.Sprintf("a run with the image %s is not over after %s", image.Name, durationText(time.Since(began))), todo}
	}
	if standingOf(ended).succeeded != 1 {
		found := adviceForRun(ended, d.namespaceFlag())
		return finding{wrong, "a run with the image " + image.Name + " failed", found.wrong}
	}
	var result []byte
	err = d.resultsReader(d.subs, name).read(ctx, wanted{}, func(o *outcome) error { result = o.Result; return nil })
	var answer int
	if err == nil {
		err = json.Unmarshal(result, &answer)
	}
	if err != nil || answer != 42 {
		return finding{wrong, fmt.Sprintf("the result of a run is %q and not 42", result), "The API server's log says more."}
	}
	return ok("a run with the image %s (%s) had its answer after %s", image.Name, image.Spec.RegistryPath, durationText(time.Since(began)))
}
