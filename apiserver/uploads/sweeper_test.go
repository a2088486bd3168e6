package uploads

import (
	"testing"
	"time"
)

//security:attack tenant | Makes the run that references an upload undecodable, so that its reference is unknown. | No upload of its namespace is swept; those of other namespaces are.
func TestNoUploadIsSweptInANamespaceWithAnUndecodableRun(t *testing.T) {
	store, _, clk := newStore(t, DefaultMaxBytes)
	mine, others := writeText(t, store, "space", "[1]\n"), writeText(t, store, "other", "[1]\n")
	sweeper := NewSweeper(store, func() (map[[2]string]bool, error) {
		return map[[2]string]bool{{"space", AnyUpload}: true}, nil
	}, time.Hour, clk)
	for range 30 {
		clk.Step(time.Hour)
		if err := sweeper.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.Inputs(t.Context(), "space", mine.Digest); err != nil {
		t.Errorf("the upload is gone: %v", err)
	}
	if _, err := store.Inputs(t.Context(), "other", others.Digest); !store.Gone(err) {
		t.Errorf("the unreferenced upload of another namespace still exists: %v", err)
	}
}
