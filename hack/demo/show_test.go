package main

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

func TestProgressLine(t *testing.T) {
	cases := map[string]struct {
		status v1alpha1.FunctionRunStatus
		want   string
	}{
		"nothing is known yet": {want: "waiting for the controller"},
		"before the first report it shows what the run waits for": {
			status: v1alpha1.FunctionRunStatus{Conditions: []metav1.Condition{
				{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Message: "waiting for the Function digits"}}},
			want: "waiting for the Function digits",
		},
		"half done": {
			status: v1alpha1.FunctionRunStatus{Progress: &v1alpha1.RunProgress{Total: 10, Succeeded: 4, Failed: 1, Running: 3, Pending: 2, Workers: 3}},
			want:   "▕███████████████···············▏ 5 of 10 done, 3 running on 3 workers, 1 failed",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := progressLine(&v1alpha1.FunctionRun{Status: tc.status}); got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

func TestTheTableAndTheSummary(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	answers := make([]answer, len(rates)*seeds)
	for i := range answers {
		answers[i] = answer{Index: i, Status: v1alpha1.OutcomeSucceeded, StartTime: start, CompletionTime: start.Add(250 * time.Millisecond), Worker: "w-0"}
		answers[i].Result.Accuracy, answers[i].Result.GPU = 0.5, "GPU-3"
	}
	answers[3*seeds+1].Result.Accuracy = 0.9
	answers[1].Status = v1alpha1.OutcomeTimedOut
	var out strings.Builder
	printTable(&out, answers)
	printSummary(&out, &v1alpha1.FunctionRun{ObjectMeta: metav1.ObjectMeta{Name: "digits-x", Namespace: "default"},
		Status: v1alpha1.FunctionRunStatus{Progress: &v1alpha1.RunProgress{Total: 36, Succeeded: 35, TimedOut: 1}}}, answers, 3*time.Second)
	for _, want := range []string{
		"INDEX   RATE   SEED   ACCURACY   SECONDS   GPU     WORKER",
		"19      0.3    1      90.0 %     0.25      GPU-3   w-0",
		"1       0.01   1      TimedOut   0.25      GPU-3   w-0",
		"35 of 36 results, in order, in 3.0 s. Best learning rate: 0.3 (56.7 % on average over 6 seeds).",
		"kubectl describe functionrun digits-x -n default",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("missing %q in:\n%s", want, out.String())
		}
	}
}
