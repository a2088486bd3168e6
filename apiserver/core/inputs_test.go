package core

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sharedcloudv1alpha1 "sharedcloud.io/function-operator/api/v1alpha1"
)

// sized is a run with n tuples of one string of so many bytes.
func sized(name string, n, bytes int) *sharedcloudv1alpha1.FunctionRun {
	run := makeRun(name, types.UID("uid-"+name), "")
	run.Spec.Parameters = nil
	for range n {
		run.Spec.Parameters = append(run.Spec.Parameters, sharedcloudv1alpha1.Tuple{{Raw: []byte(`"` + strings.Repeat("x", bytes-2) + `"`)}})
	}
	return run
}

func TestInputsAreReadOnceForAllThatWait(t *testing.T) {
	reader := newGets(t, makeRun("run", "uid", ""))
	gate := make(chan struct{})
	reader.before = func() { <-gate }
	inputs := NewInputs(reader, 1<<20)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			got, err := inputs.Slice(t.Context(), "space", "run", "uid", 2, 1, 1)
			if err != nil || len(got) != 1 || string(got[0].JSON) != "[2]" {
				t.Errorf("tuple 1: %v, %v", got, err)
			}
		})
	}
	close(gate)
	group.Wait()
	if _, err := inputs.Slice(t.Context(), "space", "run", "uid", 2, 0, 1); err != nil {
		t.Error(err)
	}
	if reader.count != 1 {
		t.Errorf("the run was read %d times", reader.count)
	}
}

func TestInputsThatCannotBeHandedOut(t *testing.T) {
	unreadable := makeRun("unreadable", "uid-unreadable", "")
	unreadable.Spec.Parameters, unreadable.Spec.ParametersLiteral = nil, nil
	reader := newGets(t, makeRun("run", "uid-run", ""), unreadable)
	for name, tc := range map[string]struct {
		run         string
		uid         types.UID
		count       int
		first, last int
		want        func(error) bool
	}{
		"the count is not the one pinned": {"run", "uid-run", 3, 0, 0, func(err error) bool { return errors.Is(err, ErrInputsChanged) }},
		"another run has taken the name":  {"run", "uid-old", 2, 0, 0, func(err error) bool { return errors.Is(err, ErrRunReplaced) }},
		"the run is gone":                 {"gone", "uid-gone", 2, 0, 0, apierrors.IsNotFound},
		"the inputs cannot be read":       {"unreadable", "uid-unreadable", 2, 0, 0, func(err error) bool { return err != nil }},
		"more is asked for than there is": {"run", "uid-run", 2, 1, 2, func(err error) bool { return err != nil }},
		"less than nothing is asked for":  {"run", "uid-run", 2, -1, 0, func(err error) bool { return err != nil }},
		"the last comes before the first": {"run", "uid-run", 2, 1, 0, func(err error) bool { return err != nil }},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := NewInputs(reader, 1<<20).Slice(t.Context(), "space", tc.run, tc.uid, tc.count, tc.first, tc.last)
			if !tc.want(err) || got != nil {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestInputsStayWithinTheirBytes(t *testing.T) {
	var objects []client.Object
	for i := range 4 {
		objects = append(objects, sized(fmt.Sprint("run-", i), 1, 1000))
	}
	objects = append(objects, sized("huge", 1, 100_000))
	reader := newGets(t, objects...)
	one := inputsSize(&sized("any", 1, 1000).Spec, 1)
	inputs := NewInputs(reader, 2*one)
	ask := func(name string) {
		t.Helper()
		if _, err := inputs.Slice(t.Context(), "space", name, types.UID("uid-"+name), 1, 0, 0); err != nil {
			t.Fatal(err)
		}
		if inputs.kept.used > inputs.kept.capacity {
			t.Fatalf("%d of %d bytes are used", inputs.kept.used, inputs.kept.capacity)
		}
	}
	var reads []int
	for _, name := range []string{"run-0", "run-1", "run-0", "run-2", "run-0", "run-1", "huge", "huge", "run-1"} {
		ask(name)
		reads = append(reads, reader.count)
	}
	// run-1 was used longest ago when run-2 came; what is larger than all the room is read each time, and drops nothing.
	if diff := cmp.Diff([]int{1, 2, 2, 3, 3, 4, 5, 6, 6}, reads); diff != "" {
		t.Errorf("reads (-want +got):\n%s", diff)
	}
	inputs.Forget("uid-run-1")
	inputs.Forget("uid-unknown")
	if inputs.kept.used != one || len(inputs.kept.entries) != 1 {
		t.Errorf("after forgetting one of two: %d bytes in %d entries", inputs.kept.used, len(inputs.kept.entries))
	}
}
