package cli

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// advice is a description of a problem and what to do about it. Both are empty where there is no problem.
type advice struct{ wrong, todo string }

// runTodo says what to do about a run, by the reason of its condition Ready. {run} and {function} are names, {ns} is the flag for
// their namespace, where one is needed.
var runTodo = map[string]string{
	v1alpha1.ReasonFunctionMissing:      "Create the Function {function} (kubectl apply): the run waits for it and then starts by itself. If the name is wrong, cancel this run (kubectl function cancel {run}{ns}) and run the right function; `kubectl function list{ns}` lists the functions.",
	v1alpha1.ReasonFunctionNotReady:     "Fix the Function: `kubectl function describe function {function}{ns}` shows the problem. The run waits and then starts by itself.",
	v1alpha1.ReasonParametersInvalid:    "Start a new run with valid inputs: kubectl function run {function} --file FILE{ns}.",
	v1alpha1.ReasonInputsMissing:        "Create the ConfigMap that spec.parametersFrom names, with that key; the run then starts by itself.",
	v1alpha1.ReasonInputsUnavailable:    "Start a new run: kubectl function run {function} --file FILE{ns}. Uploads that no run names are deleted after a day.",
	v1alpha1.ReasonJobNameTaken:         "Delete or rename the other Job, or start the run again under another name (--name).",
	v1alpha1.ReasonJobRefused:           "A quota or a policy of the namespace refuses the Job: request less (--workers, --gpus), or ask an administrator to allow it. `kubectl describe resourcequota{ns}` shows the usage.",
	v1alpha1.ReasonPodsUnschedulable:    "Request less (fewer --gpus or other gpuProducts), wait until other workloads finish, or add nodes. `kubectl function doctor` shows the GPUs of the cluster.",
	v1alpha1.ReasonImageUnavailable:     "Check spec.registryPath of the FunctionImage and its imagePullSecrets, and that nodes reach the registry; then cancel this run and start it again. `kubectl function describe function {function}{ns}` shows the image.",
	v1alpha1.ReasonContainerCannotStart: "Check spec.pod of the Function (volumes, runAsUser, runtimeClassName), and that the image has the interpreter of the runtime.",
	v1alpha1.ReasonModuleNotLoaded:      "The code fails while it is loaded, before the first input: test it with `kubectl function test`, fix it, apply it, and run it again.",
	v1alpha1.ReasonWorkersDied:          "The workers die, usually because they are out of memory: raise spec.pod.resources.limits.memory, or read their output and the events: kubectl function log {run}{ns}, kubectl get events{ns}.",
	v1alpha1.ReasonJobFailed:            "The events below show why the Job ended. Then run the remaining inputs again: kubectl function rerun {run} --failed{ns}.",
	v1alpha1.ReasonRevisionChanged:      "Another ConfigMap has the name of the revision that the run executes: find out which account writes ConfigMaps in the namespace, then start the run again.",
	v1alpha1.ReasonRevisionMissing:      "The ConfigMap of the revision that the run executes was deleted: start the run again.",
	v1alpha1.ReasonInputsFailed:         "Read the errors: kubectl function results {run} --failed{ns}, and the output: kubectl function log {run} --failed{ns}. Then fix the function and run these inputs again: kubectl function rerun {run} --failed{ns}.",
	v1alpha1.ReasonCancelled:            "Inputs that have an outcome keep it: kubectl function results {run}{ns}. Run the others with kubectl function rerun {run} --failed{ns}.",
	v1alpha1.ReasonNotDecodable:         "Correct the field that the message names, or delete the object: kubectl edit shows it as it is stored.",
	v1alpha1.ReasonNotAllowed:           "Remove what the message names, or ask an administrator to allow it. The run waits and then starts by itself.",
	v1alpha1.ReasonReferencesUnchecked:  "An administrator must apply config/policy: `kubectl function doctor` shows what is missing. The run then starts by itself.",
	v1alpha1.ReasonSuspended:            "Continue it with: kubectl function resume {run}{ns}.",
	v1alpha1.ReasonMaxFailuresExceeded:  "Read the errors: kubectl function results {run} --failed{ns}. Then fix the function and run the rest: kubectl function rerun {run} --failed{ns}. spec.maxFailures limits how many inputs may fail.",
	v1alpha1.ReasonDeadlineExceeded:     "Run the rest with kubectl function rerun {run} --failed{ns}; raise activeDeadlineSeconds, or the number of workers.",
}

// runWrong replaces a condition's message where that says less.
var runWrong = map[string]string{
	v1alpha1.ReasonSuspended: "The run is suspended: it has no workers.",
}

var functionTodo = map[string]string{
	v1alpha1.ReasonImageMissing:        "Name an image that exists: `kubectl get functionimages -A` lists them. Administrators add images to the catalogue's namespace.",
	v1alpha1.ReasonConfigMapMissing:    "Create the ConfigMap that spec.codeFrom names (with kubectl apply -k where kustomize generates it). The Function then becomes ready by itself.",
	v1alpha1.ReasonConfigMapKeyMissing: "Put the code under the key that spec.codeFrom names, or correct the name of the key.",
	v1alpha1.ReasonCodeTooLarge:        "Move libraries into the image, and data to a place from which the handler fetches it.",
	v1alpha1.ReasonRuntimeUnknown:      "Choose a runtime that the operator supports, for example that of the image.",
	v1alpha1.ReasonRuntimeMismatch:     "Set spec.runtime to a runtime of the image's language, or choose another image.",
	v1alpha1.ReasonRevisionNameTaken:   "Delete the ConfigMap of that name, which the operator did not create.",
	v1alpha1.ReasonNotDecodable:        "Correct the field that the message names, or delete the object: kubectl edit shows it as it is stored.",
	v1alpha1.ReasonDuplicateUUID:       "Create the object again without the label sharedcloud.io/uuid, or with a unique one; until then its identity in the REST API is its metadata.uid.",
	v1alpha1.ReasonNotAllowed:          "Remove what the message names, or ask an administrator to allow it.",
	v1alpha1.ReasonReferencesUnchecked: "An administrator must apply config/policy: `kubectl function doctor` shows what is missing.",
	v1alpha1.ReasonInvalid:             "Change the Function as the message says: kubectl edit function {function}{ns}, or its file.",
}

// progressing are the reasons of a run or a function without a problem.
var progressing = map[string]bool{
	v1alpha1.ReasonPinned: true, v1alpha1.ReasonStarting: true, v1alpha1.ReasonRunning: true, v1alpha1.ReasonSucceeded: true, v1alpha1.ReasonReady: true,
}

func filled(text, run, function, namespaceFlag string) string {
	return strings.NewReplacer("{run}", run, "{function}", function, "{ns}", namespaceFlag).Replace(text)
}

// adviceForRun describes the problem of a run.
func adviceForRun(run *v1alpha1.FunctionRun, namespaceFlag string) advice {
	ready := meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionReady)
	name, function := run.Name, run.Spec.FunctionRef.Name
	switch {
	case ready == nil:
		return advice{"The operator has not processed the run yet.", managerTodo}
	case progressing[ready.Reason]:
		return adviceForProgressingRun(run, ready, namespaceFlag)
	}
	wrong := firstOf(runWrong[ready.Reason], ready.Message, ready.Reason)
	if p := run.Status.Progress; p != nil && finished(run) {
		switch ready.Reason {
		case v1alpha1.ReasonInputsFailed:
			wrong = p.UnsuccessfulSentence()
		case v1alpha1.ReasonCancelled:
			wrong = "The run was cancelled: " + p.UnsuccessfulSentence()
		}
	}
	todo, known := runTodo[ready.Reason]
	switch {
	case resultsDeleted(run):
		todo = "The results and the output of the inputs are deleted. Run the inputs that did not succeed again: kubectl function rerun {run} --failed{ns}."
	case ready.Reason == v1alpha1.ReasonModuleNotLoaded && libraryMissing(ready.Message):
		todo = "Workers do not install libraries: choose an image that has the library (kubectl function list images) or add such an image; put a module of your own beside the code (spec.files, codeFrom). Then start the run again."
	case !known:
		todo = "See the results so far and the output: kubectl function results {run}{ns}, kubectl function log {run}{ns}."
	}
	return advice{wrong, filled(todo, name, function, namespaceFlag)}
}

const managerTodo = "If this does not change, the operator's manager is not running: check with `kubectl function doctor`."

// adviceForProgressingRun describes what slows down a run that proceeds.
func adviceForProgressingRun(run *v1alpha1.FunctionRun, ready *metav1.Condition, namespaceFlag string) advice {
	name, function := run.Name, run.Spec.FunctionRef.Name
	switch {
	case someWorkersWait(ready.Message):
		return advice{ready.Message, filled("The run continues with fewer workers. "+runTodo[v1alpha1.ReasonPodsUnschedulable], name, function, namespaceFlag)}
	case ready.Reason == v1alpha1.ReasonStarting && startIsSlow(ready.Message):
		return advice{ready.Message, "The events below show what the pods wait for."}
	}
	if p := run.Status.Progress; p != nil && p.Message != "" && !p.Closed {
		return advice{upperFirst(p.Message), filled("Read the output: kubectl function log {run}{ns}.", name, function, namespaceFlag)}
	}
	return advice{}
}

// libraryMissing reports whether a module failed to load because of a module that it imports, by the messages of Python 2 and 3
// and of Node.
func libraryMissing(message string) bool {
	return strings.Contains(message, "No module named ") || strings.Contains(message, "Cannot find module ") || strings.Contains(message, "Cannot find package ")
}

// adviceForFunction describes the problem of a function.
func adviceForFunction(function *v1alpha1.Function, namespaceFlag string) advice {
	ready := meta.FindStatusCondition(function.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case ready == nil:
		return advice{"The operator has not processed the function yet.", managerTodo}
	case ready.Status == metav1.ConditionTrue:
		return advice{}
	}
	todo, known := functionTodo[ready.Reason]
	if !known {
		todo = "See its conditions: kubectl get function {function}{ns} -o yaml."
	}
	return advice{firstOf(ready.Message, ready.Reason), filled(todo, "", function.Name, namespaceFlag)}
}

func upperFirst(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
