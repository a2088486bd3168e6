package cli

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

func TestSentences(t *testing.T) {
	long := strings.TrimSuffix(strings.Repeat("12345,", 40), ",")
	running := runningRun("r", 10, 3)
	running.Status.Progress.Running, running.Status.Progress.Failed, running.Status.Progress.GPUSeconds = 2, 1, 7
	completed := finishedRun("r", 1, 0)
	completed.Status.StartTime, completed.Status.CompletionTime = &metav1.Time{Time: began}, &metav1.Time{Time: began.Add(90 * 1e9)}
	completed.Status.Progress.GPUSeconds = 5
	for name, tc := range map[string]struct{ got, want string }{
		"all kinds of failures": {(&v1alpha1.RunProgress{Total: 100, Failed: 2, TimedOut: 1, Cancelled: 4, FailedIndexes: "4,7-8"}).UnsuccessfulSentence(),
			"7 of 100 inputs did not succeed (2 failed, 1 timed out, 4 cancelled): indexes 4,7-8."},
		"one input":                  {(&v1alpha1.RunProgress{Total: 1, TimedOut: 1}).UnsuccessfulSentence(), "1 of 1 input did not succeed (1 timed out)."},
		"a long list of indexes":     {(&v1alpha1.RunProgress{Total: 100, Failed: 40, FailedIndexes: long}).UnsuccessfulSentence(), "40 of 100 inputs did not succeed (40 failed): indexes " + strings.Repeat("12345,", 16) + "…."},
		"all succeeded":              {(&v1alpha1.RunProgress{Total: 3}).SucceededSentence(), "All 3 inputs succeeded."},
		"the only one succeeded":     {(&v1alpha1.RunProgress{Total: 1}).SucceededSentence(), "The only input succeeded."},
		"the status of a new run":    {statusLine(&v1alpha1.FunctionRun{}, snapshot{}), "new"},
		"the status of a run":        {statusLine(running, snapshotOf(running)), "Running: 3 of 10 inputs succeeded, 2 running, 1 failed, 4 waiting, 7 GPU-seconds"},
		"the summary of one input":   {summary(completed, ""), "r: the input succeeded in 1m30s, with 5 GPU-seconds."},
		"a count of one with a verb": {countWithVerb(1, "image", "is", "are"), "1 image is"},
		"a count with a verb":        {countWithVerb(2, "image", "is", "are"), "2 images are"},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: got %q, want %q", name, tc.got, tc.want)
		}
	}
}

func TestMessagesOfConditionsAreNotShortened(t *testing.T) {
	const message = "3 of 100 inputs did not succeed. The subresource functionruns/results has the error of each."
	if got := adviceForRun(withReason(v1alpha1.ReasonMaxFailuresExceeded, message), ""); got.wrong != message || !strings.Contains(got.todo, "spec.maxFailures") {
		t.Errorf("got %+v", got)
	}
}
