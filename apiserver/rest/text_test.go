package rest

import (
	"bytes"
	"encoding/json"
	"maps"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/exchange/indexset"
	"sharedcloud.io/function-operator/parameters"
)

// inputs are JSON inputs and their text in Python syntax.
var inputs = map[string]string{
	`[]`:                      `()`,
	`[1]`:                     `(1,)`,
	`[1,2,3]`:                 `(1, 2, 3)`,
	`["a","it's","\"","'\""]`: `('a', "it's", '"', '\'"')`,
	`[true,false,null]`:       `(True, False, None)`,
	`[1.0,0.1,1e22,1e-5,123456789012345680000.0,1e16,0.0001,-0.0,2.5e-7]`: `(1.0, 0.1, 1e+22, 1e-05, 1.2345678901234568e+20, 1e+16, 0.0001, -0.0, 2.5e-07)`,
	`[123456789012345678901234567890123456789012]`:                        `(123456789012345678901234567890123456789012,)`,
	`[1e400,-1e400]`:                         `(inf, -inf)`,
	`[[1],[],[1,[2]]]`:                       `([1], [], [1, [2]])`,
	`[{"a":1,"b":[{}]},{}]`:                  `({'a': 1, 'b': [{}]}, {})`,
	`["\n\t\r\\\u0000\u007f\u00a0é😀\u2028"]`: `('\n\t\r\\\x00\x7f\xa0é😀\u2028',)`,
	`[-0,0]`: `(0, 0)`,
}

func TestArgumentsHavePythonSyntax(t *testing.T) {
	for data, want := range inputs {
		if diff := cmp.Diff(want, argumentsText(parameters.Input{JSON: json.RawMessage(data)})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", data, diff)
		}
	}
	if got := argumentsText(parameters.Input{Literal: " (1, b'x') "}); got != "(1, b'x')" {
		t.Errorf("a literal must be returned unchanged: %q", got)
	}
}

// Compares the table above with a real Python.
func TestArgumentsMatchPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal("this test needs python3 (3.9 or newer)")
	}
	questions := slices.Sorted(maps.Keys(inputs))
	command := exec.CommandContext(t.Context(), python, "-c", "import json,sys\nprint(json.dumps([repr(tuple(json.loads(q))) for q in json.load(sys.stdin)]))")
	asked, err := json.Marshal(questions)
	if err != nil {
		t.Fatal(err)
	}
	command.Stdin = bytes.NewReader(asked)
	output, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	if err := json.Unmarshal(output, &said); err != nil || len(said) != len(questions) {
		t.Fatalf("%d answers, %v", len(said), err)
	}
	for i, question := range questions {
		if diff := cmp.Diff(said[i], inputs[question]); diff != "" {
			t.Errorf("%s (-python +table):\n%s", question, diff)
		}
	}
}

func TestResultText(t *testing.T) {
	for name, tc := range map[string]struct{ result, text, want string }{
		"an integer":             {`42`, "", "42"},
		"a string":               {`"Hello \u00e4"`, "", "Hello ä"},
		"a string of digits":     {`"42"`, "", "42"},
		"a text from the runner": {`[1,2]`, "(1, 2)", "(1, 2)"},
		"no result":              {"", "", ""},
	} {
		var text []byte
		if tc.text != "" {
			text = []byte(tc.text)
		}
		if got := resultText([]byte(tc.result), text); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
	if got := resultText([]byte(`"x"`), []byte{}); got != "" {
		t.Errorf("an empty text from the runner: %q", got)
	}
}

func TestStderrOfJobs(t *testing.T) {
	for name, tc := range map[string]struct {
		outcome outcomes.Outcome
		want    string
		status  int
	}{
		"a success with a warning":          {outcomes.Outcome{Status: outcomes.Succeeded, Stderr: []byte("careful\n")}, "careful\n", jobSucceeded},
		"an exception":                      {outcomes.Outcome{Status: outcomes.Failed, Stderr: []byte("careful"), Error: &outcomes.ErrorText{Type: "E", Message: "m", Traceback: "Traceback\nE: m\n"}}, "careful\nTraceback\nE: m\n", jobFailed},
		"an exception that stderr contains": {outcomes.Outcome{Status: outcomes.Failed, Stderr: []byte("x\nE: m\n"), Error: &outcomes.ErrorText{Traceback: "E: m\n"}}, "x\nE: m\n", jobFailed},
		"a cancelled input":                 {outcomes.Outcome{Status: outcomes.Cancelled, ByClosing: true, Error: &outcomes.ErrorText{Type: "Cancelled", Message: "spec.cancel is set."}}, "spec.cancel is set.", jobFailed},
		"a timeout":                         {outcomes.Outcome{Status: outcomes.TimedOut, Error: &outcomes.ErrorText{Type: "TimeLimit"}}, "TimeLimit", jobTimeout},
		"invalid UTF-8":                     {outcomes.Outcome{Status: outcomes.Succeeded, Stderr: []byte("\xff")}, "\xff", jobSucceeded},
	} {
		if got := stderrOf(&tc.outcome); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
		if got := (job{of: &jobsOf{}, outcome: &tc.outcome}).status(); got != tc.status {
			t.Errorf("%s: status %d, want %d", name, got, tc.status)
		}
	}
}

func TestStderrExplainsDeletedResults(t *testing.T) {
	row := &outcomes.Run{ResultsDeletedMicros: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC).UnixMicro()}
	it := job{of: &jobsOf{row: row}, outcome: &outcomes.Outcome{Status: outcomes.Succeeded}}
	want := "the results, errors and output of the run were deleted at 2026-11-24T12:00:00Z" +
		" because resultsTTLSecondsAfterFinished has passed"
	if got := it.stderr(); got != want || it.status() != jobSucceeded {
		t.Errorf("stderr is %q, the status %d", got, it.status())
	}
	row.ResultsDeletedMicros = 0
	if got := it.stderr(); got != "" {
		t.Errorf("stderr of a job with results: %q", got)
	}
}

func TestAJobIsInProgressWhileItsWorkerExecutesIt(t *testing.T) {
	set := func(text string) indexset.Set {
		s, err := indexset.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	j := &jobsOf{}
	j.take(outcomes.RunState{Workers: []outcomes.Worker{
		{ID: 1, State: outcomes.WorkerLive, Executing: 5, ExecutingMicros: 50, Batches: []outcomes.Batch{{AssignedMicros: 10, Indexes: set("4-6")}}},
		{ID: 2, State: outcomes.WorkerLive, Executing: -1, Batches: []outcomes.Batch{{AssignedMicros: 20, Indexes: set("8-9")}}},
		{ID: 3, State: outcomes.WorkerLive, Executing: -1},
		{ID: 4, State: outcomes.WorkerEnded, Executing: 1, Batches: []outcomes.Batch{{AssignedMicros: 30, Indexes: set("1")}}},
	}})
	for index, want := range map[int]struct {
		status   int
		assigned int64
	}{1: {jobCreated, 0}, 4: {jobCreated, 10}, 5: {jobInProgress, 10}, 8: {jobInProgress, 20}, 9: {jobCreated, 20}, 20: {jobCreated, 0}} {
		if it := j.at(index, nil, nil); it.status() != want.status || it.assigned != want.assigned {
			t.Errorf("job %d: status %d, assigned %d, want %+v", index, it.status(), it.assigned, want)
		}
	}
}
