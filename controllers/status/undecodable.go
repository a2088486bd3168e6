package status

import (
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/controllers/values"
)

const (
	// maxConditions is the schema's limit, standardConditions how many of them Write sets.
	maxConditions      = 16
	standardConditions = 3
	// Limits of the API on a condition's reason and time.
	maxReason = 1024
	maxYear   = 9999
)

// NotDecodable is the state of an object whose stored content does not fit its type.
func NotDecodable(object metav1.Object) ConditionState {
	return Stalled(v1alpha1.ReasonNotDecodable, fmt.Sprintf(
		"The stored object cannot be decoded: %s. Correct it (kubectl edit) or delete it; the operator ignores it until then.",
		values.TrimFullStop(v1alpha1.DecodeError(object))))
}

// UndecodableConditions are the conditions that such an object gets. Its other conditions stay, because those of a run show whether
// it has finished.
func UndecodableConditions(object metav1.Object, before []metav1.Condition, now time.Time) (after []metav1.Condition, changed bool) {
	after = append(after, before...)
	w := Writer{Conditions: &after, Generation: object.GetGeneration(), Now: now}
	changed = w.Write(NotDecodable(object))
	return after, changed
}

// StoredConditions are those of an object's conditions that can be decoded.
func StoredConditions(stored *unstructured.Unstructured) []metav1.Condition {
	list, _, err := unstructured.NestedFieldNoCopy(stored.Object, "status", "conditions")
	entries, ok := list.([]any)
	if err != nil || !ok {
		return nil
	}
	var conditions []metav1.Condition
	for _, entry := range entries {
		encoded, err := json.Marshal(entry)
		var condition metav1.Condition
		if err != nil || json.Unmarshal(encoded, &condition) != nil || !wellFormed(&condition) ||
			meta.FindStatusCondition(conditions, condition.Type) != nil || len(conditions) == maxConditions-standardConditions {
			continue
		}
		conditions = append(conditions, condition)
	}
	return conditions
}

// wellFormed reports whether the schema accepts the condition.
func wellFormed(c *metav1.Condition) bool {
	return ownConditions.Has(c.Type) && reasonPattern.MatchString(c.Reason) && len(c.Reason) <= maxReason && len(c.Message) <= maxConditionMessage &&
		(c.Status == metav1.ConditionTrue || c.Status == metav1.ConditionFalse || c.Status == metav1.ConditionUnknown) &&
		c.ObservedGeneration >= 0 && c.ObservedGeneration <= v1alpha1.MaxCount && !c.LastTransitionTime.IsZero() &&
		c.LastTransitionTime.UTC().Year() <= maxYear
}

// RestoreFinishedRun rewrites Ready, Reconciling and Stalled of a finished run that temporarily could not be decoded. Nothing else
// decides about a finished run any more.
func RestoreFinishedRun(run *v1alpha1.FunctionRun, now time.Time) {
	ready := meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionReady)
	finished := meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionFinished)
	if ready == nil || finished == nil || ready.Reason != v1alpha1.ReasonNotDecodable {
		return
	}
	state := Stalled(finished.Reason, finished.Message)
	if meta.IsStatusConditionTrue(run.Status.Conditions, v1alpha1.ConditionComplete) {
		state.Kind = KindReady
	}
	RunWriter(run, now).Write(state)
}
