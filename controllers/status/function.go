package status

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/values"
)

// FunctionIsReady reports whether the Function's controller has seen the present generation and found nothing missing.
func FunctionIsReady(function *v1alpha1.Function) bool {
	return function.DeletionTimestamp == nil &&
		function.Status.ObservedGeneration == function.Generation &&
		function.Status.Revision != nil && function.Status.Revision.Digest != "" &&
		meta.IsStatusConditionTrue(function.Status.Conditions, v1alpha1.ConditionReady)
}

// FunctionMissing is the state of a run whose Function does not exist.
func FunctionMissing(run *v1alpha1.FunctionRun) ConditionState {
	return Progressing(v1alpha1.ReasonFunctionMissing, fmt.Sprintf(
		"There is no Function %q in the namespace %s: create it, and the run starts.", run.Spec.FunctionRef.Name, run.Namespace))
}

// FunctionNotReady is the state of a run whose Function is not ready.
func FunctionNotReady(function *v1alpha1.Function) ConditionState {
	why := "its controller has not processed it yet."
	if problem := v1alpha1.DecodeError(function); problem != "" {
		why = "the stored object cannot be decoded (" + values.TrimFullStop(problem) + "). Correct it, and the run starts."
	}
	ready := meta.FindStatusCondition(function.Status.Conditions, v1alpha1.ConditionReady)
	if ready != nil && ready.Status != "True" && function.Status.ObservedGeneration == function.Generation {
		why = printable.Cut(ready.Message, values.MaxForeignText)
	}
	return Progressing(v1alpha1.ReasonFunctionNotReady, fmt.Sprintf("The Function %s is not ready: %s", function.Name, why))
}
