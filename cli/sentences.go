package cli

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// This file has all sentences that count inputs, and all code that depends on the text of a condition.

// someWorkersWait reports whether the message of the condition Ready says why some of the workers wait.
func someWorkersWait(message string) bool {
	return strings.HasPrefix(message, v1alpha1.MessageWorkersRunning+";")
}

// startIsSlow reports whether the message of the condition Ready says why the pods take long to start.
func startIsSlow(message string) bool { return strings.Contains(message, "more than") }

// statusLine is the status of a run with its counts: "Running: 3 of 10 inputs succeeded, 2 running, 5 waiting".
func statusLine(run *v1alpha1.FunctionRun, s snapshot) string {
	reason := firstOf(s.reason, "new")
	p := run.Status.Progress
	if p == nil {
		return reason
	}
	parts := []string{fmt.Sprintf("%d of %s succeeded", s.succeeded, count(s.total, "input"))}
	parts = append(parts, nonZeroCounts([]namedCount{{s.running, "running"}})...)
	if counts := p.UnsuccessfulCounts(); counts != "" {
		parts = append(parts, counts)
	}
	parts = append(parts, nonZeroCounts([]namedCount{{s.total - s.done() - s.running, "waiting"}})...)
	if s.gpuSeconds > 0 {
		parts = append(parts, fmt.Sprintf("%d GPU-seconds", s.gpuSeconds))
	}
	return reason + ": " + strings.Join(parts, ", ")
}

// summary describes how a run ended, in one or two sentences.
func summary(run *v1alpha1.FunctionRun, namespaceFlag string) string {
	s := snapshotOf(run)
	took := ""
	if run.Status.StartTime != nil && run.Status.CompletionTime != nil {
		if d := run.Status.CompletionTime.Sub(run.Status.StartTime.Time); d > 0 {
			took = durationText(d)
		}
	}
	gpus := ""
	if s.gpuSeconds > 0 {
		gpus = fmt.Sprintf("%d GPU-seconds", s.gpuSeconds)
	}
	if meta.IsStatusConditionTrue(run.Status.Conditions, v1alpha1.ConditionComplete) {
		text := fmt.Sprintf("%s: all %d inputs succeeded", s.name, s.total)
		if s.total == 1 {
			text = s.name + ": the input succeeded"
		}
		if took != "" {
			text += " in " + took
		}
		if gpus != "" {
			text += ", with " + gpus
		}
		return text + "."
	}
	found := adviceForRun(run, namespaceFlag)
	text := s.name + ": " + found.wrong
	if took != "" {
		text += " It took " + took
		if gpus != "" {
			text += " and " + gpus
		}
		text += "."
	}
	return text + "\n" + found.todo
}

type namedCount struct {
	count int
	name  string
}

func nonZeroCounts(counts []namedCount) []string {
	var parts []string
	for _, c := range counts {
		if c.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.count, c.name))
		}
	}
	return parts
}

// count is a number with its noun: "1 input", "3 inputs".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// countWithVerb is a number with its noun and the verb that agrees with it: "1 image is", "2 images are".
func countWithVerb(n int, noun, singular, plural string) string {
	if n == 1 {
		return count(n, noun) + " " + singular
	}
	return count(n, noun) + " " + plural
}
