package core

import (
	"math"
	"testing"

	"github.com/google/uuid"
)

func TestAJobsUUIDSaysWhichTupleOfWhichRun(t *testing.T) {
	seen := map[string]bool{}
	for range 200 {
		run := uuid.NewString()
		for _, index := range []int{0, 1, 2, 63, 64, 255, 1 << 16, 999_999, math.MaxInt32} {
			job := JobUUID(run, index)
			id, err := uuid.Parse(job)
			if err != nil || id.Version() != 8 || id.Variant() != uuid.RFC4122 {
				t.Fatalf("%q is no uuid of version 8", job)
			}
			if seen[job] {
				t.Fatalf("%s twice", job)
			}
			seen[job] = true
			prefix, got, ok := jobOf(job)
			if !ok || got != index || prefix != jobPrefix(run) {
				t.Fatalf("the job %d of %s is %s, and that is %d of %s (%s)", index, run, job, got, prefix, jobPrefix(run))
			}
		}
	}
}

func TestAJobsUUIDIsForEver(t *testing.T) {
	const run = "8b9420da-a848-4523-a138-ddbf33007631"
	for index, want := range map[int]string{
		0: "8b9420da-a848-8523-a138-ddbf00000000",
		1: "8b9420da-a848-8523-a138-ddbf00000001",
		7: "8b9420da-a848-8523-a138-ddbf00000007",
	} {
		if got := JobUUID(run, index); got != want {
			t.Errorf("job %d is %s, and clients have written down %s", index, got, want)
		}
	}
}

func TestWhatIsNoJobsUUID(t *testing.T) {
	for _, text := range []string{"", "x", "8b9420da-a848-4523-a138-ddbf33007631", "8b9420da-a848-8523-0138-ddbf00000000"} {
		if prefix, index, ok := jobOf(text); ok {
			t.Errorf("%q is %d of %s", text, index, prefix)
		}
	}
	if got := JobUUID("uid-of-a-test", 1); got != "" {
		t.Errorf("the job of what is no uuid: %q", got)
	}
}
