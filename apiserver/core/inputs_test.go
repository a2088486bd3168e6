package core

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/parameters"
)

// runOfSize returns a run with n inputs of one string each, of the given number of bytes.
func runOfSize(name string, n, bytes int) *v1alpha1.FunctionRun {
	run := makeRun(name, types.UID("uid-"+name), "")
	run.Spec.Parameters = nil
	for range n {
		run.Spec.Parameters = append(run.Spec.Parameters, v1alpha1.Input{{Raw: []byte(`"` + strings.Repeat("x", bytes-2) + `"`)}})
	}
	return run
}

func TestConcurrentCallersShareOneReadOfInputs(t *testing.T) {
	reader := newGets(t, makeRun("run", "uid", ""))
	gate := make(chan struct{})
	reader.before = func() { <-gate }
	inputs := NewInputs(reader, noUploads{}, 1<<20)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			got, err := inputs.Slice(t.Context(), "space", "run", "uid", 2, 1, 1)
			if err != nil || len(got) != 1 || string(got[0].JSON) != "[2]" {
				t.Errorf("input 1: %v, %v", got, err)
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

func TestInputsThatCannotBeRead(t *testing.T) {
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
		"the count differs from the pinned one":   {"run", "uid-run", 3, 0, 0, func(err error) bool { return errors.Is(err, ErrInputsChanged) }},
		"another run has the name":                {"run", "uid-old", 2, 0, 0, func(err error) bool { return errors.Is(err, ErrRunReplaced) }},
		"the run was deleted":                     {"gone", "uid-gone", 2, 0, 0, apierrors.IsNotFound},
		"the inputs cannot be parsed":             {"unreadable", "uid-unreadable", 2, 0, 0, func(err error) bool { return err != nil }},
		"the range ends after the last input":     {"run", "uid-run", 2, 1, 2, func(err error) bool { return err != nil }},
		"the range begins before the first input": {"run", "uid-run", 2, -1, 0, func(err error) bool { return err != nil }},
		"the range ends before it begins":         {"run", "uid-run", 2, 1, 0, func(err error) bool { return err != nil }},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := NewInputs(reader, noUploads{}, 1<<20).Slice(t.Context(), "space", tc.run, tc.uid, tc.count, tc.first, tc.last)
			if !tc.want(err) || got != nil {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestTheInputsCacheIsBounded(t *testing.T) {
	var objects []client.Object
	for i := range 4 {
		objects = append(objects, runOfSize(fmt.Sprint("run-", i), 1, 1000))
	}
	objects = append(objects, runOfSize("huge", 1, 100_000))
	reader := newGets(t, objects...)
	one := inputsSize(&runOfSize("any", 1, 1000).Spec, 1)
	inputs := NewInputs(reader, noUploads{}, 2*one)
	ask := func(name string) {
		t.Helper()
		if _, err := inputs.Slice(t.Context(), "space", name, types.UID("uid-"+name), 1, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	var reads []int
	for _, name := range []string{"run-0", "run-1", "run-0", "run-2", "run-0", "run-1", "huge", "huge", "run-1"} {
		ask(name)
		reads = append(reads, reader.count)
	}
	// run-1 was the least recently used when run-2 was added. Inputs that exceed the capacity are read each time and evict nothing.
	if diff := cmp.Diff([]int{1, 2, 2, 3, 3, 4, 5, 6, 6}, reads); diff != "" {
		t.Errorf("reads (-want +got):\n%s", diff)
	}
	inputs.Forget("uid-run-1")
	if ask("run-1"); reader.count != 7 {
		t.Errorf("forgotten inputs were not read again: %d reads", reader.count)
	}
}

// noUploads is a store without uploads.
type noUploads struct{}

var errNoUpload = errors.New("no such upload")

func (noUploads) Inputs(context.Context, string, string) (int, error) { return 0, errNoUpload }

func (noUploads) Slice(context.Context, string, string, int, int) ([]parameters.Input, error) {
	return nil, errNoUpload
}

func (noUploads) Gone(err error) bool { return errors.Is(err, errNoUpload) }

// uploadOf3 is one upload of three inputs in the namespace "space".
type uploadOf3 struct{ noUploads }

func (uploadOf3) Inputs(_ context.Context, namespace, digest string) (int, error) {
	if namespace != "space" || digest != "sha256:x" {
		return 0, errNoUpload
	}
	return 3, nil
}

func (uploadOf3) Slice(_ context.Context, _, _ string, first, last int) (inputs []parameters.Input, _ error) {
	for i := first; i <= last; i++ {
		inputs = append(inputs, parameters.Input{JSON: fmt.Appendf(nil, "[%d]", i)})
	}
	return inputs, nil
}

func TestInputsOutsideTheRun(t *testing.T) {
	run := func(name string, from *v1alpha1.ParametersSource, kept string) *v1alpha1.FunctionRun {
		run := makeRun(name, types.UID("uid-"+name), "")
		run.Spec.Parameters, run.Spec.ParametersFrom = nil, from
		run.Status.Revision = &v1alpha1.PinnedRevision{InputsConfigMap: kept}
		return run
	}
	uploaded := func(digest string) *v1alpha1.ParametersSource {
		return &v1alpha1.ParametersSource{Upload: &v1alpha1.UploadReference{Digest: digest, Count: 3}}
	}
	copied := &v1alpha1.ParametersSource{ConfigMapKeyRef: &v1alpha1.ConfigMapKeyRef{Name: "source", Key: "k"}}
	configMap := func(name, owner, text string, format v1alpha1.ParametersFormat) *corev1.ConfigMap {
		return &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: "space", Name: name, OwnerReferences: []metav1.OwnerReference{{UID: types.UID("uid-" + owner), Controller: ptr.To(true)}}},
			Data:       map[string]string{v1alpha1.InputsKey: text, v1alpha1.InputsFormatKey: string(format)},
		}
	}
	reader := newGets(t,
		run("upload", uploaded("sha256:x"), ""), run("swept", uploaded("sha256:y"), ""),
		run("lines", copied, "lines-inputs"), configMap("lines-inputs", "lines", "[0]\n[1]\n[2]\n", v1alpha1.FormatNDJSON),
		run("python", copied, "python-inputs"), configMap("python-inputs", "python", " ((0,), (1,), (2,))\n", v1alpha1.FormatPython),
		run("deleted", copied, "deleted-inputs"),
		run("foreign", copied, "foreign-inputs"), configMap("foreign-inputs", "another", "[[0],[1],[2]]", v1alpha1.FormatJSON),
		run("damaged", copied, "damaged-inputs"), configMap("damaged-inputs", "damaged", "[[0],", v1alpha1.FormatJSON))
	for name, tc := range map[string]struct {
		count int
		want  string
		err   error
	}{
		"upload":  {3, `[1]`, nil},
		"lines":   {3, `[1]`, nil},
		"python":  {3, `(1,)`, nil},
		"swept":   {3, "", ErrInputsGone},
		"deleted": {3, "", ErrInputsGone},
		"foreign": {3, "", ErrInputsGone},
		"damaged": {3, "", ErrInputsGone},
	} {
		t.Run(name, func(t *testing.T) {
			inputs := NewInputs(reader, uploadOf3{}, 1<<20)
			got, err := inputs.Slice(t.Context(), "space", name, types.UID("uid-"+name), tc.count, 1, 1)
			if tc.err != nil {
				if !errors.Is(err, tc.err) || apierrors.IsNotFound(err) {
					t.Errorf("the error is %v", err)
				}
				return
			}
			if err != nil || len(got) != 1 || string(got[0].JSON)+got[0].Literal != tc.want {
				t.Errorf("input 1: %v, %v", got, err)
			}
		})
	}
	t.Run("an upload with fewer inputs than the run declares", func(t *testing.T) {
		if _, err := NewInputs(reader, uploadOf3{}, 1<<20).Slice(t.Context(), "space", "upload", "uid-upload", 4, 3, 3); !errors.Is(err, ErrInputsChanged) {
			t.Errorf("the error is %v", err)
		}
	})
}
