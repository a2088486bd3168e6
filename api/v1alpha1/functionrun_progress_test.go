package v1alpha1

import (
	"math"
	"strings"
	"testing"
)

func TestUnsuccessfulSentence(t *testing.T) {
	for name, tc := range map[string]struct {
		progress RunProgress
		want     string
	}{
		"counts and indexes": {RunProgress{Total: 10, Succeeded: 7, Failed: 2, TimedOut: 1, FailedIndexes: "0-1,9"},
			"3 of 10 inputs did not succeed (2 failed, 1 timed out): indexes 0-1,9."},
		"cancelled inputs":          {RunProgress{Total: 4, Succeeded: 1, Cancelled: 3, FailedIndexes: "1-3"}, "3 of 4 inputs did not succeed (3 cancelled): indexes 1-3."},
		"a single input":            {RunProgress{Total: 1, Failed: 1}, "1 of 1 input did not succeed (1 failed)."},
		"no counts":                 {RunProgress{Total: 2}, "0 of 2 inputs did not succeed."},
		"counts beyond the maximum": {RunProgress{Total: 2, Failed: math.MaxInt32, Cancelled: math.MaxInt32}, "100000000 of 2 inputs did not succeed (2147483647 failed, 2147483647 cancelled)."},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.progress.UnsuccessfulSentence(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestLongListsOfIndexesAreCutBetweenTwoElements(t *testing.T) {
	got := firstIndexes(strings.TrimSuffix(strings.Repeat("100-200,", 100), ","))
	if len(got) > maxIndexesText+len("…") || !strings.HasSuffix(got, "100-200,…") {
		t.Errorf("firstIndexes = %q", got)
	}
	if got := firstIndexes(strings.Repeat("1", 200)); got != "…" {
		t.Errorf("a list without a comma is cut to %q", got)
	}
}

func TestSucceededSentence(t *testing.T) {
	for total, want := range map[int32]string{1: "The only input succeeded.", 1000: "All 1000 inputs succeeded."} {
		if got := (&RunProgress{Total: total, Succeeded: total}).SucceededSentence(); got != want {
			t.Errorf("%d inputs: %q, want %q", total, got, want)
		}
	}
}

func TestOutcomesIgnoreInputsWithoutOne(t *testing.T) {
	run := &FunctionRun{}
	if got := run.Outcomes(); got != 0 {
		t.Errorf("a run without a report has %d outcomes", got)
	}
	run.Status.Progress = &RunProgress{Total: 20, Pending: 5, Running: 3, Succeeded: 6, Failed: 3, TimedOut: 2, Cancelled: 1}
	if got := run.Outcomes(); got != 12 {
		t.Errorf("%d outcomes, want 12", got)
	}
}

func TestWantedWorkers(t *testing.T) {
	number := func(n int32) *int32 { return &n }
	for name, tc := range map[string]struct {
		asked          *int32
		inputs, pinned int32
		want           int32
	}{
		"the pinned number":            {inputs: 9, pinned: 4, want: 4},
		"the number that the run asks": {asked: number(2), inputs: 9, pinned: 4, want: 2},
		"no more than inputs":          {asked: number(100), inputs: 9, pinned: 4, want: 9},
		"no more than the maximum":     {asked: number(math.MaxInt32), inputs: math.MaxInt32, pinned: 4, want: MaxWorkers},
		"never negative":               {asked: number(-3), inputs: 9, pinned: 4, want: 0},
	} {
		t.Run(name, func(t *testing.T) {
			run := &FunctionRun{Spec: FunctionRunSpec{RunPolicy: RunPolicy{Workers: tc.asked}}}
			if got := run.WantedWorkers(); got != 0 {
				t.Errorf("a run without a pin wants %d workers", got)
			}
			run.Status.Revision = &PinnedRevision{InputCount: tc.inputs, Workers: tc.pinned}
			if got := run.WantedWorkers(); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}
