package rest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/core"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/parameters"
)

// storedRun is a run whose outcomes are read in pages of limited size, like large outcomes.
type storedRun struct {
	outcomes map[int]outcomes.Status
	maxPage  int
}

func (s storedRun) Executes(context.Context, types.UID) (bool, error) { return false, nil }

func (s storedRun) Workers(context.Context, types.UID) (outcomes.RunState, error) {
	return outcomes.RunState{Run: &outcomes.Run{}}, nil
}

func (s storedRun) At(context.Context, types.UID, int) (outcomes.RunState, error) {
	return outcomes.RunState{Run: &outcomes.Run{}}, nil
}

func (s storedRun) Before(_ context.Context, _ types.UID, before, limit int) (outcomes.RunState, error) {
	state := outcomes.RunState{Run: &outcomes.Run{}}
	for index := before - 1; index >= 0 && len(state.Outcomes) < min(limit, s.maxPage); index-- {
		if status, ok := s.outcomes[index]; ok {
			state.Outcomes = append(state.Outcomes, outcomes.Outcome{Index: index, Status: status})
		}
	}
	return state, nil
}

type emptyInputs int

func (n emptyInputs) Len() int { return int(n) }

func (emptyInputs) Slice(first, last int) []parameters.Input {
	return make([]parameters.Input, last-first+1)
}

func TestJobsHaveTheirOutcomesForEveryPageSize(t *testing.T) {
	const n = 3*jobsPage + 5
	for name, tc := range map[string]struct {
		maxPage int
		has     func(index int) bool
	}{
		"all, small":                  {n, func(int) bool { return true }},
		"all, large":                  {7, func(int) bool { return true }},
		"all outcomes, one per page":  {1, func(int) bool { return true }},
		"every third, large outcomes": {5, func(index int) bool { return index%3 == 0 }},
		"only the first":              {n, func(index int) bool { return index == 0 }},
		"only the last, large":        {1, func(index int) bool { return index == n-1 }},
		"none":                        {n, func(int) bool { return false }},
	} {
		t.Run(name, func(t *testing.T) {
			store := storedRun{outcomes: map[int]outcomes.Status{}, maxPage: tc.maxPage}
			var want, got []int
			for index := n - 1; index >= 0; index-- {
				if tc.has(index) {
					store.outcomes[index] = outcomes.Succeeded
				}
				want = append(want, index, map[bool]int{true: jobSucceeded, false: jobCreated}[tc.has(index)])
			}
			c := &call{api: &API{Config: Config{Outcomes: store}}, r: httptest.NewRequest(http.MethodGet, "/jobs", nil)}
			j := &jobsOf{run: &v1alpha1.FunctionRun{}, given: core.NewRunInputs(emptyInputs(n)), row: &outcomes.Run{}}
			if err := c.eachJob(j, func(it job) bool {
				got = append(got, it.index, it.status())
				return true
			}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("index and status alternately (-want +got):\n%s", diff)
			}
		})
	}
}
