package workload

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

func TestSortJobs(t *testing.T) {
	job := func(name, number string) batchv1.Job {
		return batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{annotationNumber: number}}}
	}
	names := func(jobs Jobs) (current, previous string, older []string) {
		if jobs.Current != nil {
			current = jobs.Current.Name
		}
		if jobs.Previous != nil {
			previous = jobs.Previous.Name
		}
		for _, j := range jobs.Older {
			older = append(older, j.Name)
		}
		return current, previous, older
	}
	tests := []struct {
		name         string
		jobs         []batchv1.Job
		current      *v1alpha1.JobReference
		wantCurrent  string
		wantPrevious string
		wantOlder    []string
	}{
		{name: "a run without a Job has no Jobs", jobs: []batchv1.Job{job("r-1", "1")}},
		{name: "the Job that the status names is current", jobs: []batchv1.Job{job("r-1", "1")}, current: &v1alpha1.JobReference{Name: "r-1", Number: 1}, wantCurrent: "r-1"},
		{
			name: "Jobs before it are older, and the last of them is previous",
			jobs: []batchv1.Job{job("r-1", "1"), job("r-2", "2"), job("r-3", "3")}, current: &v1alpha1.JobReference{Name: "r-3", Number: 3},
			wantCurrent: "r-3", wantPrevious: "r-2", wantOlder: []string{"r-1", "r-2"},
		},
		{name: "a Job after it is ignored, because this copy of the run is stale", jobs: []batchv1.Job{job("r-2", "2")}, current: &v1alpha1.JobReference{Name: "r-1", Number: 1}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			current, previous, older := names(SortJobs(tc.jobs, tc.current))
			if current != tc.wantCurrent || previous != tc.wantPrevious {
				t.Errorf("current %q, previous %q; want %q, %q", current, previous, tc.wantCurrent, tc.wantPrevious)
			}
			if diff := cmp.Diff(tc.wantOlder, older); diff != "" {
				t.Errorf("older (-want +got):\n%s", diff)
			}
		})
	}
}

func TestJobsWithoutProgress(t *testing.T) {
	job := func(before, count string) *batchv1.Job {
		return &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{annotationOutcomes: before, annotationWithoutProgress: count}}}
	}
	tests := []struct {
		name     string
		last     *batchv1.Job
		outcomes int32
		want     int32
	}{
		{name: "the first Job has none before it", want: 0},
		{name: "a Job that added an outcome does not count", last: job("3", "2"), outcomes: 4, want: 0},
		{name: "a Job that added none counts", last: job("3", "0"), outcomes: 3, want: 1},
		{name: "the Jobs before it count", last: job("3", "2"), outcomes: 3, want: 3},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := JobsWithoutProgress(tc.last, tc.outcomes); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}
