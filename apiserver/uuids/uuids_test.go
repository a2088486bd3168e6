package uuids

import (
	"math"
	"testing"

	"github.com/google/uuid"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

func TestAJobsUUIDSaysWhichInputOfWhichRun(t *testing.T) {
	seen := map[string]bool{}
	for range 200 {
		run := uuid.NewString()
		for _, index := range []int{0, 1, 2, 63, 64, 255, 1 << 16, 999_999, math.MaxInt32} {
			job := Job(run, index)
			id, err := uuid.Parse(job)
			if err != nil || id.Version() != 8 || id.Variant() != uuid.RFC4122 {
				t.Fatalf("%q is no uuid of version 8", job)
			}
			if seen[job] {
				t.Fatalf("%s twice", job)
			}
			seen[job] = true
			prefix, got, ok := OfJob(job)
			if !ok || got != index || prefix != Prefix(run) {
				t.Fatalf("the job %d of %s is %s, and that is %d of %s (%s)", index, run, job, got, prefix, Prefix(run))
			}
		}
	}
}

func TestAJobsUUIDIsStable(t *testing.T) {
	const run = "8b9420da-a848-4523-a138-ddbf33007631"
	for index, want := range map[int]string{
		0: "8b9420da-a848-8523-a138-ddbf00000000",
		1: "8b9420da-a848-8523-a138-ddbf00000001",
		7: "8b9420da-a848-8523-a138-ddbf00000007",
	} {
		if got := Job(run, index); got != want {
			t.Errorf("job %d is %s, and clients have written down %s", index, got, want)
		}
	}
}

func TestTextsThatAreNotAJobsUUID(t *testing.T) {
	for _, text := range []string{"", "x", "8b9420da-a848-4523-a138-ddbf33007631", "8b9420da-a848-8523-0138-ddbf00000000"} {
		if prefix, index, ok := OfJob(text); ok {
			t.Errorf("%q is %d of %s", text, index, prefix)
		}
	}
	if got := Job("uid-of-a-test", 1); got != "" {
		t.Errorf("the job of what is no uuid: %q", got)
	}
}

func TestCanonical(t *testing.T) {
	const id = "8b9420da-a848-4523-a138-ddbf33007631"
	for text, want := range map[string]string{
		id:                                       id,
		"8B9420DA-A848-4523-A138-DDBF33007631":   id,
		"{8b9420da-a848-4523-a138-ddbf33007631}": "",
		"urn:uuid:8b9420da-a848-4523-a138-ddbf33007631": "",
		"8b9420daa8484523a138ddbf33007631":              "",
		"8b9420da-a848-4523-a138-ddbf3300763g":          "",
		"":                                              "",
	} {
		if got, ok := Canonical(text); got != want || ok != (want != "") {
			t.Errorf("%q is %q, %v", text, got, ok)
		}
	}
}

// The API package computes the prefix by itself.
func TestThePrefixIsThatOfTheAPI(t *testing.T) {
	for _, run := range []string{"8b9420da-a848-4523-a138-ddbf33007631", "FFFFFFFF-ffff-ffff-ffff-ffffffffffff", "00000000-0000-0000-0000-000000000000", "x", "", "8b9420da-a848-4523-a138ddbf330076310"} {
		if got, want := v1alpha1.JobUUIDPrefix(run), Prefix(run); got != want {
			t.Errorf("%q: the API says %q, uuids %q", run, got, want)
		}
	}
}
