package cli

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// advice is what is wrong, in a sentence, and what to do about it. Both are empty where nothing is.
type advice struct{ wrong, todo string }

// Reasons of a later version of the operator, which advice knows already.
const (
	reasonMaxFailures = "MaxFailuresExceeded"
	reasonDeadline    = "DeadlineExceeded"
)

// runTodo says what to do about a run, by the reason of its condition Ready. {run} and {function} are names, {ns} is the
// flag for their namespace, where one is needed.
var runTodo = map[string]string{
	v1alpha1.ReasonFunctionMissing:      "Make the Function {function} (kubectl apply): the run waits for it and then starts by itself. If the name is wrong, cancel this run (kubectl function cancel {run}{ns}) and run the right one; `kubectl function list{ns}` shows which there are.",
	v1alpha1.ReasonFunctionNotReady:     "Mend the Function: `kubectl function describe function {function}{ns}` says what is wrong with it. The run waits and then starts by itself.",
	v1alpha1.ReasonParametersInvalid:    "Make a new run with inputs that can be read: kubectl function run {function} --file FILE{ns}.",
	v1alpha1.ReasonInputsMissing:        "Make the ConfigMap that spec.parametersFrom names, with that key; the run then starts by itself.",
	v1alpha1.ReasonInputsUnavailable:    "Make a new run: kubectl function run {function} --file FILE{ns}. Uploads that no run names are kept for a day only.",
	v1alpha1.ReasonJobNameTaken:         "Delete or rename the other Job, or start the run again under another name (--name).",
	v1alpha1.ReasonJobRefused:           "A quota or a policy of the namespace refuses the Job: ask for less (--workers, --gpus), or have it allowed. `kubectl describe resourcequota{ns}` shows what is used.",
	v1alpha1.ReasonPodsUnschedulable:    "Ask for less (fewer --gpus or other gpuProducts), wait until other work is done, or add nodes. `kubectl function doctor` shows which GPUs there are.",
	v1alpha1.ReasonImageUnavailable:     "Check spec.registryPath of the FunctionImage and its imagePullSecrets, and that nodes reach the registry; then cancel this run and run again. `kubectl function describe function {function}{ns}` shows which image it is.",
	v1alpha1.ReasonContainerCannotStart: "Check spec.pod of the Function (volumes, runAsUser, runtimeClassName), and that the image has the interpreter of the runtime.",
	v1alpha1.ReasonModuleNotLoaded:      "The code fails before the first input, when it is loaded: try it here with `kubectl function test`, mend it, apply it, and run again.",
	v1alpha1.ReasonWorkersDied:          "The workers die, most often of too little memory: give more (spec.pod.resources.limits.memory), or see what they printed: kubectl function log {run}{ns}, kubectl get events{ns}.",
	v1alpha1.ReasonJobFailed:            "Look at the events below for who ended the Job, then run what is missing again: kubectl function rerun {run} --failed{ns}.",
	v1alpha1.ReasonRevisionChanged:      "Something else has the name of the ConfigMap with what the run executes: find out who writes ConfigMaps here, then run again.",
	v1alpha1.ReasonRevisionMissing:      "Somebody deleted the ConfigMap with what the run executes: run again.",
	v1alpha1.ReasonInputsFailed:         "See why: kubectl function results {run} --failed{ns}, and what they printed: kubectl function log {run} --failed{ns}. Then mend it and run those again: kubectl function rerun {run} --failed{ns}.",
	v1alpha1.ReasonCancelled:            "What has an outcome keeps it: kubectl function results {run}{ns}. The rest runs with kubectl function rerun {run} --failed{ns}.",
	v1alpha1.ReasonNotDecodable:         "Correct the field that the message names, or delete the object: kubectl edit shows it as it is stored.",
	v1alpha1.ReasonNotAllowed:           "Leave out what the message names, or ask an administrator to allow it. The run waits and then starts by itself.",
	v1alpha1.ReasonReferencesUnchecked:  "An administrator must apply config/policy: `kubectl function doctor` says what is missing. The run then starts by itself.",
	v1alpha1.ReasonSuspended:            "It goes on with: kubectl function resume {run}{ns}.",
	reasonMaxFailures:                   "See why they failed: kubectl function results {run} --failed{ns}. Then mend it and run the rest: kubectl function rerun {run} --failed{ns}. spec.maxFailures says how many may fail.",
	reasonDeadline:                      "The rest runs with kubectl function rerun {run} --failed{ns}; give more time by activeDeadlineSeconds, or more workers.",
}

// runWrong is said instead of a condition's own message, where that would tell less.
var runWrong = map[string]string{
	v1alpha1.ReasonSuspended: "The run is suspended: it has no workers.",
}

var functionTodo = map[string]string{
	v1alpha1.ReasonImageMissing:        "Name an image that exists: `kubectl get functionimages -A` lists them. Administrators add some to the catalogue's namespace.",
	v1alpha1.ReasonConfigMapMissing:    "Make the ConfigMap that spec.codeFrom names (kubectl apply -k, where kustomize makes it). The Function becomes ready by itself then.",
	v1alpha1.ReasonConfigMapKey:        "Put the code under the key that spec.codeFrom names, or name the right key.",
	v1alpha1.ReasonCodeTooLarge:        "Move libraries into the image and data to where the handler fetches it.",
	v1alpha1.ReasonRuntimeUnknown:      "Choose a runtime that the operator knows: the image's own, for instance.",
	v1alpha1.ReasonRuntimeMismatch:     "Let spec.runtime be of the language of the image, or choose another image.",
	v1alpha1.ReasonRevisionNameTaken:   "Delete the ConfigMap of that name, which is not the operator's.",
	v1alpha1.ReasonNotDecodable:        "Correct the field that the message names, or delete the object: kubectl edit shows it as it is stored.",
	v1alpha1.ReasonDuplicateUUID:       "Create the object again without the label sharedcloud.io/uuid, or with one of its own; until then REST knows it by its metadata.uid.",
	v1alpha1.ReasonNotAllowed:          "Leave out what the message names, or ask an administrator to allow it.",
	v1alpha1.ReasonReferencesUnchecked: "An administrator must apply config/policy: `kubectl function doctor` says what is missing.",
	v1alpha1.ReasonInvalid:             "Change the Function as the message says: kubectl edit function {function}{ns}, or its file.",
}

// progressing are reasons that are no trouble: it takes a moment.
var progressing = map[string]bool{
	v1alpha1.ReasonPinned: true, v1alpha1.ReasonStarting: true, v1alpha1.ReasonRunning: true, v1alpha1.ReasonSucceeded: true, v1alpha1.ReasonReady: true,
}

func filled(text, run, function, namespaceFlag string) string {
	return strings.NewReplacer("{run}", run, "{function}", function, "{ns}", namespaceFlag).Replace(text)
}

// adviceForRun says what is wrong with a run.
func adviceForRun(run *v1alpha1.FunctionRun, namespaceFlag string) advice {
	ready := meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionReady)
	name, function := run.Name, run.Spec.FunctionRef.Name
	switch {
	case ready == nil:
		return advice{"Nothing has looked at the run yet.",
			"Where this stays so, the operator's manager is not running: `kubectl function doctor` says."}
	case progressing[ready.Reason]:
		if strings.HasPrefix(ready.Message, v1alpha1.MessageWorkersRunning+";") {
			return advice{ready.Message, filled("It goes on with fewer workers meanwhile. "+runTodo[v1alpha1.ReasonPodsUnschedulable], name, function, namespaceFlag)}
		}
		if ready.Reason == v1alpha1.ReasonStarting && (strings.Contains(ready.Message, "more than")) {
			return advice{ready.Message, "Look at the events below: they say what the pods wait for."}
		}
		if p := run.Status.Progress; p != nil && p.Message != "" && !p.Closed {
			return advice{upperFirst(p.Message), filled("See what was printed: kubectl function log {run}{ns}.", name, function, namespaceFlag)}
		}
		return advice{}
	}
	wrong := firstOf(runWrong[ready.Reason], ready.Message, ready.Reason)
	switch {
	case run.Status.Progress == nil || !finished(run):
	case ready.Reason == v1alpha1.ReasonInputsFailed:
		wrong = unsuccessfulSentence(run)
	case ready.Reason == v1alpha1.ReasonCancelled:
		wrong = "The run was cancelled: " + unsuccessfulSentence(run)
	}
	todo, known := runTodo[ready.Reason]
	switch {
	case resultsDeleted(run):
		todo = "What the inputs returned, raised and printed is deleted. Run those that did not succeed once more: kubectl function rerun {run} --failed{ns}."
	case ready.Reason == v1alpha1.ReasonModuleNotLoaded && libraryMissing(ready.Message):
		todo = "Nothing is installed when a worker starts: choose an image that has the library (kubectl function list images) or add one that does; a module of your own belongs beside the code (spec.files, codeFrom). Then run again."
	case !known:
		todo = "See the results so far and what was printed: kubectl function results {run}{ns}, kubectl function log {run}{ns}."
	}
	return advice{wrong, filled(todo, name, function, namespaceFlag)}
}

// libraryMissing says whether a module could not be loaded because of one that it imports, in the words of Python 2 and 3 and
// of Node.
func libraryMissing(message string) bool {
	return strings.Contains(message, "No module named ") || strings.Contains(message, "Cannot find module ") || strings.Contains(message, "Cannot find package ")
}

// unsuccessfulSentence counts what did not succeed: "3 of 100 inputs did not succeed (2 failed, 1 timed out): indexes 4,7-8."
func unsuccessfulSentence(run *v1alpha1.FunctionRun) string {
	s := standingOf(run)
	var parts []string
	for _, part := range []struct {
		count int
		word  string
	}{{s.failed, "failed"}, {s.timedOut, "timed out"}, {s.cancelled, "cancelled"}} {
		if part.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.count, part.word))
		}
	}
	text := fmt.Sprintf("%d of %s did not succeed (%s)", s.unsuccessful(), counting(s.total, "input"), strings.Join(parts, ", "))
	if run.Status.Progress != nil && run.Status.Progress.FailedIndexes != "" {
		indexes := run.Status.Progress.FailedIndexes
		if len(indexes) > 100 {
			indexes = indexes[:strings.LastIndexByte(indexes[:100], ',')+1] + "…"
		}
		text += ": indexes " + indexes
	}
	return text + "."
}

// adviceForFunction says what is wrong with a function.
func adviceForFunction(function *v1alpha1.Function, namespaceFlag string) advice {
	ready := meta.FindStatusCondition(function.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case ready == nil:
		return advice{"Nothing has looked at the function yet.", "Where this stays so, the operator's manager is not running: `kubectl function doctor` says."}
	case ready.Status == metav1.ConditionTrue:
		return advice{}
	}
	todo, known := functionTodo[ready.Reason]
	if !known {
		todo = "Look at its conditions: kubectl get function {function}{ns} -o yaml."
	}
	return advice{firstOf(ready.Message, ready.Reason), filled(todo, "", function.Name, namespaceFlag)}
}

// summary is how a run ended, in a sentence or two.
func summary(run *v1alpha1.FunctionRun, namespaceFlag string) string {
	s := standingOf(run)
	took := ""
	if run.Status.StartTime != nil && run.Status.CompletionTime != nil {
		if d := run.Status.CompletionTime.Sub(run.Status.StartTime.Time); d > 0 {
			took = " in " + durationText(d)
		}
	}
	if s.gpuSeconds > 0 {
		took += fmt.Sprintf(", with %d GPU-seconds", s.gpuSeconds)
	}
	if meta.IsStatusConditionTrue(run.Status.Conditions, v1alpha1.ConditionComplete) {
		if s.total == 1 {
			return fmt.Sprintf("%s: the input succeeded%s.", s.name, took)
		}
		return fmt.Sprintf("%s: all %d inputs succeeded%s.", s.name, s.total, took)
	}
	found := adviceForRun(run, namespaceFlag)
	if took != "" {
		took = " It took" + strings.TrimPrefix(took, " in") + "."
	}
	return fmt.Sprintf("%s: %s%s\n%s", s.name, found.wrong, took, found.todo)
}

func upperFirst(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
