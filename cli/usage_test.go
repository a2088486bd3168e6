package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// No cluster is at the address: who is told of wrong usage was told before anything was asked or made.
func TestWrongUsageIsToldInASentenceBeforeTheClusterIsAsked(t *testing.T) {
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := []string{"run", "f", "--params", "((1,),)"}
	with := func(more ...string) []string { return append(append([]string{}, good...), more...) }
	tests := map[string]struct {
		args []string
		says string
	}{
		"an unknown command":                     {[]string{"rnu"}, `there is no command "rnu": did you mean run?`},
		"an unknown flag":                        {with("--nosuch"), "unknown flag: --nosuch"},
		"a flag's value that is no number":       {with("--workers", "many"), `invalid argument "many" for "--workers"`},
		"run without a function":                 {[]string{"run"}, "needs the name of a function"},
		"run with two functions":                 {with("g"), `"g" is one word too many`},
		"run without inputs":                     {[]string{"run", "f"}, "there are no inputs"},
		"run with two kinds of inputs":           {with("--file", "x"), "both given"},
		"a literal that is not closed":           {[]string{"run", "f", "--params", "((1,)"}, "the inputs in --params cannot be read as Python"},
		"parameters that are neither":            {[]string{"run", "f", "--params", "1,2"}, "must be a Python tuple of tuples"},
		"an input that is no tuple of tuples":    {[]string{"run", "f", "--params", "(1, 2)"}, "cannot be read as Python"},
		"no input at all":                        {[]string{"run", "f", "--params", "[]"}, "a run needs at least one"},
		"a file that is not there":               {[]string{"run", "f", "--file", filepath.Join(folder, "none")}, "no such file"},
		"a folder as a file":                     {[]string{"run", "f", "--file", folder}, "is a folder"},
		"a file with a mistake":                  {[]string{"run", "f", "--file", file("bad.ndjson", "[1]\n{\n")}, "line 2: it is not JSON"},
		"a CSV with a short row":                 {[]string{"run", "f", "--csv-header", "--file", file("bad.csv", "a,b\n1\n")}, "line 2: the number of cells is 1"},
		"an unknown format":                      {with("--format", "xml"), "it must be json, ndjson, csv or python"},
		"CSV flags for JSON":                     {with("--csv-header"), "are for CSV"},
		"no workers":                             {with("--workers", "0"), "--workers is 0"},
		"negative GPUs":                          {with("--gpus", "-1"), "--gpus is -1"},
		"half a second":                          {with("--timeout-per-input", "500ms"), "whole seconds"},
		"a spec that is no JSON":                 {with("--spec", "workers: 3"), "must be a JSON object"},
		"a spec with inputs":                     {with("--spec", `{"parameters": [[1]]}`), "--spec has the field parameters"},
		"a name that cannot be":                  {with("--name", "My Run"), "--name is"},
		"a format of objects that there is not":  {with("-o", "xml"), "must be name, json or yaml"},
		"a run has no wide format":               {with("-o", "wide"), "must be name, json or yaml"},
		"list in a format that there is not":     {[]string{"list", "-o", "csv"}, "must be one of wide, name, json, yaml"},
		"a format of results that there is not":  {with("--follow", "-o", "yaml"), "must be one of table, ndjson, json, csv"},
		"a timeout without waiting":              {with("--timeout", "1m"), "say --wait or --follow"},
		"rerun without --failed":                 {[]string{"rerun", "r"}, "say --failed"},
		"results without a run":                  {[]string{"results"}, "needs the name of a run"},
		"indexes that are none":                  {[]string{"results", "r", "--indexes", "3-"}, "must be indexes such as"},
		"indexes with follow":                    {[]string{"results", "r", "--indexes", "3", "--follow"}, "exclude each other"},
		"a limit below zero":                     {[]string{"results", "r", "--limit", "-1"}, "must not be negative"},
		"results in an unknown format":           {[]string{"results", "r", "-o", "xml"}, "must be one of table"},
		"log without a run":                      {[]string{"log"}, "a run, and perhaps the index"},
		"log of an index that is none":           {[]string{"log", "r", "first"}, "is no index"},
		"log of failed ones while following":     {[]string{"log", "r", "--failed", "-f"}, "leave out --follow"},
		"log of a stream that there is not":      {[]string{"log", "r", "--stream", "in"}, "must be stdout, stderr or both"},
		"list of something else":                 {[]string{"list", "pods"}, "neither functions, runs nor images"},
		"functions by function":                  {[]string{"list", "--function", "f"}, "list runs --function f"},
		"get without a name":                     {[]string{"get", "run"}, "needs the name of a function, run or image"},
		"describe nothing":                       {[]string{"describe"}, "is needed"},
		"cancel nothing":                         {[]string{"cancel"}, "needs the name of a run"},
		"rollback to a revision below the first": {[]string{"rollback", "f", "--to-revision", "-1"}, "counted from 1"},
		"init with a runtime that there is not":  {[]string{"init", filepath.Join(folder, "new"), "--runtime", "cobol85"}, "there is no runner for"},
		"init with a path as an image":           {[]string{"init", filepath.Join(folder, "new"), "--image", "a/b:c"}, "must be the name of a FunctionImage"},
		"init with a name that cannot be":        {[]string{"init", filepath.Join(folder, "new"), "--name", "New!"}, "cannot be the name of a function"},
		"test of nothing":                        {[]string{"test", filepath.Join(folder, "none")}, "there is no code to test"},
		"test of a folder without code":          {[]string{"test", t.TempDir()}, "neither the manifest of a Function nor handler.py"},
		"test of a file of another kind":         {[]string{"test", file("code.rb", "")}, "neither code"},
		"test of a manifest that is none":        {[]string{"test", file("broken.yaml", "a: b: c")}, "is no manifest"},
		"test without inputs":                    {[]string{"test", file("alone.py", "def handler(event): pass")}, "there are no inputs"},
		"a short token":                          {[]string{"token", "--duration", "1m"}, "at least 10 minutes"},
		"a facade without an address":            {with("--facade", "functions.example.org"), "--facade is"},
		"a context that there is not":            {[]string{"list", "--context", "none"}, "the kubeconfig cannot be used"},
		"no kubeconfig at all":                   {[]string{"list"}, "there is no kubeconfig"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := command(t, t.Context(), nil, tc.args...)
			got.mustEnd(t, ExitUsage, "", tc.says)
			if lines := strings.Count(got.stderr, "\n"); lines > 2 {
				t.Errorf("it takes %d lines to say so:\n%s", lines, got.stderr)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(folder, "new")); err == nil {
		t.Error("init made a folder although it refused")
	}
}

func TestTheClusterThatCannotBeReachedIsNamed(t *testing.T) {
	for _, args := range [][]string{{"list"}, {"get", "run", "r"}, {"results", "r"}, {"log", "r"}, {"cancel", "r"}, {"describe", "r"},
		{"run", "f", "--params", "((1,),)"}, {"rerun", "r", "--failed"}, {"revisions", "f"}, {"diff", "f"}, {"rollback", "f"}, {"token"}, {"doctor"}} {
		t.Run(args[0], func(t *testing.T) {
			got := command(t, t.Context(), nil, append(args, "--server", "http://127.0.0.1:1")...)
			got.mustEnd(t, ExitCluster, "", "the server http://127.0.0.1:1 cannot be reached")
		})
	}
}

func TestHelpHasExamplesAndTheExitCodes(t *testing.T) {
	command(t, t.Context(), nil, "--help").mustEnd(t, ExitOK, "Exit codes:", "")
	for _, name := range []string{"run", "rerun", "results", "log", "list", "get", "describe", "cancel", "suspend", "resume", "revisions",
		"diff", "rollback", "init", "test", "token", "doctor"} {
		command(t, t.Context(), nil, name, "--help").mustEnd(t, ExitOK, "Examples:\n  ", "")
	}
	command(t, t.Context(), nil, "completion", "bash").mustEnd(t, ExitOK, "__complete", "")
}
