package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

func withReason(reason, message string) *v1alpha1.FunctionRun {
	run := runningRun("sweep", 100, 3)
	run.Spec.FunctionRef.Name = "train"
	run.Status.Conditions[0].Reason, run.Status.Conditions[0].Message = reason, message
	return run
}

func TestAdviceForARun(t *testing.T) {
	failedRun := finishedRun("sweep", 97, 3)
	failedRun.Status.Progress.FailedIndexes = "4,7-8"
	tests := map[string]struct {
		run         *v1alpha1.FunctionRun
		wrong, todo string
	}{
		"it is running":                     {withReason(v1alpha1.ReasonRunning, "Workers are running."), "", ""},
		"it succeeded":                      {finishedRun("sweep", 3, 0), "", ""},
		"the operator has not processed it": {&v1alpha1.FunctionRun{}, "The operator has not processed the run yet.", "kubectl function doctor"},
		"inputs failed":                     {failedRun, "3 of 100 inputs did not succeed (3 failed): indexes 4,7-8.", "kubectl function rerun sweep --failed -n ns"},
		"the function is not there": {withReason(v1alpha1.ReasonFunctionMissing, `The Function "train" does not exist.`), `The Function "train" does not exist.`,
			"Create the Function train"},
		"no room":                     {withReason(v1alpha1.ReasonPodsUnschedulable, "No node has room: 0/1 nodes."), "No node has room", "Request less"},
		"some workers wait":           {withReason(v1alpha1.ReasonRunning, "Workers are running; 6 of 8 are waiting: no node has room."), "6 of 8 are waiting", "continues with fewer workers"},
		"pods take long":              {withReason(v1alpha1.ReasonStarting, "The pod x has been starting for more than 30 seconds: a large image."), "more than 30 seconds", "events"},
		"a module that does not load": {withReason(v1alpha1.ReasonModuleNotLoaded, "SyntaxError: invalid syntax"), "SyntaxError", "kubectl function test"},
		"a library that is missing":   {withReason(v1alpha1.ReasonModuleNotLoaded, "the module cannot be loaded: ModuleNotFoundError: No module named 'torch'"), "'torch'", "kubectl function list images"},
		"a package of Node's":         {withReason(v1alpha1.ReasonModuleNotLoaded, "the module cannot be loaded: Error: Cannot find module 'sharp'"), "'sharp'", "Workers do not install libraries"},
		"it is suspended":             {withReason(v1alpha1.ReasonSuspended, "spec.suspend is set."), "The run is suspended", "kubectl function resume sweep -n ns"},
		"a reason of a later version": {withReason("Eclipse", "The sun is away."), "The sun is away.", "kubectl function results sweep -n ns"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := adviceForRun(tc.run, " -n ns")
			if !strings.Contains(got.wrong, tc.wrong) || !strings.Contains(got.todo, tc.todo) || (tc.wrong == "") != (got.wrong == "") {
				t.Errorf("got %+v, want %q and %q", got, tc.wrong, tc.todo)
			}
		})
	}
}

// A new reason requires advice.
func TestEveryReasonHasAdvice(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../api/v1alpha1/names.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			return true
		}
		reason, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		count++
		_, ofRun := runTodo[reason]
		_, ofFunction := functionTodo[reason]
		values := []string{v1alpha1.ReasonNotFinished, v1alpha1.ReasonNotSuspended, v1alpha1.ReasonNotEnding} // of conditions without a problem
		if !ofRun && !ofFunction && !progressing[reason] && !slices.Contains(values, reason) {
			t.Errorf("there is no advice for %s", reason)
		}
		return true
	})
	if count < 20 {
		t.Errorf("only %d reasons were found", count)
	}
	for _, table := range []map[string]string{runTodo, functionTodo} {
		for reason, todo := range table {
			if text := filled(todo, "r", "f", " -n ns"); strings.ContainsAny(text, "{}") || !strings.HasSuffix(text, ".") {
				t.Errorf("%s: %s", reason, text)
			}
		}
	}
}

func TestAdviceForAFunction(t *testing.T) {
	function := &v1alpha1.Function{}
	function.Name = "train"
	function.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonImageMissing, Message: `There is no FunctionImage "tf".`}}
	if got := adviceForFunction(function, ""); got.wrong != `There is no FunctionImage "tf".` || !strings.Contains(got.todo, "kubectl get functionimages -A") {
		t.Errorf("%+v", got)
	}
	function.Status.Conditions[0].Status = metav1.ConditionTrue
	if got := adviceForFunction(function, ""); got != (advice{}) {
		t.Errorf("%+v", got)
	}
}

func TestErrorsAreGrouped(t *testing.T) {
	fail := func(index int, message string) outcome {
		return outcome{Index: index, Status: "Failed", Error: &outcomeError{Type: "ValueError", Message: message}}
	}
	got := grouped([]outcome{fail(1, "no such file"), fail(3, "bad value 3"), fail(4, "bad value 4.5"), fail(5, "bad value 5\nmore"), fail(9, "bad value 0x1f"),
		{Index: 11, Status: "TimedOut"}})
	var texts []string
	for _, g := range got {
		texts = append(texts, strconv.Itoa(len(g.indexes))+"× "+g.text+": "+indexesText(g.indexes, 8))
	}
	want := []string{"4× ValueError: bad value 3: 3-5,9", "1× ValueError: no such file: 1", "1× TimedOut: 11"}
	if diff := cmp.Diff(want, texts); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := indexesText([]int{1, 3, 5, 7}, 2); got != "1,3,…" {
		t.Errorf("shortened: %s", got)
	}
}
