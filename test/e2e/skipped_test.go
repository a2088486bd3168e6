package e2e

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/ginkgo/v2/types"
)

func TestTheReportListsTheSpecsThatSkippedThemselves(t *testing.T) {
	got := skipped(types.Report{SpecReports: types.SpecReports{
		{State: types.SpecStatePassed, LeafNodeText: "passes"},
		{State: types.SpecStateSkipped, LeafNodeText: "is out of focus"},
		{State: types.SpecStateSkipped, ContainerHierarchyTexts: []string{"A run"}, LeafNodeText: "uses GPUs", Failure: types.Failure{Message: "it needs GPUs"}},
	}})
	want := "Skipped specs that need the local cluster: 1\n  A run uses GPUs: it needs GPUs\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
