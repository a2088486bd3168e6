package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/runtimes"
)

// smokeImage is the image of the function of --smoke.
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
		return nil, fmt.Errorf("no image %q is ready", d.image)
	}
	return nil, fmt.Errorf("no image for Python 3 is ready")
}

const smokeTimeout = 3 * time.Minute

// run creates a function, runs it over one input, and deletes both.
func (d *doctor) run(ctx context.Context) checkResult {
	image, err := d.smokeImage()
	if err != nil {
		return checkResult{stateFailed, "cannot run a function: " + err.Error(), "`kubectl function list images -A` lists the images."}
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
				d.o.notify("Cannot delete the objects of --smoke (%v): kubectl delete -n %s function,functionrun %s", err, d.namespace, name)
			}
		}
	}()
	for _, object := range []client.Object{function, run} {
		if err := d.Create(ctx, object); err != nil {
			return checkResult{stateFailed, "cannot create a function in " + d.namespace, upperFirst(userMessage(err)) + "."}
		}
	}
	began := time.Now()
	waiting, cancel := context.WithTimeout(ctx, smokeTimeout)
	defer cancel()
	ended, err := d.wait(waiting, name, run.UID, d.o.newReporter(false))
	if err != nil {
		todo := upperFirst(userMessage(err))
		if last, getErr := d.cluster.run(ctx, name); getErr == nil {
			found := adviceForRun(last, d.namespaceFlag())
			todo = firstOf(found.wrong+" "+found.todo, todo)
		}
		return checkResult{stateFailed, fmt.Sprintf("a run with the image %s has not finished after %s", image.Name, durationText(time.Since(began))), todo}
	}
	if snapshotOf(ended).succeeded != 1 {
		found := adviceForRun(ended, d.namespaceFlag())
		return checkResult{stateFailed, "a run with the image " + image.Name + " failed", found.wrong}
	}
	var result []byte
	err = d.resultsReader(d.subs, name).read(ctx, selection{}, func(o *outcome) error { result = o.Result; return nil })
	var value int
	if err == nil {
		err = json.Unmarshal(result, &value)
	}
	if err != nil || value != 42 {
		return checkResult{stateFailed, fmt.Sprintf("the result of a run is %q, not 42", result), "See the log of the API server."}
	}
	return ok("a run with the image %s (%s) returned its result after %s", image.Name, image.Spec.RegistryPath, durationText(time.Since(began)))
}
